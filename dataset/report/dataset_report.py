"""The report on a dataset: rows received, dropped and kept, long tails, frames, and the health of the crawl."""

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import dataframely as dy
import polars as pl
from markupsafe import Markup, escape

from dataset.dates import IN_WORDS
from dataset.description import PAPER_STATISTICS, flatten_settings
from dataset.files import write_json, write_text
from dataset.placeholders.config import thresholds_of
from dataset.placeholders.raw_folder import judge_raw
from dataset.progress import stage
from dataset.report.charts import attrition_chart, concentration_chart, histogram
from dataset.report.distributions import concentration, distributions
from dataset.report.health import crawl_health, crawl_pace
from dataset.report.numbers import Number, NumberSource, NumberTable, Row, total
from dataset.report.page import render
from dataset.report.placeholders import GROUPS_FILE, counts_by_kind, largest_groups, picture_groups
from dataset.report.schema import Concentration, Distribution, PictureGroup
from dataset.report.theme import Chart
from dataset.report.thumbnails import Thumbnails
from dataset.risk import words
from dataset.schema import HELD_OUT_SPLITS, SPLITS
from dataset.snapshots.datasheet import split_in_words
from dataset.snapshots.feature_words import describe_features
from dataset.snapshots.snapshot import Snapshot
from dataset.tables import empty, validate, write_table
from dataset.wording import Wording, is_of_the_papers_kind, wording_of

DEFAULT_REPORTS = Path("data/reports")
_MANIFEST, _QUARANTINED, _RISK, _PAPER = (
    "manifest.json",
    "manifest.json/quarantined",
    "manifest.json/risk_figures",
    "paper.json",
)
_SHEET_FRAMES = 48
_COMPARED = (  # statistic, its name on the page, its format
    ("n_users", "people", ",d"),
    ("n_movies", "{items}", ",d"),
    ("n_train_interactions", "training interactions", ",d"),
    ("n_validation_interactions", "validation interactions", ",d"),
    ("n_test_interactions", "test interactions", ",d"),
    ("density", "density: share of all pairs of a person and {a_item} with an interaction", ".2%"),
    ("interactions_per_user_mean", "mean interactions per person", ",.1f"),
    ("interactions_per_movie_mean", "mean interactions per {item}", ",.1f"),
    ("n_frames", "frames", ",d"),
    ("frames_per_movie_mean", "mean frames per {item} that has frames", ",.1f"),
    ("n_frames_without_picture", "frames without a picture", ",d"),
    ("n_validation_frame_likes", "frame likes for validation", ",d"),
    ("n_test_frame_likes", "frame likes for test", ",d"),
    ("n_users_with_likes", "people with frame likes", ",d"),
)


@dataclass(frozen=True)
class SheetFrame:
    """A frame on the contact sheet; `picture` is a data URL."""

    picture: str
    title: str
    kind: str
    movie_id: str


@stage("Writing the report")
def write_dataset_report(snapshot: Snapshot, raw: Path | None, destination: Path) -> Path:
    """Write the report on a snapshot, its charts and their tables; return the path of the page.

    Args:
        snapshot: the published snapshot.
        raw: the raw folder with the pictures for the contact sheet; without pictures, the page says so.
        destination: the folder for `report.html`, `charts/` and the tables behind the charts.
    """
    tables = {name: snapshot.read(name) for name in ("movies", "frames", "interactions", "frame_likes")}
    counted = distributions(tables["interactions"], tables["movies"], tables["frames"], tables["frame_likes"])
    concentrated = concentration(tables["interactions"])
    groups = _picture_groups(snapshot, raw, tables["movies"])
    pace = crawl_pace(snapshot.manifest.provenance)
    write_table(counted, Distribution, destination / "distributions.parquet")
    write_table(concentrated, Concentration, destination / "concentration.parquet")
    write_table(groups, PictureGroup, destination / GROUPS_FILE)
    write_json(destination / "crawl.json", pace)
    manifest = asdict(snapshot.manifest)
    numbers = NumberSource(
        {f"{name}.parquet": table for name, table in tables.items()}
        | {"distributions.parquet": counted, "concentration.parquet": concentrated}
        | {
            file: pl.DataFrame(manifest[key])
            for file, key in ((_QUARANTINED, "quarantined"), (_RISK, "risk_figures"))
            if manifest[key]
        },
        {_MANIFEST: manifest, _PAPER: PAPER_STATISTICS, "crawl.json": pace},
    )
    wording = wording_of(manifest["provenance"])
    is_of_the_kind = is_of_the_papers_kind(manifest["provenance"])
    charts, crawl, thumbnails = (
        _charts(numbers, wording),
        crawl_health(numbers, manifest["provenance"]),
        Thumbnails(raw),
    )
    hidden = {"sizes" if is_of_the_kind else "paper", *(() if crawl else ("health",))}
    page = render(
        "dataset.report",
        "dataset.html.j2",
        m=snapshot.manifest,
        features=describe_features(snapshot.manifest),
        w=wording,
        is_of_the_papers_kind=is_of_the_kind,
        contents=[(key, words) for key, words in _CONTENTS if key not in hidden],
        settings=list(flatten_settings(snapshot.manifest.config).items()),
        n=_named_numbers(numbers),
        compared=_compared(numbers, wording, is_of_the_kind),
        dropped=_dropped(numbers, wording),
        split=_with_code(split_in_words(snapshot.manifest.config)),
        dates=IN_WORDS[snapshot.manifest.dates],
        risk=_risk(numbers, wording, manifest["risk_figures"]),
        charts=charts,
        health=crawl,
        sheet=contact_sheet(tables["frames"], tables["movies"], thumbnails),
        placeholders=counts_by_kind(numbers),
        thresholds={key: numbers.at(_MANIFEST, "config", "placeholders", key) for key in ("min_side_px", "shared_by")},
        groups=largest_groups(groups, thumbnails),
    )
    for chart in (*charts.values(), crawl["chart"] if crawl else None):
        if chart is not None:
            chart.write(destination / "charts")
    write_text(destination / "report.html", page)
    return destination / "report.html"


