"""A version that loses much of its parent is held, says what it loses, and can be released."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from dataset.__main__ import app
from dataset.building.build import DatasetConfig, build
from dataset.building.split import SplitConfig
from dataset.dates import Dates
from dataset.description import read_description, write_description
from dataset.errors import HeldError
from dataset.files import write_json
from dataset.schema import FrameFeature
from dataset.snapshots.diff import describe_changes, diff_tables
from dataset.snapshots.losses import losses, moved_pairs
from dataset.snapshots.publication import GateConfig, PublicationConfig
from dataset.snapshots.publish import publish
from dataset.snapshots.snapshot import Snapshot
from dataset.tables import write_table

STABLE = DatasetConfig(k_user=1, k_item=1, split=SplitConfig(strategy="stable"))
Change = Callable[[pl.DataFrame], pl.DataFrame]


@pytest.fixture
def raw(make_raw: Callable[..., Path]) -> Path:
    folder = make_raw()
    change(folder, "movies", lambda rows: rows.with_columns(directors=pl.lit(["Ann"]), year=pl.lit(1999, pl.UInt16)))
    return folder


def change(raw: Path, table: str, by: Change) -> None:
    path = raw / f"{table}.parquet"
    before = pl.read_parquet(path)
    by(before).cast(dict(before.schema)).write_parquet(path)


def next_version(
    raw: Path,
    tmp_path: Path,
    gate: GateConfig | None = None,
    config: DatasetConfig = STABLE,
    dates: Dates | None = None,
) -> Snapshot:
    dataset = build(raw, tmp_path / "dataset", config).path
    return publish(dataset, "toy", tmp_path / "snapshots", PublicationConfig(dates=dates), gate)[0]


def without(column: str, *ids: str) -> Change:
    return lambda rows: rows.filter(~pl.col(column).is_in(ids))


def emptied(column: str, share: float = 1.0) -> Change:
    def by(rows: pl.DataFrame) -> pl.DataFrame:
        nothing = [] if isinstance(rows.schema[column], pl.List) else None
        is_lost = pl.int_range(pl.len()) < share * pl.len()
        return rows.with_columns(
            pl.when(is_lost).then(pl.lit(nothing, rows.schema[column])).otherwise(column).alias(column)
        )

    return by


HELD = {
    "fewer users": ("ratings", without("user_id", "u00"), r"1 of 13 users \(7\.7 %\)"),
    "fewer movies": ("ratings", without("movie_id", "m0"), r"1 of 8 movies \(12\.5 %\)"),
    "fewer frames": ("frames", without("movie_id", "m0"), r"3 of 24 frames \(12\.5 %\)"),
    "fewer likes": ("frame_likes", lambda rows: rows.filter(pl.col("user_id") > "u01"), r"of \d+ frame likes"),
    "no directors": ("movies", emptied("directors"), r"8 of 8 values of movies\.directors \(100\.0 %\)"),
    "no year": ("movies", emptied("year"), r"8 of 8 values of movies\.year"),
    "few stars": ("ratings", emptied("stars", 0.5), r"values of interactions\.stars"),
    "no days": ("ratings", emptied("rated_on"), r"96 of 96 values of interactions\.rated_on"),
    "as many other users": (
        "ratings",
        lambda rows: rows.with_columns(user_id=pl.col("user_id").str.replace("u0", "new")),
        r"10 of 13 users",
    ),
}


@pytest.mark.parametrize(("table", "by", "words"), HELD.values(), ids=list(HELD))
def test_a_version_that_loses_much_is_held_and_can_be_released(
    table: str, by: Change, words: str, raw: Path, tmp_path: Path
) -> None:
    next_version(raw, tmp_path, GateConfig())
    change(raw, table, by)
    with pytest.raises(HeldError, match=words) as held:
        next_version(raw, tmp_path, GateConfig())
    message = str(held.value)
    assert message.startswith("toy: held, not published against toy v0001: ")
    assert "\n" not in message
    assert any("→" in line for line in held.value.changes)
    assert [path.name for path in (tmp_path / "snapshots/toy").iterdir()] == ["v0001"]
    with pytest.raises(HeldError, match="names another content"):
        next_version(raw, tmp_path, GateConfig(release="0" * 12))
    (release,) = re.findall(r"--release ([0-9a-f]+)$", message)
    assert next_version(raw, tmp_path, GateConfig(release=release)).version == 2
    assert next_version(raw, tmp_path, GateConfig()).version == 2  # it is the parent now


PUBLISHED = {
    "more users": ("ratings", lambda rows: pl.concat([rows, rows.with_columns(user_id="x" + pl.col("user_id"))])),
    "another director": ("movies", lambda rows: rows.with_columns(directors=pl.lit(["Bob"]))),
    "a lost title of a movie that is not in it": ("movies", without("movie_id", "m9")),
    "one lost star": ("ratings", emptied("stars", 0.02)),
}


@pytest.mark.parametrize(("table", "by"), PUBLISHED.values(), ids=list(PUBLISHED))
def test_a_version_that_loses_little_is_published(table: str, by: Change, raw: Path, tmp_path: Path) -> None:
    first = next_version(raw, tmp_path, GateConfig())
    change(raw, table, by)
    second = next_version(raw, tmp_path, GateConfig())
    assert second.version >= first.version
    assert not [loss for loss in losses(first, second) if loss.share > 0.05]


def test_the_largest_share_that_may_be_lost_is_the_publishers(raw: Path, tmp_path: Path) -> None:
    next_version(raw, tmp_path)
    change(raw, "ratings", without("user_id", "u00"))
    with pytest.raises(HeldError, match=r"may lose 7\.6 %"):
        next_version(raw, tmp_path, GateConfig(max_loss=0.076))
    assert next_version(raw, tmp_path, GateConfig(max_loss=0.2)).version == 2


@pytest.mark.parametrize(("kept", "words"), [(20, "4 of 24 frame features"), (0, "24 of 24 frame features")])
def test_features_that_are_not_published_any_more_are_a_loss(kept: int, words: str, raw: Path, tmp_path: Path) -> None:
    dataset = build(raw, tmp_path / "dataset", STABLE).path
    write_features(dataset, 24)
    publish(dataset, "toy", tmp_path / "snapshots", gate=GateConfig())
    dataset = build(raw, tmp_path / "again", STABLE).path
    if kept:
        write_features(dataset, kept)
    with pytest.raises(HeldError, match=words):
        publish(dataset, "toy", tmp_path / "snapshots", gate=GateConfig())


def write_features(dataset: Path, n: int) -> None:
    """Add features of the first n frames to a built dataset."""
    features = (
        pl.read_parquet(dataset / "frames.parquet")
        .select("frame_id")
        .sort("frame_id")
        .head(n)
        .with_columns(image_sha256=pl.lit("0" * 64), feature=pl.lit([0.0, 1.0]).cast(pl.Array(pl.Float16, 2)))
    )
    write_table(features, FrameFeature, dataset / "frame_features.parquet")
    extractor = {"architecture": "made", "node": "none", "weights": "random:0", "is_random": True}
    write_description(dataset, read_description(dataset) | {"extractor": extractor})


def test_coarser_dates_that_the_publisher_wants_are_no_loss(raw: Path, tmp_path: Path) -> None:
    next_version(raw, tmp_path, GateConfig())
    assert next_version(raw, tmp_path, GateConfig(), dates="order").version == 2


def test_an_alarm_of_the_crawl_holds_even_the_first_version(raw: Path, tmp_path: Path) -> None:
    write_json(raw / "provenance.json", {"source": "invented", "alarms": ["movies.directors is empty"]})
    with pytest.raises(HeldError, match=r"^toy: held, not published: movies\.directors is empty; .* --release") as held:
        next_version(raw, tmp_path, GateConfig())
    assert held.value.changes == ()
    (release,) = re.findall(r"--release ([0-9a-f]+)$", str(held.value))
    assert next_version(raw, tmp_path, GateConfig(release=release)).version == 1


def test_pairs_that_change_sides_are_counted_and_held_where_the_split_promises_that_none_does(
    raw: Path, tmp_path: Path
) -> None:
    first = next_version(raw, tmp_path, GateConfig())
    other = DatasetConfig(k_user=1, k_item=1, split=SplitConfig(strategy="stable", seed=1))
    with pytest.raises(HeldError, match=r"v0001: \d+ of 97 pairs in another split") as held:
        next_version(raw, tmp_path, GateConfig(), other)
    assert any(re.search(r"\d+ changed sides: \d+ t\w+ → t\w+", line) for line in held.value.changes)
    random = DatasetConfig(k_user=1, k_item=1)
    second = next_version(raw, tmp_path, GateConfig(), random)
    one, two = (version.read("interactions")["split"].to_numpy() for version in (first, second))
    assert moved_pairs(first, second).lost == np.count_nonzero(one != two) > 0
    line = next(text for text in describe_changes(first, second, diff_tables(first, second)) if "changed sides" in text)
    assert f"{np.count_nonzero(one != two):,} changed sides" in line


def test_a_growing_dataset_keeps_every_pair_where_it_is_if_the_split_is_stable(raw: Path, tmp_path: Path) -> None:
    first = next_version(raw, tmp_path, GateConfig())
    change(raw, "ratings", PUBLISHED["more users"][1])
    assert moved_pairs(first, next_version(raw, tmp_path, GateConfig())).lost == 0


def test_the_command_shows_what_changed_and_how_to_release(
    raw: Path, tmp_path: Path, run_command: Callable[..., Any]
) -> None:
    next_version(raw, tmp_path)
    change(raw, "ratings", without("user_id", "u00", "u01"))
    dataset = build(raw, tmp_path / "dataset", STABLE).path
    options = ("publish", "--dataset", dataset, "--name", "toy", "--root", tmp_path / "snapshots")
    held = run_command(app, *options)
    assert held.returncode == 1
    assert "interactions: 97 → 81 rows" in held.stdout
    assert held.stderr.count("\n") == 1
    (release,) = re.findall(r"--release ([0-9a-f]{12})$", held.stderr.strip())
    for given in ("xyz", release[:5]):
        assert run_command(app, *options, "--release", given).returncode == 2
    assert run_command(app, *options, "--release", release).returncode == 0
    manifest = json.loads((tmp_path / "snapshots/toy/v0002/manifest.json").read_text())
    assert manifest["content_digest"].startswith(release)


def test_a_damaged_parent_is_one_line_and_no_obstacle_for_ever(
    raw: Path, tmp_path: Path, run_command: Callable[..., Any]
) -> None:
    first = next_version(raw, tmp_path)
    (first.path / "movies.parquet").write_bytes(b"not Parquet")
    change(raw, "movies", PUBLISHED["another director"][1])
    dataset = build(raw, tmp_path / "dataset", STABLE).path
    options = ("publish", "--dataset", dataset, "--name", "toy", "--root", tmp_path / "snapshots")
    refused = run_command(app, *options)
    assert refused.returncode == 1
    assert "movies.parquet: cannot be read as Parquet" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert run_command(app, *options, "--max-loss", "1").returncode == 0
