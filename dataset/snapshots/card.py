"""Writes the dataset card: a snapshot's README, for people and for Hugging Face `datasets`, and its chart."""

import math
import re
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined

from dataset.columns import describe_table
from dataset.dates import IN_WORDS, describe_published
from dataset.description import PAPER_STATISTICS, flatten_settings
from dataset.risk import words
from dataset.schema import HELD_OUT_SPLITS, SPLITS, schema_of
from dataset.snapshots.citation import PAPER, cite
from dataset.snapshots.datasheet import FEATURES_SHOW_PICTURES, PURPOSE, datasheet, describe_source
from dataset.snapshots.feature_words import describe_features
from dataset.snapshots.licences import LICENCE_FILE, describe_licence, parse_licence
from dataset.snapshots.manifest import Manifest

SPLIT_TABLES = {"interactions": SPLITS, "frame_likes": HELD_OUT_SPLITS}
"""The tables that are also published as one file per split, and their splits."""

LONG_TAIL = "plots/long_tail.svg"

_CURVE_POINTS = 200
_LOOKS = {
    "movies": {"colour": "#0072B2", "dash": ""},
    "users": {"colour": "#D55E00", "dash": "6 4"},
}  # Okabe & Ito: safe for colour-blind readers
_ENVIRONMENT = Environment(
    loader=PackageLoader("dataset.snapshots", "templates"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,  # Markdown, not HTML
)


def split_file(table: str, split: str) -> str:
    """Return the name of the file with a table's rows of one split."""
    return f"splits/{table}/{split}.parquet"


def write_card(manifest: Manifest, interactions: Path, folder: Path) -> list[str]:
    """Write a snapshot's card, its chart and a licence that is known by its text only; return their names.

    Args:
        manifest: the content of the card.
        interactions: the Parquet file of the interactions, for the chart.
        folder: the folder to write to.
    """
    (folder / LONG_TAIL).parent.mkdir(parents=True, exist_ok=True)
    (folder / LONG_TAIL).write_text(
        long_tail(pl.read_parquet(interactions, columns=["user_id", "movie_id"], glob=False))
    )
    (folder / "README.md").write_text(render_card(manifest), encoding="utf-8")
    if manifest.licence is None or not (licence := parse_licence(manifest.licence)).needs_file:
        return ["README.md", LONG_TAIL]
    (folder / LICENCE_FILE).write_text(f"{licence.text}\n", encoding="utf-8")
    return ["README.md", LONG_TAIL, LICENCE_FILE]


def render_card(manifest: Manifest) -> str:
    """Return the card as Markdown with the YAML header that Hugging Face reads.

    Hugging Face `datasets` caches a table by the folder's base name (`v0001`) and its config. The `description` in each
    config holds the content digest, so that the cache never takes one snapshot for another. It cannot load an empty
    table or split, so these are not in the configs.
    """
    tables = {name: schema_of(name) for name in manifest.tables}
    return _ENVIRONMENT.get_template("card.md.j2").render(
        m=manifest,
        purpose=PURPOSE,
        source=describe_source(manifest),
        licence=parse_licence(manifest.licence) if manifest.licence else None,
        licence_in_words=describe_licence(manifest.licence),
        long_tail=LONG_TAIL,
        splits=_filled_splits(manifest),
        split_file=split_file,
        tables={name: (describe_table(schema), schema.primary_key()) for name, schema in tables.items()},
        columns={
            name: describe_published(tables[name], entry.columns, manifest.dates)
            for name, entry in manifest.tables.items()
        },
        dates=IN_WORDS[manifest.dates],
        risk=words,
        rows=_statistics(manifest.statistics),
        features=describe_features(manifest),
        features_show_pictures=FEATURES_SHOW_PICTURES,
        sections=datasheet(manifest),
        settings=flatten_settings(manifest.config),
        citation=cite(manifest),
        paper=PAPER,
    )


def _filled_splits(manifest: Manifest) -> dict[str, list[str]]:
    """Return the splits of `SPLIT_TABLES` that have rows."""
    numbers = manifest.statistics
    return {
        table: [split for split in splits if numbers.get(f"n_{split}_{table}", 1)]
        for table, splits in SPLIT_TABLES.items()
    }


def long_tail(pairs: pl.DataFrame) -> str:
    """Return an SVG of the number of interactions per movie and per user, by rank, on logarithmic axes.

    It is drawn from a template because loading a plotting library takes longer than the rest of publishing.

    Args:
        pairs: columns `user_id` and `movie_id`, one row per interaction.
    """
    ranked = {name: _ranked(pairs[column]) for name, column in (("movies", "movie_id"), ("users", "user_id"))}
    points = [point for curve in ranked.values() for point in curve]
    x_top, y_top = (max([10, *(point[axis] for point in points)]) for axis in (0, 1))

    def x(rank: int) -> float:
        return round(60 + 440 * math.log(rank) / math.log(x_top), 1)

    def y(count: int) -> float:
        return round(240 - 220 * math.log(count) / math.log(y_top), 1)

    return _ENVIRONMENT.get_template("long_tail.svg.j2").render(
        x_ticks=[(x(tick), f"{tick:,}") for tick in _powers_of_ten(x_top)],
        y_ticks=[(y(tick), f"{tick:,}") for tick in _powers_of_ten(y_top)],
        curves=[
            {**_LOOKS[name], "name": name, "points": " ".join(f"{x(rank)},{y(count)}" for rank, count in curve)}
            for name, curve in ranked.items()
        ],
    )


def _ranked(ids: pl.Series) -> list[tuple[int, int]]:
    """Return (rank, count of the id with that rank) at ranks evenly spaced on a logarithmic axis."""
    counts = ids.value_counts()["count"].sort(descending=True).to_list()
    ranks = {round(len(counts) ** (step / (_CURVE_POINTS - 1))) for step in range(_CURVE_POINTS)} if counts else set()
    return [(rank, counts[rank - 1]) for rank in sorted(ranks)]


def _powers_of_ten(top: int) -> list[int]:
    return [10**power for power in range(len(str(top)))]


def _statistics(statistics: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return the statistics that are numbers: name in words, value here, value in the paper."""
    return [
        (_name_in_words(key), _format_statistic(value), _format_statistic(PAPER_STATISTICS.get(key)))
        for key, value in flatten_settings(statistics).items()
        if isinstance(value, int | float)
    ]


def _name_in_words(key: str) -> str:
    words = re.sub(r" (mean|median|max)$", r" (\1)", key.replace("_", " ").replace(".", ", "))
    words = words.replace("share of most", "share of interactions of the most").replace("user movie", "user-movie")
    return f"number of {words[2:]}" if words.startswith("n ") else words


def _in_cell(text: object) -> str:
    """Return text that stays inside one cell of a Markdown table."""
    return " ".join(str(text).split()).replace("|", "\\|")


_ENVIRONMENT.filters["cell"] = _in_cell


def _format_statistic(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
