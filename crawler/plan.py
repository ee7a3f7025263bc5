"""Decides which kinds of page a stage reads, and in which order.

A stage has one or more phases. A phase first plans the pages it needs; then all pending pages of its kinds are read,
including those found on the way. The ledger decides what is left, so running a stage again reads only what is new or
failed.
"""

from collections.abc import Sequence

from crawler.kinds import KINDS
from crawler.kinds.kind import CrawlContext, PageKind
from crawler.scope import Scope

STAGES = ("ratings", "frames", "likes")
GIVEN = "given"

Phase = tuple[PageKind, ...]


def kinds_of(*stages: str, scope: Scope | None = None) -> list[str]:
    """Return the names of the kinds that the stages read; with a scope, only those that it wants."""
    return [kind.name for kind in KINDS.values() if kind.stage in stages and (scope is None or kind.is_wanted(scope))]


def phases_of(stage: str, scope: Scope) -> list[Phase]:
    """Return the phases of a stage, each with the kinds it reads."""
    kinds = [KINDS[name] for name in kinds_of(stage, scope=scope)]
    return [tuple(kind for kind in kinds if kind.phase == number) for number in sorted({kind.phase for kind in kinds})]


def plan_phase(context: CrawlContext, phase: Sequence[PageKind]) -> None:
    """Add to the ledger the pages that a phase starts from."""
    ledger, scope = context.ledger, context.scope
    with ledger.transaction():
        for kind in phase:
            is_given = kind.stage == STAGES[0] and not kind.phase  # the pages of films and people that the user names
            ledger.add_pages(kind.first_pages(ledger, scope), found_through=GIVEN if is_given else None)
            if kind.stage == "likes":
                ledger.set_meta("k", str(scope.k))  # the export leaves out likes by people outside this core
