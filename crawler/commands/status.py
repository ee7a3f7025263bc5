"""`python -m crawler plan` and `status`: how much is left to do, how far a crawl is, and what went wrong."""

import time
from collections.abc import Sequence
from pathlib import Path

from rich.live import Live
from rich.text import Text

from crawler.forecast import Forecast, duration, seconds_needed
from crawler.ledger import reports
from crawler.ledger.ledger import Ledger
from crawler.ledger.lock import is_locked
from crawler.ledger.pages import STATES
from crawler.plan import STAGES

RECENT_S = 600.0
_REDRAW_S = 2.0


def plan_lines(forecasts: Sequence[Forecast], delay_s: float) -> list[str]:
    """Return the plan: one line per kind of page, and the sum."""
    lines = [f"{'stage':<8} {'kind of page':<13} {'known':>9} {'expected':>13}   at {delay_s:g} s per request"]
    for one in forecasts:
        expected = "not yet known" if one.expected is None else f"{one.expected:,}"
        time_needed = "" if one.expected is None else duration(one.requests * delay_s)
        lines.append(f"{one.stage:<8} {one.kind:<13} {one.known:>9,} {expected:>13}   {time_needed}".rstrip())
    requests = sum(one.requests for one in forecasts)
    open_stages = dict.fromkeys(one.stage for one in forecasts if one.expected is None)
    least = "At least" if open_stages else "About"
    lines.append(
        f"{least} {requests:,} requests; {duration(seconds_needed(forecasts, delay_s))}, all hosts in parallel."
    )
    if open_stages:
        lines.append(
            f"Unknown counts become known while the stages are read ({', '.join(open_stages)}); run this again then."
        )
    return lines


def status_lines(ledger: Ledger, now: float, is_crawling: bool) -> list[str]:
    """Return how far a crawl is: pages by kind and state, causes of failures, the pace, and the rows so far."""
    counts = ledger.counts()
    lines = [f"{'kind of page':<13}" + "".join(f"{state:>10}" for state in STATES)]
    for kind in sorted({kind for kind, _ in counts}):
        lines.append(f"{kind:<13}" + "".join(f"{counts.get((kind, state), 0):>10,}" for state in STATES))
    lines += _causes(ledger)
    lines += _pace(ledger, now, sum(n for (_, state), n in counts.items() if state == "pending"))
    lines += [reports.contents(ledger, stage) for stage in STAGES]
    return [*lines, "A command is crawling right now." if is_crawling else "No command is crawling right now."]


def _causes(ledger: Ledger) -> list[str]:
    causes = reports.causes(ledger)
    lines = [f"{one.n:,} {one.kind} pages {one.state}: {one.cause}" for one in causes]
    if any("not understood" in one.cause for one in causes):
        lines.append(
            "Pages that were not understood are in the archive; fix the parser, then: python -m crawler reparse"
        )
    if unsteady := reports.n_unsteady(ledger):
        lines.append(f"{unsteady:,} lists changed too often while they were read; --refresh reads them again")
    if unseen := reports.n_unseen(ledger):
        lines.append(f"{unseen:,} items are claimed by lists that do not show them")
    return lines


def _pace(ledger: Ledger, now: float, pending: int) -> list[str]:
    recent, first = reports.answered_since(ledger, now - RECENT_S)
    if first is None:
        return [f"{pending:,} known pages are left; nothing was read in the last {duration(RECENT_S)}"]
    seconds = max(now - first, 1.0)
    left = duration(pending * seconds / recent)
    return [f"{recent:,} pages in the last {duration(seconds)}; {pending:,} known pages are left, {left} at this pace"]


def watch(crawl_dir: Path) -> None:
    """Show the status until Ctrl-C, redrawn every two seconds."""
    try:
        with Ledger.read(crawl_dir) as ledger, Live(refresh_per_second=1) as live:
            while True:
                live.update(
                    Text("\n".join(status_lines(ledger, time.time(), is_locked(crawl_dir / "lock")))), refresh=True
                )
                time.sleep(_REDRAW_S)
    except KeyboardInterrupt:
        return
