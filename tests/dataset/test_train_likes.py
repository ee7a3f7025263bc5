"""Likes of train pairs: in a table of their own in every build, in a snapshot only on request, never with others."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from dataset.__main__ import app
from dataset.building.build import DatasetConfig, build
from dataset.cli import execute
from dataset.dates import personal_dates
from dataset.description import FILE_NAME, read_description, write_description
from dataset.errors import InvalidTableError, MissingInputError, PipelineError, TooLittleDataError
from dataset.schema import FrameLike, FrameLikeTrain
from dataset.snapshots.diff import describe_changes, diff_tables
from dataset.snapshots.publication import PublicationConfig
from dataset.snapshots.publish import publish
from dataset.snapshots.verify import verify
from dataset.tables import read_table, write_table

WITH = PublicationConfig(train_likes=True)
TABLE = "frame_likes_train"


@pytest.fixture
def built(make_raw: Callable[..., Path], tmp_path: Path) -> Path:
    return build(make_raw(), tmp_path / "dataset", DatasetConfig()).path


def without(built: Path, rows: pl.DataFrame | None) -> None:
    """Replace the table of train likes, or remove it, and describe the folder again."""
    if rows is None:
        (built / f"{TABLE}.parquet").unlink()
    else:
        write_table(rows, FrameLikeTrain, built / f"{TABLE}.parquet")
    write_description(built, {key: value for key, value in read_description(built).items() if key != "tables"})


def test_a_build_keeps_the_likes_of_train_pairs_and_of_no_other(built: Path, make_raw: Callable[..., Path]) -> None:
    pairs = pl.read_parquet(built / "interactions.parquet").select("user_id", "movie_id", "split")
    likes = read_table(built / f"{TABLE}.parquet", FrameLikeTrain)
    of_train = pairs.filter(pl.col("split").cast(pl.String) == "train")
    assert likes.height == of_train.height == 67  # everyone likes one frame of each movie that they watched
    assert likes.join(of_train, on=["user_id", "movie_id"], how="anti").is_empty()
    held_out = read_table(built / "frame_likes.parquet", FrameLike)
    assert likes.join(held_out, on=["user_id", "movie_id"], how="semi").is_empty()
    raw = pl.read_parquet(make_raw() / "frame_likes.parquet").join(pairs, on="user_id", how="semi")
    assert likes.height + held_out.height == raw.height


def test_the_published_counts_of_train_likes_are_those_of_the_table(built: Path) -> None:
    counts = read_table(built / f"{TABLE}.parquet", FrameLikeTrain)["frame_id"].value_counts()
    frames = pl.read_parquet(built / "frames.parquet").filter(pl.col("train_like_count") > 0)
    assert dict(counts.iter_rows()) == dict(frames.select("frame_id", "train_like_count").iter_rows())


def test_likes_of_train_pairs_are_published_only_on_request(built: Path, tmp_path: Path) -> None:
    root = tmp_path / "snapshots"
    plain, _ = publish(built, "toy", root)
    assert not plain.has(TABLE)
    assert not (plain.path / f"{TABLE}.parquet").exists()
    asked, is_new = publish(built, "toy", root, WITH)
    assert is_new
    assert asked.read(TABLE).height == 67
    assert publish(built, "toy", root, WITH)[1] is False
    again, is_new = publish(built, "toy", root)
    assert is_new
    assert again.content_digest == plain.content_digest != asked.content_digest
    assert not again.has(TABLE)
    assert [verify(one) for one in (plain, asked, again)] == [[], [], []]


def test_every_description_of_a_snapshot_names_the_table(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "snapshots"
    plain, _ = publish(built, "toy", root)
    asked, _ = publish(built, "toy", root, WITH)
    changes = list(describe_changes(plain, asked, diff_tables(plain, asked)))
    assert "frame_likes_train: 0 → 67 rows" in changes
    cards = [(one.path / "README.md").read_text("utf-8") for one in (plain, asked)]
    assert [card.count("- **`frame_likes_train`**") for card in cards] == [0, 1]
    assert "Frame likes exist for validation and test only." in cards[0]
    assert "in frame_likes_train, for upper bounds only" in cards[1]
    assert "- config_name: frame_likes_train\n  data_files:\n  - split: full" in cards[1]
    records = json.loads((asked.path / "croissant.json").read_text("utf-8"))["recordSet"]
    assert TABLE in {record["name"] for record in records}
    assert {figure["table"] for figure in asked.manifest.risk_figures} >= {"interactions", "frame_likes", TABLE}
    for command in ("show", "verify", "risk"):
        execute(app, [command, str(asked.path)])
    assert "frame_likes_train: One row per frame that a user likes, of train pairs." in capsys.readouterr().out


def test_the_table_has_the_pseudonyms_of_the_interactions_and_no_date(built: Path) -> None:
    assert personal_dates(FrameLikeTrain) == {}
    known = pl.read_parquet(built / "interactions.parquet")["user_id"]
    assert read_table(built / f"{TABLE}.parquet", FrameLikeTrain)["user_id"].is_in(known.implode()).all()


@pytest.mark.parametrize(
    ("rows", "error", "words"),
    [
        (
            None,
            MissingInputError,
            "has no frame_likes_train.parquet, because an older version built it; build it again",
        ),
        (0, TooLittleDataError, "no train pair has a like, so there is nothing to publish"),
    ],
)
def test_asking_for_likes_of_train_pairs_that_are_not_there_is_refused(
    rows: int | None, error: type[PipelineError], words: str, built: Path, tmp_path: Path
) -> None:
    likes = read_table(built / f"{TABLE}.parquet", FrameLikeTrain)
    without(built, None if rows is None else likes.clear())
    with pytest.raises(error, match=words):
        publish(built, "toy", tmp_path / "snapshots", WITH)
    assert publish(built, "toy", tmp_path / "snapshots")[1]


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_like_of_a_held_out_pair_is_never_published_as_one_of_a_train_pair(
    split: str, built: Path, tmp_path: Path
) -> None:
    held_out = read_table(built / "frame_likes.parquet", FrameLike).filter(split=split).head(1)
    likes = read_table(built / f"{TABLE}.parquet", FrameLikeTrain)
    without(built, pl.concat([likes, held_out.with_columns(split=pl.lit("train", likes.schema["split"]))]))
    with pytest.raises(InvalidTableError, match=r"frame_likes_train: 1 rows have no match in interactions"):
        publish(built, "toy", tmp_path / "snapshots", WITH)


def test_the_command_publishes_the_table_on_request(built: Path, tmp_path: Path) -> None:
    root = tmp_path / "snapshots"
    execute(app, ["publish", "--dataset", str(built), "--name", "toy", "--root", str(root), "--train-likes"])
    manifest = json.loads((root / "toy" / "v0001" / "manifest.json").read_text("utf-8"))
    assert TABLE in manifest["tables"]
    assert TABLE in "".join(json.loads((built / FILE_NAME).read_text("utf-8"))["tables"])
