import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset.errors import UsageError
from dataset.kcore import k_core

pairs = st.sets(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=70)


def brute_force(edges: set[tuple[int, int]], k_user: int, k_item: int) -> set[tuple[int, int]]:
    """Drop one offending user or movie at a time until none is left."""
    while True:
        for side, k in ((0, k_user), (1, k_item)):
            counts: dict[int, int] = {}
            for edge in edges:
                counts[edge[side]] = counts.get(edge[side], 0) + 1
            offender = next((node for node, count in counts.items() if count < k), None)
            if offender is not None:
                edges = {edge for edge in edges if edge[side] != offender}
                break
        else:
            return edges


def as_table(edges: set[tuple[int, int]]) -> pl.DataFrame:
    rows = [(f"u{user}", f"m{movie}") for user, movie in edges]
    return pl.DataFrame(rows, schema={"user_id": pl.String, "movie_id": pl.String}, orient="row")


@given(pairs, st.integers(0, 5), st.integers(0, 5))
def test_k_core_equals_a_brute_force_fixed_point(edges: set[tuple[int, int]], k_user: int, k_item: int) -> None:
    assert set(k_core(as_table(edges), k_user, k_item).rows()) == set(
        as_table(brute_force(edges, k_user, k_item)).rows()
    )


@given(pairs)
def test_a_core_of_a_core_is_itself(edges: set[tuple[int, int]]) -> None:
    core = k_core(as_table(edges), 3, 2)
    assert k_core(core, 3, 2).equals(core)


def test_rows_keep_their_order_and_other_columns() -> None:
    table = pl.DataFrame({"user_id": ["b", "a", "b", "c"], "movie_id": ["y", "x", "x", "z"], "stars": [1, 2, 3, 4]})
    assert k_core(table, 1, 2)["stars"].to_list() == [2, 3]


def test_a_negative_k_is_refused_with_the_remedy() -> None:
    with pytest.raises(UsageError, match="must not be negative"):
        k_core(as_table({(0, 0)}), -1, 5)
