"""Computes the risk of a dataset's tables: for what somebody may know, the share of users whom this singles out.

One description holds for every table with a `user_id`, now and later; it follows from the schema. Somebody knows
points of a user:

- If the table's key has other ids beside `user_id` (a movie, a frame), a point is these ids, and their dates as
  exactly as they are published: (movie, month).
- If it has none, so that there is one row per user, a point is the value of a column: (city, "Hamburg").

Each figure is computed with the dates and without them, each time also with what else the user states there (the
stars), and from random points and from the user's rarest points.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import numpy as np
import polars as pl
from pydantic import Field
from pydantic.dataclasses import dataclass as checked_dataclass

from dataset.codes import dense_codes
from dataset.dates import Dates, coarsen, personal_dates
from dataset.progress import stage
from dataset.risk.uniqueness import Points
from dataset.schema import SNAPSHOT_TABLES
from dataset.tables import Schema

POINTS = (2, 3, 4)
"""How many points somebody knows."""

Chosen = Literal["random", "rarest"]


@checked_dataclass(frozen=True)
class RiskConfig:
    """How risk figures are computed.

    Attributes:
        draws: random draws per user and number of points; all users together have at most 50,000
        seed: seed of the draws
    """

    draws: Annotated[int, Field(ge=1)] = 1000
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0


@dataclass(frozen=True)
class RiskFigure:
    """Which share of users a number of points singles out.

    Attributes:
        table: the table.
        known: what a point is, in words, such as "movie and month".
        points: how many points somebody knows of a user.
        chosen: whether these are random points of the user, or the rarest ones.
        share: the share of users who are singled out, from 0 to 1.
        margin: half the width of the 95 % interval of the share.
        users: the users in the table.
        users_with_fewer: how many of them have fewer points; all of theirs are known.
        users_drawn: how many users were looked at: all, unless there are more than 50,000.
        draws: how many times points were drawn, for all users together.
        seed: the seed of the draws.
    """

    table: str
    known: str
    points: int
    chosen: Chosen
    share: float
    margin: float
    users: int
    users_with_fewer: int
    users_drawn: int
    draws: int
    seed: int

    def to_json(self) -> dict[str, Any]:
        """Return the figure as a JSON object; shares are rounded to 6 digits."""
        return asdict(self) | {"share": round(self.share, 6), "margin": round(self.margin, 6)}


def personal_tables() -> dict[str, Schema]:
    """Return the published tables that have rows of users."""
    return {name: schema for name, schema in SNAPSHOT_TABLES.items() if "user_id" in schema.column_names()}


@stage("Computing whom the tables give away")
def risk_figures(
    tables: Mapping[str, pl.LazyFrame],
    dates: Sequence[Dates],
    config: RiskConfig = RiskConfig(),  # noqa: B008 - it is frozen
) -> list[RiskFigure]:
    """Return the figures of each table that has rows of users.

    Args:
        tables: rows by the table's name; tables without users are ignored, also empty ones.
        dates: how exactly somebody knows the dates: one or more ways, at most as exact as they are in the tables.
        config: how many draws, and their seed.
    """
    found: list[RiskFigure] = []
    for name, schema in personal_tables().items():
        if name in tables:
            for known, points in _all_points(tables[name], schema, dates):
                if len(points.users):
                    found += _figures(name, known, points, config)
    return found


def _figures(table: str, known: str, points: Points, config: RiskConfig) -> Iterator[RiskFigure]:
    for n_points in POINTS:
        generator = np.random.default_rng([config.seed, n_points])
        results: dict[Chosen, Any] = {
            "random": points.random(n_points, config.draws, generator),
            "rarest": points.rarest(n_points, generator),
        }
        for chosen, result in results.items():
            yield RiskFigure(
                table,
                known,
                n_points,
                chosen,
                result.share,
                result.margin,
                len(points.users),
                points.users_with_fewer(n_points),
                result.users,
                result.draws,
                config.seed,
            )


def _all_points(rows: pl.LazyFrame, schema: Schema, dates: Sequence[Dates]) -> Iterator[tuple[str, Points]]:
    """Yield what somebody knows, in words, and all points: with dates as given, and without dates."""
    things = _things(schema)
    things_in_words = [name.removesuffix("_id") for name in things] or ["value of a column"]
    acts = personal_dates(schema)
    personal = [name for names in acts.values() for name in names] + [f"{act}_rank" for act in acts]
    stated = [name for name in _stated(schema) if name not in personal and name in rows.collect_schema()]
    for way in (*(dates if acts else ()), None):
        coarse = rows.drop(personal, strict=False) if way is None else coarsen(rows, schema, way)
        dated = [name for name in personal if name in coarse.collect_schema()]
        known = [*things_in_words, *([way] if way else [])]
        yield _listed(known), _points(coarse, [*things, *dated] if things else [])
        if things and stated:
            yield _listed([*known, *stated]), _points(coarse, [*things, *dated, *stated])


def _stated(schema: Schema) -> list[str]:
    """Return the numbers that a user states about a thing, such as stars."""
    return [name for name, column in schema.columns().items() if column.dtype.is_numeric()]


def _listed(words: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _things(schema: Schema) -> list[str]:
    """Return the ids in a table that say what a row is about, beside the user."""
    key = schema.primary_key()
    is_keyed_by_user = "user_id" in key
    others = [name for name in schema.column_names() if name.endswith("_id") and name != "user_id"]
    return [name for name in others if (name in key) == is_keyed_by_user]


def _points(rows: pl.LazyFrame, known: list[str]) -> Points:
    """Return the points of all users: the values of the known columns in each row.

    Where a row is about nothing but a user, each of its values is a point.
    """
    if known:
        table = rows.select("user_id", point=pl.struct(*known))
    else:
        values = [name for name in rows.collect_schema() if name != "user_id"]
        parts = [
            rows.filter(pl.col(name).is_not_null()).select(
                "user_id", point=pl.struct(pl.lit(name).alias("column"), pl.col(name).alias("value")).hash()
            )
            for name in values
        ]
        table = pl.concat(parts).collect().lazy() if parts else rows.select("user_id", point="user_id").head(0)
    return Points(dense_codes(table, "user_id"), dense_codes(table, "point"))
