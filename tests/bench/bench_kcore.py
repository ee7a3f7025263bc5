"""The 5-core of 10 and 50 million Zipf-like interactions, against RecBole's and Elliot's loops and DuckDB.

In memory, all start from the same integer codes. One more result, at 10 million, goes from Parquet with
string ids to Parquet, and counts a repeated pair once; its peer is RecBole's loop in memory, which counts
every row, without reading or writing.

A peer is stopped after 100 times our time, but not before two minutes; its result is then a lower bound
of the ratio. It takes minutes.
"""

import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
from peers import run_peer
from run import Result

from dataset.building.kcore import k_core_mask, k_core_parquet

K = 5
SHORT_RUNS = 3  # runs of what takes seconds; the fastest counts, because the machine may be busy during one
SIZES = (10_000_000, 50_000_000)


def measure() -> Iterator[Result]:
    for n in SIZES:
        users, items = zipf_like(n)
        with tempfile.TemporaryDirectory() as name:
            yield from _compare(n, users, items, Path(name))


def zipf_like(n):
    """Return the user and item codes of n interactions whose counts fall with a power of the rank."""
    rng = np.random.default_rng(0)
    users = (rng.pareto(0.9, n) * n / 1000).astype(np.int64) % (n // 10)
    items = (rng.pareto(0.8, n) * n / 10_000).astype(np.int64) % (3 * n // 100)
    return users.astype(np.uint32), items.astype(np.uint32)


def _compare(n, users, items, folder):
    pl.DataFrame({"u": users, "i": items}).write_parquet(folder / "codes.parquet")
    kept, ours_s = _timed(lambda: int(k_core_mask(users, items, K, K).sum()), SHORT_RUNS)
    by_duckdb, duckdb_s = _timed(lambda: _duckdb_core(users, items), SHORT_RUNS)
    names = {"duckdb": "DuckDB", "recbole": "RecBole", "elliot": "Elliot's loop, restated"}
    found, limit_s = {"duckdb": (by_duckdb, duckdb_s)}, max(100 * ours_s, 120)
    for name in ("recbole", "elliot"):
        if done := run_peer("kcore", name, folder / "codes.parquet", K, limit_s=limit_s):
            found[name] = (done["kept"], done["seconds"])
        else:
            found[name], names[name] = (kept, limit_s), f"{names[name]}, stopped: at least"
    for name, (kept_by_peer, _) in found.items():
        if kept != kept_by_peer:
            raise SystemExit(f"the cores differ: {kept} rows against {kept_by_peer} of {names[name]}")
    million = n / 1e6
    what = f"5-core of {million:.0f} million interactions"
    results = [Result(what, million / ours_s, names[name], million / s, "M rows/s") for name, (_, s) in found.items()]
    if n == SIZES[0]:
        _write_strings(users, items, folder / "strings.parquet")
        written, parquet_s = _timed(lambda: k_core_parquet(folder / "strings.parquet", folder / "core.parquet", K, K))
        if written.n_kept != (kept_of_pairs := _rows_of_the_core_of_pairs(users, items)):
            raise SystemExit(f"the cores differ: {kept_of_pairs} rows in memory, {written.n_kept} from Parquet")
        results.append(
            Result(
                "same, Parquet of strings to Parquet",
                million / parquet_s,
                "RecBole, in memory on integers",
                million / found["recbole"][1],
                "M rows/s",
            )
        )
    peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"  at {million:.0f} million: {kept:,} rows kept, peak memory so far {peak_gib:.1f} GiB", flush=True)
    return results


def _timed(act, runs=1):
    """Return the result of `act()`, and the seconds of its fastest run."""
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        done = act()
        seconds.append(time.perf_counter() - started)
    return done, min(seconds)


def _write_strings(users, items, path):
    ids = pl.LazyFrame({"user_id": users, "movie_id": items}).select(
        pl.format("user-{}", "user_id").alias("user_id"), pl.format("m{}", "movie_id").alias("movie_id")
    )
    ids.sink_parquet(path)


def _rows_of_the_core_of_pairs(users, items):
    """Return the number of rows in the k-core of the distinct pairs."""
    table = pl.DataFrame({"u": users, "i": items})
    pairs = table.unique()
    core = pairs.filter(k_core_mask(pairs["u"].to_numpy(), pairs["i"].to_numpy(), K, K))
    return table.join(core, on=["u", "i"], how="semi").height


def _duckdb_core(users, items):
    """Repeat two grouped semi-joins until no row is dropped."""
    with duckdb.connect() as connection:
        connection.register("pairs", pl.DataFrame({"u": users, "i": items}).to_arrow())
        connection.execute("create table core as select * from pairs")
        rows = -1
        while rows != (now := connection.execute("select count(*) from core").fetchall()[0][0]):
            rows = now
            for side in ("u", "i"):
                connection.execute(
                    f"create or replace table core as select core.* from core semi join "
                    f"(select {side} from core group by {side} having count(*) >= {K}) using ({side})"
                )
        return rows
