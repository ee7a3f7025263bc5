"""Exports a dataset or snapshot to files that other recommender libraries read.

| format | files |
|---|---|
| `recbole` | `<name>/<name>.{train,valid,test}.inter` and `<name>.item` (atomic files), `<name>.yaml` to run them |
| `lightgcn` | `train.txt`, `valid.txt`, `test.txt` (user number, item numbers), `user_list.txt`, `item_list.txt` |
| `uir` | `train.tsv`, `valid.tsv`, `test.tsv`: user, item and rating, without a header (Cornac and others) |

`recbole` and `uir` hold ratings, `recbole` also dates. They are exported only if every interaction has one,
because other libraries would fill gaps with invented values. Without ratings, the rating in `uir` is 1.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from dataset.errors import MissingInputError, UsageError
from dataset.files import atomic_path, write_text
from dataset.schema import Interaction, SnapshotMovie
from dataset.tables import read_table

_log = logging.getLogger(__name__)

FILE_OF_SPLIT = {"train": "train", "validation": "valid", "test": "test"}
"""The names of the splits in RecBole, LightGCN and similar libraries."""


ExportFormat = Literal["recbole", "lightgcn", "uir"]


@dataclass(frozen=True)
class Exported:
    """The result of `export`: the folder, its files, and which of `stars` and `rated_on` have no gaps."""

    path: Path
    files: list[Path]
    values: list[str]


def export(source: Path, destination: Path, file_format: ExportFormat, name: str = "dataset") -> Exported:
    """Write the interactions of a dataset folder or a snapshot in another library's format.

    Raises:
        UsageError: `name` is not a valid file name.
        MissingInputError: `source` is neither a dataset folder nor a snapshot.
        InvalidTableError: a table is invalid.
    """
    if not name or name.startswith(".") or set(name) & set("/\\"):
        raise UsageError(f"export: name {name!r} is not a valid file name; use letters, digits, - and _")
    if not (source / "interactions.parquet").is_file():
        raise MissingInputError(
            f"{source}: no interactions.parquet there, so it is neither a dataset folder nor a snapshot; "
            "create one with `python -m dataset build`, or name a version's folder"
        )
    interactions = read_table(source / "interactions.parquet", Interaction)
    movies = read_table(source / "movies.parquet", SnapshotMovie)
    values = [column for column in ("stars", "rated_on") if not interactions[column].null_count()]
    files = _FORMATS[file_format](interactions, movies, destination, name)
    _log.info("exported %s as %s: %d files", source, file_format, len(files))
    return Exported(destination, files, values)


def _recbole(interactions: pl.DataFrame, movies: pl.DataFrame, destination: Path, name: str) -> list[Path]:
    """Write RecBole's atomic files, split for `benchmark_filename`, in a folder with the dataset's name.

    There is no `.user` file because only the users' ids are known.

    Source: recbole.io/docs, "Atomic Files" and "Data settings: benchmark_filename".
    """
    folder = destination / name
    columns = {
        "user_id:token": pl.col("user_id"),
        "item_id:token": pl.col("movie_id"),
        "rating:float": pl.col("stars"),
        "timestamp:float": pl.col("rated_on").cast(pl.Datetime("ms")).dt.epoch("s"),
    }
    table = _without_gaps(interactions.select("split", **columns))
    files = [
        _write_tsv(rows.drop("split"), folder / f"{name}.{FILE_OF_SPLIT[str(split)]}.inter", header=True)
        for split, rows in _by_split(table)
    ]
    items = movies.select(
        pl.col("movie_id").alias("item_id:token"),
        _one_line(pl.col("title")).alias("movie_title:token_seq"),
        pl.col("year").cast(pl.String).alias("release_year:token"),
        pl.col("genres")
        .list.eval(_one_line(pl.element()).str.replace_all(" ", "_"))
        .list.join(" ")
        .alias("class:token_seq"),
    )
    files.append(_write_tsv(items, folder / f"{name}.item", header=True))
    loaded = [column.partition(":")[0] for column in table.columns if column != "split"]
    settings = [
        f"# run_recbole(model='BPR', dataset='{name}', config_file_list=['{name}/{name}.yaml'], "
        "config_dict={'data_path': '<the folder that holds this one>'})",
        "USER_ID_FIELD: user_id",
        "ITEM_ID_FIELD: item_id",
        *(["RATING_FIELD: rating"] if "rating" in loaded else []),
        *(["TIME_FIELD: timestamp"] if "timestamp" in loaded else []),
        "benchmark_filename: [train, valid, test]",
        f"load_col: {{inter: [{', '.join(loaded)}], item: [item_id, movie_title, release_year, class]}}",
    ]
    write_text(folder / f"{name}.yaml", "\n".join(settings) + "\n")
    return [*files, folder / f"{name}.yaml"]


def _lightgcn(interactions: pl.DataFrame, movies: pl.DataFrame, destination: Path, name: str) -> list[Path]:
    """Write one line per user and split: the user's number, then the items' numbers; and the lists of ids.

    Users and items with training interactions have the lowest numbers, so a model needs no others.

    Source: github.com/kuandeng/LightGCN, Data/gowalla.
    """
    numbered, files = interactions, []
    for column, file in (("user_id", "user_list.txt"), ("movie_id", "item_list.txt")):
        order = interactions.group_by(column).agg(cold=(pl.col("split") != "train").all()).sort("cold", column)
        ids = order.select(org_id=column, remap_id=pl.int_range(pl.len()))
        _require_no_space(ids["org_id"])
        files.append(_write_tsv(ids, destination / file, header=True, separator=" "))
        numbered = numbered.join(ids.rename({"org_id": column, "remap_id": f"{column}_number"}), on=column)
    for split, rows in _by_split(numbered):
        users = rows.group_by("user_id_number").agg(pl.col("movie_id_number").sort()).sort("user_id_number")
        lines = users.select(
            pl.concat_str(
                "user_id_number", pl.col("movie_id_number").cast(pl.List(pl.String)).list.join(" "), separator=" "
            )
        )
        files.append(_write_tsv(lines, destination / f"{FILE_OF_SPLIT[split]}.txt", header=False))
    return files


def _uir(interactions: pl.DataFrame, movies: pl.DataFrame, destination: Path, name: str) -> list[Path]:
    """Write user, item and rating, separated by tabs, for Cornac's `Reader().read(file, fmt="UIR")`."""
    has_stars = not interactions["stars"].null_count()
    rating = pl.col("stars") if has_stars else pl.lit(1.0)
    table = interactions.select("split", "user_id", "movie_id", rating.alias("rating"))
    return [
        _write_tsv(rows.drop("split"), destination / f"{FILE_OF_SPLIT[split]}.tsv", header=False)
        for split, rows in _by_split(table)
    ]


def _by_split(table: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    return [(split, table.filter(pl.col("split") == split)) for split in FILE_OF_SPLIT]


def _without_gaps(table: pl.DataFrame) -> pl.DataFrame:
    return table.select(column for column in table if not column.null_count())


def _one_line(text: pl.Expr) -> pl.Expr:
    """Return text on one line with single spaces."""
    return text.str.replace_all(r"\s+", " ").str.strip_chars()


def _require_no_space(ids: pl.Series) -> None:
    bad = ids.filter(ids.str.contains(r"\s"))
    if len(bad):
        raise UsageError(
            f"export: {len(bad):,} ids contain spaces, for example {bad[0]!r}, which lightgcn does not allow; "
            "use --format recbole or uir"
        )


def _write_tsv(table: pl.DataFrame, path: Path, header: bool, separator: str = "\t") -> Path:
    with atomic_path(path) as temporary:
        table.write_csv(temporary, separator=separator, include_header=header, quote_style="never")
    return path


_FORMATS: dict[str, Callable[[pl.DataFrame, pl.DataFrame, Path, str], list[Path]]] = {
    "recbole": _recbole,
    "lightgcn": _lightgcn,
    "uir": _uir,
}
