"""What every kind of shard gives: its entries in order, and the bytes of each. A shard is a file of many pictures."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Protocol

import pydantic
from cyclopts import Parameter

from dataset.errors import InvalidTableError
from dataset.pictures.protocol import MAX_FILE_BYTES

Kind = Literal["tar", "tar.gz", "zip", "parquet", "arrow"]
TOO_LARGE = f"too large: more than {MAX_FILE_BYTES >> 20} MiB"
AGAIN = "get or create the file again"


@pydantic.dataclasses.dataclass(frozen=True)
class PictureColumns:
    """What in a shard says whose a picture is, and where the picture is.

    Attributes:
        picture_item: what names a picture's item: a column of a Parquet or Arrow file; in a tar or zip a field of
            <key>.json or the file <key>.<name> beside the picture (by default the picture's name)
        picture_column: column of a Parquet or Arrow file with the pictures, if it has several of bytes
    """

    picture_item: Annotated[str | None, Parameter(name="--picture-item")] = None
    picture_column: Annotated[str | None, Parameter(name="--picture-column")] = None


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a shard.

    Attributes:
        name: its name in the shard, with `/`; empty if it has none.
        place: where its bytes are: numbers separated by `:`, the first ones in the order of reading.
        size_bytes: how many bytes it has.
        problem: why it cannot be read; empty if it can.
        item: what a column says its item is; None: there is no such column.
    """

    name: str
    place: str
    size_bytes: int
    problem: str = ""
    item: str | None = None


class Shard(Protocol):
    """An open shard. Its entries are read in order; to go back may take long.

    Attributes:
        path: the file.
        kind: what it is.
        column: the column of the pictures; empty if it has no columns.
    """

    path: Path
    kind: Kind
    column: str

    def entries(self) -> Iterator[Entry]:
        """Yield the entries in order; folders are none.

        Raises:
            InvalidTableError: the file is damaged.
        """

    def read(self, place: str) -> bytes:
        """Return the bytes of an entry.

        Raises:
            InvalidTableError: the file is damaged, or has no such place.
        """

    def close(self) -> None:
        """Close the file."""


class NoPicturesError(InvalidTableError):
    """A file of rows has no column of pictures."""


def damaged(path: Path, why: object) -> InvalidTableError:
    """Return the error of a shard that is damaged."""
    reason = " ".join(str(why).split())[:120] or type(why).__name__
    return InvalidTableError(f"{path}: is damaged or cut off ({reason}); {AGAIN}")
