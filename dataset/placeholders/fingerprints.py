"""What the pictures of a raw folder look like: the table `fingerprints.parquet`, one row per distinct picture file.

An import and the export of a crawl write the table. A raw folder of an older version has none; then the pictures are
opened once more. A picture is opened by decoder processes (`dataset.pictures`), with their limits.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self

import dataframely as dy
import numpy as np
import polars as pl
import pyarrow.parquet as pq

from dataset.files import atomic_path
from dataset.pictures.pool import PicturePool
from dataset.pictures.protocol import N_CELL_LEVELS, UnreadablePicture
from dataset.progress import progress
from dataset.shards.budget import BytesBudget
from dataset.shards.references import PictureFiles, reading_order
from dataset.tables import empty, read_table, validate, write_table

FILE_NAME = "fingerprints.parquet"
_MAX_PROCESSES = 8
_AHEAD = 64
_BYTES_IN_PROGRESS = 64 << 20
_ROWS_AT_ONCE = 10_000


class Fingerprint(dy.Schema):
    """A picture's mean colours of 9 x 9 equal cells: R, G, B of each cell, row by row.

    A picture without a row has not been opened, or is missing, changed or unreadable.
    """

    image_sha256 = dy.String(primary_key=True, regex="^[0-9a-f]{64}$")
    cells = dy.Array(dy.UInt8(), N_CELL_LEVELS)


def read_fingerprints(raw: Path) -> dy.DataFrame[Fingerprint]:
    """Return the fingerprints in a raw folder; no rows if it has no such table.

    Raises:
        InvalidTableError: the table is invalid.
    """
    if (raw / FILE_NAME).is_file():
        return read_table(raw / FILE_NAME, Fingerprint)
    return validate(empty(Fingerprint), Fingerprint, FILE_NAME)


def fingerprints_of(cells: Mapping[str, str]) -> dy.DataFrame[Fingerprint]:
    """Return the fingerprints of pictures, given the cells of each (`Checked.cells`) by the picture's SHA-256."""
    levels = np.frombuffer(bytes.fromhex("".join(cells.values())), dtype=np.uint8).reshape(-1, N_CELL_LEVELS)
    table = pl.DataFrame({"image_sha256": list(cells), "cells": levels}, schema=empty(Fingerprint).schema)
    return validate(table, Fingerprint, FILE_NAME)


class FingerprintWriter:
    """Writes the fingerprints of a raw folder while pictures are read; a context manager.

    Only a few are in memory: those of a million pictures would take 250 MB. The table replaces an earlier one when the
    context ends without an error.
    """

    def __init__(self, raw: Path) -> None:
        self._path = raw / FILE_NAME
        self._files = ExitStack()
        self._writer: pq.ParquetWriter | None = None
        self._new = dict[str, str]()
        self._seen = set[int]()

    def __enter__(self) -> Self:
        self._temporary = self._files.enter_context(atomic_path(self._path))
        return self

    def __exit__(self, *error: Any) -> None:
        if error[0] is None:
            self._write()
        if self._writer is not None:
            self._writer.close()
        self._files.__exit__(*error)

    def add(self, image_sha256: str, cells: str) -> None:
        """Add a picture, given its `Checked.cells`; a picture that is there already is not added again."""
        number = int(image_sha256[:16], 16)  # a number takes less memory than 64 digits
        if number in self._seen:
            return
        self._seen.add(number)
        self._new[image_sha256] = cells
        if len(self._new) == _ROWS_AT_ONCE:
            self._write()

    def _write(self) -> None:
        rows = fingerprints_of(self._new).to_arrow(compat_level=pl.CompatLevel.oldest())
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._temporary, rows.schema, compression="zstd")
        self._writer.write_table(rows)
        self._new.clear()


def complete_fingerprints(
    raw: Path, images: pl.DataFrame, known: dy.DataFrame[Fingerprint]
) -> dy.DataFrame[Fingerprint]:
    """Return the fingerprints of all pictures of a raw folder that can be opened; only those not known are opened.

    Args:
        raw: the raw folder with the picture files.
        images: its `Image` rows.
        known: fingerprints that are known already; those of other pictures are left out.
    """
    distinct = images.unique("image_sha256").sort("image_sha256").select("image_sha256", "path")
    unknown = distinct.join(known, on="image_sha256", how="anti")
    opened = _open_all(raw, unknown) if unknown.height else {}
    return validate(
        pl.concat([known.join(distinct, on="image_sha256", how="semi"), fingerprints_of(opened)]).sort("image_sha256"),
        Fingerprint,
        FILE_NAME,
    )


def write_fingerprints(raw: Path, images: pl.DataFrame, known: dy.DataFrame[Fingerprint] | None = None) -> None:
    """Write the fingerprints of all pictures of a raw folder; only new pictures are opened.

    Args:
        raw: the raw folder with the picture files.
        images: its `Image` rows.
        known: fingerprints that are known already; by default those in the folder.

    Raises:
        InvalidTableError: the table in the folder is invalid.
        PipelineError: the table cannot be written.
    """
    before = read_fingerprints(raw)
    found = complete_fingerprints(raw, images, before if known is None else known)
    if not ((raw / FILE_NAME).is_file() and found.equals(before.sort("image_sha256"))):
        write_table(found, Fingerprint, raw / FILE_NAME)


def _open_all(raw: Path, pictures: pl.DataFrame) -> dict[str, str]:
    """Return the cells of each picture that can be opened and has the expected SHA-256, by its SHA-256.

    Raises:
        MissingInputError, InvalidTableError: a shard is missing or has changed.
    """
    n_processes = min(os.cpu_count() or 1, _MAX_PROCESSES)
    with PictureFiles(raw) as files, PicturePool(n_processes) as pool, progress("pictures") as bar:

        def found_in_order() -> Iterator[tuple[str, Path | bytes]]:
            for sha256, path in sorted(pictures.iter_rows(), key=lambda picture: reading_order(picture[1])):
                with suppress(UnreadablePicture):
                    found = files.find(path, sha256)
                    budget.take(len(found) if isinstance(found, bytes) else 0)
                    yield sha256, found

        def open_one(picture: tuple[str, Path | bytes]) -> tuple[str, str] | None:
            sha256, found = picture
            try:
                checked = pool.check(found)
            except UnreadablePicture:
                return None
            finally:
                budget.give_back(len(found) if isinstance(found, bytes) else 0)
            return (sha256, checked.cells) if checked.sha256 == sha256 else None

        budget = BytesBudget(_BYTES_IN_PROGRESS)
        task = bar.add_task("looking at pictures", total=pictures.height)
        opened = {}
        for one in pool.each(open_one, found_in_order(), _AHEAD):
            bar.advance(task)
            if one is not None:
                opened[one[0]] = one[1]
    return opened