def _with_code(sentence: str) -> Markup:
    """Return a sentence in which numbers of the configuration are marked as such: they are no statistics."""
    return Markup(re.sub(r"\d[\d.:-]*\d|\d", r"<code>\g<0></code>", str(escape(sentence))))


def contact_sheet(frames: pl.DataFrame, movies: pl.DataFrame, thumbnails: Thumbnails) -> list[SheetFrame]:
    """Return up to 48 random frames (fixed seed) with a picture, one per movie before a second of any movie."""
    known = frames.filter(pl.col("frame_id").map_elements(thumbnails.has, return_dtype=pl.Boolean))
    candidates = known.join(movies.select("movie_id", "title"), on="movie_id").sort("frame_id")
    shuffled = candidates.sample(fraction=1, shuffle=True, seed=0).with_columns(
        round=pl.int_range(pl.len()).over("movie_id")
    )
    sheet: list[SheetFrame] = []
    for frame, title, kind, movie_id in (
        shuffled.sort("round", maintain_order=True).select("frame_id", "title", "kind", "movie_id").iter_rows()
    ):
        if len(sheet) < _SHEET_FRAMES and (picture := thumbnails.of(frame)) is not None:
            sheet.append(SheetFrame(picture, title, kind, movie_id))
    return sheet


def _picture_groups(snapshot: Snapshot, raw: Path | None, movies: pl.DataFrame) -> dy.DataFrame[PictureGroup]:
    """Return the groups of equal pictures among the raw frames of the snapshot's movies; none without a raw folder."""
    if raw is None or not (raw / "images.parquet").is_file():
        return validate(empty(PictureGroup), PictureGroup, GROUPS_FILE)
    config = thresholds_of(snapshot.manifest.config)
    return picture_groups(judge_raw(raw, config).frames.join(movies, on="movie_id", how="semi"))


def _charts(numbers: NumberSource, wording: Wording) -> dict[str, Chart | None]:
    attrition: dict[str, Chart | None] = {"fate_of_ratings": None, "fate_of_likes": None}
    for name, table, splits, what in (
        ("fate_of_ratings", "ratings", SPLITS, "ratings"),
        ("fate_of_likes", "frame_likes", HELD_OUT_SPLITS, "frame likes"),
    ):
        of = "interactions" if table == "ratings" else table
        kept = [(_SPLIT_WORDS[s], n) for s in splits if (n := numbers.of(f"{of}.parquet", "n", split=s)) is not None]
        received = _received(numbers, table, of)
        if received.value:
            attrition[name] = attrition_chart(
                name, f"What happened to the {what}", what, received, _reasons(numbers, table, wording), kept
            )
    return {
        **attrition,
        "concentration": concentration_chart(numbers, wording),
        **{
            name: histogram(numbers, distribution, name, *map(wording.fill, words))
            for name, distribution, *words in _HISTOGRAMS
        },
    }


def _received(numbers: NumberSource, table: str, of: str) -> Number:
    """Return the number of rows received: those kept and those dropped."""
    kept = numbers.of(f"{of}.parquet", "n") or Number(0, f"{of}.parquet#n")
    dropped = numbers.of(_QUARANTINED, "sum(rows)", table=table)
    return kept if dropped is None else total(kept, dropped)


def _reasons(numbers: NumberSource, table: str, wording: Wording) -> list[tuple[str, Number]]:
    rows = numbers.rows(_QUARANTINED)
    reasons = rows.filter(pl.col("table") == table)["reason"].to_list() if rows.height else []
    counts = [(reason, numbers.of(_QUARANTINED, "rows", table=table, reason=reason)) for reason in reasons]
    return [(wording.of_tables(reason), number) for reason, number in counts if number is not None]


