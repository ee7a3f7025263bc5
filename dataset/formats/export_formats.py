"""The files of each format of `export`, made from tables. Nothing is written here.

| format | files |
|---|---|
| `recbole` | `<name>/<name>.{train,valid,test}.inter` and `<name>.item` (atomic files), `<name>.yaml` to run them |
| `lightgcn` | `train.txt`, `valid.txt`, `test.txt` (user number, item numbers), `user_list.txt`, `item_list.txt` |
| `uir` | `train.tsv`, `valid.tsv`, `test.tsv`: user, item and rating, without a header (Cornac and others) |
| `uirt` | the same with a fourth column, the time in seconds since 1970 |
| `mmrec` | `<name>/<name>.inter` (user and item numbers, `x_label` 0, 1 or 2), `*_feat.npy`, ids, `<name>.yaml` |

Features are files beside these (`dataset.formats.export_features`).

`recbole` quotes fields as CSV does, which its reader undoes. The other readers know no quotes. An id that would not
be read back is refused (`dataset.formats.writable_ids`).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import polars as pl

from dataset.columns import leaking_columns
from dataset.errors import UsageError
from dataset.files import write_text
from dataset.formats.export_features import ExportedFeatures, TextVectors
from dataset.formats.writable_ids import (
    CORNAC_ITEM,
    CORNAC_USER,
    LIGHTGCN,
    LINES,
    LONGEST_FIELD,
    PANDAS_MISSING,
    RECBOLE,
    Refusal,
    require_writable,
)
from dataset.moments import moment
from dataset.schema import SnapshotMovie

ExportFormat = Literal["recbole", "lightgcn", "uir", "uirt", "mmrec"]

FILE_OF_SPLIT = {"train": "train", "validation": "valid", "test": "test"}
"""The names of the splits in RecBole, LightGCN and similar libraries."""


class Writable(Protocol):
    """A file to write: its path below the destination, relative and with `/`."""

    @property
    def path(self) -> str:
        """Its path."""

    def write(self, path: Path) -> None:
        """Write the file to `path`."""


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
    file_format: ExportFormat,
    interactions: pl.DataFrame,
    movies: pl.DataFrame,
    name: str,
    with_leaking: bool,
    features: Sequence[ExportedFeatures] = (),
) -> list[Writable]:
    """Return the files of a format.

    Args:
        file_format: the format.
        interactions: `SnapshotInteraction` rows.
        movies: `SnapshotMovie` rows.
        name: the dataset's name in RecBole.
        with_leaking: whether to write the movies' columns that reveal held-out rows, where the format has a place.
        features: the features to write, of pictures and of modalities.

    Raises:
        UsageError: the format cannot hold an id, a title or what is asked for; the message has an example.
    """
    if with_leaking and file_format != "recbole":
        raise UsageError(f"--leaking-columns: {file_format} has no columns of movies; use it with --format recbole")
    if file_format == "recbole":
        return _recbole(interactions, movies, name, with_leaking, features)
    if file_format == "mmrec":
        return _mmrec(interactions, name, features)
    files: list[Writable] = [*_FORMATS[file_format](interactions)]
    for one in features:
        order = movies["movie_id"].sort()
        if file_format == "lightgcn":
            order = _numbers(interactions, "movie_id")["movie_id"]
        files += one.files(order)
        ids, what = (order, "movie") if one.of == "items" else (one.known["frame_id"], "frame")
        require_writable(ids, what, LINES, f"{file_format} with features")
    return files


def _recbole(
    interactions: pl.DataFrame,
    movies: pl.DataFrame,
    name: str,
    with_leaking: bool,
    features: Sequence[ExportedFeatures],
) -> list[Writable]:
    """Return RecBole's atomic files, split for `benchmark_filename`, in a folder with the dataset's name.

    There is no `.user` file because only the users' ids are known. Means of the items' frames are in an `.itememb`
    file, features of a modality in a file with its name, such as `.textemb`.

    Source: recbole.io/docs, "Atomic Files", "Data settings: benchmark_filename" and "Load Pre-trained Embedding".
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
    files: list[Writable] = [
        ExportFile(f"{name}/{name}.{FILE_OF_SPLIT[split]}.inter", rows, quotes=True) for split, rows in _by_split(table)
    ]
    items = _recbole_items(movies, with_leaking)
    files.append(ExportFile(f"{name}/{name}.item", items, quotes=True))
    loaded = [column.partition(":")[0] for column in table.columns if column != "split"]
    embeddings = [_Embedding.of(one) for one in features]
    loaded_items = [column.partition(":")[0] for column in items.columns]
    settings = [
        f"# run_recbole(model='BPR', dataset={name!r}, config_file_list=[{f'{name}/{name}.yaml'!r}], "
        "config_dict={'data_path': '<the folder that holds this one>'})",
        "USER_ID_FIELD: user_id",
        "ITEM_ID_FIELD: item_id",
        *(["RATING_FIELD: rating"] if "rating" in loaded else []),
        *[f"TIME_FIELD: {column}" for column in ("timestamp", "rated_rank") if column in loaded],
        "benchmark_filename: [train, valid, test]",
        f"load_col: {{inter: [{', '.join(loaded)}], item: [{', '.join(loaded_items)}]"
        + "".join(f", {one.suffix}: [{one.item}, {one.vector}]" for one in embeddings)
        + "}",
    ]
    if embeddings:
        settings += [
            f"additional_feat_suffix: [{', '.join(one.suffix for one in embeddings)}]",
            f"alias_of_item_id: [{', '.join(one.item for one in embeddings)}]",
            f"preload_weight: {{{', '.join(f'{one.item}: {one.vector}' for one in embeddings)}}}",
        ]
    for one, made in zip(embeddings, features, strict=True):
        path = f"{name}/{name}.{one.suffix}"
        files.append(TextVectors(path, made, movies["movie_id"].sort(), (one.item, one.vector)))
    return [*files, ExportFile(f"{name}/{name}.yaml", "\n".join(settings) + "\n")]


