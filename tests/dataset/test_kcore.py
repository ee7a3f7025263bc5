from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset.__main__ import main
from dataset.building import kcore
from dataset.building.kcore import k_core, k_core_mask, k_core_parquet
from dataset.errors import InvalidTableError, MissingInputError, UsageError

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


@settings(deadline=None)
@given(pairs, st.integers(0, 5), st.integers(0, 5))
def test_k_core_equals_a_brute_force_fixed_point(edges: set[tuple[int, int]], k_user: int, k_item: int) -> None:
    assert set(k_core(as_table(edges), k_user, k_item).rows()) == set(
        as_table(brute_force(edges, k_user, k_item)).rows()
    )


@settings(deadline=None)
@given(pairs)
def test_a_core_of_a_core_is_itself(edges: set[tuple[int, int]]) -> None:
    core = k_core(as_table(edges), 3, 2)
    assert k_core(core, 3, 2).equals(core)


def test_rows_keep_their_order_and_other_columns() -> None:
    table = pl.DataFrame({"user_id": ["b", "a", "b", "c"], "movie_id": ["y", "x", "x", "z"], "stars": [1, 2, 3, 4]})
    assert k_core(table, 1, 2)["stars"].to_list() == [2, 3]


def test_five_is_enough_unless_something_else_is_asked_for(tmp_path: Path) -> None:
    five = as_table({(user, movie) for user in range(5) for movie in range(5)})
    five.write_parquet(tmp_path / "five.parquet")
    assert k_core(five).height == 25
    assert k_core_parquet(tmp_path / "five.parquet", tmp_path / "core.parquet") == (25, 25, 0)
    four = five.filter(pl.col("movie_id") != "m4")
    four.write_parquet(tmp_path / "four.parquet")
    assert k_core(four).is_empty()
    assert k_core_parquet(tmp_path / "four.parquet", tmp_path / "core.parquet", replace=True) == (20, 0, 0)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=80), st.integers(0, 4), st.integers(0, 4))
def test_a_repeated_pair_counts_once_and_all_its_rows_stay_or_go(
    rows: list[tuple[int, int]], k_user: int, k_item: int
) -> None:
    table = pl.DataFrame(
        [(f"u{user}", f"m{movie}") for user, movie in rows], schema=as_table(set()).schema, orient="row"
    )
    core = brute_force(set(rows), k_user, k_item)
    kept = k_core(table.with_row_index(), k_user, k_item)["index"].to_list()
    assert kept == [index for index, row in enumerate(rows) if row in core]


def test_a_log_in_which_nobody_has_two_items_has_no_core(tmp_path: Path) -> None:
    log = pl.DataFrame({"user_id": [f"u{n // 5}" for n in range(30)], "movie_id": "m"})
    log.write_parquet(tmp_path / "log.parquet")
    assert k_core(log, 5, 5).is_empty()
    assert k_core_parquet(tmp_path / "log.parquet", tmp_path / "core.parquet") == (30, 0, 24)
    assert k_core_parquet(tmp_path / "log.parquet", tmp_path / "core.parquet", 1, 6, replace=True) == (30, 30, 24)


@pytest.mark.parametrize("name", ["log[1]", "log*", "log?"])
def test_the_file_or_folder_that_is_named_is_read_and_no_other(name: str, tmp_path: Path) -> None:
    named, other = as_table({(0, 0), (0, 1)}), as_table({(1, 1)})
    for folder in (name, "log1"):
        (tmp_path / folder).mkdir()
    for place, table in ((name, named), ("log1", other)):
        table.write_parquet(tmp_path / f"{place}.parquet")
        table.write_parquet(tmp_path / place / "part[0].parquet")
        other.write_parquet(tmp_path / "log1" / "part0.parquet")
    for source in (f"{name}.parquet", name):
        k_core_parquet(tmp_path / source, tmp_path / "core.parquet", 0, 0, replace=True)
        assert pl.read_parquet(tmp_path / "core.parquet").sort(pl.all()).equals(named.sort(pl.all()))


def test_a_file_that_exists_is_replaced_only_if_that_is_asked_for(tmp_path: Path) -> None:
    as_table({(0, 0)}).write_parquet(tmp_path / "log.parquet")
    (tmp_path / "mine.parquet").write_text("mine")
    command = [str(tmp_path / "log.parquet"), "--to", str(tmp_path / "mine.parquet"), "--k-user", "1", "--k-item", "1"]
    with pytest.raises(
        UsageError, match=r"mine\.parquet: already exists; name another file with --to, or pass --replace"
    ):
        main(["kcore", *command])
    assert (tmp_path / "mine.parquet").read_text() == "mine"
    main(["kcore", *command, "--replace"])
    assert pl.read_parquet(tmp_path / "mine.parquet").height == 1


