"""Decides which kinds of page a stage reads, and in which order.

A stage has one or more phases. A phase first plans the pages it needs; then all pending pages of its kinds are read,
including those found on the way. The ledger decides what is left, so running a stage again reads only what is new or
failed.
"""

from collections.abc import Sequence

from crawler.kinds import KINDS
from crawler.kinds.kind import CrawlContext, PageKind
from crawler.kinds.sources import kind_names
from crawler.ledger.ledger import Ledger
from crawler.ledger.sources import drop_open_pages, list_of, plan_open_lists, settled_lists
from crawler.scope import Scope

STAGES = ("ratings", "frames", "likes")
GIVEN = "given"

Phase = tuple[PageKind, ...]


def kinds_of(*stages: str, scope: Scope | None = None) -> list[str]:
    """Return the names of the kinds that the stages read; with a scope, only those that it wants."""
    return [kind.name for kind in KINDS.values() if kind.stage in stages and (scope is None or kind.is_wanted(scope))]


def phases_of(stage: str, scope: Scope) -> list[Phase]:
    """Return the phases of a stage, each with the kinds it reads.

    A topic with two sources is read from the preferred one, then what that has refused or failed from the other one.
    That can lead to more people, so the last of these phases comes twice.
    """
    kinds = [KINDS[name] for name in kinds_of(stage, scope=scope)]
    phases: list[Phase] = []
    for number in sorted({kind.phase for kind in kinds}):
        of_number = [kind for kind in kinds if kind.phase == number]
        ranks = sorted({kind.rank(scope) for kind in of_number})
        for rank in ranks + ranks[1:][-1:]:
            phases.append(tuple(kind for kind in of_number if kind.rank(scope) <= rank))
    return phases


def plan_phase(context: CrawlContext, phase: Sequence[PageKind]) -> None:
    """Add to the ledger the pages that a phase starts from."""
    ledger, scope = context.ledger, context.scope
    with ledger.transaction():
        drop_settled(ledger, scope)
        for kind in phase:
            settled = _settled_elsewhere(ledger, scope, kind)
            keys = (key for key in kind.first_pages(ledger, scope) if list_of(key, kind.has_names) not in settled)
            is_given = kind.stage == STAGES[0] and not kind.phase  # the pages of films and people that the user names
            ledger.add_pages(keys, found_through=GIVEN if is_given else None)
            if kind.topic == "collection":
                for other in kind_names("collection"):
                    plan_open_lists(ledger, other, kind.name)
            if kind.stage == "likes":
                ledger.set_meta("k", str(scope.k))  # the export leaves out likes by people outside this core


def drop_settled(ledger: Ledger, scope: Scope) -> None:
    """Forget the pages that are still to be read from one source, of lists that another source has given meanwhile."""
    for kind in KINDS.values():
        if settled := _settled_elsewhere(ledger, scope, kind):
            drop_open_pages(ledger, kind.name, settled, kind.has_names)


def _settled_elsewhere(ledger: Ledger, scope: Scope, kind: PageKind) -> set[tuple[str, str]]:
    """Return the lists of a kind that another source of the scope has given."""
    if kind.topic is None or not kind.is_wanted(scope):
        return set()
    others = (one for one in KINDS.values() if one.topic == kind.topic and one is not kind and one.is_wanted(scope))
    return {which for other in others for which in settled_lists(ledger, other.name, kind.has_names)}
