"""What `plan` and `status` print: how much there is to do, how far a crawl is, and what went wrong."""

import time
from collections.abc import Sequence
from pathlib import Path

from rich.live import Live
from rich.text import Text

from crawler.database import is_locked
from crawler.forecast import STATES, Forecast, duration, seconds_needed
from crawler.store import Ledger

CONTENTS = {
    "ratings": "SELECT count(*) || ' ratings by ' || count(DISTINCT user_id) || ' users; ' || "
    "(SELECT count(*) FROM movies) || ' movies' FROM ratings",
    "frames": "SELECT count(*) || ' frames of ' || count(DISTINCT movie_id) || ' movies; ' || "
    "(SELECT count(*) FROM pictures) || ' pictures' FROM frames",
    "likes": "SELECT count(*) || ' likes by ' || count(DISTINCT user_id) || ' users of ' || "
    "count(DISTINCT frame_id) || ' frames' FROM (SELECT DISTINCT user_id, frame_id FROM likes)",
}
RECENT_S = 600.0
_REDRAW_S = 2.0


def plan_lines(forecasts: Sequence[Forecast], delay_s: float) -> list[str]:
    """Return the plan: a line a kind of page, and what it comes to."""
    lines = [f"{'stage':<8} {'kind of page':<13} {'known':>9} {'expected':>13}   at {delay_s:g} s a request"]
    for one in forecasts:
        expected = "not yet known" if one.expected is None else f"{one.expected:,}"
        time_needed = "" if one.expected is None else duration(one.requests * delay_s)
        lines.append(f"{one.stage:<8} {one.kind:<13} {one.known:>9,} {expected:>13}   {time_needed}".rstrip())
    requests = sum(one.requests for one in forecasts)
    open_stages = dict.fromkeys(one.stage for one in forecasts if one.expected is None)
    least = "At least" if open_stages else "About"
    lines.append(
        f"{least} {requests:,} requests; {duration(seconds_needed(forecasts, delay_s))}, hosts being read side by side."
    )
    if open_stages:
        lines.append(
            f"What is not yet known shows while the stages are read ({', '.join(open_stages)}); ask again then."
        )
    return lines


def status_lines(ledger: Ledger, now: float, is_crawling: bool) -> list[str]:
    """Return how far a crawl is: pages by kind and state, what failed why, the pace, and the rows so far."""
    counts = ledger.counts()
    lines = [f"{'kind of page':<13}" + "".join(f"{state:>10}" for state in STATES)]
    for kind in sorted({kind for kind, _ in counts}):
        lines.append(f"{kind:<13}" + "".join(f"{counts.get((kind, state), 0):>10,}" for state in STATES))
    lines += _causes(ledger)
    lines += _pace(ledger, now, sum(n for (_, state), n in counts.items() if state == "pending"))
    lines += [str(ledger.value(query)) for query in CONTENTS.values()]
    return [*lines, "A command is crawling right now." if is_crawling else "No command is crawling right now."]


def _causes(ledger: Ledger) -> list[str]:
    causes = ledger.execute(
        "SELECT state, kind, cause, count(*) FROM pages WHERE cause IS NOT NULL "
        "GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3 LIMIT 20"
    ).fetchall()
    lines = [f"{n:,} {kind} pages {state}: {cause}" for state, kind, cause, n in causes]
    if any("not understood" in cause for _, _, cause, _ in causes):
        lines.append(
            "Pages that were not understood are in the archive; mend the parser, then: python -m crawler reparse"
        )
    if unsteady := ledger.value("SELECT sum(is_unsteady) FROM pages"):
        lines.append(f"{unsteady:,} lists changed too often while they were read; --refresh reads them again")
    if unseen := ledger.value("SELECT sum(unseen) FROM pages WHERE unseen > 0"):
        lines.append(f"{unseen:,} items are claimed by lists that do not show them")
    return lines


def _pace(ledger: Ledger, now: float, pending: int) -> list[str]:
    recent, first = ledger.execute(
        "SELECT count(*), min(fetched_at) FROM pages WHERE fetched_at > ?", (now - RECENT_S,)
    ).fetchone()
    if not recent:
        return [f"{pending:,} known pages are left; nothing was read in the last {duration(RECENT_S)}"]
    seconds = max(now - first, 1.0)
    left = duration(pending * seconds / recent)
    return [f"{recent:,} pages in the last {duration(seconds)}; {pending:,} known pages are left, {left} at this pace"]


def watch(crawl_dir: Path) -> None:
    """Show the status until Ctrl-C, drawn anew every two seconds."""
    try:
        with Ledger.read(crawl_dir) as ledger, Live(refresh_per_second=1) as live:
            while True:
                live.update(
                    Text("\n".join(status_lines(ledger, time.time(), is_locked(crawl_dir / "lock")))), refresh=True
                )
                time.sleep(_REDRAW_S)
    except KeyboardInterrupt:
        return
