"""The command status: how much of a crawl is done, and what failed."""

import time
from collections.abc import Iterable
from pathlib import Path

from rich.live import Live
from rich.text import Text

from crawler.alarms import alarms
from crawler.commands.options import DEFAULT_CRAWL
from crawler.kinds import KINDS
from crawler.ledger import reports
from crawler.ledger.claims import n_contradictions
from crawler.ledger.ledger import Ledger
from crawler.ledger.lock import is_locked
from crawler.ledger.pages import MOST_REFUSALS, STATES
from crawler.plan import STAGES
from dataset.cli import printable, say
from dataset.progress import duration

RECENT_S = 600.0
_REDRAW_S = 2.0
_FOLLOWS = {
    "noindex": "recorded only",
    "noarchive": "their rows are kept, their bodies are not archived",
    "noai": "none of their rows is kept",
    "noimageai": "none of their pictures is kept",
}


def status(*, crawl: Path = DEFAULT_CRAWL, watch: bool = False) -> None:
    """Print pages by kind and state, and the causes of failures.

    Args:
        crawl: the crawl's private folder
        watch: redraw every two seconds, until Ctrl-C
    """
    with Ledger.read(crawl) as ledger:
        if watch:
            _watch(ledger)
        else:
            say("\n".join(_current_lines(ledger)))


def _current_lines(ledger: Ledger) -> list[str]:
    return status_lines(ledger, time.time(), is_locked(ledger.crawl_dir / "lock"))


def _watch(ledger: Ledger) -> None:
    try:
        with Live(refresh_per_second=1) as live:
            while True:
                live.update(Text(printable("\n".join(_current_lines(ledger)))), refresh=True)
                time.sleep(_REDRAW_S)
    except KeyboardInterrupt:
        return


def status_lines(ledger: Ledger, now: float, is_crawling: bool) -> list[str]:
    """Return the status of a crawl: pages by kind and state, causes of failures, the pace, and the rows so far."""
    counts = ledger.counts()
    lines = [f"{'kind of page':<13}" + "".join(f"{state:>12}" for state in STATES)]
    for kind in sorted({kind for kind, _ in counts}):
        lines.append(f"{kind:<13}" + "".join(f"{counts.get((kind, state), 0):>12,}" for state in STATES))
    lines += _causes(ledger)
    lines += alarm_lines(ledger)
    lines += _pace(ledger, now, sum(n for (_, state), n in counts.items() if state == "pending"))
    lines += [reports.contents(ledger, stage) for stage in STAGES]
    return [*lines, "A command is crawling right now." if is_crawling else "No command is crawling right now."]


def alarm_lines(ledger: Ledger, kinds: Iterable[str] = tuple(KINDS)) -> list[str]:
    """Return a line for each alarm, and one that says what to do."""
    found = [f"ALARM: {alarm}" for alarm in alarms(ledger, kinds)]
    remedy = (
        "Compare such a page with its parser in crawler/kinds; after a fix: python -m crawler reparse. A version with "
        "these rows is held."
    )
    return [*found, remedy] if found else []


def _causes(ledger: Ledger) -> list[str]:
    causes = reports.causes(ledger)
    lines = [f"{one.n:,} {one.kind} pages {one.state}: {one.cause}" for one in causes]
    if any("not understood" in one.cause for one in causes):
        lines.append(
            "Pages that were not understood are in the archive; fix the parser, then: python -m crawler reparse"
        )
    for kind, n in reports.set_aside(ledger).items():
        lines.append(
            f"{n:,} {kind} pages are set aside: the site refused each in {MOST_REFUSALS} runs or more, in which it "
            "answered others; --retry-refused requests them again"
        )
    for directive, n in reports.opt_outs(ledger).items():
        lines.append(f"{n:,} pages ask for {directive}: {_FOLLOWS[directive]}")
    if merged := len(ledger.aliases()):
        lines.append(f"{merged:,} movies were merged into others; the export gives both the id of the other one")
    if unsteady := reports.n_unsteady(ledger):
        lines.append(f"{unsteady:,} lists changed too often while they were read; read them again with --refresh")
    if n := n_contradictions(ledger):
        lines.append(f"{n:,} movies are not the same in the HTML and the JSON; export writes contradictions.parquet")
    if unseen := reports.n_unseen(ledger):
        lines.append(f"{unseen:,} items are counted in the totals of lists, but no page shows them")
    for (kind, reason), n in reports.left_out(ledger).items():
        lines.append(f"{n:,} items of {kind} pages left out: {reason}")
    for table, n in reports.n_not_shown(ledger).items():
        if n:
            lines.append(
                f"{n:,} {table} were not shown when their lists were last read; they are kept until a complete reading "
                "does not show them either"
            )
    return lines


def _pace(ledger: Ledger, now: float, pending: int) -> list[str]:
    recent, first = reports.answered_since(ledger, now - RECENT_S)
    if first is None:
        return [f"{pending:,} known pages are left; nothing was read in the last {duration(RECENT_S)}"]
    seconds = max(now - first, 1.0)
    left = duration(pending * seconds / recent)
    return [f"{recent:,} pages in the last {duration(seconds)}; {pending:,} known pages are left, {left} at this pace"]