class _Embedding(NamedTuple):
    """A file of embeddings in RecBole: its suffix, and the names of its columns of items and of vectors."""

    suffix: str
    item: str
    vector: str

    @classmethod
    def of(cls, features: ExportedFeatures) -> "_Embedding":
        if features.key == "frame_id":
            return cls("itememb", "iid", "item_emb")
        return cls(f"{features.name}emb", f"{features.name}_iid", f"{features.name}_emb")


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
    files = []
    for column, file in (("user_id", "user_list.txt"), ("movie_id", "item_list.txt")):
        ids = _numbers(interactions, column).rename({column: "org_id", f"{column}_number": "remap_id"})
        files.append(ExportFile(file, ids, separator=" "))
    for split, rows in _by_split(_with_numbers(interactions)):
        users = rows.group_by("user_id_number").agg(pl.col("movie_id_number").sort()).sort("user_id_number")
        lines = users.select(
            pl.concat_str(
                "user_id_number", pl.col("movie_id_number").cast(pl.List(pl.String)).list.join(" "), separator=" "
            )
        )
        files.append(ExportFile(f"{FILE_OF_SPLIT[split]}.txt", lines, header=False))
    return files


def _mmrec(interactions: pl.DataFrame, name: str, features: Sequence[ExportedFeatures]) -> list[Writable]:
    """Return MMRec's files, in a folder with the dataset's name: row i of `*_feat.npy` belongs to item number i.

    Features of a modality of any name are in `text_feat.npy`.

    Source: github.com/enoche/MMRec, "Data" in its README, `src/utils/dataset.py` and `src/configs/dataset/baby.yaml`.
    """
    require_writable(interactions["user_id"], "user", LINES, "mmrec")
    require_writable(interactions["movie_id"], "movie", LINES, "mmrec")
    labels = {split: number for number, split in enumerate(FILE_OF_SPLIT)}
    table = (
        _with_numbers(interactions)
        .select(
            userID="user_id_number",
            itemID="movie_id_number",
            x_label=pl.col("split").cast(pl.String).replace_strict(labels, return_dtype=pl.UInt8),
        )
        .sort("x_label", "userID", "itemID")
    )
    files: list[Writable] = [ExportFile(f"{name}/{name}.inter", table)]
    for column, number, file in (("user_id", "userID", "u_id_mapping.csv"), ("movie_id", "itemID", "i_id_mapping.csv")):
        files.append(ExportFile(f"{name}/{file}", _numbers(interactions, column).rename({f"{column}_number": number})))
    settings = [
        f"# copy this file to MMRec's src/configs/dataset/, and this folder to its data/; then: main.py -d {name}",
        "USER_ID_FIELD: userID",
        "ITEM_ID_FIELD: itemID",
        f"inter_file_name: {json.dumps(f'{name}.inter')}",
        "inter_splitting_label: x_label",
        'field_separator: "\\t"',
        "filter_out_cod_start_users: True",
        "vision_feature_file: image_feat.npy",  # MMRec needs both names, and looks whether the files exist
        "text_feature_file: text_feat.npy",
    ]
    for one in features:
        kind = "image" if one.key == "frame_id" else "text"
        files.append(one.array(f"{name}/{kind}_feat.npy", _numbers(interactions, "movie_id")["movie_id"]))
    return [*files, ExportFile(f"{name}/{name}.yaml", "\n".join(settings) + "\n")]


def _numbers(interactions: pl.DataFrame, column: str) -> pl.DataFrame:
    """Return each id with its number from 0; those with training interactions have the lowest numbers."""
    order = interactions.group_by(column).agg(cold=(pl.col("split") != "train").all()).sort("cold", column)
    return order.select(column, pl.int_range(pl.len()).alias(f"{column}_number"))


def _with_numbers(interactions: pl.DataFrame) -> pl.DataFrame:
    for column in ("user_id", "movie_id"):
        interactions = interactions.join(_numbers(interactions, column), on=column)
    return interactions


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
