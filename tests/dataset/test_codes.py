import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset.codes import codes_of_hashes, dense_codes


@settings(deadline=None)
@given(st.lists(st.text(max_size=3), max_size=40))
def test_equal_ids_have_equal_codes_numbered_by_appearance(ids: list[str]) -> None:
    first_seen = list(dict.fromkeys(ids))
    codes = dense_codes(pl.DataFrame({"id": ids}, schema={"id": pl.String}), "id")
    assert codes.tolist() == [first_seen.index(id_) for id_ in ids]


def test_two_ids_that_share_a_hash_are_found_out() -> None:
    hashes = pl.DataFrame(
        {"first": [7, 7, 8], "second": [1, 2, 3]}, schema_overrides=dict.fromkeys(("first", "second"), pl.UInt64)
    )
    assert codes_of_hashes(hashes) is None
    assert codes_of_hashes(hashes.with_columns(second=pl.lit(1, pl.UInt64))).tolist() == [0, 0, 1]  # type: ignore[union-attr]
