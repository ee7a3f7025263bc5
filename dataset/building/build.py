"""Builds a dataset folder from a raw folder: implicit feedback, k-core, split, likes of held-out pairs.

A raw folder holds `movies`, `ratings`, `frames`, `images`, `frame_likes`, `fingerprints` and, after a crawl, `users`
(`.parquet`); `provenance.json`; and the picture files. A dataset folder holds `movies`, `frames`, `interactions`,
`frame_likes` and `users` (if the raw folder does) as they will be published, with exact dates; `frame_likes_train`,
which is published only on request; `quarantine.parquet` with every dropped row and the reason (also the likes of train
pairs); and `dataset.json` with the configuration, the provenance and the statistics.
Equal input and configuration give equal bytes. A build replaces the folder as a whole: a build that is killed leaves
it as it was. Features of an earlier build stay if its frames are the same.
"""

import json
import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, cast

import dataframely as dy
import polars as pl
import pydantic
from cyclopts import Parameter

from dataset.building.feedback import FeedbackConfig, to_implicit_feedback
from dataset.building.frames import choose_frames
from dataset.building.given_split import describe, given_pairs
from dataset.building.kcore import k_core
from dataset.building.split import SplitConfig, cold_interactions, split
from dataset.building.statistics import statistics
from dataset.building.train_counts import add_held_out, add_interaction_counts, add_like_counts, train_likes
from dataset.building.users import published_users
from dataset.description import Provenance, keep_features, require_only_a_dataset, write_description
from dataset.documents import read_document
from dataset.errors import InvalidTableError, MissingInputError, TooLittleDataError, UsageError
from dataset.folders import replaced_folder
from dataset.placeholders.config import PlaceholderConfig
from dataset.progress import stage
from dataset.schema import (
    HELD_OUT_SPLITS,
    OPTIONAL_RAW_TABLES,
    RAW_TABLES,
    FrameLike,
    FrameLikeTrain,
    ImplicitFeedback,
    Interaction,
    Quarantine,
    Rating,
    RawFrameLike,
    SnapshotFrame,
    SnapshotMovie,
    SnapshotUser,
)
from dataset.tables import quarantine_rows, read_table, require_references, validate, write_table
from dataset.wording import wording_of

_log = logging.getLogger(__name__)


@pydantic.dataclasses.dataclass(frozen=True)
class DatasetConfig:
    """How a dataset is built from raw tables; the defaults are the paper's.

    Attributes:
        k_user: minimum interactions per user (the k of the k-core)
        k_item: minimum interactions per movie
        feedback: which ratings count
        split: how the interactions are split
        drop_placeholders: leave out frames whose picture says nothing about its movie: tiny, blank, or shared by many
            movies; ratings stay
        placeholders: which pictures say nothing
    """

    k_user: pydantic.NonNegativeInt = 5
    k_item: pydantic.NonNegativeInt = 5
    feedback: Annotated[FeedbackConfig, Parameter(name="*")] = FeedbackConfig()
    split: Annotated[SplitConfig, Parameter(name="*")] = SplitConfig()
    drop_placeholders: bool = False
    placeholders: Annotated[PlaceholderConfig, Parameter(name="*")] = PlaceholderConfig()


@dataclass(frozen=True)
class BuiltDataset:
    """The result of `build`.

    Attributes:
        path: the folder.
        description: the content of its `dataset.json`.
        removed_features: the feature tables that were removed.
        notes: sentences about the pictures that say nothing; empty if there are none.
    """

    path: Path
    description: dict[str, Any]
    removed_features: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_raw(raw: Path) -> dict[str, pl.DataFrame]:
    """Read and validate the raw tables of a raw folder; `users` may be missing.

    Raises:
        MissingInputError: `raw` is not a raw folder.
        InvalidTableError: a table is invalid.
    """
    if not (raw / "ratings.parquet").is_file():
        raise MissingInputError(
            f"{raw}: no ratings.parquet there, so it is not a folder of raw tables; create one with "
            "`python -m crawler export` or `python -m dataset import`"
        )
    optional = {name: schema for name, schema in OPTIONAL_RAW_TABLES.items() if (raw / f"{name}.parquet").is_file()}
    return {name: read_table(raw / f"{name}.parquet", schema) for name, schema in (RAW_TABLES | optional).items()}


