"""A published split is used as it was published: by `build --split given`, from the raw tables' `given_split`."""

import hashlib
import json
import random
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset.building.build import BuiltDataset, DatasetConfig, build
from dataset.building.split import SplitConfig
from dataset.errors import InvalidTableError, UsageError
from dataset.formats.import_config import ImportConfig
from dataset.formats.importing import Imported, import_ratings
from dataset.formats.lists import pairs_of_lines
from dataset.formats.ratings import RatingsFormat
from dataset.formats.split_files import GivenSplit
from dataset.formats.splits import read_splits, separate_splits
from dataset.schema import RAW_TABLES, SPLITS, Interaction, Quarantine
from dataset.snapshots.publish import publish
from dataset.tables import empty, fill_columns, read_table, write_table

Pairs = dict[tuple[str, str], str]
PAIR = ["user_id", "movie_id"]
CUBE = {(f"u{u}", f"m{m}"): ("test" if (u + m) % 4 == 0 else "train") for u in range(6) for m in range(6)}


def write_raw(raw: Path, pairs: Pairs, seed: int = 0) -> Path:
    """Write a raw folder of these pairs, in random order; every third pair is repeated."""
    rows = [(*pair, split) for pair, split in pairs.items()]
    rows += rows[::3]
    random.Random(seed).shuffle(rows)
    ratings = pl.DataFrame(rows, schema=[*PAIR, "given_split"], orient="row")
    movies = ratings.select("movie_id").unique().with_columns(title=pl.col("movie_id"))
    lists = {name: pl.lit([], pl.List(pl.String)) for name in ("genres", "directors")}
    tables = {"ratings": ratings, "movies": movies.with_columns(**lists)}
    for name, schema in RAW_TABLES.items():
        table = fill_columns(tables[name], schema) if name in tables else empty(schema)
        write_table(table, schema, raw / f"{name}.parquet")
    return raw


def built(raw: Path, k: int = 0, **settings_: Any) -> BuiltDataset:
    config = DatasetConfig(k, k, split=SplitConfig(strategy="given", **settings_))
    return build(raw, raw.parent / "built", config)


def splits_of(dataset: BuiltDataset) -> Pairs:
    interactions = read_table(dataset.path / "interactions.parquet", Interaction)
    return {(user, movie): split for user, movie, split in interactions.select(*PAIR, "split").iter_rows()}


ids = st.sampled_from(["1", "01", "1.0", "NA", " ", '"', "\t", "电影", "a b"])
any_split = st.dictionaries(st.tuples(ids, ids), st.sampled_from(SPLITS), min_size=2, max_size=30)


@settings(deadline=None, max_examples=12)
@given(any_split, st.integers(0, 3))
def test_every_pair_of_a_published_split_stays_where_it_was(pairs: Pairs, seed: int) -> None:
    pairs |= {("x", "y"): "train", ("x", "z"): "test", ("y", "z"): "validation"}
    with tempfile.TemporaryDirectory() as name:
        done = built(write_raw(Path(name) / "raw", pairs, seed), seed=seed)
        assert splits_of(done) == pairs
        told = done.description["provenance"]["given_split"]
        assert told["pairs"] == told["kept_pairs"] == {s: list(pairs.values()).count(s) for s in SPLITS}
        assert told["validation_drawn_from_train"] is None


@settings(deadline=None, max_examples=12)
@given(any_split, st.sampled_from([0.0, 0.1, 0.5]), st.integers(0, 3))
def test_validation_that_was_not_published_is_drawn_from_train_alone(pairs: Pairs, share: float, seed: int) -> None:
    pairs = {pair: "train" if split == "validation" else split for pair, split in pairs.items()}
    pairs |= {("x", "y"): "train", ("x", "z"): "test"}
    with tempfile.TemporaryDirectory() as name:
        raw = write_raw(Path(name) / "raw", pairs, seed)
        done = built(raw, seed=seed, validation_share=share)
        found = splits_of(done)
        drawn = [pair for pair, split in found.items() if split == "validation"]
        assert len(drawn) == round(share * list(pairs.values()).count("train"))
        assert {pair: "train" if pair in drawn else split for pair, split in found.items()} == pairs
        assert done.description["provenance"]["given_split"]["validation_drawn_from_train"] == {
            "pairs": len(drawn), "share_of_train": share, "seed": seed
        }  # fmt: skip
        assert splits_of(built(raw, seed=seed, validation_share=share)) == found


