from collections.abc import Callable
from datetime import UTC, datetime
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


def timed(folder: Path, times: list[datetime | None]) -> Path:
    """Replace the times of the first interactions in a dataset folder."""
    table = pl.read_parquet(folder / "interactions.parquet")
    first = pl.Series([*times, *[None] * (table.height - len(times))], dtype=table.schema["rated_at"])
    on = pl.coalesce(first.dt.date(), table["rated_on"])
    table.with_columns(rated_at=first, rated_on=on).write_parquet(folder / "interactions.parquet")
    return folder


def lines_of(folder: Path, *names: str) -> list[list[str]]:
    return [line.split("\t") for name in names for line in (folder / name).read_text().splitlines()]


def test_times_are_in_seconds_and_midnight_only_where_the_time_of_day_is_not_known(built: Path, tmp_path: Path) -> None:
    times = [datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC), datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)]
    done = export(timed(built, times), tmp_path, "uirt")  # type: ignore[arg-type]
    assert (done.n_times, done.n_midnights) == (96, 94)
    found = {(user, item): int(time) for user, item, _, time in lines_of(tmp_path, *SPLIT_FILES)}
    for row in pl.read_parquet(built / "interactions.parquet").iter_rows(named=True):
        midnight = datetime(row["rated_on"].year, row["rated_on"].month, row["rated_on"].day, tzinfo=UTC)
        assert found[row["user_id"], row["movie_id"]] == (row["rated_at"] or midnight).timestamp()
    atomic = export(built, tmp_path, "recbole")
    assert (atomic.n_times, atomic.n_midnights) == (96, 94)
    rows = [
        row
        for part in ("train", "valid", "test")
        for row in lines_of(tmp_path / "dataset", f"dataset.{part}.inter")[1:]
    ]
    assert {(user, item): int(time) for user, item, time in rows} == found
    assert export(built, tmp_path / "other", "lightgcn").n_times == 0


SPLIT_FILES = ("train.tsv", "valid.tsv", "test.tsv")


def test_without_a_single_time_uirt_is_refused_with_the_remedy(built: Path, tmp_path: Path) -> None:
    table = pl.read_parquet(built / "interactions.parquet")
    dated = pl.when(pl.int_range(pl.len()) > 0).then("rated_on")
    table.with_columns(rated_on=dated).write_parquet(built / "interactions.parquet")
    with pytest.raises(UsageError, match=r"1 of 96 interactions have neither a time nor a day.*--format uir"):
        export(built, tmp_path / "out", "uirt")


@pytest.mark.parametrize("form", ["recbole", "lightgcn", "uir", "uirt"])
def test_an_export_replaces_its_own_files_and_no_file_of_yours(form: str, rated: Path, tmp_path: Path) -> None:
    first = export(rated, tmp_path / "out", form)  # type: ignore[arg-type]
    before = [file.read_bytes() for file in first.files]
    table = pl.read_parquet(rated / "interactions.parquet")
    table[3:].write_parquet(rated / "interactions.parquet")
    again = export(rated, tmp_path / "out", form)  # type: ignore[arg-type]
    assert [file.read_bytes() for file in again.files] != before
    yours = first.files[1]
    for content in (b"mine", before[1] + b"a note of mine\n"):
        yours.write_bytes(content)
        others = [file.read_bytes() for file in again.files if file != yours]
        with pytest.raises(UsageError, match=f"{yours.name} exists and was not written by an export.*another --to"):
            export(rated, tmp_path / "out", form)  # type: ignore[arg-type]
        assert yours.read_bytes() == content
        assert [file.read_bytes() for file in again.files if file != yours] == others
    yours.unlink()
    export(rated, tmp_path / "out", form)  # type: ignore[arg-type]
    assert sorted(path.name for path in (tmp_path / "out").rglob(".*")) == [".exported.json"]


def test_an_export_that_was_stopped_half_way_is_finished_by_the_same_command(rated: Path, tmp_path: Path) -> None:
    export(rated, tmp_path / "out", "uir")
    (tmp_path / "out" / ".exported.json").unlink()
    (tmp_path / "out" / "test.tsv").unlink()
    assert len(export(rated, tmp_path / "out", "uir").files) == 3


def test_columns_that_reveal_held_out_rows_are_exported_only_if_asked_for(rated: Path, tmp_path: Path) -> None:
    movies = pl.read_parquet(rated / "movies.parquet")
    movies = movies.with_columns(rating_mean=pl.lit(7.5, pl.Float32), rating_count=pl.lit(9, pl.UInt32))
    movies.write_parquet(rated / "movies.parquet")
    export(rated, tmp_path / "1", "recbole")
    head = lines_of(tmp_path / "1" / "dataset", "dataset.item")[0]
    assert not any("rating" in column for column in head)
    export(rated, tmp_path / "2", "recbole", leaking_columns=True)
    head, first, *_ = lines_of(tmp_path / "2" / "dataset", "dataset.item")
    assert head[-2:] == ["rating_mean:float", "rating_count:float"]
    assert [float(value) for value in first[-2:]] == [7.5, 9]
    assert "class, rating_mean, rating_count]" in (tmp_path / "2" / "dataset" / "dataset.yaml").read_text()
    with pytest.raises(UsageError, match="uir has no columns of movies"):
        export(rated, tmp_path / "3", "uir", leaking_columns=True)


def test_a_name_that_is_no_file_name_is_refused(rated: Path, tmp_path: Path) -> None:
    for name in ("", ".hidden", "a/b", "a\\b", "a\nb", "a\0b"):
        with pytest.raises(UsageError, match="is not a valid file name"):
            export(rated, tmp_path, "recbole", name)
