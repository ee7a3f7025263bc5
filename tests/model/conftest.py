"""A small invented dataset with a pattern to learn, as tables, as data and as a published snapshot."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from hypothesis import settings
from studies import study_command

__all__ = ["study_command"]  # a fixture of several files of tests

from dataset.building.build import DatasetConfig
from dataset.building.statistics import statistics
from dataset.description import write_description
from dataset.schema import SNAPSHOT_TABLES
from dataset.snapshots.publication import PublicationConfig
from dataset.snapshots.publish import publish
from dataset.snapshots.snapshot import Snapshot
from dataset.tables import empty, write_table
from model import bundle, experiment
from model.data.tables import Tables
from model.data.tensors import HeldOutItems
from model.evaluation.expectation import expected_ranking
from model.evaluation.metrics import RankDistribution
from model.evaluation.ranking import SampledNegatives, concat_ranked
from model.evaluation.score_blocks import score_blocks
from model.experiments import experiment as experiments
from model.models.recommender import Scorer

torch.set_num_threads(1)  # the tensors here are small
settings.register_profile("model", deadline=None)
settings.load_profile("model")

N_GROUPS, USERS, MOVIES, FRAMES, WIDTH = 3, 30, 24, 3, 16


def group_of(number: int) -> int:
    return number % N_GROUPS


@pytest.fixture(scope="session")
def tables() -> Tables:
    """Three groups of users who watch the movies of their group; the first frame of a movie shows the group."""
    generator = torch.Generator().manual_seed(0)
    shown = torch.randn(N_GROUPS, WIDTH, generator=generator) * 3
    interactions, likes, train_likes, frames, features = [], [], [], [], []
    for movie in range(MOVIES):
        for frame in range(FRAMES):
            frame_id = f"m{movie:02d}f{frame}"
            facts = {"position": frame, "train_like_count": FRAMES - frame, "like_count": FRAMES - frame}
            frames.append({"frame_id": frame_id, "movie_id": f"m{movie:02d}", "kind": "still", **facts})
            noise = torch.randn(WIDTH, generator=generator)
            vector = noise + shown[group_of(movie)] if frame == 0 else noise
            features.append({"frame_id": frame_id, "image_sha256": "0" * 64, "feature": vector.half().tolist()})
    for user in range(USERS):
        own = [movie for movie in range(MOVIES) if group_of(movie) == group_of(user)]
        for place, movie in enumerate(own[user % len(own) :] + own[: user % len(own)]):
            split = ("train", "validation", "test")[max(0, place - 5)]
            pair = {"user_id": f"u{user:02d}", "movie_id": f"m{movie:02d}"}
            interactions.append(pair | {"split": split})
            (train_likes if split == "train" else likes).append(pair | {"frame_id": f"m{movie:02d}f0", "split": split})
    movies = [{"movie_id": f"m{movie:02d}", "title": "", "genres": [], "directors": []} for movie in range(MOVIES)]
    return Tables(
        movies=_table(movies, "movies"),
        frames=_table(frames, "frames"),
        interactions=_table(interactions, "interactions"),
        frame_likes=_table(likes, "frame_likes"),
        frame_features=pl.DataFrame(
            features,
            schema={"frame_id": pl.String, "image_sha256": pl.String, "feature": pl.Array(pl.Float16, WIDTH)},
        ),
        frame_likes_train=_table(train_likes, "frame_likes_train"),
    )


@pytest.fixture(scope="session")
def sampled_rankings() -> Callable[[Scorer, HeldOutItems, int, SampledNegatives], list[RankDistribution]]:
    """Return a function that ranks the positives among sampled negatives, up to rank `k_max`, for each repeat."""

    def sampled_rankings(
        scorer: Scorer, held_out: HeldOutItems, k_max: int, negatives: SampledNegatives
    ) -> list[RankDistribution]:
        blocks = [negatives.rank_block(block) for block in score_blocks(scorer, held_out)]
        return [expected_ranking(concat_ranked(list(parts)).counts, k_max) for parts in zip(*blocks, strict=True)]

    return sampled_rankings


@pytest.fixture
def publish_tables(publish_below: Callable[..., Snapshot], tmp_path: Path) -> Callable[..., Snapshot]:
    """Return a function that publishes tables as a snapshot named `toy` below the test's folder."""
    return lambda tables, train_likes=False: publish_below(tmp_path, tables, train_likes)