def test_the_seed_draws_another_validation_and_leaves_test_alone(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", CUBE)
    first, other = (splits_of(built(raw, seed=seed, validation_share=0.3)) for seed in (0, 1))
    assert first != other
    for split in (first, other):
        assert {pair for pair, name in split.items() if name == "test"} == {
            p for p, name in CUBE.items() if name == "test"
        }


def test_hugging_face_reads_a_split_without_validation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    import datasets

    done = built(write_raw(tmp_path / "raw", CUBE), validation_share=0)
    snapshot, _ = publish(done.path, "cube", tmp_path / "snapshots")
    found = datasets.load_dataset(str(snapshot.path), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in found.items()} == {"train": 27, "test": 9}


def test_pairs_outside_the_k_core_are_counted_per_split(tmp_path: Path) -> None:
    pairs = CUBE | {("rare", "m0"): "test", ("rare", "m1"): "train", ("u0", "odd"): "train"}
    done = built(write_raw(tmp_path / "raw", pairs), k=5)
    told = done.description["provenance"]["given_split"]
    assert told["pairs"] == {"train": 29, "validation": 0, "test": 10}
    assert told["kept_pairs"] == {"train": 27, "validation": 0, "test": 9}
    quarantine = read_table(done.path / "quarantine.parquet", Quarantine)
    assert quarantine.filter(table="ratings", reason="outside the k-core").height == 3


def test_the_digest_names_the_split_and_not_the_order_of_its_rows(tmp_path: Path) -> None:
    pairs = CUBE | {('q"uote', "back\\slash"): "train", ("tab\t", "电影\x01\x7f"): "test"}
    digests = [
        built(write_raw(tmp_path / str(seed) / "raw", pairs, seed)).description["provenance"]["given_split"]["sha256"]
        for seed in (0, 1)
    ]
    lines = [
        json.dumps({"user_id": u, "movie_id": m, "split": s}, ensure_ascii=False, separators=(",", ":")) + "\n"
        for (u, m), s in sorted(pairs.items())
    ]
    assert digests == [hashlib.sha256("".join(lines).encode()).hexdigest()] * 2
    changed = write_raw(tmp_path / "raw", pairs | {("u0", "m1"): "test"})
    assert built(changed).description["provenance"]["given_split"]["sha256"] != digests[0]


@pytest.mark.parametrize(
    ("pairs", "error", "words"),
    [
        ({("a", "x"): None, ("b", "y"): None}, UsageError, "no given split; import the ratings with --split-column"),
        ({("a", "x"): "train", ("b", "y"): None}, InvalidTableError, "of 3 rows have no given_split"),
        ({("a", "x"): "train", ("b", "y"): "validation"}, InvalidTableError, "no row is in test"),
        ({("a", "x"): "test", ("b", "y"): "validation"}, InvalidTableError, "no row is in train"),
    ],
)
def test_raw_tables_without_a_whole_split_are_refused(
    pairs: Any, error: type[Exception], words: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=words):
        built(write_raw(tmp_path / "raw", pairs))


def test_a_pair_in_two_splits_is_refused_by_build_too(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", CUBE)
    ratings = pl.read_parquet(raw / "ratings.parquet")
    twice = ratings.filter(user_id="u1", movie_id="m1")[:1].with_columns(given_split=pl.lit("test", pl.Enum(SPLITS)))
    pl.concat([ratings, twice]).write_parquet(raw / "ratings.parquet")
    with pytest.raises(InvalidTableError, match=r"1 pairs are in more than one given split.*'u1'.*--drop-overlap"):
        built(raw)


def test_a_build_never_overwrites_raw_tables(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", CUBE)
    for destination in (raw, write_raw(tmp_path / "other", CUBE, seed=1)):
        before = {path: path.read_bytes() for path in destination.iterdir()}
        with pytest.raises(UsageError, match="holds raw tables"):
            build(raw, destination, DatasetConfig())
        assert {path: path.read_bytes() for path in destination.iterdir()} == before


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["train", "test"], ["train", "test"]),
        ([" Train ", "TEST", "val", "valid", "Validation", "dev"], ["train", "test", *["validation"] * 4]),
        ([0, 1, 2], list(SPLITS)),
        ([0.0, 2.0], ["train", "test"]),
        (["0", "2", "1.0"], ["train", "test", "validation"]),
        (["training", "testing", "development"], ["train", "test", "validation"]),
    ],
)
def test_splits_are_named_by_words_or_numbers(values: list[object], expected: list[str]) -> None:
    assert read_splits(pl.Series(values), "f").to_list() == expected


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["train", "foo", "foo"], r"f: 2 of 3 values name no split; it has 'foo', 'train', but should have train"),
        (["train", None, "test"], r"1 of 3 values name no split; it has nothing, 'test', 'train'"),
        (["train", ""], "it has '', 'train'"),
        ([True, False], "it has 'false', 'true'"),
        ([3, 0], "it has '0', '3'"),
        ([0, 1], "it has only 0 and 1, but 0, 1 and 2 stand for train, validation and test"),
        ([1, 2], "it has only 1 and 2"),
        ([float("nan"), 0.0], "it has '0', 'nan'"),
        ([f"v{n}" for n in range(50)], "'v14', 'v15' and 42 more"),
    ],
)
def test_values_that_name_no_split_are_refused_with_the_values_seen(values: list[object], words: str) -> None:
    with pytest.raises(InvalidTableError, match=words):
        read_splits(pl.Series(values), "f")


