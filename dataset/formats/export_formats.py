"""The files of each format of `export`, made from tables. Nothing is written here.

| format | files |
|---|---|
| `recbole` | `<name>/<name>.{train,valid,test}.inter` and `<name>.item` (atomic files), `<name>.yaml` to run them |
| `lightgcn` | `train.txt`, `valid.txt`, `test.txt` (user number, item numbers), `user_list.txt`, `item_list.txt` |
| `uir` | `train.tsv`, `valid.tsv`, `test.tsv`: user, item and rating, without a header (Cornac and others) |
| `uirt` | the same with a fourth column, the time in seconds since 1970 |

`recbole` quotes fields as CSV does, which its reader undoes. The other readers know no quotes. An id that would not
be read back is refused (`dataset.formats.writable_ids`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from dataset.columns import leaking_columns
from dataset.errors import UsageError
from dataset.files import write_text
from dataset.formats.writable_ids import (
    CORNAC_ITEM,
    CORNAC_USER,
    LIGHTGCN,
    LONGEST_FIELD,
    PANDAS_MISSING,
    RECBOLE,
    Refusal,
    require_writable,
)
from dataset.moments import moment
from dataset.schema import SnapshotMovie

ExportFormat = Literal["recbole", "lightgcn", "uir", "uirt"]

FILE_OF_SPLIT = {"train": "train", "validation": "valid", "test": "test"}
"""The names of the splits in RecBole, LightGCN and similar libraries."""


@dataclass(frozen=True)
class ExportFile:
    """A file to write: its path below the destination, and its rows or its text.

    Attributes:
        path: relative, with `/`.
        content: the rows, or the whole text.
        header: whether the first line names the columns.
        separator: the field separator.
        quotes: whether fields are quoted where they hold a separator, a quote or a line break.
    """

    path: str
    content: pl.DataFrame | str
    header: bool = True
    separator: str = "\t"
    quotes: bool = False

    def write(self, path: Path) -> None:
        """Write the file to `path`."""
        if isinstance(self.content, str):
            write_text(path, self.content)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        style: Literal["necessary", "never"] = "necessary" if self.quotes else "never"
        self.content.write_csv(path, separator=self.separator, include_header=self.header, quote_style=style)


def files_of(
    file_format: ExportFormat, interactions: pl.DataFrame, movies: pl.DataFrame, name: str, with_leaking: bool
) -> list[ExportFile]:
    """Return the files of a format.

    Args:
        file_format: the format.
        interactions: `SnapshotInteraction` rows.
        movies: `SnapshotMovie` rows.
        name: the dataset's name in RecBole.
        with_leaking: whether to write the movies' columns that reveal held-out rows, where the format has a place.

    Raises:
        UsageError: the format cannot hold an id, a title or what is asked for; the message has an example.
    """
    if with_leaking and file_format != "recbole":
        raise UsageError(f"--leaking-columns: {file_format} has no columns of movies; use it with --format recbole")
    if file_format == "recbole":
        return _recbole(interactions, movies, name, with_leaking)
    return _FORMATS[file_format](interactions)


def _recbole(interactions: pl.DataFrame, movies: pl.DataFrame, name: str, with_leaking: bool) -> list[ExportFile]:
    """Return RecBole's atomic files, split for `benchmark_filename`, in a folder with the dataset's name.

    There is no `.user` file because only the users' ids are known.

    Source: recbole.io/docs, "Atomic Files" and "Data settings: benchmark_filename".
    """
    _require_ids(interactions, "recbole", RECBOLE, RECBOLE, movies)
    columns = {
        "user_id:token": pl.col("user_id"),
        "item_id:token": pl.col("movie_id"),
        "rating:float": pl.col("stars"),
        "timestamp:float": moment().dt.epoch("s"),
        "rated_rank:float": pl.col("rated_rank"),
    }
    table = _without_gaps(interactions.select("split", **columns))
    files = [
        ExportFile(f"{name}/{name}.{FILE_OF_SPLIT[split]}.inter", rows, quotes=True) for split, rows in _by_split(table)
    ]
    items = _recbole_items(movies, with_leaking)
    files.append(ExportFile(f"{name}/{name}.item", items, quotes=True))
    loaded = [column.partition(":")[0] for column in table.columns if column != "split"]
    loaded_items = [column.partition(":")[0] for column in items.columns]
    settings = [
        f"# run_recbole(model='BPR', dataset={name!r}, config_file_list=[{f'{name}/{name}.yaml'!r}], "
        "config_dict={'data_path': '<the folder that holds this one>'})",
        "USER_ID_FIELD: user_id",
        "ITEM_ID_FIELD: item_id",
        *(["RATING_FIELD: rating"] if "rating" in loaded else []),
        *[f"TIME_FIELD: {column}" for column in ("timestamp", "rated_rank") if column in loaded],
        "benchmark_filename: [train, valid, test]",
        f"load_col: {{inter: [{', '.join(loaded)}], item: [{', '.join(loaded_items)}]}}",
    ]
    return [*files, ExportFile(f"{name}/{name}.yaml", "\n".join(settings) + "\n")]


def _recbole_items(movies: pl.DataFrame, with_leaking: bool) -> pl.DataFrame:
    """Return the rows of the `.item` file; its columns of numbers have no gaps, which RecBole would fill."""
    genre = _one_line(pl.element()).str.replace_all(" ", "_")
    items = movies.select(
        pl.col("movie_id").alias("item_id:token"),
        _words(_one_line(pl.col("title"))).alias("movie_title:token_seq"),
        pl.col("year").cast(pl.String).alias("release_year:token"),
        _words(pl.col("genres").list.eval(genre).list.join(" ")).alias("class:token_seq"),
    )
    for column in items.columns[1:]:
        long = items.filter(pl.col(column).str.len_chars() > LONGEST_FIELD)
        if long.height:
            raise UsageError(
                f"export: {column.partition(':')[0]} of {long.height:,} movies is longer than {LONGEST_FIELD:,} "
                f"characters, which RecBole cannot read, for example of movie {long['item_id:token'][0]!r}; shorten it "
                "in the items file and import it again"
            )
    wanted = leaking_columns(SnapshotMovie) if with_leaking else {}
    return items.with_columns(
        movies[column].alias(f"{column}:float") for column in wanted if not movies[column].null_count()
    )


def _lightgcn(interactions: pl.DataFrame) -> list[ExportFile]:
    """Return one line per user and split: the user's number, then the items' numbers; and the lists of ids.

    Users and items with training interactions have the lowest numbers, so a model needs no others.

    Source: github.com/kuandeng/LightGCN, "Dataset" in its README and `utility/load_data.py`.
    """
    _require_ids(interactions, "lightgcn", LIGHTGCN, LIGHTGCN)
    numbered, files = interactions, []
    for column, file in (("user_id", "user_list.txt"), ("movie_id", "item_list.txt")):
        order = interactions.group_by(column).agg(cold=(pl.col("split") != "train").all()).sort("cold", column)
        ids = order.select(org_id=column, remap_id=pl.int_range(pl.len()))
        files.append(ExportFile(file, ids, separator=" "))
        numbered = numbered.join(ids.rename({"org_id": column, "remap_id": f"{column}_number"}), on=column)
    for split, rows in _by_split(numbered):
        users = rows.group_by("user_id_number").agg(pl.col("movie_id_number").sort()).sort("user_id_number")
        lines = users.select(
            pl.concat_str(
                "user_id_number", pl.col("movie_id_number").cast(pl.List(pl.String)).list.join(" "), separator=" "
            )
        )
        files.append(ExportFile(f"{FILE_OF_SPLIT[split]}.txt", lines, header=False))
    return files


def _uir(interactions: pl.DataFrame) -> list[ExportFile]:
    """Return user, item and rating, separated by tabs, for Cornac's `Reader().read(file, fmt="UIR")`."""
    _require_ids(interactions, "uir", CORNAC_USER, CORNAC_ITEM)
    return _tuples(interactions)


