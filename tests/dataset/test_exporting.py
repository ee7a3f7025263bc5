from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from dataset.building.build import DatasetConfig, build
from dataset.building.feedback import FeedbackConfig
from dataset.errors import MissingInputError, UsageError
from dataset.formats.exporting import export
from dataset.snapshots.publish import publish


@pytest.fixture
def built(make_raw: Callable[..., Path], tmp_path: Path) -> Path:
    return build(make_raw(), tmp_path / "built", DatasetConfig()).path


@pytest.fixture
def rated(make_raw: Callable[..., Path], tmp_path: Path) -> Path:
    config = DatasetConfig(2, 2, FeedbackConfig(include_unrated=False))
    return build(make_raw(), tmp_path / "rated", config).path


def pairs(source: Path, split: str) -> set[tuple[str, str]]:
    table = pl.read_parquet(source / "interactions.parquet").filter(pl.col("split") == split)
    return set(table.select("user_id", "movie_id").iter_rows())


def test_recbole_gets_atomic_files_split_as_its_benchmark_files(rated: Path, tmp_path: Path) -> None:
    export(rated, tmp_path / "out", "recbole", "toy")
    folder = tmp_path / "out" / "toy"
    for ours, theirs in (("train", "train"), ("validation", "valid"), ("test", "test")):
        lines = (folder / f"toy.{theirs}.inter").read_text().splitlines()
        assert lines[0].split("\t") == ["user_id:token", "item_id:token", "rating:float", "timestamp:float"]
        rows = [line.split("\t") for line in lines[1:]]
        assert {(user, item) for user, item, *_ in rows} == pairs(rated, ours)
        assert all(0.5 <= float(rating) <= 5 and float(time) % 86400 == 0 for *_, rating, time in rows)
    items = (folder / "toy.item").read_text().splitlines()
    assert items[0] == "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq"
    assert items[1] == "m0\tMovie m0\t\t"
    assert "benchmark_filename: [train, valid, test]" in (folder / "toy.yaml").read_text()


def test_values_that_some_interactions_lack_are_left_out_and_said(built: Path, tmp_path: Path) -> None:
    done = export(built, tmp_path, "recbole", "toy")
    assert done.values == ["rated_on"]
    assert (
        (tmp_path / "toy" / "toy.train.inter").read_text().startswith("user_id:token\titem_id:token\ttimestamp:float\n")
    )
    export(built, tmp_path, "uir")
    assert {line.split("\t")[2] for line in (tmp_path / "train.tsv").read_text().splitlines()} == {"1.0"}


def test_lightgcn_gets_numbers_whose_lists_lead_back_to_the_ids(built: Path, tmp_path: Path) -> None:
    export(built, tmp_path, "lightgcn")
    names = []
    for file in ("user_list.txt", "item_list.txt"):
        head, *lines = (tmp_path / file).read_text().splitlines()
        assert head == "org_id remap_id"
        assert [int(line.split(" ")[1]) for line in lines] == list(range(len(lines)))
        names.append([line.split(" ")[0] for line in lines])
    users, items = names
    for ours, theirs in (("train", "train"), ("validation", "valid"), ("test", "test")):
        found = set()
        for line in (tmp_path / f"{theirs}.txt").read_text().splitlines():
            user, *numbers = map(int, line.split(" "))
            assert numbers == sorted(set(numbers))
            found |= {(users[user], items[number]) for number in numbers}
        assert found == pairs(built, ours)


def test_uir_is_user_item_and_rating_parted_by_tabs(rated: Path, tmp_path: Path) -> None:
    export(rated, tmp_path, "uir")
    rows = [line.split("\t") for line in (tmp_path / "test.tsv").read_text().splitlines()]
    assert {(user, item) for user, item, _ in rows} == pairs(rated, "test")
    assert {float(rating) for *_, rating in rows} <= {3.0, 4.0, 5.0}


def test_a_snapshot_exports_the_same_bytes_as_its_dataset(built: Path, tmp_path: Path) -> None:
    snapshot, _ = publish(built, "toy", tmp_path / "snapshots")
    first, second = export(built, tmp_path / "1", "recbole"), export(Path(snapshot.path), tmp_path / "2", "recbole")
    assert [file.read_bytes() for file in first.files] == [file.read_bytes() for file in second.files]


def test_what_cannot_be_exported_is_said_with_the_remedy(built: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="neither a dataset folder nor a snapshot"):
        export(tmp_path / "nowhere", tmp_path, "recbole")
    with pytest.raises(UsageError, match="is not a valid file name"):
        export(built, tmp_path, "recbole", "../up")
    table = pl.read_parquet(built / "interactions.parquet")
    spaced = table.with_columns(movie_id=pl.col("movie_id").replace("m0", "m 0"))
    spaced.write_parquet(built / "interactions.parquet")
    with pytest.raises(UsageError, match="ids contain spaces, for example 'm 0'"):
        export(built, tmp_path, "lightgcn")