def overlapping() -> pl.DataFrame:
    rows = [("a", "x", "train"), ("a", "x", "test"), ("a", "x", "validation"), ("b", "x", "train"), ("b", "x", "train")]
    return pl.DataFrame(rows, schema={**dict.fromkeys(PAIR, pl.String), "given_split": pl.Enum(SPLITS)}, orient="row")


def test_a_pair_in_several_splits_is_a_leak_and_refused() -> None:
    with pytest.raises(InvalidTableError, match=r"f: 1 user-item pairs .* user 'a' with item 'x' in .* --drop-overlap"):
        separate_splits(overlapping(), drop_overlap=False, where="f")


def test_a_pair_in_several_splits_can_be_kept_in_the_last_alone() -> None:
    rows, dropped = separate_splits(overlapping(), drop_overlap=True, where="f")
    assert rows.rows() == [("a", "x", "test"), ("b", "x", "train"), ("b", "x", "train")]
    assert dropped["reason"].to_list() == ["pair is also in the given split's test"] * 2


def imported(folder: Path, texts: dict[str, str], **options: Any) -> Imported:
    """Write these files, and import the first one with these options."""
    for name, text in texts.items():
        (folder / name).write_text(text)
    first = folder / next(iter(texts))
    formats = {name: options.pop(name) for name in ("split_column", "zero_is", "rating_column") if name in options}
    files = {name: folder / options.pop(name) for name in ("validation", "test") if name in options}
    split = GivenSplit(**files, drop_overlap=options.pop("drop_overlap", False))
    config = ImportConfig(**options, ratings=RatingsFormat(**formats), split=split)
    items_file = config.items_file(first, None)
    return import_ratings(first, config.ratings_format(first), None, folder / "raw", items_file, split=config.split)


def given_pairs_of(folder: Path) -> Pairs:
    table = pl.read_parquet(folder / "raw" / "ratings.parquet").with_columns(pl.col("given_split").cast(pl.String))
    return {(user, movie): split for user, movie, split in table.select(*PAIR, "given_split").iter_rows()}


def test_a_column_of_the_ratings_holds_the_split(tmp_path: Path) -> None:
    text = "user,item,x_label\na,x,0\na,y,2\nb,x,1\n,z,odd\nb,y,0\n"
    done = imported(tmp_path, {"r.csv": text}, split_column="x_label")
    assert given_pairs_of(tmp_path) == {
        ("a", "x"): "train",
        ("a", "y"): "test",
        ("b", "x"): "validation",
        ("b", "y"): "train",
    }
    assert (done.n_rows, done.n_ratings, done.n_dropped_rows) == (5, 4, 1)
    assert any("2 train, 1 validation, 1 test" in note for note in done.notes)
    provenance = built(tmp_path / "raw").description["provenance"]["given_split"]
    assert provenance["column"] == "x_label"
    assert provenance["kept_pairs"] == {"train": 2, "validation": 1, "test": 1}


