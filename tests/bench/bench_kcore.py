"""The 5-core of 10 million Zipf-like interactions, on integer codes in memory, against DuckDB's SQL loop."""

import time

import duckdb
import numpy as np
import polars as pl
from run import Result

from dataset.kcore import k_core_rows

N_ROWS, N_USERS, N_ITEMS, K = 10_000_000, 1_000_000, 300_000, 5


def measure() -> list[Result]:
    rng = np.random.default_rng(0)
    users = ((rng.pareto(0.9, N_ROWS) * 1e4).astype(np.int64) % N_USERS).astype(np.uint32)
    items = ((rng.pareto(0.8, N_ROWS) * 1e3).astype(np.int64) % N_ITEMS).astype(np.uint32)
    started = time.perf_counter()
    kept = len(k_core_rows(users, items, K, K))
    ours = time.perf_counter() - started
    started = time.perf_counter()
    kept_by_peer = _duckdb_core(pl.DataFrame({"u": users, "i": items}))
    peers = time.perf_counter() - started
    if kept != kept_by_peer:
        raise SystemExit(f"the cores differ: {kept} rows against DuckDB's {kept_by_peer}")
    million = N_ROWS / 1e6
    return [Result("5-core of 10 million interactions", million / ours, "DuckDB", million / peers, "M rows/s")]


def _duckdb_core(pairs: pl.DataFrame) -> int:
    """Repeat two grouped semi-joins until no row is dropped."""
    with duckdb.connect() as connection:
        connection.register("pairs", pairs.to_arrow())
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
