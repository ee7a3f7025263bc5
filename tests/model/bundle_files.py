"""Bundles as forgers and enemies write them."""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from model.bundles.contents import TABLES

Content = dict[str, Any]
"""The tables of a bundle by name, and its `manifest`."""


def read(path: Path) -> Content:
    """Return the tables and the manifest of a bundle, and its other files as bytes."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    tables = {name: pl.read_parquet(files.pop(f"{name}.parquet")) for name in TABLES}
    return {"manifest": json.loads(files.pop("bundle.json")), **tables, **files}


def forged(content: Content, path: Path) -> Path:
    """Write a bundle as a forger does: with the digests of the files that it has."""
    content = dict(content)
    files = {}
    for name, part in content.items():
        if isinstance(part, pl.DataFrame):
            buffer = io.BytesIO()
            part.write_parquet(buffer)
            files[f"{name}.parquet"] = buffer.getvalue()
        elif isinstance(part, bytes):
            files[name] = part
    manifest = content["manifest"] | {"files": {n: hashlib.sha256(part).hexdigest() for n, part in files.items()}}
    return archived({"bundle.json": json.dumps(manifest).encode()} | files, path)


def archived(files: dict[str, bytes], path: Path, **options: Any) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def changes(table: pl.DataFrame, rows: list[int]) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield a table with one value changed, for each column, and tables with rows removed, repeated and exchanged."""
    last = table.height - 1
    for name, dtype in table.schema.items():
        for row in rows:
            values = table[name].to_list()
            values[row] = another(values, row, dtype)
            yield f"{name} of row {row}", table.with_columns(pl.Series(name, values, dtype=dtype))
    numbers = [name for name, dtype in table.schema.items() if dtype.is_numeric() and name not in ("seed", "k")]
    for one, other in ((0, 1), (0, last // 2)):
        if table[one].select(numbers).row(0) != table[other].select(numbers).row(0):
            order = [other if row == one else one if row == other else row for row in range(table.height)]
            yield f"rows {one} and {other} exchanged", table.with_columns(table[order].select(numbers))
    yield "a row removed", table[1:]
    yield "a row repeated", pl.concat([table, table[:1]])
    yield "no row", table.head(0)


def of_one_run(content: Content) -> Content:
    """Return an honest bundle of one of the runs, which takes less time to verify."""
    manifest = content["manifest"]
    (run,) = (run for run in manifest["runs"] if run["label"] == "random")
    tables = {name: content[name].filter(pl.col("model") == "random") for name in TABLES if name != "comparisons"}
    one = manifest | {"runs": [run], "baselines": []}
    return {**content, **tables, "comparisons": content["comparisons"].head(0), "manifest": one}


def another(values: list[Any], row: int, dtype: pl.DataType) -> Any:
    value = values[row]
    if dtype == pl.Boolean:
        return not value
    if dtype.is_float():
        return 0.5 if value is None else value + 1e-6
    if dtype.is_integer():
        return value + 1
    if value is None:
        return "0" * 64
    return next((other for other in (dtype.categories if dtype == pl.Enum else values) if other != value), "another")


def _with(**files: bytes | None) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    def change(content: dict[str, bytes]) -> dict[str, bytes]:
        named = {name.replace("__", "."): part for name, part in files.items()}
        return {name: part for name, part in {**content, **named}.items() if part is not None}

    return change


def as_parquet(table: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def huge() -> bytes:
    """Return a small Parquet file that claims many rows."""
    buffer = io.BytesIO()
    pq.write_table(pa.table({"model": pa.array(["a"]).take(pa.array([0] * 1_200_000))}), buffer)
    return buffer.getvalue()


METRICS = pl.DataFrame({"model": ["a"], "value": [float("nan")]})


HOSTILE: dict[str, Callable[[dict[str, bytes]], dict[str, bytes]]] = {
    "holds 1 files that no bundle has, for example '../../evil'": lambda files: files | {"../../evil": b""},
    "for example '/etc/evil'": lambda files: files | {"/etc/evil": b""},
    "for example 'metrics.parquet/'": lambda files: files | {"metrics.parquet/": b""},
    "for example 'model.pkl'": lambda files: files | {"model.pkl": b"cos\nsystem\n"},
    "lacks bundle.json": _with(bundle__json=None),
    "lacks metrics.parquet": _with(metrics__parquet=None),
    "SHA-256 differs": _with(metrics__parquet=b"PAR1"),
    "bundle.json: Invalid JSON": _with(bundle__json=b"{"),
    "Input should be an object": _with(bundle__json=b"[]"),
}