def test_a_file_per_split_is_read_with_the_same_options(tmp_path: Path) -> None:
    files = {"train.csv": "user,item\na,x\nb,x\n", "t.csv": "item,user\ny,a\n,b\n", "v.csv": "user,item\nb,y\n"}
    done = imported(tmp_path, files, test="t.csv", validation="v.csv")
    assert given_pairs_of(tmp_path) == {
        ("a", "x"): "train",
        ("b", "x"): "train",
        ("a", "y"): "test",
        ("b", "y"): "validation",
    }
    assert (done.n_rows, done.n_ratings, done.n_dropped_rows) == (5, 4, 1)
    told = built(tmp_path / "raw").description["provenance"]["given_split"]
    assert {split: file["file"] for split, file in told["files"].items()} == {
        "train": "train.csv", "validation": "v.csv", "test": "t.csv"
    }  # fmt: skip
    assert told["files"]["test"]["sha256"] == hashlib.sha256(files["t.csv"].encode()).hexdigest()


def test_lightgcn_s_files_are_imported_and_keep_their_split(tmp_path: Path) -> None:
    files = {"train.txt": "0 1 2 3\n1 2\n2 \n", "test.txt": "0 4\n1 1 4 \n"}
    done = imported(tmp_path, files, format="lightgcn", test="test.txt")
    train, test = {("0", "1"), ("0", "2"), ("0", "3"), ("1", "2")}, {("0", "4"), ("1", "1"), ("1", "4")}
    assert given_pairs_of(tmp_path) == dict.fromkeys(train, "train") | dict.fromkeys(test, "test")
    assert (done.n_rows, done.n_dropped_rows) == (8, 1)
    found = splits_of(built(tmp_path / "raw", validation_share=0.25))
    assert {pair for pair, split in found.items() if split == "test"} == test
    assert list(found.values()).count("validation") == 1


def test_a_pair_in_train_and_test_is_refused_or_leaves_train(tmp_path: Path) -> None:
    files = {"train.csv": "user,item\na,x\nb,x\na,y\n", "t.csv": "user,item\na,y\n"}
    with pytest.raises(
        InvalidTableError, match=r"train\.csv, .*t\.csv: 1 user-item pairs are in more .* in train and test"
    ):
        imported(tmp_path, files, test="t.csv")
    assert not (tmp_path / "raw").exists()
    done = imported(tmp_path, files, test="t.csv", drop_overlap=True)
    assert given_pairs_of(tmp_path) == {("a", "x"): "train", ("b", "x"): "train", ("a", "y"): "test"}
    assert done.reasons == {"pair is also in the given split's test": 1}


def test_a_split_is_given_once_and_with_test_ratings(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="leave out --validation and --test"):
        imported(tmp_path, {"r.csv": "user,item,s\na,x,train\n"}, split_column="s", test="r.csv")
    with pytest.raises(UsageError, match="--validation needs --test"):
        GivenSplit(validation=tmp_path)


@pytest.mark.parametrize("blocks", [[b"0 1 2\n3 4\n"], [b"0\t1 2\r\n3 4"], [b"0 1 2 \n", b"\n3  4\n\n"]])
def test_lightgcn_s_lines_are_a_user_and_their_items(blocks: list[bytes]) -> None:
    assert pairs_of_lines(blocks, "f").rows() == [("0", "1"), ("0", "2"), ("3", "4")]


def test_a_user_without_items_is_a_row_without_an_item() -> None:
    assert pairs_of_lines([b"0 1\n7\n8 \n"], "f").rows() == [("0", "1"), ("7", None), ("8", None)]
    assert pairs_of_lines([], "f").is_empty()


def test_what_is_not_numbers_is_refused_with_its_line() -> None:
    with pytest.raises(InvalidTableError, match=r"f: line 3 has more than numbers \('user,item'\).*another --format"):
        pairs_of_lines([b"0 1\n1 2\n", b"user,item\n"], "f")
