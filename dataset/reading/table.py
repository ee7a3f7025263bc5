"""What every reader of a user's file gives: the names of its columns, and the columns that are asked for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Literal, Protocol

import polars as pl

from dataset.errors import InvalidTableError

Ragged = Literal["quarantine", "fit"]

NO_VALUE = ("NaN", "nan", "NA", "N/A", "n/a", "#N/A", "<NA>", "null", "NULL", "Null", "None", "none", "\\N")
"""Texts that programs write for no value."""

_SHOWN_NAMES = 20
_SHOWN_CHARACTERS = 40


@dataclass(frozen=True)
class FileOptions:
    """How to read a text file; None: decide by looking at it. Parquet needs none of this.

    Attributes:
        separator: the separator of the fields, one or several characters, or its name.
        quote: the quotation mark, or "none".
        encoding: the encoding; None is UTF-8.
        has_header: whether the first line names the columns; otherwise they are `column_1`, `column_2`, …
        has_types: whether the names end in a type, as in RecBole's `user_id:token`; the type is removed.
        ragged_rows: what to do with rows of too few or too many fields: leave them out, or fill the missing fields
            and drop surplus ones that are empty.
        fallback_encoding: the encoding if the file is not UTF-8 and none is named.
        prefix: what the names of the options begin with, for messages: "items-" for `--items-encoding`.
        example: options that number columns, for messages.
    """

    separator: str | None = None
    quote: str | None = None
    encoding: str | None = None
    has_header: bool | None = None
    has_types: bool = False
    ragged_rows: Ragged = "quarantine"
    fallback_encoding: str | None = None
    prefix: str = ""
    example: str = "--user-column 1 --item-column 2"

    def option(self, name: str) -> str:
        """Return the option of a command that sets `name`."""
        return f"--{self.prefix}{name}"


@dataclass(frozen=True)
class Rows:
    """The rows of a file.

    Attributes:
        table: the columns that were asked for, under their new names; those of a text file are String.
        ragged: the rows that have too few or too many fields: `reason` and `detail`.
    """

    table: pl.DataFrame
    ragged: pl.DataFrame = field(
        default_factory=lambda: pl.DataFrame(schema={"reason": pl.String, "detail": pl.String})
    )

    @property
    def n_rows(self) -> int:
        """The number of rows in the file."""
        return self.table.height + self.ragged.height


class UserFile(Protocol):
    """An open file of a user's.

    Attributes:
        path: the file.
        names: the names of its columns.
        facts: how it was read, for the user and the provenance: "separator", "encoding", …
        notes: what the user should know about how it was read.
        header_doubt: what to do if the names are data, for messages; empty if they cannot be.
    """

    path: Path
    names: list[str]
    facts: dict[str, str]
    notes: list[str]
    header_doubt: str

    def read(self, columns: Mapping[str, str]) -> Rows:
        """Read only some columns.

        Args:
            columns: for each new name, the name in the file; they exist.

        Raises:
            InvalidTableError: the file cannot be read.
        """


def find_column(file: UserFile, asked: str, what: str, option: str) -> str:
    """Return the name of a column that the user asked for; a number is a position in a file without a header.

    Raises:
        InvalidTableError: there is none, or there are several; the message lists the names.
    """
    has_numbers = file.facts.get("header") == "no"
    name = f"column_{int(asked)}" if has_numbers and asked.isdecimal() else asked
    match file.names.count(name):
        case 1:
            return name
        case 0 if has_numbers:
            raise InvalidTableError(
                f"{file.path}: no column {asked!r} {what}; without a header, columns are numbers from 1 to "
                f"{len(file.names)}: give the right one with {option}"
            )
        case 0:
            raise InvalidTableError(
                f"{file.path}: no column {asked!r} {what}; it has {listed(file.names)}: "
                f"name the right one with {option}{file.header_doubt}"
            )
        case n:
            raise InvalidTableError(f"{file.path}: {n} columns are named {asked!r}; rename those that are not {what}")


def listed(names: Iterable[str]) -> str:
    """Return the names of columns for a message, at most twenty of them, each shortened."""
    names = list(names)
    more = f", … ({len(names):,} in all)" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(shown(name) for name in names[:_SHOWN_NAMES]) + more


def shown(value: object) -> str:
    """Return a value of a user's file for a message, shortened, on one line."""
    text = str(value) if isinstance(value, date) else repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"
