"""The manifest of a snapshot: what each file holds, where it all comes from, and the SHA-256 of every file.

The manifest's own SHA-256 is among them: `manifest_sha256`, made of the file's bytes with that one
value left empty, so that a changed byte of the manifest shows like one of any other file.

Format 2 (this one) added that digest, the licence, and a content digest that does not depend on how
Arrow serialises a table; snapshots of format 1 are read as before.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from dataset.errors import InvalidSnapshotError

FORMAT_VERSION = 2
FILE_NAME = "manifest.json"


@dataclass(frozen=True)
class TableEntry:
    """What a manifest says of a table: its file, rows, bytes, digests and column types."""

    file: str
    rows: int
    size_bytes: int
    sha256: str
    content_sha256: str
    columns: dict[str, str]


@dataclass(frozen=True)
class Manifest:
    """The content of `manifest.json`.

    Attributes:
        parent: the version before it, None for the first.
        content_digest: SHA-256 of the tables' rows and the configuration: equal content has it on any machine.
        extractor: what computed the features, None where there are none.
        tables: the tables, by name.
        files: the SHA-256 of every other file, by name.
        licence: what the publisher allows, None where nothing was said.
        manifest_sha256: its own digest (see above).
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
    manifest_sha256: str = ""

    @property
    def sha256_of(self) -> dict[str, str]:
        """The SHA-256 of every file but the manifest, by name."""
        return {entry.file: entry.sha256 for entry in self.tables.values()} | self.files

    @property
    def label(self) -> str:
        """What to call the snapshot in words, for example `sandbox v0001`."""
        return f"{self.name} {version_folder(self.version)}"


def version_folder(version: int) -> str:
    """Return the name of a version's folder: `v0001` for 1."""
    return f"v{version:04d}"


def version_number(folder: str) -> int | None:
    """Return the number of a version's folder, None for any other name."""
    return int(folder[1:]) if folder[:1] == "v" and folder[1:].isascii() and folder[1:].isdigit() else None


def flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings under one name each: `{"split": {"seed": 0}}` becomes `{"split.seed": 0}`."""
    found: dict[str, Any] = {}
    for key, inner in value.items():
        found |= flat(inner, f"{prefix}{key}.") if isinstance(inner, dict) else {f"{prefix}{key}": inner}
    return found


def to_bytes(manifest: Manifest) -> bytes:
    """Return a manifest as the bytes of its file, with its own SHA-256 in it."""
    digest = hashlib.sha256(_json(replace(manifest, manifest_sha256=""))).hexdigest()
    return _json(replace(manifest, manifest_sha256=digest))


def from_bytes(content: bytes, where: str) -> Manifest:
    """Return the manifest in a file's bytes, whose own SHA-256 must be right.

    Args:
        content: the bytes of a `manifest.json`.
        where: the file, for the error.

    Raises:
        InvalidSnapshotError: it is no manifest, a damaged one, or one of a newer format.
    """
    try:
        value = json.loads(content)
        if value["format_version"] > FORMAT_VERSION:
            raise InvalidSnapshotError(
                f"{where}: format version {value['format_version']} is newer than this code knows "
                f"({FORMAT_VERSION}); update douban-keyframes"
            )
        digest = value.get("manifest_sha256", "")
        value["tables"] = {table: TableEntry(**entry) for table, entry in value["tables"].items()}
        manifest = Manifest(**value)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidSnapshotError(
            f"{where}: not a snapshot's manifest, or a damaged one ({error}); "
            "take the snapshot from its source again, or publish again"
        ) from None
    if (manifest.format_version > 1 or digest) and digest != _own_digest(content, digest):
        raise InvalidSnapshotError(
            f"{where}: its bytes are not the ones that were published (SHA-256 differs); "
            "take the snapshot from its source again"
        )
    return manifest


def _own_digest(content: bytes, digest: str) -> str:
    field_, empty = f'"manifest_sha256": "{digest}"'.encode(), b'"manifest_sha256": ""'
    return hashlib.sha256(content.replace(field_, empty)).hexdigest() if content.count(field_) == 1 else ""


def _json(manifest: Manifest) -> bytes:
    return (json.dumps(asdict(manifest), indent=2, ensure_ascii=False) + "\n").encode()
