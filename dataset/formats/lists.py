"""Reads files of which a line is a user and all their items: LightGCN's numbers, and Tradesy's dictionaries.

LightGCN's line is a user's number, then the numbers of their items. Source: github.com/kuandeng/LightGCN, "Dataset" in
its README; NGCF, KGAT and others use the same form.

Tradesy's line is a dictionary as Python writes it: `{'lists': {'bought': ['466'], 'selling': [], 'want': ['23'],
'sold': []}, 'uid': '2'}`. What a user bought or wants is an interaction, as in He and McAuley 2016, VBPR, "Datasets".
Source: github.com/aaossa/VBPR-PyTorch, vbpr/datasets/tradesy.py.
"""

import ast
from collections.abc import Iterable, Iterator
from typing import Any

import polars as pl

from dataset.errors import InvalidTableError

_PAIRS = {"user": pl.String, "item": pl.String}
_LISTS = ("bought", "want")
_MAX_DICTIONARY_BYTES = 1 << 20


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
    return pl.concat(parts) if parts else pl.DataFrame(schema=_PAIRS)


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


def pairs_of_dictionaries(blocks: Iterable[bytes], where: str) -> pl.DataFrame:
    """Return `user` and `item` (text) of each item that a user bought or wants, once per pair.

    A user without such items has one row, without an item.

    Args:
        blocks: the file's text in UTF-8, in blocks of whole lines.
        where: the file, for messages.

    Raises:
        InvalidTableError: a line is no such dictionary.
    """
    parts, n_before = [], 0
    for block in blocks:
        lines = block.split(b"\n")
        users, items = [], []
        for number, line in enumerate(lines, n_before + 1):
            for user, item in _pairs_of(line, number, where):
                users.append(user)
                items.append(item)
        parts.append(pl.DataFrame({"user": users, "item": items}, schema=_PAIRS))
        n_before += len(lines) - 1
    return pl.concat(parts) if parts else pl.DataFrame(schema=_PAIRS)


def _pairs_of(line: bytes, number: int, where: str) -> Iterator[tuple[str, str | None]]:
    if not line.strip():
        return
    try:
        # Only constants are read, so a line runs no code. A long line would take a gigabyte.
        read: Any = ast.literal_eval(line.decode().strip()) if len(line) <= _MAX_DICTIONARY_BYTES else None
        user, items = _id(read["uid"]), [_id(item) for name in _LISTS for item in read["lists"][name]]
    except (ValueError, SyntaxError, TypeError, LookupError, RecursionError, MemoryError):
        raise InvalidTableError(
            f"{where}: line {number:,} is no dictionary of Tradesy's form ({line[:40].decode(errors='replace')!r}), "
            "such as {'lists': {'bought': ['466'], 'want': []}, 'uid': '2'}; choose another --format"
        ) from None
    yield from ((user, item) for item in dict.fromkeys(items) or [None])


def _id(value: object) -> str:
    """Return an id as text.

    Raises:
        ValueError: it is neither text nor an integer.
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("no id")
    return str(value).encode().decode()  # a lone surrogate raises an error here
