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
from crawler.commands.status import alarm_lines
from crawler.forecast import Forecast, cost_of_source, forecast, seconds_needed
from crawler.kinds import KINDS, PERSONAL_KINDS
from crawler.ledger import reports
from crawler.ledger.ledger import Ledger
from crawler.plan import kinds_of
from crawler.probe.document import FILE_NAME, read_probe
from crawler.scope import CHOICES, LIST
from crawler.spiders.settings import CrawlSettings
from dataset.cli import FLAT, say
from dataset.errors import UsageError
from dataset.progress import duration, stage

_NEXT = {"ratings": "frames", "frames": "likes", "likes": "export"}
_REFRESH = "Refresh"
_SECONDS_PER_DAY = 86_400
_OTHER_MODE = {"html": LIST, LIST: "html"}  # of the same pages

Days = Annotated[float, Field(ge=0, lt=36_500, allow_inf_nan=False)]


def plan(*, crawl: Annotated[CrawlOptions, FLAT] = CrawlOptions()) -> None:  # noqa: B008 - frozen
    """Print how many requests each stage needs and how long they take; send none.

    Args:
        crawl: what is crawled, and how
    """
    settings = crawl.resolve()
    with stage("Planning"), Ledger.open(settings.crawl_dir, settings.source, PERSONAL_KINDS) as ledger:
        forecasts = forecast(ledger, settings.scope)
        sources = source_lines(ledger, settings)
    say("\n".join([*plan_lines(forecasts, settings.politeness.seconds_per_request), *sources]))


def plan_lines(forecasts: list[Forecast], seconds_per_request: Callable[[str], float]) -> list[str]:
    """Return the plan as lines: one per kind of page, and the total."""
    hosts = dict.fromkeys(KINDS[one.kind].host for one in forecasts)
    paces = " or ".join(f"{pace:g}" for pace in sorted({seconds_per_request(host) for host in hosts}))
    lines = [f"{'stage':<8} {'kind of page':<13} {'known':>9} {'expected':>13}   at {paces} s per request"]
    for one in forecasts:
        expected = "not yet known" if one.expected is None else f"{one.expected:,}"
        pace = seconds_per_request(KINDS[one.kind].host)
        time_needed = "" if one.expected is None else duration(one.requests * pace)
        lines.append(f"{one.stage:<8} {one.kind:<13} {one.known:>9,} {expected:>13}   {time_needed}".rstrip())
    requests = sum(one.requests for one in forecasts)
    open_stages = dict.fromkeys(one.stage for one in forecasts if one.expected is None)
    needed = duration(seconds_needed(forecasts, seconds_per_request))
    if not open_stages:
        lines.append(f"About {requests:,} requests; {needed}, with the hosts of a stage in parallel.")
        return lines
    unknown = [one.kind for one in forecasts if one.expected is None]
    slowest = max(seconds_per_request(KINDS[kind].host) for kind in unknown)
    lines.append(f"Known so far: {requests:,} requests; {needed}. The rest, usually most of a crawl, is not known yet:")
    lines.append(
        f"how many {', '.join(unknown)} pages follow; each 1,000 of a kind take {duration(1000 * slowest)}. Run plan "
        f"again when these stages have read pages: {', '.join(open_stages)}."
    )
    return lines


def source_lines(ledger: Ledger, settings: CrawlSettings) -> list[str]:
    """Return in lines which sources each topic is read from, what each of them costs, and who says so."""
    lines, is_open = [], False
    for topic, sources in settings.scope.via.items():
        is_open = is_open or len(sources) > 1
        instead = [_OTHER_MODE[one] for one in sources if one in _OTHER_MODE and LIST in CHOICES[topic]]
        if len(sources) > 1 or instead:
            costs = {one: _cost(ledger, settings, topic, one) for one in (*sources, *instead)}
            told = ", else ".join(f"{source} ({costs[source]})" for source in sources)
            lines.append("; ".join([f"{topic}: {told}", *(f"{one} instead ({costs[one]})" for one in instead)]))
    probed = read_probe(settings.crawl_dir, settings.source)
    if probed is not None:
        lines.append(f"The order of the sources is that of the probe of {probed.probed_at[:10]} ({FILE_NAME}).")
    elif is_open:
        lines.append("Nobody has checked these sources yet; do so with: python -m crawler probe")
    return lines


def _cost(ledger: Ledger, settings: CrawlSettings, topic: str, choice: str) -> str:
    one = cost_of_source(ledger, settings.scope, topic, choice)
    per_page = f"{one.per_page} per page, " if one.per_page else ""
    if one.expected is None:
        return f"{per_page}requests not yet known"
    pace = settings.politeness.seconds_per_request(KINDS[one.kind].host)
    return f"{per_page}{one.requests:,} requests, {duration(one.requests * pace)}"


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
        retry_refused: bool = False,
        refresh: Annotated[bool, Parameter(group=_REFRESH)] = False,
        ages: Any = ages_class(),  # noqa: B008
    ) -> None:
        """Read the pages of a stage.

        Args:
            crawl: what is crawled, and how
            retry_refused: request again the pages that the site refused in several runs, in which it answered others
            refresh: read again the pages that may have changed; it includes --retry-refused
            ages: which pages are old enough for --refresh
        """
        ages_days = {name.removesuffix("_age_days"): days for name, days in vars(ages).items()} if refresh else None
        _run_stage(stage, crawl.resolve(), ages_days, retry_refused or refresh)

    run.__annotations__["ages"] = Annotated[ages_class, FLAT]
    return run


ratings, frames, likes = (_command_for(stage) for stage in _NEXT)


def _run_stage(stage: str, crawl: CrawlSettings, ages_days: dict[str, float] | None, retry_refused: bool) -> None:
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
        if retry_refused and (n := ledger.take_back(kinds_of(stage, scope=crawl.scope))):
            say(f"{n:,} pages that the site refused are requested again.")
        result = run_stage(stage, crawl, ledger)
        contents = reports.contents(ledger, stage)
        alarmed = alarm_lines(ledger, kinds_of(stage))
    others = {"gone": result.gone, "not shown to us": result.unavailable}
    of_them = ", ".join(f"{n:,} of them {what}" for what, n in others.items() if n)
    pages = f"{result.done + sum(others.values()):,} pages{f' ({of_them})' if of_them else ''}"
    say(f"{stage}: read {pages} in {duration(result.seconds)}. The crawl now has {contents}.")
    if result.missing:
        say(f"{result.missing:,} pages failed and are missing, as --allow-missing says; another run tries them again.")
    if alarmed:
        say(*alarmed, sep="\n")
    if result.set_aside:
        say(
            f"{result.set_aside:,} pages are set aside, because the site refuses them but answers others: "
            "python -m crawler status counts them, --retry-refused requests them again."
        )
    if result.left:
        say(f"{result.left:,} known pages are left because of --max-requests; run the same command again to continue.")
    else:
        say(f"Next: python -m crawler {_NEXT[stage]}")