@stage("Building the dataset")
def build(raw: Path, destination: Path, config: DatasetConfig) -> BuiltDataset:
    """Build a dataset folder from a raw folder.

    Raises:
        UsageError: `destination` holds raw tables or files that are no part of a dataset, or `raw` lacks what `config`
            asks for: a given split, or the days on which people's lists were read.
        MissingInputError: `raw` is not a raw folder.
        InvalidTableError: a raw table is invalid.
        TooLittleDataError: no interaction is left after filtering.
    """
    if (destination / "ratings.parquet").exists():
        raise UsageError(f"{destination}: holds raw tables, which would be overwritten; choose another --to")
    require_only_a_dataset(destination)
    tables, provenance = read_raw(raw), _provenance(raw)
    ratings, likes = (
        cast("dy.DataFrame[Rating]", tables["ratings"]),
        cast("dy.DataFrame[RawFrameLike]", tables["frame_likes"]),
    )
    config = replace(config, feedback=config.feedback.with_last_day(tables.get("users"), ratings))
    given = given_pairs(ratings) if config.split.strategy == "given" else None
    feedback, dropped = to_implicit_feedback(ratings, tables["movies"]["movie_id"], config.feedback)
    with stage("Finding the k-core"):
        core = k_core(feedback, config.k_user, config.k_item)
    if core.is_empty():
        raise TooLittleDataError(
            f"{raw}: none of {feedback.height:,} interactions is left in the k-core with k = {config.k_user} for users "
            f"and {config.k_item} for {wording_of(provenance).items}; crawl or import more ratings, or lower --k-user "
            "and --k-item"
        )
    interactions, cold_dropped = _split(validate(core, ImplicitFeedback, "k-core"), config.split, given)
    movie_ids = interactions.select("movie_id").unique()
    chosen = choose_frames(raw, tables, movie_ids, config.drop_placeholders, config.placeholders)
    frames = chosen.kept
    frame_likes, likes_dropped = held_out_likes(likes, frames, interactions, chosen.left_out)
    of_train = train_likes(likes, frames, interactions)
    movies = tables["movies"].drop("crawled_at").join(movie_ids, on="movie_id", how="semi")
    users, users_dropped = published_users(tables.get("users"), interactions)
    outside = "movie outside the k-core" if cold_dropped.is_empty() else "movie outside the k-core, or cold"
    quarantine = pl.concat(
        [
            dropped,
            quarantine_rows(
                feedback.join(core, on=["user_id", "movie_id"], how="anti"), "ratings", "outside the k-core"
            ),
            cold_dropped,
            quarantine_rows(tables["movies"].join(movies, on="movie_id", how="anti"), "movies", outside),
            quarantine_rows(tables["frames"].join(movie_ids, on="movie_id", how="anti"), "frames", outside),
            chosen.left_out,
            likes_dropped,
            users_dropped,
        ]
    )
    require_references(interactions, movies, ["movie_id"], "interactions", "movies")
    if given is not None:
        provenance["given_split"] = provenance.get("given_split", {}) | describe(given, interactions, config.split)
    description = {
        "config": _as_json(config),
        "provenance": provenance,
        "quarantined": _counts(quarantine),
        "statistics": statistics(interactions, frames, frame_likes, tables["images"]["frame_id"]) | chosen.counts,
    }
    built = {
        "movies": (add_interaction_counts(movies, interactions), SnapshotMovie),
        "frames": (add_held_out(add_like_counts(frames, likes, interactions), likes, interactions), SnapshotFrame),
        "interactions": (interactions, Interaction),
        "frame_likes": (frame_likes, FrameLike),
        "frame_likes_train": (of_train, FrameLikeTrain),
        "quarantine": (quarantine, Quarantine),
        "users": (users, SnapshotUser),
    }
    with replaced_folder(destination) as folder:
        for name, (table, schema) in built.items():
            if table is not None:
                write_table(table, schema, folder / f"{name}.parquet")
        description = write_description(folder, description)
        removed = keep_features(destination, folder)
    _log.info("built %s: %d interactions, %d rows dropped", destination, interactions.height, quarantine.height)
    return BuiltDataset(destination, description, tuple(removed), chosen.notes)


