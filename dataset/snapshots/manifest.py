"""The manifest of a snapshot: the content, origin and SHA-256 of every file.

`manifest_sha256` is the manifest's own SHA-256, computed over the file's bytes with that value left
empty, so a changed byte in the manifest is detected too.

Format 2 added this digest, the licence, and a content digest that does not depend on how Arrow serialises
a table. Format 3 (the current one) added `rated_at`, and a list of files per table. Readers of format 3 must
accept that a table or a column that they know is missing, and that there are others that they do not know.
Older formats can still be read.
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from dataset.errors import InvalidSnapshotError

FORMAT_VERSION = 3
FILE_NAME = "manifest.json"
_OF_FILE = ("rows", "size_bytes", "sha256")
_OLD_STATISTIC = re.compile(r"_a_(?=user|movie)")
"""Older snapshots have `_a_user` and `_a_movie`, not `_per_user` and `_per_movie`, in the names of statistics."""


@dataclass(frozen=True)
class TableFile:
    """A Parquet file of a table: its name below the snapshot's folder, rows, bytes and SHA-256."""

    name: str
    rows: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class TableEntry:
    """A table in the manifest: its files in the order of the rows, the digest of its rows, and column types."""

    files: tuple[TableFile, ...]
    content_sha256: str
    columns: dict[str, str]

    @property
    def rows(self) -> int:
        """The number of rows."""
        return sum(file.rows for file in self.files)

    @property
    def size_bytes(self) -> int:
        """The size of all files."""
        return sum(file.size_bytes for file in self.files)

    @property
    def names(self) -> list[str]:
        """The names of the files."""
        return [file.name for file in self.files]


@dataclass(frozen=True)
class Manifest:
    """The content of `manifest.json`.

    Attributes:
        parent: the previous version, None for the first.
        content_digest: SHA-256 of the tables' rows and the configuration; the same on any machine.
        extractor: the extractor of the features, None if there are none.
        tables: the tables, by name.
        files: the SHA-256 of every other file, by name.
        licence: the licence that the publisher states, None if none.
        publisher: the person or organisation that publishes the dataset, None if not stated.
        contact: the publisher's e-mail or web address, None if not stated.
        manifest_sha256: the manifest's own digest (see the module).
    """

    format_version: int
    name: str
    version: int
    parent: int | None
    content_digest: str
    created_at: str
    code_version: str
    config: dict[str, Any]
    provenance: dict[str, Any]
    extractor: dict[str, Any] | None
    statistics: dict[str, Any]
    quarantined: list[dict[str, Any]]
    tables: dict[str, TableEntry]
    files: dict[str, str] = field(default_factory=dict)
    licence: str | None = None
    publisher: str | None = None
    contact: str | None = None
    manifest_sha256: str = ""

    @property
    def sha256_of(self) -> dict[str, str]:
        """The SHA-256 of every file except the manifest, by name."""
        return {file.name: file.sha256 for entry in self.tables.values() for file in entry.files} | self.files

    @property
    def label(self) -> str:
        """The snapshot's name and version, for example `sandbox v0001`."""
        return f"{self.name} {version_folder(self.version)}"


def version_folder(version: int) -> str:
    """Return the name of a version's folder: `v0001` for 1."""
    return f"v{version:04d}"


def version_number(folder: str) -> int | None:
    """Return the version number of a folder name such as `v0001`, None for any other name."""
    return int(folder[1:]) if folder[:1] == "v" and folder[1:].isascii() and folder[1:].isdigit() else None


def to_bytes(manifest: Manifest) -> bytes:
    """Return the bytes of a manifest's file, including its own SHA-256."""
    digest = hashlib.sha256(_json(replace(manifest, manifest_sha256=""))).hexdigest()
    return _json(replace(manifest, manifest_sha256=digest))


def from_bytes(content: bytes, where: str) -> Manifest:
    """Parse the bytes of a manifest's file and check its own SHA-256.

    Args:
        content: the bytes of a `manifest.json`.
        where: the file, for error messages.

    Raises:
        InvalidSnapshotError: the bytes are not a manifest, are damaged, or have a newer format.
    """
    try:
        value = json.loads(content)
        if value["format_version"] > FORMAT_VERSION:
            raise InvalidSnapshotError(
                f"{where}: format version {value['format_version']} is newer than this code supports "
                f"({FORMAT_VERSION}); update douban-keyframes"
            )
        digest = value.get("manifest_sha256", "")
        value["statistics"] = {_OLD_STATISTIC.sub("_per_", key): n for key, n in value["statistics"].items()}
        value["tables"] = {table: _table_entry(entry) for table, entry in value["tables"].items()}
        known = {one.name for one in fields(Manifest)}  # a later version of the code may add others
        manifest = Manifest(**{key: given for key, given in value.items() if key in known})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidSnapshotError(
            f"{where}: not a snapshot's manifest, or damaged ({error}); "
            "get the snapshot from its source again, or publish again"
        ) from None
    if (manifest.format_version > 1 or digest) and digest != _own_digest(content, digest):
        raise InvalidSnapshotError(
            f"{where}: its bytes are not the ones that were published (SHA-256 differs); "
            "get the snapshot from its source again"
        )
    return manifest


def _table_entry(value: dict[str, Any]) -> TableEntry:
    """Return a table's entry; before format 3, it had the one file's `file`, `rows`, `size_bytes` and `sha256`."""
    files = value.get("files") or [{"name": value["file"]} | {key: value[key] for key in _OF_FILE}]
    return TableEntry(tuple(TableFile(**file) for file in files), value["content_sha256"], value["columns"])


def _own_digest(content: bytes, digest: str) -> str:
    field_, empty = f'"manifest_sha256": "{digest}"'.encode(), b'"manifest_sha256": ""'
    return hashlib.sha256(content.replace(field_, empty)).hexdigest() if content.count(field_) == 1 else ""


def _json(manifest: Manifest) -> bytes:
    return (json.dumps(asdict(manifest), indent=2, ensure_ascii=False) + "\n").encode()
