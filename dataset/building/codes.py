"""Ids as dense integer codes, which is what filters and splits of millions of rows compute on."""

import itertools

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow.compute as pc

Codes = npt.NDArray[np.integer]


def dense_codes(table: pl.DataFrame | pl.LazyFrame, column: str) -> Codes:
    """Return each id of a column as a code, (n,) int32: 0, 1, … in order of appearance.

    Ids are told apart by a 64-bit hash, which needs no string in memory; a second hash proves
    that no two ids share the first one, else another hash is taken.
    """
    codes = None
    seeds = itertools.count(step=2)
    while codes is None:
        seed = next(seeds)
        hashes = table.lazy().select(first=pl.col(column).hash(seed), second=pl.col(column).hash(seed + 1))
        codes = codes_of_hashes(hashes.collect(engine="streaming"))
    return codes


def codes_of_hashes(hashes: pl.DataFrame) -> Codes | None:
    """Return (n,) int32 codes of the hashes `first`; None where two ids share one, as their hashes `second` tell."""
    encoded = pc.dictionary_encode(hashes["first"].rechunk().to_arrow())
    codes: Codes = pl.Series(encoded.indices).to_numpy()  # Arrow's own `to_numpy` imports pandas
    second = hashes["second"].to_numpy()
    second_of_code = np.empty(len(encoded.dictionary), dtype=np.uint64)
    second_of_code[codes] = second
    return codes if (second_of_code[codes] == second).all() else None