def _uirt(interactions: pl.DataFrame) -> list[ExportFile]:
    """Return user, item, rating and time, separated by tabs, for Cornac's `Reader().read(file, fmt="UIRT")`."""
    _require_ids(interactions, "uirt", CORNAC_USER, CORNAC_ITEM)
    time = moment().dt.epoch("s")
    if n := interactions.select(time.null_count()).item():
        remedy = (
            "use --format recbole, which takes the order of each user's ratings, or uir"
            if not interactions["rated_rank"].null_count()
            else "use --format uir, or build with --since and any early day"
        )
        raise UsageError(
            f"export: {n:,} of {interactions.height:,} interactions have neither a time nor a day, which uirt needs; "
            f"{remedy}"
        )
    return _tuples(interactions, time.alias("time"))


def _tuples(interactions: pl.DataFrame, *more: pl.Expr) -> list[ExportFile]:
    rating = pl.lit(1.0) if interactions["stars"].null_count() else pl.col("stars")
    table = interactions.select("split", "user_id", "movie_id", rating.alias("rating"), *more)
    return [ExportFile(f"{FILE_OF_SPLIT[split]}.tsv", rows, header=False) for split, rows in _by_split(table)]


def _require_ids(
    interactions: pl.DataFrame,
    file_format: str,
    of_users: tuple[Refusal, ...],
    of_movies: tuple[Refusal, ...],
    movies: pl.DataFrame | None = None,
) -> None:
    require_writable(interactions["user_id"], "user", of_users, file_format)
    movie_ids = interactions["movie_id"] if movies is None else movies["movie_id"]
    require_writable(movie_ids, "movie", of_movies, file_format)


def _by_split(table: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    return [(split, table.filter(pl.col("split") == split).drop("split")) for split in FILE_OF_SPLIT]


def _without_gaps(table: pl.DataFrame) -> pl.DataFrame:
    return table.select(column for column in table if not column.null_count())


def _one_line(text: pl.Expr) -> pl.Expr:
    """Return text on one line with single spaces; control characters count as spaces."""
    return text.str.replace_all(r"[\s\p{Cc}]+", " ").str.strip_chars()


def _words(text: pl.Expr) -> pl.Expr:
    """Return words separated by spaces, null if there are none; a space follows one that pandas reads as missing."""
    return pl.when(text == "").then(None).when(text.is_in(PANDAS_MISSING)).then(text + " ").otherwise(text)


_FORMATS: dict[ExportFormat, Callable[[pl.DataFrame], list[ExportFile]]] = {
    "lightgcn": _lightgcn,
    "uir": _uir,
    "uirt": _uirt,
}
