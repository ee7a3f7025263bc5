from pathlib import Path

import polars as pl
import pytest

from dataset.errors import InvalidTableError, MissingInputError
from dataset.schema import SPLITS, Interaction
from dataset.snapshots.contents import table_digest
from dataset.tables import read_table, require_references, validate, write_table

TABLE = pl.DataFrame(
    {
        "user_id": ["b", "a"],
        "movie_id": ["x", "y"],
        "stars": [3.0, None],
        "rated_on": [None, None],
        "rated_at": [None, None],
        "split": SPLITS[:2],
    },
    schema_overrides={
        "stars": pl.Float32,
        "rated_on": pl.Date,
        "rated_at": pl.Datetime("us", "UTC"),
        "split": pl.Enum(SPLITS),
    },
)


def test_what_is_written_is_read_again_in_canonical_order(tmp_path: Path) -> None:
    write_table(TABLE, Interaction, tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet", Interaction).equals(TABLE.sort("user_id"))


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    write_table(TABLE, Interaction, tmp_path / "1.parquet")
    write_table(TABLE.reverse(), Interaction, tmp_path / "2.parquet")
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (
            TABLE.with_columns(stars=pl.lit(9, pl.Float32)),
            "column 'stars' breaks the rule 'max' in 2 rows .of 2.; for example",
        ),
        (pl.concat([TABLE, TABLE]), "the rule 'primary_key' is broken in 4 rows"),
        (TABLE.drop("stars"), "missing columns .* 'stars'"),
        (TABLE.with_columns(stars=pl.lit(3)), "'stars', got: Int32, expected"),
        (TABLE.with_columns(more=pl.lit(3)), "unknown columns 'more'"),
    ],
)
def test_a_broken_table_is_refused_with_name_column_count_and_example(broken: pl.DataFrame, words: str) -> None:
    with pytest.raises(InvalidTableError, match=words) as caught:
        validate(broken, Interaction, "interactions.parquet")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("interactions.parquet: ")


def test_a_missing_and_an_unreadable_table_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="no such table"):
        read_table(tmp_path / "t.parquet", Interaction)
    (tmp_path / "t.parquet").write_bytes(b"not parquet")
    with pytest.raises(InvalidTableError, match="cannot be read as Parquet"):
        read_table(tmp_path / "t.parquet", Interaction)


def test_a_dangling_reference_is_named() -> None:
    with pytest.raises(InvalidTableError, match=r"likes: 1 rows have no match in frames by frame_id; .*'z'"):
        require_references(
            pl.DataFrame({"frame_id": ["a", "z"]}), pl.DataFrame({"frame_id": ["a"]}), ["frame_id"], "likes", "frames"
        )


def test_the_content_digest_sees_rows_and_not_their_order_or_chunks_or_bytes_under_nulls(tmp_path: Path) -> None:
    digest = table_digest(TABLE, Interaction)
    chunked = pl.concat([TABLE[1:], TABLE[:1]], rechunk=False)
    hidden = TABLE.with_columns(stars=pl.when(pl.col("stars").is_not_null()).then(pl.col("stars")))
    write_table(TABLE, Interaction, tmp_path / "t.parquet")
    for same in (chunked, hidden, read_table(tmp_path / "t.parquet", Interaction)):
        assert table_digest(same, Interaction) == digest
    assert table_digest(TABLE.with_columns(stars=pl.lit(3.0, pl.Float32)), Interaction) != digest
