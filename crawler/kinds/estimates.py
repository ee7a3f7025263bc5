"""Functions that several kinds use to plan their pages and to estimate how many there will be."""

from dataclasses import dataclass

import polars as pl

from crawler.kinds.sources import gone_movies, kind_names, n_unread, unavailable_movies
from crawler.ledger import reports
from crawler.ledger.ledger import Ledger
from crawler.scope import Scope
from dataset.building.kcore import k_core


@dataclass(frozen=True)
class Core:
    """The movies and users that survive the k-core of the ratings so far, most-rated movies first."""

    movie_ids: tuple[str, ...]
    user_ids: tuple[str, ...]


def surviving(ledger: Ledger, scope: Scope) -> Core:
    """Return the k-core of the ratings so far (everything, if k is 0), without movies that are gone.

    A movie that is not shown to guests stays, because its ratings do.
    """
    schema = {"user_id": pl.String, "movie_id": pl.String}
    ratings = pl.DataFrame(ledger.rating_pairs(), schema=schema, orient="row")
    core = k_core(ratings, k_user=scope.k, k_item=scope.k)
    gone = gone_movies(ledger)
    by_count = core.group_by("movie_id").len().sort(["len", "movie_id"], descending=[True, False])
    movie_ids = [movie_id for movie_id in by_count["movie_id"] if movie_id not in gone]
    return Core(tuple(movie_ids[: scope.max_movies]), tuple(core["user_id"].unique().sort()))


def with_readable_photos(ledger: Ledger, scope: Scope) -> list[str]:
    """Return the surviving movies whose pages a guest is shown; of the others, no list of photos is requested."""
    unavailable = unavailable_movies(ledger)
    return [movie_id for movie_id in surviving(ledger, scope).movie_ids if movie_id not in unavailable]


def unread_movies(ledger: Ledger, scope: Scope) -> float | None:
    """Return how many of the surviving movies have no page in the ledger; None if none survives yet."""
    movie_ids = surviving(ledger, scope).movie_ids
    return n_unread(ledger, scope, "movie", movie_ids) if movie_ids else None


def unread_photo_lists(ledger: Ledger, scope: Scope) -> float | None:
    """Return how many lists of photos of the surviving movies are not in the ledger; None if none survives yet."""
    movie_ids = with_readable_photos(ledger, scope)
    return len(scope.photo_kinds) * n_unread(ledger, scope, "photos", movie_ids) if movie_ids else None


def frames_without_page(ledger: Ledger, scope: Scope, kind: str) -> float | None:
    """Estimate how many pages of a kind, one per frame, are not in the ledger yet."""
    frames = _expected_frames(ledger, surviving(ledger, scope))
    return frames and max(0.0, frames - ledger.n_lists(kind))


def _expected_frames(ledger: Ledger, core: Core) -> float | None:
    """Estimate the number of frames: those known, and those that movie pages and unfinished lists claim.

    A movie's total counts photos of every kind. The movies whose lists were read show which share of the total becomes
    frames. Before any list was read, the share is 1 (the upper bound).
    """
    if not core.movie_ids:
        return None
    totals, known = reports.photo_totals(ledger), reports.frames_per_movie(ledger)
    begun = reports.started_subjects(ledger, *kind_names("photos"))
    ahead = [movie_id for movie_id in core.movie_ids if movie_id not in begun]
    if ahead and not totals:
        return None
    read_total = sum(total for movie_id, total in totals.items() if movie_id in begun)
    share = min(1.0, sum(known.get(movie_id, 0) for movie_id in begun) / read_total) if read_total else 1.0
    mean = sum(totals.values()) / len(totals) if totals else 0.0
    rest = reports.claimed_rest(ledger, *kind_names("photos"))
    return sum(known.values()) + share * sum(totals.get(movie_id, mean) for movie_id in ahead) + rest
