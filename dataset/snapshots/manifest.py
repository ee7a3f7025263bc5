"""The manifest of a snapshot: the content, origin and SHA-256 of every file.

`manifest_sha256` is the manifest's own SHA-256, computed over the file's bytes with that value left
empty, so a changed byte in the manifest is detected too.

Format 2 added this digest, the licence, and a content digest that does not depend on how Arrow serialises
a table. Format 3 (the current one) added `rated_at`, and a list of files per table. Readers of format 3 must
accept that a table, a column or a key of the manifest that they know is missing, and that there are others that they
do not know; `dates`, `risk_figures`, `rated_rank`, `feature_sets`, `item_features`, `description`, `doi`, `creators`
and `answers` came later.
Older formats can still be read.
"""

import hashlib
import json
import re
from dataclasses import asdict, field, fields, replace
from typing import Annotated, Any

from pydantic import BaseModel, Field
from pydantic.dataclasses import dataclass

from dataset.dates import Dates
from dataset.description import BuildSettings, Dropped, Extractor, FeatureSets, ItemFeatures, Provenance
from dataset.documents import FileName, FolderName, Moment, Settings, Sha256, Whole, holds, parse_document
from dataset.errors import InvalidSnapshotError
from dataset.feature_sets import extractors_of, makers_of_tables
from dataset.snapshots.publication import Answers

FORMAT_VERSION = 3
FILE_NAME = "manifest.json"
_NO_MANIFEST = "this is not a snapshot's manifest, or damaged: get the snapshot from its source, or publish, again"
_LEFT_OUT_IF_EMPTY = ("feature_sets", "item_features", "description", "doi", "creators", "answers")
_OF_FILE = ("rows", "size_bytes", "sha256")
_OLD_STATISTIC = re.compile(r"_a_(?=user|movie)")
"""Older snapshots have `_a_user` and `_a_movie`, not `_per_user` and `_per_movie`, in the names of statistics."""


VersionNumber = Annotated[int, Field(ge=1, le=999_999_999)]


class _KnownFigure(BaseModel):
    table: str
    known: str
    points: Whole
    chosen: str
    share: Annotated[float, Field(ge=0, le=1)]
    margin: Annotated[float, Field(ge=0, le=1)]
    users: Whole
    users_with_fewer: Whole
    users_drawn: Whole
    draws: Whole
    seed: Whole


RiskFigure = Annotated[Settings, holds(_KnownFigure)]
"""Which share of users a few known points single out (`dataset.risk.figures`)."""


@dataclass(frozen=True)
class TableFile:
    """A Parquet file of a table: its name below the snapshot's folder, rows, bytes and SHA-256."""

    name: FileName
    rows: Whole
    size_bytes: Whole
    sha256: Sha256


