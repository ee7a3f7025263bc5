"""Finds the frame or item of the dataset that each row of a file names."""

from dataclasses import dataclass
from typing import Literal

import polars as pl

from dataset.errors import TooLittleDataError
from dataset.formats.picture_files import composed

Named = Literal["frames", "items"]

_UNKNOWN, _NO_ID = "id is not in the dataset", "no id"


@dataclass(frozen=True)
class Matched:
    """What the ids of a file name.

    Attributes:
        of: frames or items.
        known: the rows whose ids the dataset has: `row`, `id` (as in the file) and `known` (the dataset's id).
        lost: the other rows: `row`, `id`, `reason`, `detail`.
        n_named: how many frames or items the dataset has.
    """

    of: Named
    known: pl.DataFrame
    lost: pl.DataFrame
    n_named: int


def match(ids: pl.Series, problems: pl.DataFrame, named: dict[Named, pl.Series], where: str, remedy: str) -> Matched:
    """Find the frame or item of each row.

    If the ids may be of frames or of items, they are of the kind that has more of them.

    Args:
        ids: the id of each row, null where it has none.
        problems: the rows that cannot be used: `row`, `reason`, `detail`.
        named: the dataset's ids of frames, of items, or of both.
        where: the file, for messages.
        remedy: which options to check if no id is known.

    Raises:
        TooLittleDataError: no id is one of the dataset, or none of these rows can be used.
    """
    rows = pl.DataFrame({"row": pl.Series(range(len(ids)), dtype=pl.Int64), "id": ids})
    found = {of: _find(rows, candidates) for of, candidates in named.items()}
    of = max(named, key=lambda one: found[one]["known"].drop_nulls().n_unique())
    known = found[of]
    if known["known"].null_count() == known.height:
        theirs = ids.drop_nulls()
        example = f", for example {theirs[0][:40]!r}" if len(theirs) else ""
        ours = next((candidates[0] for candidates in named.values() if len(candidates)), None)
        raise TooLittleDataError(
            f"{where}: none of its {len(ids):,} ids{example} is one of {' or '.join(named)} of the dataset"
            + (f", whose ids look like {ours!r}" if ours is not None else "")
            + f"; {remedy}"
        )
    lost = problems.join(rows, on="row", how="left").select("row", "id", "reason", "detail")
    good = known.filter(~pl.col("row").is_in(lost["row"].implode()))
    why = pl.when(pl.col("id").is_null()).then(pl.lit(_NO_ID)).otherwise(pl.lit(_UNKNOWN))
    unknown = good.filter(pl.col("known").is_null()).select(
        "row", "id", reason=why, detail=pl.lit(None, dtype=pl.String)
    )
    usable = good.filter(pl.col("known").is_not_null())
    if usable.is_empty():
        row, _, reason, detail = lost.row(0)
        raise TooLittleDataError(
            f"{where}: none of its {len(ids):,} rows has both an id of the dataset and a usable value; for example "
            f"row {row}: {reason}{f' ({detail})' if detail else ''}"
        )
    return Matched(of, usable, pl.concat([lost, unknown]), len(named[of]))


def _find(rows: pl.DataFrame, known: pl.Series) -> pl.DataFrame:
    """Return `rows` with the dataset's id of each as `known`: the same, or the same but for spaces and composition."""
    loose = pl.DataFrame(
        {"known": known, "loose": [composed(one.strip()) for one in known]}, schema_overrides={"loose": pl.String}
    )
    loose = loose.filter(~pl.col("loose").is_duplicated())
    texts = [None if one is None else composed(one.strip()) for one in rows["id"]]
    exact = rows.with_columns(loose=pl.Series(texts, dtype=pl.String)).join(
        pl.DataFrame({"id": known, "exact": known}), on="id", how="left", maintain_order="left"
    )
    return exact.join(loose, on="loose", how="left", maintain_order="left").select(
        "row", "id", known=pl.coalesce("exact", "known")
    )