def _compared(numbers: NumberSource, wording: Wording, with_paper: bool) -> NumberTable:
    """Return the sizes of the dataset, beside those of the paper's if that is of the same kind."""
    rows = [
        Row(
            wording.fill(words),
            [(numbers.at(_MANIFEST, "statistics", key), form)] + [(numbers.at(_PAPER, key), form)] * with_paper,
        )
        for key, words, form in _COMPARED
    ]
    if not with_paper:
        return NumberTable("The sizes of this dataset", "", ["this dataset"], rows)
    return NumberTable("This dataset compared with the paper’s dataset", "", ["this dataset", "Wu et al. 2019"], rows)


def _dropped(numbers: NumberSource, wording: Wording) -> NumberTable | None:
    rows = numbers.rows(_QUARANTINED)
    if rows.is_empty():
        return None
    return NumberTable(
        "Dropped rows by table and reason",
        "table: reason",
        ["rows"],
        [
            Row(
                wording.of_tables(f"{table.replace('_', ' ')}: {reason}"),
                [(numbers.of(_QUARANTINED, "rows", table=table, reason=reason), ",d")],
            )
            for table, reason in rows.select("table", "reason").iter_rows()
        ],
    )


def _risk(numbers: NumberSource, wording: Wording, figures: list[dict[str, Any]]) -> NumberTable | None:
    if not figures:
        return None
    keys = ("table", "known", "points", "chosen")
    rows = [
        Row(
            f"{row.table.replace('_', ' ')}: {wording.of_tables(row.known)}",
            [(numbers.of(_RISK, "share", **{key: figure[key] for key in keys}), ".1%") for figure in row.figures],
        )
        for row in words.rows(figures)
    ]
    return NumberTable("Share of people who are singled out", "table: what is known of them", words.COLUMNS, rows)


def _named_numbers(numbers: NumberSource) -> dict[str, Number | None]:
    """Return the numbers in the page's sentences, by name."""
    statistics = {key: numbers.at(_MANIFEST, "statistics", key) for key, *_ in _COMPARED}
    interactions = numbers.of("interactions.parquet", "n")
    pairs = numbers.at(_MANIFEST, "statistics", "n_user_movie_pairs_with_likes")
    return statistics | {
        "interactions": interactions,
        "median_per_user": numbers.at(_MANIFEST, "statistics", "interactions_per_user_median"),
        "top_tenth": numbers.of("concentration.parquet", "share", of="movie", top_share=0.1),
        "top_tenth_users": numbers.of("concentration.parquet", "share", of="user", top_share=0.1),
        "pairs": pairs,
        "placeholders": numbers.at(_MANIFEST, "statistics", "n_placeholder_frames"),
        "not_compared": numbers.at(_MANIFEST, "statistics", "n_frames_not_compared"),
        "only_placeholders": numbers.at(_MANIFEST, "statistics", "n_movies_with_only_placeholders"),
        "without_frame": numbers.at(_MANIFEST, "statistics", "n_movies_without_frame"),
        "frames_from_videos": numbers.at(_MANIFEST, "statistics", "n_frames_from_videos"),
    }


_SPLIT_WORDS = {
    "train": "for training",
    "validation": "for validation",
    "test": "for testing",
}
_HISTOGRAMS = (  # chart, distribution, title, caption, title of the y axis, title of the x axis
    (
        "activity",
        "interactions per user",
        "How many {items} people {do}",
        "Number of people by how many of the {items} they {did}.",
        "people",
        "interactions per person",
    ),
    (
        "popularity",
        "interactions per movie",
        "How many people {do} {a_item}",
        "Number of {items} by how many people {did} them.",
        "{items}",
        "interactions per {item}",
    ),
    (
        "years",
        "interactions per year",
        "Interactions by year",
        "Number of interactions by the year of the rating.",
        "interactions",
        "year",
    ),
    (
        "frames",
        "frames per movie",
        "Frames per {item}",
        "Number of {items} by how many frames they have. If {a_item} has few frames, a random choice is often right.",
        "{items}",
        "frames per {item}",
    ),
    (
        "likes",
        "liked frames per pair",
        "Liked frames per pair",
        "Number of held-out pairs of a person and {a_item} by how many of the {item}’s frames the person liked.",
        "pairs",
        "liked frames",
    ),
)
_CONTENTS = [
    ("short", "Summary"),
    ("fate", "Kept and dropped rows"),
    ("paper", "Compared with the paper"),
    ("sizes", "Sizes"),
    ("tails", "Long tails"),
    ("frames", "Frames and likes"),
    ("placeholders", "Pictures that say nothing"),
    ("health", "Health of the crawl"),
    ("risk", "How easily people are found"),
    ("origin", "Origin"),
]