@dataclass(frozen=True)
class TableEntry:
    """A table in the manifest: its files in the order of the rows, the digest of its rows, and column types."""

    files: Annotated[tuple[TableFile, ...], Field(min_length=1)]
    content_sha256: Sha256
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
        extractor: what made the main feature set, None if there is none.
        tables: the tables, by name.
        files: the SHA-256 of every other file, by name.
        licence: the licence that the publisher states, None if none.
        publisher: the person or organisation that publishes the dataset, None if not stated.
        contact: the publisher's e-mail or web address, None if not stated.
        description: what the publisher says that the dataset is; left out of the file if nothing.
        dates: how exactly the dates of people's acts are published, None in snapshots of older versions.
        risk_figures: whom a few known ratings single out, empty in snapshots of older versions.
        feature_sets: what made the feature sets that have a name (`dataset.feature_sets`); left out of the file if
            there are none.
        item_features: what made the features of items, by modality; left out of the file if there are none.
        doi: the DOI of a deposited copy, None of any other; left out of the file then.
        creators: the people whom a deposited copy names, each as "Family, Given"; left out of the file if there are
            none.
        answers: what the publisher answers beyond what is known, by the fields of Croissant's responsible-AI
            extension; left out of the file if nothing.
        manifest_sha256: the manifest's own digest (see the module).
    """

    format_version: Whole
    name: FolderName
    version: VersionNumber
    parent: VersionNumber | None
    content_digest: Sha256
    created_at: Moment
    code_version: str
    config: BuildSettings
    provenance: Provenance
    extractor: Extractor | None
    statistics: Settings
    quarantined: list[Dropped]
    tables: dict[str, TableEntry]
    files: dict[FileName, Sha256] = field(default_factory=dict)
    licence: str | None = None
    publisher: str | None = None
    contact: str | None = None
    description: str | None = None
    dates: Dates | None = None
    risk_figures: list[RiskFigure] = field(default_factory=list)
    feature_sets: FeatureSets = field(default_factory=dict)
    item_features: ItemFeatures = field(default_factory=dict)
    doi: str | None = None
    creators: list[str] = field(default_factory=list)
    answers: Answers = field(default_factory=dict)
    manifest_sha256: str = ""

    @property
    def extractors(self) -> dict[str | None, dict[str, Any]]:
        """What made each feature set of frames, by its name; the main set has None."""
        return extractors_of({"extractor": self.extractor, "feature_sets": self.feature_sets})

    @property
    def makers(self) -> dict[str, dict[str, Any]]:
        """What made each feature table, of frames and of items, by the table's name."""
        keys = ("extractor", "feature_sets", "item_features")
        return makers_of_tables({key: getattr(self, key) for key in keys})

    @property
    def sha256_of(self) -> dict[str, str]:
        """The SHA-256 of every file except the manifest, by name."""
        return {file.name: file.sha256 for entry in self.tables.values() for file in entry.files} | self.files

    def is_copy_of(self, other: "Manifest") -> bool:
        """Return whether both are the same version: equal, but one may be a deposited copy, which has a DOI."""
        if self.doi == other.doi:
            return self == other
        ours, theirs = (replace(one, doi=None, creators=[], files={}, manifest_sha256="") for one in (self, other))
        return ours == theirs

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
    """Parse the bytes of a manifest's file, check its own SHA-256, and only then all that it says.

    Args:
        content: the bytes of a `manifest.json`.
        where: the file, for error messages.

    Raises:
        InvalidSnapshotError: the bytes are not a manifest, are damaged, or have a newer format.
    """
    value: dict[str, Any] = parse_document(Settings, content, where, _NO_MANIFEST, InvalidSnapshotError)
    format_version, digest = value.get("format_version"), value.get("manifest_sha256", "")
    if isinstance(format_version, int) and format_version > FORMAT_VERSION:
        raise InvalidSnapshotError(
            f"{where}: format version {format_version} is newer than this code supports ({FORMAT_VERSION}); "
            "update douban-keyframes"
        )
    if (format_version != 1 or digest) and digest != _own_digest(content, digest):
        raise InvalidSnapshotError(
            f"{where}: its bytes are not the ones that were published (SHA-256 differs); "
            "get the snapshot from its source again"
        )
    known = {one.name for one in fields(Manifest)}  # a later version of the code may add others
    present = json.dumps({key: _in_present_format(key, given) for key, given in value.items() if key in known})
    manifest: Manifest = parse_document(Manifest, present.encode(), where, _NO_MANIFEST, InvalidSnapshotError)
    return manifest


def _in_present_format(key: str, value: Any) -> Any:
    """Return a value of the manifest as the present format has it; a value of a wrong type is returned as it is."""
    if key == "statistics" and isinstance(value, dict):
        return {_OLD_STATISTIC.sub("_per_", name): number for name, number in value.items()}
    if key == "tables" and isinstance(value, dict):
        return {name: _table_entry(entry) for name, entry in value.items()}
    return value


def _table_entry(value: Any) -> Any:
    """Return a table's entry; before format 3, it had the one file's `file`, `rows`, `size_bytes` and `sha256`."""
    if not isinstance(value, dict):
        return value
    files = value.get("files") or [{"name": value.get("file"), **{key: value.get(key) for key in _OF_FILE}}]
    return {key: value.get(key) for key in ("content_sha256", "columns")} | {"files": files}


def _own_digest(content: bytes, digest: Any) -> str:
    field_, empty = f'"manifest_sha256": "{digest}"'.encode(), b'"manifest_sha256": ""'
    return hashlib.sha256(content.replace(field_, empty)).hexdigest() if content.count(field_) == 1 else ""


def _json(manifest: Manifest) -> bytes:
    content = {key: value for key, value in asdict(manifest).items() if value or key not in _LEFT_OUT_IF_EMPTY}
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
