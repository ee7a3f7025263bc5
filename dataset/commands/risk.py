"""The command `risk`: how many people of a dataset or snapshot a few known rows single out."""

import json
from pathlib import Path
from typing import Annotated, Any

import polars as pl

from dataset.cli import FLAT, say
from dataset.dates import IN_WORDS, LEVELS, Dates, has_times, personal_dates
from dataset.description import FILE_NAME, read_description
from dataset.risk import words
from dataset.risk.figures import RiskConfig, personal_tables, risk_figures
from dataset.schema import OPTIONAL_SNAPSHOT_TABLES, is_known
from dataset.snapshots import DEFAULT_ROOT
from dataset.snapshots.snapshot import Snapshot, newest_snapshot, snapshot_at
from dataset.tables import read_table


def risk(
    source: str | None = None,
    /,
    *,
    root: str = str(DEFAULT_ROOT),
    json: bool = False,
    config: Annotated[RiskConfig, FLAT] = RiskConfig(),  # noqa: B008 - it is frozen
) -> None:
    """Show how many users 2, 3 or 4 known points single out: nobody else has them all.

    A point is, for example, a movie and the day of its rating. The points are drawn at random, or are the user's rarest
    ones. For a dataset folder, there are figures for each value of `publish --dates`; for a snapshot, for the dates as
    they are published.

    Args:
        source: dataset folder, or folder of a snapshot (by default the newest snapshot below --root)
        root: folder of all snapshots
        json: print the figures as JSON
        config: how the figures are computed
    """
    is_dataset = source is not None and (Path(source) / FILE_NAME).is_file()
    if source is not None and is_dataset:
        label, tables, dates, unknown = source, _tables_of_dataset(Path(source)), None, None
    else:
        snapshot = snapshot_at(source) if source else newest_snapshot(root)
        label, tables, dates = snapshot.label, _tables_of_snapshot(snapshot), snapshot.manifest.dates
        unknown = _unknown(snapshot)
    known = _known(tables, dates, is_dataset)
    figures = [figure.to_json() for figure in risk_figures(tables, known, config)]
    _print(label, dates, figures, unknown, json)


def _tables_of_dataset(dataset: Path) -> dict[str, pl.LazyFrame]:
    described = read_description(dataset).get("tables") or {}
    return {
        name: read_table(dataset / f"{name}.parquet", schema).lazy()
        for name, schema in personal_tables().items()
        if name not in OPTIONAL_SNAPSHOT_TABLES or f"{name}.parquet" in described
    }


def _tables_of_snapshot(snapshot: Snapshot) -> dict[str, pl.LazyFrame]:
    return {name: snapshot.read(name).lazy() for name in personal_tables() if snapshot.has(name)}


def _unknown(snapshot: Snapshot) -> list[str]:
    """Return the tables of users that only a later version of the code knows."""
    found = snapshot.manifest.tables.items()
    return [name for name, entry in found if not is_known(name) and "user_id" in entry.columns]


def _known(tables: dict[str, pl.LazyFrame], published: Dates | None, is_dataset: bool) -> tuple[Dates, ...]:
    """Return how exactly somebody may know dates: as they are published; of a dataset, in each way they may be."""
    schemas = personal_tables()
    dated = (name for name in tables if personal_dates(schemas[name]))
    finest: Dates = published or ("time" if any(has_times(tables[name], schemas[name]) for name in dated) else "day")
    if is_dataset:
        return LEVELS[LEVELS.index(finest) :]
    return ("time", "day") if finest == "time" else (finest,)


def _print(
    label: str, dates: Dates | None, figures: list[dict[str, Any]], unknown: list[str] | None, as_json: bool
) -> None:
    """Print the figures; `unknown` are the tables that have none, or None for a dataset folder."""
    if as_json:
        value = {"source": label, "dates": dates, "figures": figures, "not_computed": unknown or []}
        say(json.dumps(value, indent=2))
        return
    is_dataset = unknown is None
    say(label)
    if not is_dataset:
        say(f"  dates of people's acts: {IN_WORDS[dates]}")
    say("  share of users whom somebody singles out who knows of each: how many points, and which")
    rows = words.rows(figures)
    width = max((len(f"{row.table}: {row.known}") for row in rows), default=0)
    say(f"  {'':<{width}}  {'  '.join(f'{heading:>8}' for heading in words.COLUMNS)}")
    for row in rows:
        say(f"  {f'{row.table}: {row.known}':<{width}}  {'  '.join(f'{share:>8}' for share in row.shares)}")
    say(f"  {words.how(figures)}")
    if unknown:
        say(f"  Not computed for {', '.join(unknown)}: a later version of this program published it.")
    if is_dataset:
        say("  Choose how exact dates are with `python -m dataset publish --dates`.")
