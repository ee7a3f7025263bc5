from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from dataset.building.build import DatasetConfig, build
from dataset.building.split import SplitConfig
from dataset.errors import InvalidTableError, MissingInputError, TooLittleDataError
from dataset.schema import FrameLike, Interaction, Quarantine, SnapshotFrame
from dataset.tables import read_table


def test_the_core_is_split_and_likes_of_held_out_pairs_only_are_kept(
    make_raw: Callable[..., Path], tmp_path: Path
) -> None:
    built = build(make_raw(), tmp_path / "dataset", DatasetConfig())
    interactions = read_table(built.path / "interactions.parquet", Interaction)
    likes = read_table(built.path / "frame_likes.parquet", FrameLike)
    assert interactions.height == 12 * 8
    assert interactions["split"].value_counts().sort("split")["count"].to_list() == [67, 10, 19]
    held_out = interactions.filter(pl.col("split") != "train")
    assert (
        likes.select("user_id", "movie_id")
        .sort("user_id", "movie_id")
        .equals(held_out.select("user_id", "movie_id").sort("user_id", "movie_id"))
    )


def test_every_raw_row_is_in_the_dataset_or_in_quarantine_with_its_reason(
    make_raw: Callable[..., Path], tmp_path: Path
) -> None:
    raw = make_raw()
    built = build(raw, tmp_path / "dataset", DatasetConfig())
    quarantine = read_table(built.path / "quarantine.parquet", Quarantine)
    for name in ("ratings", "frames", "movies", "frame_likes"):
        kept = pl.read_parquet(built.path / f"{name if name != 'ratings' else 'interactions'}.parquet").height
        assert kept + quarantine.filter(table=name).height == pl.read_parquet(raw / f"{name}.parquet").height
    reasons = set(quarantine["reason"])
    assert "movie unknown or deleted" in reasons
    assert "training pair (likes are for evaluation only)" in reasons
    assert read_table(built.path / "frames.parquet", SnapshotFrame)["movie_id"].n_unique() == 8


def test_equal_input_gives_equal_bytes_whatever_the_order_of_rows(
    make_raw: Callable[..., Path], tmp_path: Path
) -> None:
    first = build(make_raw(), tmp_path / "1", DatasetConfig())
    second = build(make_raw(shuffle=True), tmp_path / "2", DatasetConfig())
    files = sorted(path.name for path in first.path.iterdir())
    assert files == sorted(path.name for path in second.path.iterdir())
    for name in files:
        assert (first.path / name).read_bytes() == (second.path / name).read_bytes(), name


def test_a_folder_that_is_not_raw_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="not a folder of raw tables"):
        build(tmp_path, tmp_path / "dataset", DatasetConfig())


def test_an_empty_core_is_an_error_with_a_remedy(make_raw: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(TooLittleDataError, match="lower --k-user"):
        build(make_raw(), tmp_path / "dataset", DatasetConfig(k_user=100))


def test_a_raw_table_that_breaks_its_schema_is_refused(make_raw: Callable[..., Path], tmp_path: Path) -> None:
    raw = make_raw()
    pl.read_parquet(raw / "ratings.parquet").drop("stars").write_parquet(raw / "ratings.parquet")
    with pytest.raises(InvalidTableError, match=r"ratings\.parquet: .*stars"):
        build(raw, tmp_path / "dataset", DatasetConfig())


def test_cold_users_and_movies_are_counted_and_left_out_if_asked_for(
    make_raw: Callable[..., Path], tmp_path: Path
) -> None:
    shares = {"validation_share": 0.1, "test_share": 0.8}
    raw = make_raw()
    kept, dropped = (
        build(raw, tmp_path / str(keep_cold), DatasetConfig(split=SplitConfig(**shares, keep_cold=keep_cold)))
        for keep_cold in (True, False)
    )
    n_cold = kept.description["statistics"]["n_cold_interactions"]
    assert n_cold > 0
    assert dropped.description["statistics"]["n_cold_interactions"] == 0
    interactions = read_table(dropped.path / "interactions.parquet", Interaction)
    assert interactions.height == 12 * 8 - n_cold
    train = interactions.filter(pl.col("split") == "train")
    for column in ("user_id", "movie_id"):
        assert set(interactions[column]) == set(train[column])
    quarantine = read_table(dropped.path / "quarantine.parquet", Quarantine)
    assert quarantine.filter(pl.col("reason").str.contains("cold"), table="ratings").height == n_cold
    assert set(read_table(dropped.path / "frames.parquet", SnapshotFrame)["movie_id"]) <= set(interactions["movie_id"])


def test_the_library_logs_what_it_built_and_prints_nothing(
    make_raw: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("INFO", logger="dataset"):
        build(make_raw(), tmp_path / "dataset", DatasetConfig())
    assert "96 interactions" in caplog.text
    assert capsys.readouterr() == ("", "")
