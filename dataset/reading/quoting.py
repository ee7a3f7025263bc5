"""Decides how the fields of a text table are quoted: by the first style that fits every field of the file.

A style fits if every field that begins with the quotation mark ends with one, before a separator or a line end.
Inside, a quotation mark is doubled or follows a backslash. Where no style fits, the marks are part of the text.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

from dataset.errors import InvalidTableError
from dataset.reading.blocks import MAX_LINE_BYTES
from dataset.reading.dialect import Dialect

_JUDGED_BYTES = 1 << 17
_MOST_SPANS = 1_000
"""How many fields of several lines are examined in each block."""


def settle_quoting(
    path: Path, proposed: Dialect, quote: str | None, option: str, read_blocks: Callable[[], Iterable[bytes]]
) -> Dialect:
    """Return the proposed dialect with the style of quoting that fits the whole file.

    Args:
        path: the file, for the message.
        proposed: the separator, and the style to try first.
        quote: the quotation mark that the user named, "none" if the file has none, None to decide.
        option: the option that names the quotation mark, for messages.
        read_blocks: starts to read the file in blocks of whole lines, with `Dialect.delimiter` as separator.

    Raises:
        InvalidTableError: a style fits most quoted fields, but not all.
    """
    plain = Dialect(proposed.separator)
    if quote == "none":
        return plain
    marks = (quote,) if quote else dict.fromkeys((proposed.quote or '"', '"'))
    fitting, faults = [], []
    for mark in marks:
        for escape in (None, "\\"):
            check = _Check(Dialect(proposed.separator, mark, escape))
            if not check.fits(read_blocks()):
                faults.append(check)
            elif check.has_quoted_fields:
                fitting.append(check)
            if not check.has_escapes:
                break
    if fitting:
        return fitting[0].dialect if len(fitting) == 1 else _most_regular(fitting, next(iter(read_blocks()), b""))
    if not faults or (quote is None and all(check.is_mostly_bad for check in faults)):
        return plain
    fault = max(faults, key=lambda check: check.line)
    raise InvalidTableError(
        f"{path}: in line {fault.line:,} or below, a field begins with {fault.dialect.quote} and does not end with it; "
        f"fix it, or pass {option} none if quotation marks are part of the fields"
    )


class _Check:
    """Checks one style of quoting.

    Attributes:
        has_quoted_fields: whether a field begins with the quotation mark.
        has_escapes: whether a quotation mark follows a backslash.
        line: the line of the first fault, or one shortly before it.
        is_mostly_bad: whether most lines with marks near the first fault do not fit on their own.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.has_quoted_fields = self.has_escapes = self.is_mostly_bad = False
        self.line = 1
        self._mark, self._delimiter = (dialect.quote or "").encode(), dialect.delimiter.encode()
        mark, ends = re.escape(dialect.quote or ""), f"{re.escape(dialect.delimiter)}\\r\\n"
        escaped, backslash = (r"|\\.", r"\\") if dialect.escape else ("", "")
        inner, inner_line = (f"(?:[^{mark}{backslash}{also}]++|{mark}{mark}{escaped})*+" for also in ("", r"\r\n"))
        plain = f"(?!{mark})(?:[^{ends}{backslash}]++{escaped})*+"
        after = rf"(?:[{ends}]|\Z)"
        self._fields, self._one_line_fields = (
            _pattern(f"(?:(?:{mark}{text}{mark}(?={after})|{plain}){after})*+") for text in (inner, inner_line)
        )
        self._field = _pattern(f"(?:{mark}{inner}{mark}(?={after})|({plain})){after}")
        self._open_field = _pattern(rf"{mark}{inner}\Z")
        self._start = _pattern(f"{mark}(?<![^{ends}]{mark})")
        self._spans = _pattern(rf"{mark}(?<![^{ends}]{mark}){inner_line}\r?\n{inner}{mark}(?={after})")

    def fits(self, blocks: Iterable[bytes]) -> bool:
        """Return whether every quoted field ends as it should."""
        rest = b""
        for block in blocks:
            text = rest + block
            if self._mark not in text:
                self.line += text.count(b"\n")
                continue
            self.has_quoted_fields = self.has_quoted_fields or bool(self._start.search(text))
            self.has_escapes = self.has_escapes or b"\\" + self._mark in text
            if self._end_of_fields(text, self._one_line_fields) == len(text):
                self.line += text.count(b"\n")
                rest = b""
                continue
            end = self._end_of_fields(text)
            rest = text[end:]
            self.line += text.count(b"\n", 0, end)
            is_open = not rest or (len(rest) <= MAX_LINE_BYTES and self._open_field.match(rest))
            if not is_open or self._swallows_rows(text[:end]):
                self._judge(text)
                return False
        if rest:
            self._judge(rest)
        return not rest

    def n_stray_marks(self, text: bytes) -> int:
        """Return how many fields that are not quoted hold a quotation mark."""
        return sum(self._mark in field[1] for field in self._field.finditer(text) if field[1])

    def _end_of_fields(self, text: bytes, fields: re.Pattern[bytes] | None = None) -> int:
        found = (fields or self._fields).match(text)
        return found.end() if found else 0

    def _judge(self, text: bytes) -> None:
        lines = [line for line in text.split(b"\n") if self._mark in line]
        n_bad = sum(self._end_of_fields(line) < len(line) for line in lines)
        self.is_mostly_bad = n_bad * 2 >= len(lines)

    def _swallows_rows(self, text: bytes) -> bool:
        """Return whether quoted fields of several lines begin and end in what are whole rows without quoting."""
        widths = set()
        for span in islice(self._spans.finditer(text), _MOST_SPANS):
            first = text.rfind(b"\n", 0, span.start()) + 1, text.index(b"\n", span.start())
            last = text.rfind(b"\n", 0, span.end()) + 1, text.find(b"\n", span.end())
            widths |= {self._width(text[slice(*first)]), self._width(text[last[0] : last[1] if last[1] >= 0 else None])}
        if len(widths) != 1 or widths == {0}:
            return False
        n_lines = text.count(b"\n") + (not text.endswith(b"\n"))
        return text.count(self._delimiter) == n_lines * widths.pop()

    def _width(self, line: bytes) -> int:
        return line.count(self._delimiter)


def _most_regular(checks: list[_Check], block: bytes) -> Dialect:
    """Return the style in which the first rows have the fewest other widths than the first row, and stray marks."""
    sample = block[:_JUDGED_BYTES]

    def n_irregular(dialect: Dialect) -> int:
        try:
            rows = csv.reader(io.StringIO(sample.decode(errors="replace"), newline=""), **dialect.csv_options)
            widths = [len(row) for row in rows if row]
        except csv.Error:
            return len(block)
        return sum(width != widths[0] for width in widths)

    return min(checks, key=lambda check: (n_irregular(check.dialect), check.n_stray_marks(sample))).dialect


def _pattern(text: str) -> re.Pattern[bytes]:
    return re.compile(text.encode(), re.DOTALL)
