"""The commands that plan and run the stages of a crawl: plan, ratings, frames and likes."""

import os
import signal
import time
from collections.abc import Callable
from typing import Annotated, Any

import pydantic.dataclasses
from cyclopts import Parameter
from pydantic import Field

from crawler.commands.options import CrawlOptions
from crawler.forecast import Forecast, duration, forecast, seconds_needed
from crawler.kinds import KINDS, PERSONAL_KINDS
from crawler.ledger import reports
from crawler.ledger.ledger import Ledger
from crawler.plan import kinds_of
from crawler.spiders.settings import CrawlSettings
from dataset.cli import FLAT, say
from dataset.errors import UsageError

_NEXT = {"ratings": "frames", "frames": "likes", "likes": "export"}
_REFRESH = "Refresh"
_SECONDS_PER_DAY = 86_400

Days = Annotated[float, Field(ge=0, lt=36_500, allow_inf_nan=False)]


def plan(*, crawl: Annotated[CrawlOptions, FLAT] = CrawlOptions()) -> None:  # noqa: B008 - frozen
    """Print how many requests each stage needs and how long they take; send none.

    Args:
        crawl: what is crawled, and how
    """
    settings = crawl.resolve()
    with Ledger.open(settings.crawl_dir, settings.source, PERSONAL_KINDS) as ledger:
        forecasts = forecast(ledger, settings.scope)
    say("\n".join(plan_lines(forecasts, settings.politeness.delay_s)))


def plan_lines(forecasts: list[Forecast], delay_s: float) -> list[str]:
    """Return the plan as lines: one per kind of page, and the total."""
    lines = [f"{'stage':<8} {'kind of page':<13} {'known':>9} {'expected':>13}   at {delay_s:g} s per request"]
    for one in forecasts:
        expected = "not yet known" if one.expected is None else f"{one.expected:,}"
        time_needed = "" if one.expected is None else duration(one.requests * delay_s)
        lines.append(f"{one.stage:<8} {one.kind:<13} {one.known:>9,} {expected:>13}   {time_needed}".rstrip())
    requests = sum(one.requests for one in forecasts)
    open_stages = dict.fromkeys(one.stage for one in forecasts if one.expected is None)
    least = "At least" if open_stages else "About"
    needed = duration(seconds_needed(forecasts, delay_s))
    lines.append(f"{least} {requests:,} requests; {needed}, with the hosts of a stage in parallel.")
    if open_stages:
        lines.append(
            f"Not all counts are known yet; run plan again when these stages have read pages: {', '.join(open_stages)}."
        )
    return lines


def _ages_of(stage: str) -> Any:
    """Return a config class with an option for each kind of page of a stage that can be read again."""
    days = {f"{kind}_age_days": KINDS[kind].refresh_days for kind in kinds_of(stage) if KINDS[kind].refresh_days}
    options = {name: _age_option(name.removesuffix("_age_days")) for name in days}
    return pydantic.dataclasses.dataclass(frozen=True)(type("Ages", (), {**days, "__annotations__": options}))


def _age_option(kind: str) -> Any:
    sentence = f"with --refresh: minimum age in days of the {kind.replace('_', ' ')} pages to read again"
    return Annotated[Days, Parameter(help=sentence, group=_REFRESH)]


def _command_for(stage: str) -> Callable[..., None]:
    """Return the command that runs a stage. Its options depend on the kinds of page of the stage."""
    ages_class = _ages_of(stage)

    def run(
        *,
        crawl: Annotated[CrawlOptions, FLAT] = CrawlOptions(),  # noqa: B008 - frozen
        refresh: Annotated[bool, Parameter(group=_REFRESH)] = False,
        ages: Any = ages_class(),  # noqa: B008
    ) -> None:
        """Read the pages of a stage.

        Args:
            crawl: what is crawled, and how
            refresh: read again the pages that may have changed
            ages: which pages are old enough for --refresh
        """
        ages_days = {name.removesuffix("_age_days"): days for name, days in vars(ages).items()} if refresh else None
        _run_stage(stage, crawl.resolve(), ages_days)

    run.__annotations__["ages"] = Annotated[ages_class, FLAT]
    return run


ratings, frames, likes = (_command_for(stage) for stage in _NEXT)


def _run_stage(stage: str, crawl: CrawlSettings, ages_days: dict[str, float] | None) -> None:
    from crawler.spiders.run import run_stage  # imported where needed, because Scrapy takes a while to load

    os.umask(0o077)  # whatever is written into the crawl folder, by Scrapy too, is private
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until Scrapy takes over: like Ctrl-C
    with Ledger.open(crawl.crawl_dir, crawl.source, PERSONAL_KINDS) as ledger:
        if not crawl.scope.movie_ids and not crawl.scope.uids and not ledger.has_pages():
            raise UsageError(
                f"{crawl.crawl_dir}: the crawl has nothing to start from; give --movies, --movies-file or --users"
            )
        if ages_days is not None:
            now = time.time()
            reopened = sum(ledger.reopen(kind, now - days * _SECONDS_PER_DAY) for kind, days in ages_days.items())
            say(f"{reopened:,} pages and lists are old enough to be read again.")
        result = run_stage(stage, crawl, ledger)
        contents = reports.contents(ledger, stage)
    gone = f" ({result.gone:,} of them gone)" if result.gone else ""
    pages = f"{result.done + result.gone:,} pages{gone}"
    say(f"{stage}: read {pages} in {duration(result.seconds)}. The crawl now has {contents}.")
    if result.left:
        say(f"{result.left:,} known pages are left because of --max-requests; run the same command again to continue.")
    else:
        say(f"Next: python -m crawler {_NEXT[stage]}")
