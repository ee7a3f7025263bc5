"""Opens shards: finds the files that a name stands for, and tells by content what each is."""

import re
import tarfile
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

from dataset.errors import InvalidTableError, MissingInputError
from dataset.shards.rows import RowShard
from dataset.shards.shard import Kind, PictureColumns, Shard
from dataset.shards.tar import TarShard
from dataset.shards.zip import ZipShard

_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".zip", ".parquet", ".arrow")
_GZIP = b"\x1f\x8b"
_STARTS: tuple[tuple[bytes, Kind], ...] = (
    (b"PK\x03\x04", "zip"), (b"PK\x05\x06", "zip"), (b"PAR1", "parquet"), (b"ARROW1", "arrow"),
    (b"\xff\xff\xff\xff", "arrow"), (_GZIP, "tar.gz"),
)  # fmt: skip
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_MAX_FILES = 100_000
KNOWN = "tar, tar.gz, zip, Parquet and Arrow files"


def is_named_as_shard(name: str) -> bool:
    """Return whether a file's name is one of shards."""
    return name.lower().endswith(_SUFFIXES)


def kind_of(path: Path) -> Kind | None:
    """Return what kind of shard a file is, by its content; None if it is none.

    Raises:
        MissingInputError: it cannot be read.
    """
    if not path.is_file():  # to open a pipe would wait for ever
        raise MissingInputError(f"{path}: neither a folder nor a file")
    try:
        with path.open("rb") as file:
            head = file.read(8)
        for start, kind in _STARTS:
            if head.startswith(start):
                return kind
        return "tar" if tarfile.is_tarfile(path) else None
    except OSError as failure:
        raise MissingInputError(f"{path}: cannot be read ({failure.strerror})") from None


def open_shard(path: Path, columns: PictureColumns = PictureColumns(), likely: Sequence[str] = ()) -> Shard:  # noqa: B008 - frozen
    """Open a shard.

    Args:
        path: the file.
        columns: the columns that are named.
        likely: a column that has the items' ids if no column is named.

    Raises:
        MissingInputError: the file cannot be read.
        InvalidTableError: it is no shard, or damaged.
        UsageError: see `RowShard`.
    """
    kind = kind_of(path)
    if kind is None:
        raise InvalidTableError(f"{path}: neither a folder nor one of {KNOWN}")
    if kind == "zip":
        return ZipShard(path)
    if kind in ("tar", "tar.gz"):
        return TarShard(path)
    return RowShard(path, kind, columns, likely)


def files_named(pattern: Path) -> list[Path]:
    """Return the files of a name with braces, such as `shards/{000..099}.tar`, or with `*` and `?`, in order.

    Raises:
        MissingInputError: one of the names in braces is missing, or there is no such file.
    """
    found: list[Path] = []
    for name in _without_braces(str(pattern)):
        path = Path(name)
        if path.exists():
            matches = [path]
        else:
            try:
                matches = sorted(Path(path.anchor or ".").glob(str(path.relative_to(path.anchor))))
            except (ValueError, NotImplementedError, OSError):
                matches = []
        if not matches:
            raise MissingInputError(
                f"{name}: no such file, and no such folder of pictures; it should hold <item>.jpg or <item>/<any>.jpg "
                "(or omit --pictures)"
            )
        found += matches
    return list(dict.fromkeys(found))


def _without_braces(pattern: str) -> Iterator[str]:
    """Yield the names that a name with braces stands for, as a shell does: `{a,b}` and `{00..12}`."""
    parts = _BRACES.split(pattern)
    choices = [[part] if place % 2 == 0 else _choices(part) for place, part in enumerate(parts)]
    for number, chosen in enumerate(product(*choices)):
        if number == _MAX_FILES:
            raise MissingInputError(f"{pattern}: more than {_MAX_FILES:,} names; name a folder")
        yield "".join(chosen)


def _choices(inside: str) -> Sequence[str]:
    limits = _RANGE.fullmatch(inside)
    if limits is None:
        return inside.split(",") if "," in inside else [f"{{{inside}}}"]
    first, last = limits.groups()
    width = len(first) if first.startswith("0") or last.startswith("0") else 0
    if abs(int(last) - int(first)) > _MAX_FILES:
        raise MissingInputError(f"{{{inside}}}: more than {_MAX_FILES:,} names; name a folder")
    step = 1 if int(first) <= int(last) else -1
    return [f"{number:0{width}d}" for number in range(int(first), int(last) + step, step)]
