"""Makes the tables to publish from those of a dataset folder: with dates as exact as the publisher wants."""

from pathlib import Path

import polars as pl

from dataset.claims import require_plausible
from dataset.dates import Dates, coarsen, has_times, personal_dates
from dataset.errors import InvalidTableError
from dataset.schema import SNAPSHOT_TABLES


def coarse_tables(dataset: Path, dates: Dates, scratch: Path) -> dict[str, Path]:
    """Write the tables whose dates have to change to a scratch folder; return the file to publish of each table.

    Args:
        dataset: the dataset folder.
        dates: how exact the dates may be.
        scratch: an empty folder.

    Raises:
        InvalidTableError: a table cannot be read.
    """
    files = {name: dataset / f"{name}.parquet" for name in SNAPSHOT_TABLES}
    for name, path in files.items():
        schema = SNAPSHOT_TABLES[name]
        if dates == "time" or not personal_dates(schema) or not path.is_file():
            continue
        require_plausible(path, is_read_whole=dates == "order")
        try:
            rows = coarsen(pl.scan_parquet(path, glob=False), schema, dates)
            rows.sink_parquet(scratch / path.name, compression="zstd")
        except pl.exceptions.PolarsError as error:
            reason = " ".join(str(error).split("Resolved plan")[0].split())[:160]
            raise InvalidTableError(f"{path}: its dates cannot be published as {dates} ({reason})") from None
        files[name] = scratch / path.name
    return files


def exactness(files: dict[str, Path], dates: Dates) -> Dates:
    """Return how exact the dates in these files are: `time` only if a time of day is known."""
    if dates != "time":
        return dates
    scans = ((pl.scan_parquet(path, glob=False), SNAPSHOT_TABLES[name]) for name, path in files.items())
    return "time" if any(has_times(rows, schema) for rows, schema in scans if personal_dates(schema)) else "day"
