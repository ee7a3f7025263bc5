"""Dense integer codes for ids, so that filters and splits of millions of rows compute on integers."""

import itertools

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow.compute as pc

Codes = npt.NDArray[np.integer]


def dense_codes(table: pl.DataFrame | pl.LazyFrame, column: str) -> Codes:
    """Return a code for each id in a column, (n,) int32: 0, 1, … in order of appearance.

    A 64-bit hash identifies each id, so no string is held in memory. A second hash checks that no two
    ids share the first one; if two do, the ids are hashed again with another seed.
    """
    codes = None
    seeds = itertools.count(step=2)
    while codes is None:
        seed = next(seeds)
        hashes = table.lazy().select(first=pl.col(column).hash(seed), second=pl.col(column).hash(seed + 1))
        codes = codes_of_hashes(hashes.collect(engine="streaming"))
    return codes


def codes_of_hashes(hashes: pl.DataFrame) -> Codes | None:
    """Return (n,) int32 codes of the hashes `first`; None if two ids share a first hash, as `second` shows."""
    encoded = pc.dictionary_encode(hashes["first"].rechunk().to_arrow())
    codes: Codes = pl.Series(encoded.indices).to_numpy()  # Arrow's own `to_numpy` imports pandas
    second = hashes["second"].to_numpy()
    second_of_code = np.empty(len(encoded.dictionary), dtype=np.uint64)
    second_of_code[codes] = second
    return codes if (second_of_code[codes] == second).all() else None