def held_out_likes(
    frame_likes: dy.DataFrame[RawFrameLike],
    frames: pl.DataFrame,
    interactions: pl.DataFrame,
    left_out: pl.DataFrame | None = None,
) -> tuple[pl.DataFrame, dy.DataFrame[Quarantine]]:
    """Return the likes that belong to held-out user-movie pairs, and the others as quarantine rows.

    Likes are for evaluation only, so likes of training pairs are dropped here.

    Args:
        frame_likes: all likes.
        frames: the frames of the dataset.
        interactions: its interactions, with their splits.
        left_out: frames that were left out as placeholders, if any.

    Source: Wu et al. 2019, section 4.
    """
    joined = frame_likes.join(frames.select("frame_id", "movie_id"), on="frame_id", how="left").join(
        interactions.select("user_id", "movie_id", "split"), on=["user_id", "movie_id"], how="left"
    )
    placeholders = pl.Series([], dtype=pl.String) if left_out is None else left_out["frame_id"]
    reason = (
        pl.when(pl.col("frame_id").is_in(placeholders.implode()))
        .then(pl.lit("frame left out as a placeholder"))
        .when(pl.col("movie_id").is_null())
        .then(pl.lit("frame not in the dataset"))
        .when(pl.col("split").is_null())
        .then(pl.lit("user has no interaction with the movie in the dataset"))
        .when(pl.col("split") == "train")
        .then(pl.lit("training pair (likes are for evaluation only)"))
    )
    checked = joined.with_columns(reason=reason)
    kept = checked.filter(pl.col("reason").is_null())
    split = pl.col("split").cast(pl.String).cast(pl.Enum(HELD_OUT_SPLITS))
    likes = kept.select("user_id", "movie_id", "frame_id", split)
    return likes, quarantine_rows(checked.filter(pl.col("reason").is_not_null()), "frame_likes")


def _split(
    core: dy.DataFrame[ImplicitFeedback], config: SplitConfig, given: pl.DataFrame | None
) -> tuple[pl.DataFrame, dy.DataFrame[Quarantine]]:
    """Return the interactions with their splits; if cold ones are dropped, also those as quarantine rows."""
    interactions = split(core, config, given)
    if config.keep_cold:
        return interactions, quarantine_rows(interactions.clear(), "ratings")
    dropped = cold_interactions(interactions)
    reason = (
        pl.when("is_cold_user")
        .then(pl.lit("held out, but its user has no training interaction (cold)"))
        .otherwise(pl.lit("held out, but its movie has no training interaction (cold)"))
    )
    kept = interactions.join(dropped, on=["user_id", "movie_id"], how="anti")
    return kept, quarantine_rows(dropped.with_columns(reason=reason), "ratings")


def _as_json(config: DatasetConfig) -> dict[str, Any]:
    """Return the configuration with dates as ISO text."""
    return dict(json.loads(json.dumps(asdict(config), default=str)))


def _provenance(raw: Path) -> dict[str, Any]:
    path = raw / "provenance.json"
    if not path.is_file():
        return {"source": "unknown"}
    return dict(read_document(Provenance, path, "create the raw tables again", InvalidTableError))


def _counts(quarantine: pl.DataFrame) -> list[dict[str, Any]]:
    return quarantine.group_by("table", "reason").len("rows").sort("table", "reason").to_dicts()
