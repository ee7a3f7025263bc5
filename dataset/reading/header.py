"""The first line of a text table: whether it names the columns or is data already."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import Literal

from dataset.reading.table import NO_VALUE

Verdict = Literal["names", "data", "unknown"]

_NUMBER_OR_DATE = re.compile(
    r"\s*([+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ].*)?)\s*"
)


def judge_first_line(first: Sequence[str], rows: Sequence[Sequence[str]]) -> Verdict:
    """Return what the first line of a table looks like, beside the rows below it.

    A text above numbers is a name. A number above numbers is data, and so is a text that has the shape of all texts
    below it (`B001` above `B002`) or occurs again there. What most cells say counts; data, if they are equally many.
    """
    votes: Counter[Verdict] = Counter()
    for position, cell in enumerate(cell.strip() for cell in first):
        below = [row[position].strip() for row in rows if position < len(row)]
        if cell not in ("", *NO_VALUE):
            votes[_judge_cell(cell, [value for value in below if value not in ("", *NO_VALUE)])] += 1
    if not (votes["names"] or votes["data"]):
        return "unknown"
    return "names" if votes["names"] > votes["data"] else "data"


def clean_names(cells: Sequence[str], has_types: bool) -> list[str]:
    """Return the names of columns: without spaces around them and, if `has_types`, without a type (`user_id:token`)."""
    names = [cell.strip().strip("\ufeff") for cell in cells]
    return [name.partition(":")[0] for name in names] if has_types else names


def _judge_cell(cell: str, below: Sequence[str]) -> Verdict:
    has_numbers_below = bool(below) and all(_NUMBER_OR_DATE.fullmatch(value) for value in below)
    if _NUMBER_OR_DATE.fullmatch(cell):
        return "data" if has_numbers_below or not below else "unknown"
    if has_numbers_below:
        return "names"
    shape = _shape(cell)
    has_same_shape = "0" in shape and bool(below) and all(_shape(value) == shape for value in below)
    return "data" if has_same_shape or cell in below else "unknown"


def _shape(text: str) -> str:
    """Return the kinds of characters in a text: "a0" for `tt0111161`."""
    kinds = ("0" if sign.isdecimal() else "a" if sign.isalpha() else sign for sign in text)
    return "".join(kind for kind, _ in groupby(kinds))
