"""The tables `movie_claims` and `contradictions`: what each source says of a movie, and where two sources differ."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from crawler.ledger.ledger import Ledger


class Claim(NamedTuple):
    """What one source says of a movie; None where it does not say."""

    year: int | None
    kind: str | None
    rating_count: int | None


def set_claim(ledger: Ledger, movie_id: str, source: str, claim: Claim, at: float) -> None:
    """Store what a source says of a movie."""
    ledger.upsert("movie_claims", [{"movie_id": movie_id, "source": source, "seen_at": at} | claim._asdict()])


def claims_of(ledger: Ledger, movie_id: str) -> dict[str, Claim]:
    """Return what the sources say of a movie, by source."""
    rows = ledger.execute("SELECT source, year, kind, rating_count FROM movie_claims WHERE movie_id = ?", (movie_id,))
    return {source: Claim(*said) for source, *said in rows}


def set_contradictions(ledger: Ledger, movie_id: str, found: Mapping[str, tuple[str, str]], at: float) -> None:
    """Store in which fields the sources of a movie differ, instead of what was stored before."""
    ledger.execute("DELETE FROM contradictions WHERE movie_id = ?", (movie_id,))
    ledger.upsert(
        "contradictions",
        [
            {"movie_id": movie_id, "field": field, "html": html, "json": json, "seen_at": at}
            for field, (html, json) in found.items()
        ],
    )


def set_totals(ledger: Ledger, movie_id: str, totals: Mapping[str, int | None]) -> None:
    """Store columns of a movie that only one source has."""
    changes = ", ".join(f"{column} = ?" for column in totals)
    ledger.execute(f"UPDATE movies SET {changes} WHERE movie_id = ?", (*totals.values(), movie_id))


def contradictions(ledger: Ledger) -> list[tuple[Any, ...]]:
    """Return movie id, field, and the values of both sources."""
    return ledger.execute("SELECT movie_id, field, html, json FROM contradictions").fetchall()


def n_contradictions(ledger: Ledger) -> int:
    """Return how many movies the two sources contradict each other about."""
    n: int = ledger.value("SELECT count(DISTINCT movie_id) FROM contradictions")
    return n