def test_the_source_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    table = as_table({(0, 0)})
    table.write_parquet(tmp_path / "parts" / "0.parquet")
    for source in (tmp_path / "parts", tmp_path / "parts" / "0.parquet"):
        with pytest.raises(UsageError, match="belongs to the source"):
            k_core_parquet(source, tmp_path / "parts" / "0.parquet", 5, 5)
    assert pl.read_parquet(tmp_path / "parts" / "0.parquet").equals(table)


def test_a_negative_k_is_refused_with_the_remedy() -> None:
    with pytest.raises(UsageError, match="must not be negative"):
        k_core(as_table({(0, 0)}), -1, 5)


@pytest.mark.parametrize(("n_scans", "reach"), [(0, 4), (1, 4), (8, 4), (8, 1), (0, 2)])
@settings(deadline=None)
@given(edges=pairs, k_user=st.integers(0, 5), k_item=st.integers(0, 5))
def test_following_single_rows_ends_where_scanning_all_does(
    n_scans: int, reach: int, edges: set[tuple[int, int]], k_user: int, k_item: int
) -> None:
    rows = sorted(edges)
    users, movies = np.array(rows, dtype=np.int32).reshape(-1, 2).T
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kcore, "_SCANS", n_scans)
        patch.setattr(kcore, "_PART", 7)
        mask = k_core_mask(users, movies, k_user, k_item, reach)
    assert {row for row, kept in zip(rows, mask, strict=True) if kept} == brute_force(edges, k_user, k_item)


def test_a_long_chain_unravels_to_its_end() -> None:
    users = np.repeat(np.arange(3000), 2)
    movies = np.concatenate([[0], np.repeat(np.arange(1, 3000), 2), [3000]])
    assert not k_core_mask(users, movies, 2, 2).any()
    assert k_core_mask(users, np.append(movies[:-1], 0), 2, 2).all()


def test_many_rows_may_fall_with_the_few_beside_them() -> None:
    """A user of 100 movies falls to 4, far from the first rows that are dropped."""
    movies = np.concatenate([np.arange(100), np.arange(100), np.arange(96)])
    users = np.concatenate([np.zeros(100, int), np.ones(100, int), np.arange(96) + 2])
    assert not k_core_mask(users, movies, 5, 3).any()


def test_a_parquet_file_and_a_folder_of_them_stream_to_the_same_core(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = as_table(set(zip(rng.integers(0, 60, 400).tolist(), rng.integers(0, 60, 400).tolist(), strict=True)))
    table = table.with_columns(stars=pl.int_range(pl.len()))
    (tmp_path / "parts").mkdir()
    table.write_parquet(tmp_path / "whole.parquet", row_group_size=50)
    for part in range(4):
        table[part * 100 : part * 100 + 100].write_parquet(tmp_path / "parts" / f"{part}.parquet")
    core = k_core(table, 4, 5)
    assert 0 < core.height < table.height
    for source in ("whole.parquet", "parts"):
        written = k_core_parquet(tmp_path / source, tmp_path / "core.parquet", 4, 5, replace=True)
        assert written == (table.height, core.height, 0)
        assert pl.read_parquet(tmp_path / "core.parquet").equals(core)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (pl.DataFrame({"user_id": ["a"], "item": ["x"]}), "no column 'movie_id'; it has 'user_id', 'item'"),
        (pl.DataFrame({"user_id": ["a", None], "movie_id": ["x", "y"]}), "1 rows have no 'user_id'"),
    ],
)
def test_a_parquet_file_that_does_not_fit_is_refused(table: pl.DataFrame, words: str, tmp_path: Path) -> None:
    table.write_parquet(tmp_path / "t.parquet")
    with pytest.raises(InvalidTableError, match=f"t.parquet: {words}"):
        k_core_parquet(tmp_path / "t.parquet", tmp_path / "core.parquet")
    assert not (tmp_path / "core.parquet").exists()


def test_what_is_no_parquet_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="no such Parquet file"):
        k_core_parquet(tmp_path / "t.parquet", tmp_path / "core.parquet")
    (tmp_path / "t.parquet").write_text("user,item")
    with pytest.raises(InvalidTableError, match=r"t\.parquet: cannot be read as Parquet \(Parquet magic bytes"):
        k_core_parquet(tmp_path / "t.parquet", tmp_path / "core.parquet")