@pytest.fixture(scope="session")
def publish_below() -> Callable[..., Snapshot]:
    """Return a function that publishes tables as `snapshots/toy/v0001` below a folder, on request with train likes."""

    def publish_below(folder: Path, tables: Tables, train_likes: bool = False) -> Snapshot:
        dataset = folder / "dataset"
        for name, schema in SNAPSHOT_TABLES.items():
            if (table := getattr(tables, name, None)) is not None:
                write_table(table, schema, dataset / f"{name}.parquet")
        numbers = statistics(tables.interactions, tables.frames, tables.frame_likes, tables.frames["frame_id"])
        description = {
            "config": asdict(DatasetConfig()),
            "provenance": {"source": "invented"},
            "quarantined": [],
            "statistics": numbers,
        }
        if tables.frame_features is not None:
            description["extractor"] = {
                "architecture": "made",
                "node": "none",
                "weights": "random:0",
                "weights_sha256": "0" * 64,
                "is_random": True,
                "preprocessing": "none",
                "precision": "fp32",
            }
        write_description(dataset, description)
        return publish(dataset, "toy", folder / "snapshots", PublicationConfig(train_likes=train_likes))[0]

    return publish_below


STUDY = """
seeds = [0]

[evaluation]
item_ks = [1, 5]
frame_ks = [2]
n_negatives = 8

[statistics]
n_bootstrap = 20
baseline = "popular"

[models.popular]

[models.random]
"""


def _varied(tables: Tables) -> Tables:
    """Return invented tables with several test items per user, frames without features, and nearly equal frames."""
    draw = torch.Generator().manual_seed(1)
    movies = [f"m{movie:02d}" for movie in range(30)]
    frames = [(f"{movie}f{frame}", movie) for movie in movies for frame in range(4)]
    rows, likes = [], []
    for user in range(12):
        order = torch.randperm(30, generator=draw).tolist()
        for place, number in enumerate(order[:9]):
            split = "train" if place < 5 else "validation" if place == 5 else "test"
            rows.append({"user_id": f"u{user:02d}", "movie_id": movies[number], "split": split})
            if split == "test":
                liked = torch.randperm(4, generator=draw)[: 1 + place % 3].tolist()
                likes += [rows[-1] | {"frame_id": f"{movies[number]}f{frame}"} for frame in liked]
    features = [
        {"frame_id": frame, "image_sha256": "0" * 64, "feature": torch.randn(4, generator=draw).half().tolist()}
        for number, (frame, _) in enumerate(frames)
        if number % 9
    ]
    return Tables(
        movies=_like(tables.movies, [{"movie_id": one, "title": "", "genres": [], "directors": []} for one in movies]),
        frames=_like(tables.frames, [_still(frame, movie) for frame, movie in frames]),
        interactions=_like(tables.interactions, rows),
        frame_likes=_like(tables.frame_likes, likes),
        frame_features=pl.DataFrame(
            features, schema={"frame_id": pl.String, "image_sha256": pl.String, "feature": pl.Array(pl.Float16, 4)}
        ),
    )


def _still(frame: str, movie: str) -> dict[str, Any]:
    copies = {"duplicate_of": f"{movie}f1"} if frame.endswith("f2") else {}
    return {"frame_id": frame, "movie_id": movie, "kind": "still", **copies}


def _like(table: pl.DataFrame, rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame([{name: row.get(name) for name in table.columns} for row in rows], schema=table.schema)


@pytest.fixture(scope="session")
def study_home(
    publish_below: Callable[[Path, Tables], Snapshot], tables: Tables, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with a snapshot, the experiment of a study of two models, and its bundle."""
    home = tmp_path_factory.mktemp("home")
    publish_below(home / "data", _varied(tables))
    (home / "study.toml").write_text(STUDY)
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(home)
        patched.setattr(experiments, "write_report", lambda folder, *_: folder / "experiment.json")
        experiment.main(["study.toml", "--jobs", "1", "--threads", "1"])
        bundle.main(["data/experiments/study/toy-v0001"])
    return home


def _table(rows: list[dict[str, object]], name: str) -> pl.DataFrame:
    """Return a snapshot table, columns that no row gives null."""
    schema = empty(SNAPSHOT_TABLES[name]).schema
    return pl.DataFrame([{column: row.get(column) for column in schema} for row in rows], schema=schema)


@pytest.fixture(scope="module")
def snapshots(
    publish_below: Callable[[Path, Tables], Snapshot], tables: Tables, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with one snapshot, for all tests of a file."""
    home = tmp_path_factory.mktemp("published")
    publish_below(home, tables)
    return home / "snapshots"
