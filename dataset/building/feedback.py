"""Turns raw ratings into implicit feedback: each user-movie pair once, every dropped row with its reason."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Annotated, Literal

import dataframely as dy
import polars as pl
from cyclopts import Parameter
from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass

from dataset.errors import UsageError
from dataset.moments import day, moment
from dataset.schema import ImplicitFeedback, Rating, RawUser
from dataset.tables import empty, fill_optional, quarantine_rows, validate


def _read_day(value: object) -> date:
    """Return a day that is given as a date or as ISO text (pydantic would also read numbers: 0 as 1970-01-01)."""
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise ValueError("Input should be a day like 2015-01-31") from None


FIRST_READ = "first-read"


def _read_last_day(value: object) -> object:
    return value if value == FIRST_READ else _read_day(value)


Day = Annotated[date, BeforeValidator(_read_day)]
LastDay = Annotated[date | Literal["first-read"], BeforeValidator(_read_last_day)]


@dataclass(frozen=True)
class FeedbackConfig:
    """Which ratings count as implicit feedback.

    Attributes:
        min_stars: minimum stars, from 0 to 5 (by default any rating counts, as in the paper)
        include_unrated: whether "watched, not rated" counts; by default it does
        since: first day that counts (in UTC), like 2015-01-31; with --since or --until, ratings without a date do
            not count
        until: last day that counts; `first-read`, after a crawl, is the day before the first person's list was read:
            everyone is known up to that day
    """

    min_stars: Annotated[float | None, Field(ge=0, le=5)] = None
    include_unrated: Annotated[bool, Parameter(negative="--rated-only")] = True
    since: Day | None = None
    until: LastDay | None = None

    def __post_init__(self) -> None:
        """Reject an empty range of days."""
        if self.since and isinstance(self.until, date) and self.since > self.until:
            raise UsageError(f"--since {self.since} is after --until {self.until}; swap them")

    def with_last_day(self, users: pl.DataFrame | None, ratings: pl.DataFrame) -> "FeedbackConfig":
        """Return the same with a day instead of `first-read`.

        A day counts only if it was over when the first list was read. Both are days in UTC, as dates of ratings are.

        Args:
            users: the raw table of the people whose lists were read; None if there is none.
            ratings: the raw ratings; only people with ratings matter.

        Raises:
            UsageError: the tables do not say when the lists were read, or `since` is after that day.
        """
        if self.until != FIRST_READ:
            return self
        read = empty(RawUser) if users is None else users.join(ratings, on="user_id", how="semi")
        first = read["read_on"].min()
        if not isinstance(first, date):
            raise UsageError(
                f"--until {FIRST_READ}: these raw tables do not say when people's lists were read (a crawl writes that "
                "into users.parquet); give a day"
            )
        return replace(self, until=first - timedelta(days=1))


def to_implicit_feedback(
    ratings: dy.DataFrame[Rating], movie_ids: pl.Series, config: FeedbackConfig
) -> tuple[dy.DataFrame[ImplicitFeedback], pl.DataFrame]:
    """Return the implicit feedback in `ratings`, and the dropped rows as a `Quarantine` table.

    For a repeated pair, the newest rating within the bounds is kept (`dataset.moments`; of several
    at one moment, the one with the most stars), so the result does not depend on the order of rows.
    `min_stars` is applied afterwards: an older, higher rating does not replace a newer one that is too low.

    Args:
        ratings: raw ratings; pairs may repeat.
        movie_ids: the known movies; a rating of any other movie is dropped.
        config: which ratings count.
    """
    if config.until == FIRST_READ:
        raise UsageError(f"--until {FIRST_READ}: call with_last_day first, which replaces it by a day")
    known = fill_optional(ratings, Rating)
    reasoned = known.select(*ImplicitFeedback.column_names(), reason=_outside(movie_ids, config))
    counted = reasoned.filter(pl.col("reason").is_null()).drop("reason")
    newest_first = counted.sort(moment(), "stars", "rated_at", "rated_on", descending=True, nulls_last=True)
    is_first = pl.struct("user_id", "movie_id").is_first_distinct()
    reason = (
        pl.when(~is_first)
        .then(pl.lit("repeated pair, a newer rating exists"))
        .when(pl.lit(not config.include_unrated) & pl.col("stars").is_null())
        .then(pl.lit("watched but not rated"))
        .when(pl.col("stars").is_not_null() & (pl.col("stars") < (config.min_stars or 0)))
        .then(pl.lit(f"fewer than {config.min_stars or 0:g} stars"))
    )
    checked = newest_first.with_columns(reason=reason)
    kept = checked.filter(pl.col("reason").is_null()).drop("reason")
    dropped = [table.filter(pl.col("reason").is_not_null()) for table in (reasoned, checked)]
    return validate(kept, ImplicitFeedback, "implicit feedback"), quarantine_rows(pl.concat(dropped), "ratings")


def _outside(movie_ids: pl.Series, config: FeedbackConfig) -> pl.Expr:
    """Return why a rating does not count on its own (unknown movie, date out of bounds); null if it may count."""
    rated_on = day()
    has_bounds = config.since is not None or config.until is not None
    return (
        pl.when(~pl.col("movie_id").is_in(movie_ids.implode()))
        .then(pl.lit("movie unknown or deleted"))
        .when(pl.lit(has_bounds) & rated_on.is_null())
        .then(pl.lit("no date, but a range of days is set"))
        .when(rated_on < pl.lit(config.since, pl.Date))
        .then(pl.lit(f"before {config.since}"))
        .when(rated_on > pl.lit(config.until, pl.Date))
        .then(pl.lit(f"after {config.until}"))
    )
