"""Estimates how many requests a crawl still needs, and how long they take at the delay between requests.

The pending pages in the ledger are known. The pages that they will lead to are estimated from the lists read so far,
and for photos from the totals that movie pages claim. Without such data, a count is left empty.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from crawler.kinds import KINDS
from crawler.kinds.kind import PageKind
from crawler.kinds.sources import KINDS_OF, kind_names
from crawler.ledger import reports
from crawler.ledger.ledger import Ledger
from crawler.scope import Scope


@dataclass(frozen=True)
class Forecast:
    """The requests that one kind of page still needs.

    `known` counts the pages in the ledger, `expected` estimates those that will be found later.
    `expected` is None if nothing read so far allows an estimate. `per_page` is how many items a page of a list has, if
    the estimate uses it.
    """

    stage: str
    kind: str
    known: int
    expected: int | None
    per_page: int | None = None

    @property
    def requests(self) -> int:
        """The number of known and expected requests."""
        return self.known + (self.expected or 0)


def forecast(ledger: Ledger, scope: Scope) -> list[Forecast]:
    """Return a forecast for each kind of page in the scope, in the order of the stages."""
    return [
        Forecast(
            kind.stage,
            kind.name,
            ledger.count([kind.name], "pending", "failed", "refused") - ledger.n_set_aside([kind.name]),
            _expected(kind, ledger, scope),
            kind.places and kind.places(scope),
        )
        for kind in KINDS.values()
        if kind.is_wanted(scope)
    ]


def seconds_needed(forecasts: Sequence[Forecast], seconds_per_request: Callable[[str], float]) -> float:
    """Return how long the requests take. The stages run one after another, the hosts of a stage in parallel.

    Args:
        forecasts: the requests of each kind of page.
        seconds_per_request: gives the time per request of a host, by its role.
    """
    by_stage: dict[str, dict[str, int]] = {}
    for one in forecasts:
        of_host = by_stage.setdefault(one.stage, {})
        host = KINDS[one.kind].host
        of_host[host] = of_host.get(host, 0) + one.requests
    return sum(max(n * seconds_per_request(host) for host, n in of_host.items()) for of_host in by_stage.values())


def cost_of_source(ledger: Ledger, scope: Scope, topic: str, source: str) -> Forecast:
    """Return what a topic needs if it is read from one source only (of `crawler.scope.CHOICES`)."""
    alone = replace(scope, via={**scope.via, topic: (source,)})
    name = KINDS_OF[topic][alone.sources(topic)[0]]
    return next(one for one in forecast(ledger, alone) if one.kind == name)


def _expected(kind: PageKind, ledger: Ledger, scope: Scope) -> int | None:
    """Estimate the pages that are not in the ledger yet.

    These are the later pages of lists whose first page is pending, and all pages of lists that are not planned yet.
    """
    is_next_source = kind.rank(scope) > 0  # it is asked only for what the preferred source does not give
    unplanned = 0.0 if is_next_source else kind.unplanned(ledger, scope)
    planned = reports.n_unread_lists(ledger, kind.name)
    if unplanned == planned == 0:
        return 0
    pages_per_list = _pages_per_list(kind, ledger, scope)
    if unplanned is None or pages_per_list is None:
        return None
    return round(planned * (pages_per_list - 1) + unplanned * pages_per_list)


def _pages_per_list(kind: PageKind, ledger: Ledger, scope: Scope) -> float | None:
    """Estimate the pages per list: from the totals that lists claim, or else from finished lists of the kind."""
    if kind.places is not None and kind.topic is not None:
        by_total = reports.pages_per_claimed_list(ledger, kind_names(kind.topic), kind.places(scope))
        if by_total is not None:
            return by_total
    return reports.pages_per_finished_list(ledger, kind.name) or kind.pages_per_list(ledger, scope)
