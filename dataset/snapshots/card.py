"""The dataset card: a snapshot's README, for people and for Hugging Face `datasets`, and its chart."""

import math
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined

from dataset.description import PAPER_STATISTICS
from dataset.schema import HELD_OUT_SPLITS, SPLITS
from dataset.snapshots.manifest import Manifest, flat

SPLIT_TABLES = {"interactions": SPLITS, "frame_likes": HELD_OUT_SPLITS}
"""The tables that are published once more, a file a split, and their splits."""

PURPOSE = (
    "Movies, the users who watched them, and which frames (stills, posters) of a movie a user likes: a dataset for "
    "recommending multimedia items together with a personalised key frame."
)
NO_LICENCE = "None is stated: ask the publisher before you use or pass on this dataset."
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
    """Return the file with one split's rows of a table."""
    return f"splits/{table}/{split}.parquet"


def write_card(manifest: Manifest, interactions: Path, folder: Path) -> list[str]:
    """Write a snapshot's card and its chart into a folder; return their names.

    Args:
        manifest: what the card tells.
        interactions: the Parquet file of the interactions, for the chart.
        folder: where to write.
    """
    (folder / LONG_TAIL).parent.mkdir(parents=True, exist_ok=True)
    (folder / LONG_TAIL).write_text(long_tail(pl.read_parquet(interactions, columns=["user_id", "movie_id"])))
    (folder / "README.md").write_text(render_card(manifest), encoding="utf-8")
    return ["README.md", LONG_TAIL]


def render_card(manifest: Manifest) -> str:
    """Return the card as Markdown with the YAML head that Hugging Face reads."""
    return _ENVIRONMENT.get_template("card.md.j2").render(
        m=manifest,
        purpose=PURPOSE,
        no_licence=NO_LICENCE,
        long_tail=LONG_TAIL,
        splits=SPLIT_TABLES,
        split_file=split_file,
        rows=_statistics(manifest.statistics),
        features=extractor_in_words(manifest.extractor),
        people=people_in_words(manifest),
        settings=flat(manifest.config),
    )


def extractor_in_words(extractor: dict[str, Any] | None) -> str:
    """Return one phrase that says which features a snapshot holds, and on which weights."""
    if extractor is None:
        return "no visual features"
    random = ", random weights: they carry no knowledge of real pictures" if extractor["is_random"] else ""
    return f"{extractor['architecture']} {extractor['node']} features (weights {extractor['weights']}{random})"


def people_in_words(manifest: Manifest) -> str:
    """Return what a snapshot holds of people, and how they are protected."""
    if manifest.provenance.get("is_invented"):
        return "All users are invented: no real person is in this dataset."
    pseudonyms = (
        "User ids are keyed pseudonyms (HMAC-SHA256); the key never leaves the publisher."
        if manifest.provenance.get("source") == "crawl"
        else "User ids are those of the file that was imported; the publisher answers for what they give away."
    )
    return (
        f"{pseudonyms} No name, avatar or comment text is in any table. What somebody watched and liked can still "
        "single them out, for someone who knows part of it: do not try to identify people, and do not join these "
        "tables with others that name them. Whoever wants to be left out asks the publisher, who can forget a person "
        "and publish a new version without them."
    )


def long_tail(pairs: pl.DataFrame) -> str:
    """Return an SVG of how unevenly the interactions fall on movies and on users, on logarithmic axes.

    A template, not a plotting library: loading one would take longer than all else that publishing does.

    Args:
        pairs: columns `user_id` and `movie_id`, a row an interaction.
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
    """Return (rank, how often the id of that rank occurs), at ranks evenly spaced on a logarithmic axis."""
    counts = ids.value_counts()["count"].sort(descending=True).to_list()
    ranks = {round(len(counts) ** (step / (_CURVE_POINTS - 1))) for step in range(_CURVE_POINTS)} if counts else set()
    return [(rank, counts[rank - 1]) for rank in sorted(ranks)]


def _powers_of_ten(top: int) -> list[int]:
    return [10**power for power in range(len(str(top)))]


def _statistics(statistics: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return the statistics that are numbers: in words, here, and in the paper's dataset."""
    return [
        (_in_words(key), _number(value), _number(PAPER_STATISTICS.get(key)))
        for key, value in flat(statistics).items()
        if isinstance(value, int | float)
    ]


def _in_words(key: str) -> str:
    words = key.replace("_", " ").replace(".", ", ")
    return f"number of {words[2:]}" if words.startswith("n ") else words


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
