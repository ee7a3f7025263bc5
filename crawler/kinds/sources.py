"""The kinds of page that tell the same from two sources, and how people found in one source lead to the other."""

from collections.abc import Iterable

from crawler.ledger import reports
from crawler.ledger.ledger import Ledger
from crawler.page import Key, Person
from crawler.scope import Scope

COMMENTS_PER_PAGE, COMMENTS_REACH = 20, 200  # a logged-out reader is shown about this many comments of a movie
INTERESTS_PER_PAGE, INTERESTS_REACH = 20, 500  # of the mobile JSON: older clients got 500, today perhaps fewer

# By topic and source.
KINDS_OF = {
    "movie": {"html": "movie", "json": "movie_json"},
    "photos": {"html": "photos", "json": "photos_json"},
    "collection": {"html": "collection", "json": "marks_json"},
    "people": {"html": "comments", "json": "interests"},
}

# How many pages of people a movie has at most.
MOST_PAGES = {"comments": COMMENTS_REACH / COMMENTS_PER_PAGE, "interests": INTERESTS_REACH / INTERESTS_PER_PAGE}


def kind_names(topic: str) -> tuple[str, ...]:
    """Return the kinds of page of a topic."""
    return tuple(KINDS_OF[topic].values())


def plan_marks(ledger: Ledger, scope: Scope, person: Person, found_through: str) -> None:
    """Plan the list of what a person has watched, unless it is planned already or there are enough users.

    Args:
        ledger: the ledger, in a transaction.
        scope: names the preferred source, and how many users are enough.
        person: the person.
        found_through: the kind of page that shows them.
    """
    user_id, kinds = ledger.user_id(person), kind_names("collection")
    is_known = any(ledger.is_planned(user_id, kind) for kind in kinds)
    if not is_known and (scope.max_users is None or len(reports.subjects(ledger, *kinds)) < scope.max_users):
        preferred = scope.sources("collection")[0]
        ledger.add_pages([Key(KINDS_OF["collection"][preferred], person.uid)], found_through)


def n_unread(ledger: Ledger, scope: Scope, topic: str, subjects: Iterable[str]) -> int:
    """Return how many of some subjects have no page in the ledger from any of the scope's sources of a topic."""
    kinds = [KINDS_OF[topic][source] for source in scope.sources(topic)]
    return len(set(subjects) - reports.subjects(ledger, *kinds))


def unread_lists_of_people(ledger: Ledger, scope: Scope) -> float | None:
    """Return how many movies of the scope have no page of people in the ledger."""
    return n_unread(ledger, scope, "people", scope.movie_ids)


def n_people_to_come(ledger: Ledger, scope: Scope) -> float | None:
    """Estimate the lists to be planned in the preferred source.

    They are the lists of users in the scope, lists that are open in the other source, and lists of users to whom
    unread comments will lead.
    """
    found_by = KINDS_OF["people"][scope.sources("people")[0]]
    kinds = kind_names("collection")
    preferred = KINDS_OF["collection"][scope.sources("collection")[0]]
    others = [kind for kind in kinds if kind != preferred]
    moved = reports.open_subjects(ledger, *others) - reports.subjects(ledger, preferred) - set(scope.uids)
    named = n_unread(ledger, scope, "collection", scope.uids) + len(moved)
    pages_per_list = reports.pages_per_finished_list(ledger, found_by) or MOST_PAGES[found_by]
    unread = ledger.count([found_by], "pending") + n_unread(ledger, scope, "people", scope.movie_ids) * pages_per_list
    if not unread:
        return named
    read, found = ledger.count(kind_names("people"), "done"), len(reports.subjects(ledger, *kinds))
    bound = None if scope.max_users is None else max(0.0, scope.max_users - found)
    if not read:
        return bound
    to_be_found = unread * found / read
    return named + (to_be_found if bound is None else min(to_be_found, bound))


def gone_movies(ledger: Ledger) -> set[str]:
    """Return the movies that a source says are gone, and that no source has shown."""
    return _not_shown(ledger, "gone")


def unavailable_movies(ledger: Ledger) -> set[str]:
    """Return the movies that a source does not show to guests, and that no source has shown."""
    return _not_shown(ledger, "unavailable")


def _not_shown(ledger: Ledger, state: str) -> set[str]:
    kinds = kind_names("movie")
    found = {movie_id for kind in kinds for movie_id in ledger.subjects_in(kind, state)}
    return found - reports.shown_subjects(ledger, *kinds)
