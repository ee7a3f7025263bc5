"""Reads a text table: CSV, TSV and whatever else separates fields. pyarrow parses it, a block of lines at a time."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.csv as pc

from dataset.errors import InvalidTableError
from dataset.reading.blocks import MAX_LINE_BYTES, UndecodableError, line_blocks, require_encoding
from dataset.reading.content import compression_of
from dataset.reading.dialect import FIELD_END, Dialect, separator_of, sniff
from dataset.reading.header import clean_names, judge_first_line
from dataset.reading.quoting import settle_quoting
from dataset.reading.table import FileOptions, Rows, listed

_SAMPLE_LINES = 200
_SAMPLE_BYTES = 1 << 17
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\n|\r|\Z)")
_SEPARATOR_LINE = re.compile(rb'"?sep=([\t -~])"?(?:\r\n|\n|\r)', re.IGNORECASE)
"""The first line of some files that are meant for Excel."""


class TextFile:
    """A text table; implements `UserFile`."""

    def __init__(self, path: Path, options: FileOptions) -> None:
        """Decide how to read the file: its encoding, dialect and header.

        Raises:
            UsageError: an option's value is impossible.
            InvalidTableError: the file is no text table, or its first line may be names or data.
        """
        self.path, self._options = path, options
        self._encoding = self._known_encoding()
        start = next(line_blocks(path, self._encoding, options.option("encoding")), b"")
        if not start.strip():
            raise InvalidTableError(f"{path}: is empty; name a file with rows")
        marked = _SEPARATOR_LINE.match(start)
        self._separator_line, self._header_line = (marked.end() if marked else 0), 0
        self._no_value: re.Pattern[bytes] | None = None
        proposed = sniff(_sample(start[self._separator_line :]).decode(), path.name)
        separator = marked[1].decode() if marked else proposed.separator
        if options.separator is not None:
            separator = separator_of(options.separator, options.option("separator"))
        self._dialect = Dialect(separator, proposed.quote)
        self._dialect = settle_quoting(path, self._dialect, options.quote, options.option("quote"), self._blocks)
        self._no_value = _no_value(self._dialect) if self._dialect.escape else None
        self.notes: list[str] = []
        self.header_doubt = ""
        self.names, self._width, has_header = self._settle_header()
        self.facts = {
            "separator": self._dialect.separator_in_words,
            "quote": self._dialect.quote or "none",
            "escape": self._dialect.escape or "none",
            "encoding": self._encoding or "utf-8",
            "header": "yes" if has_header else "no",
            "compression": compression_of(path) or "none",
        }

    def read(self, columns: Mapping[str, str]) -> Rows:
        """Read only some columns, as text; see `UserFile.read`."""
        places = {new: f"c{self.names.index(name)}" for new, name in columns.items()}
        bad: list[tuple[int, int, str]] = []

        def note_bad_row(row: Any) -> str:
            bad.append((row.number, row.actual_columns, row.text))
            return "skip"

        asked = list(dict.fromkeys(places.values()))
        reader = None
        try:
            reader = pc.open_csv(
                io.BufferedReader(_Feed(self._blocks()), _Feed.SIZE),
                read_options=pc.ReadOptions(
                    column_names=[f"c{place}" for place in range(self._width)],
                    block_size=MAX_LINE_BYTES,
                    use_threads=False,  # otherwise rows have no numbers
                ),
                parse_options=pc.ParseOptions(
                    delimiter=self._dialect.delimiter,
                    quote_char=self._dialect.quote or False,
                    escape_char=self._dialect.escape or False,
                    newlines_in_values=self._dialect.quote is not None,
                    invalid_row_handler=note_bad_row,
                ),
                convert_options=pc.ConvertOptions(
                    column_types=dict.fromkeys(asked, pa.string()), include_columns=asked, strings_can_be_null=False
                ),
            )
            parts = [pl.DataFrame(pl.from_arrow(batch)) for batch in reader]
        except pa.ArrowException as error:
            if "Empty CSV" not in str(error):
                raise self._unreadable(error) from None
            parts = []
        empty = pl.DataFrame(schema=dict.fromkeys(asked, pl.String))
        table = pl.concat([empty, *parts]).select(pl.col(place).alias(new) for new, place in places.items())
        if self._dialect.delimiter != self._dialect.separator:
            table = table.with_columns(pl.all().str.replace_all(FIELD_END, self._dialect.separator, literal=True))
        return self._with_bad_rows(table, bad, places)

    def _with_bad_rows(self, table: pl.DataFrame, bad: list[tuple[int, int, str]], places: Mapping[str, str]) -> Rows:
        """Return the good rows, and the bad ones that fit after all or are left out."""
        fitted = []
        if self._options.ragged_rows == "fit":
            fitted = [cells for _, _, text in bad if (cells := self._fit(text))]
            bad = [row for row in bad if not self._fit(row[2])]
        if bad and table.is_empty() and not fitted:
            number, n_fields, _ = bad[0]
            raise InvalidTableError(
                f"{self.path}: no row has {self._width} fields, as many as the "
                f"{'first line' if self.facts['header'] == 'yes' else 'other rows'}; row {number:,} has {n_fields}: "
                f"check {self._options.option('separator')} and {self._options.option('quote')}"
            )
        if fitted:
            added = {new: [cells[int(place[1:])] for cells in fitted] for new, place in places.items()}
            table = pl.concat([table, pl.DataFrame(added, schema=table.schema)])
            self.notes.append(f"{len(fitted):,} rows with too few or too many fields were made to fit")
        if bad:
            number, n_fields, _ = bad[0]
            self.notes.append(
                f"{len(bad):,} rows have too few or too many fields and are left out, for example row {number:,} with "
                f"{n_fields} instead of {self._width}; {self._options.option('ragged-rows')} fit fills missing fields"
            )
        wrong = [
            (f"row has too {'few' if n_fields < self._width else 'many'} fields",
             f"row {number}: {n_fields} fields instead of {self._width}")
            for number, n_fields, _ in bad
        ]  # fmt: skip
        ragged = pl.DataFrame(wrong, schema={"reason": pl.String, "detail": pl.String}, orient="row")
        return Rows(table, ragged)

    def _fit(self, text: str) -> list[str] | None:
        """Return a row's fields, with empty ones added or surplus empty ones removed; None if it cannot fit."""
        cells = next(self._parse(iter([text])), [])
        surplus = cells[self._width :]
        return None if any(surplus) else [*cells[: self._width], *[""] * (self._width - len(cells))]

    def _settle_header(self) -> tuple[list[str], int, bool]:
        """Return the names, the number of fields in a row, and whether the first line holds the names."""
        start = _sample(next(iter(self._blocks()), b""))
        used = 0

        def lines() -> Iterator[str]:
            nonlocal used
            for line in _LINE.finditer(start):
                used = line.end()
                yield line[0].decode()

        records = (record for record in self._parse(lines()) if record)
        first = next(records, [])
        header_line = used
        rows = list(islice(records, _SAMPLE_LINES))
        verdict, has_header = judge_first_line(first, rows), self._options.has_header
        flag = self._options.option("no-header")
        if has_header is None and self._options.has_types:
            has_header = True
        if has_header is None and verdict == "data":
            raise InvalidTableError(
                f"{self.path}: the first line looks like data, not like names; pass {flag} and the columns' numbers, "
                f"from 1 to {len(first)}, for example {flag} {self._options.example} (or "
                f"{self._options.option('header')} if it does hold names)"
            )
        if has_header is False:
            if verdict == "names":
                self.notes.append(
                    f"the first line, {listed(first[:3])}, looks like names and was read as a row; without {flag} it "
                    "names the columns"
                )
            width = Counter(map(len, [first, *rows])).most_common(1)[0][0]
            return [f"column_{number}" for number in range(1, width + 1)], width, False
        self._header_line = header_line
        if verdict == "unknown":
            self.header_doubt = f" (if they are data, pass {flag} and the columns' numbers)"
        return clean_names(first, self._options.has_types), len(first), True

    def _parse(self, lines: Iterator[str]) -> Iterator[list[str]]:
        """Yield the fields of each record in some lines."""
        try:
            yield from csv.reader(lines, **self._dialect.csv_options)
        except csv.Error as error:
            raise self._unreadable(error) from None

    def _blocks(self) -> Iterator[bytes]:
        """Yield the lines after the header in UTF-8, with one character as separator."""
        skipped = self._separator_line
        header = self._header_line
        separator = self._dialect.separator.encode()
        for whole in line_blocks(self.path, self._encoding, self._options.option("encoding")):
            block = whole[skipped:]
            if self._dialect.delimiter == FIELD_END:
                if FIELD_END.encode() in block:
                    raise InvalidTableError(f"{self.path}: holds the control character 0x1f; remove it")
                block = block.replace(separator, FIELD_END.encode())
            yield (self._no_value.sub(b"", block) if self._no_value else block)[header:]
            skipped = header = 0

    def _known_encoding(self) -> str | None:
        """Return the encoding that is named, or the fallback if the file is not UTF-8."""
        option, encoding = self._options.option("encoding"), self._options.encoding
        if encoding is not None:
            require_encoding(encoding, option)
            return encoding
        if self._options.fallback_encoding is None:
            return None
        try:
            for _ in line_blocks(self.path, None, option):
                pass
        except UndecodableError:
            return self._options.fallback_encoding
        return None

    def _unreadable(self, error: Exception) -> InvalidTableError:
        """Return the error for text that the parser refuses; the message shows nothing of it."""
        reason = "a field or row is too long" if "straddl" in str(error) or "limit" in str(error) else "not a table"
        return InvalidTableError(
            f"{self.path}: cannot be read with the separator {self._dialect.separator_in_words} ({reason}); check the "
            f"file, {self._options.option('separator')} and {self._options.option('quote')}"
        )


class _Feed(io.RawIOBase):
    """A stream of blocks of bytes."""

    SIZE = 1 << 20

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks, self._rest = blocks, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = memoryview(block)
        n_bytes = min(len(buffer), len(self._rest))
        buffer[:n_bytes] = self._rest[:n_bytes]
        self._rest = self._rest[n_bytes:]
        return n_bytes


def _no_value(dialect: Dialect) -> re.Pattern[bytes]:
    r"""Return a pattern for fields that are `\N`, as databases write no value; the parser would read them as `N`."""
    ends = f"{re.escape(dialect.delimiter)}\\r\\n"
    return re.compile(rf"(?<![^{ends}])\\N(?![^{ends}])".encode())


def _sample(block: bytes) -> bytes:
    """Return the first whole lines of a block."""
    if len(block) <= _SAMPLE_BYTES:
        return block
    return block[: block.rfind(b"\n", 0, _SAMPLE_BYTES) + 1 or _SAMPLE_BYTES]
