import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from made_texts import Made

from dataset.building.build import DatasetConfig, build
from features import quick_torchvision  # noqa: F401 - before any test imports torchvision, and with it torch's compiler


@pytest.fixture(scope="session")
def built_once(raw_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built") / "dataset"
    build(raw_once, folder, DatasetConfig())
    return folder


@pytest.fixture
def built(built_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built_once, tmp_path / "dataset"))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    encoder = Made()
    monkeypatch.setattr("features.texts.encoding.open_encoder", lambda _: encoder)
    return encoder


@pytest.fixture
def described(tmp_path: Path, make_raw: Callable[..., Path]) -> Path:
    """A dataset whose movies have titles, genres and directors; the last two movies say nothing, in two ways."""
    raw = make_raw()
    movies = pl.read_parquet(raw / "movies.parquet").sort("movie_id")
    number = pl.col("movie_id").str.slice(1).cast(pl.Int64)
    says_nothing, none = number.is_in([6, 7]), pl.lit([], pl.List(pl.String))
    movies = movies.with_columns(
        title=pl.when(number == 6).then("movie_id").when(number == 7).then(pl.lit(" \t")).otherwise("title"),
        genres=pl.when(says_nothing | (number == 1)).then(none).otherwise(pl.lit(["Drama", "War"])),
        directors=pl.when(says_nothing).then(none).otherwise(pl.lit(["Ana Ro\nsa"])),
    )
    movies.write_parquet(raw / "movies.parquet")
    build(raw, tmp_path / "dataset", DatasetConfig())
    return tmp_path / "dataset"
