"""Reads LightGCN's files of interactions: a line is a user's number, then the numbers of their items.

Source: github.com/kuandeng/LightGCN, "Dataset" in its README; NGCF, KGAT and others use the same form.
"""

from collections.abc import Iterable

import polars as pl

from dataset.errors import InvalidTableError


def pairs_of_lines(blocks: Iterable[bytes], where: str) -> pl.DataFrame:
    """Return `user` and `item` (text) of each interaction; a user without items has one row, without an item.

    Args:
        blocks: the file's text in UTF-8, in blocks of whole lines.
        where: the file, for messages.

    Raises:
        InvalidTableError: a line has something else than numbers.
    """
    parts, n_before = [], 0
    for block in blocks:
        lines = pl.Series("line", block.decode().split("\n"))
        parts.append(_pairs(lines.to_frame().with_row_index("number", n_before + 1), where))
        n_before += len(lines) - 1  # after the last line end of a block, there is no line
    return pl.concat(parts) if parts else pl.DataFrame(schema={"user": pl.String, "item": pl.String})


def _pairs(lines: pl.DataFrame, where: str) -> pl.DataFrame:
    numbers = lines.with_columns(numbers=pl.col("line").str.extract_all(r"\S+"))
    wrong = numbers.filter(pl.col("line").str.contains(r"[^0-9\s]"))
    if wrong.height:
        number, line = wrong.select("number", "line").row(0)
        raise InvalidTableError(
            f"{where}: line {number:,} has more than numbers ({line.strip()[:40]!r}), but a line of LightGCN's form is "
            "a user's number and the numbers of their items; choose another --format"
        )
    users = numbers.filter(pl.col("numbers").list.len() > 0)
    return users.select(
        user=pl.col("numbers").list.first(), item=pl.col("numbers").list.slice(1)
    ).explode("item", empty_as_null=True)  # fmt: skip
