"""Alarms: fields that are empty more often than the parser of their page expects, for example after a renamed heading.

Each kind of page states how often its fields have a value (`Fills`, beside its parser). The pages that were answered
last are compared with that: the last 20, so that a change shows in a small refresh too, and the last 200, so that a
smaller loss shows. A field raises an alarm if so few values have a probability below 0.1 % (Chernoff's bound).

Source: Chernoff 1952, "A measure of asymptotic efficiency for tests of a hypothesis based on the sum of observations".
"""

import math
from collections.abc import Iterable

from crawler.kinds import KINDS
from crawler.ledger import reports
from crawler.ledger.ledger import Ledger

_LAST_PAGES = (20, 200)
_LEAST_EVIDENCE = math.log(1000)


def alarms(ledger: Ledger, kinds: Iterable[str] = tuple(KINDS)) -> list[str]:
    """Return a line for each field of the kinds that is empty too often."""
    return [line for kind in kinds for line in _alarms_of(ledger, kind)]


def is_too_low(filled: int, rows: int, at_least: float) -> bool:
    """Return whether `filled` of `rows` is so far below a share that chance does not explain it.

    If each row has a value with probability `at_least`, at most `filled` values have a probability of at most
    exp(-rows * KL(filled / rows, at_least)).
    """
    if rows == 0 or filled / rows >= at_least:
        return False
    share = filled / rows
    of_empty = (1 - share) * math.log((1 - share) / (1 - at_least))
    return rows * (of_empty + (share * math.log(share / at_least) if filled else 0.0)) > _LEAST_EVIDENCE


def _alarms_of(ledger: Ledger, kind: str) -> list[str]:
    fills = KINDS[kind].fills
    if fills is None:
        return []
    found: dict[str, str] = {}
    for n_pages in _LAST_PAGES:
        rows, filled = reports.last_fills(ledger, kind, n_pages)
        for field, at_least in fills.at_least.items():
            if is_too_low(filled[field], rows, at_least):
                found.setdefault(
                    field,
                    f"{kind} pages: {field} has a value in {filled[field]:,} of the last {rows:,} rows; its parser "
                    f"expects at least {100 * at_least:g} %",
                )
    return list(found.values())
