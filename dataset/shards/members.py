"""Says which entries of a shard are pictures, which lie beside them, and whose a picture is.

In a shard of WebDataset, files with the same name up to the first dot of the last part belong together and follow each
other: `a/1.jpg`, `a/1.json`, `a/1.cls`. Source: https://github.com/webdataset/webdataset ("The WebDataset Format").
"""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby

from dataset.shards.shard import Entry, Shard

_BESIDE = re.compile(
    r"jsn|jsonl?|cls2?|class|count|index|inx|id|idx|txt|text|transcript|caption|ten|tb|mp|msg|npy|npz|pyd|pickle|pkl|pth?|"
    r"safetensors|cbor|csv|tsv|xml|ya?ml|toml|md|html|ini|db|ds_store"
)
_MACOS_FOLDER, _MACOS_PREFIX = "__MACOSX/", "._"
_MAX_BESIDE_BYTES = 1 << 20
REPEATED = "repeats the name of an earlier file in the same archive"


@dataclass(frozen=True, slots=True)
class Member:
    """A picture of a shard, or what may be one.

    Attributes:
        entry: where it is.
        content: its bytes; empty if there is a problem.
        item: what a column or a file beside it says its item is; None: its name decides.
        problem: why it cannot be read; empty if it can.
    """

    entry: Entry
    content: bytes
    item: str | None
    problem: str


class Members:
    """The pictures of a shard, read in order; an iterator.

    Args:
        shard: the shard.
        picture_item: the field or file that names the item of a picture in a tar or zip; None: its name decides.

    Attributes:
        n_beside: how many files lay beside the pictures, and were not opened as pictures.
    """

    def __init__(self, shard: Shard, picture_item: str | None) -> None:
        self._shard = shard
        self._picture_item = None if shard.column else picture_item
        self.n_beside = 0

    def __iter__(self) -> Iterator[Member]:
        seen = set[int]()
        if self._picture_item is None:
            for entry in self._shard.entries():
                if is_beside(entry.name):
                    self.n_beside += 1
                else:
                    yield self._member(entry, entry.item, seen)
            return
        for key, group in groupby(self._shard.entries(), lambda entry: key_of(entry.name)):
            yield from self._together(key, group, seen)

    def _together(self, key: str, group: Iterator[Entry], seen: set[int]) -> Iterator[Member]:
        """Yield the pictures of one key; what names their item may follow them."""
        pictures, item = list[Member](), ""
        for entry in group:
            if not is_beside(entry.name):
                pictures.append(self._member(entry, None, seen))
                continue
            self.n_beside += 1
            if not entry.problem and entry.size_bytes <= _MAX_BESIDE_BYTES and entry.name.startswith(key):
                item = item or self._item_in(entry.name.removeprefix(key), entry.place)
        yield from (Member(one.entry, one.content, item, one.problem) for one in pictures)

    def _item_in(self, extension: str, place: str) -> str:
        """Return what a file beside a picture says its item is, empty if nothing."""
        if extension == f".{self._picture_item}":
            return self._shard.read(place).decode(errors="replace").strip()
        if extension in (".json", ".jsn"):
            with suppress(ValueError, RecursionError):
                fields = json.loads(self._shard.read(place))
                value = fields.get(self._picture_item) if isinstance(fields, dict) else None
                is_id = isinstance(value, str | int) and not isinstance(value, bool)
                return str(value).encode(errors="replace").decode() if is_id else ""
        return ""

    def _member(self, entry: Entry, item: str | None, seen: set[int]) -> Member:
        problem = entry.problem
        if entry.name and not problem and not self._shard.column:
            problem = REPEATED if hash(entry.name) in seen else ""
            seen.add(hash(entry.name))  # a number takes less memory than a name
        return Member(entry, b"" if problem else self._shard.read(entry.place), item, problem)


def is_beside(name: str) -> bool:
    """Return whether a file by its name lies beside pictures: with a known extension, or written by macOS."""
    base = name.rpartition("/")[2]
    _, dot, extension = base.rpartition(".")
    is_macos = name.startswith(_MACOS_FOLDER) or base.startswith(_MACOS_PREFIX)
    return is_macos or (bool(dot) and _BESIDE.fullmatch(extension.lower()) is not None)


def key_of(name: str) -> str:
    """Return what the names of files that belong together begin with."""
    folder, slash, base = name.rpartition("/")
    return folder + slash + base.partition(".")[0]
