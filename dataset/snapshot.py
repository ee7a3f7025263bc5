"""Published snapshots: immutable, numbered versions of a dataset, in plain Parquet.

    <root>/<name>/v0001/
        movies.parquet  frames.parquet  interactions.parquet  frame_likes.parquet
        frame_features.parquet   (where the dataset has pictures)
        README.md                the dataset card
        manifest.json            what each file holds, and where it all comes from

This is the contract. A version appears all at once, by renaming a finished folder, and never
changes afterwards; `manifest.json` lists the SHA-256 of every other file. `content_digest` is
made of the tables' rows and the configuration alone, so equal content has it on any machine;
publishing content that equals the newest version publishes nothing.
"""

import hashlib
import json
import os
import shutil
import uuid
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from dataset.build import read_description
from dataset.card import render_card
from dataset.errors import AlreadyPublishedError, InvalidSnapshotError, MissingInputError, PipelineError, UsageError
from dataset.files import sha256_of_file, write_json
from dataset.schema import SNAPSHOT_TABLES
from dataset.tables import content_digest, read_table, require_references
from dataset.version import code_version

FORMAT_VERSION = 1
DEFAULT_ROOT = Path("data/snapshots")
_OPTIONAL_TABLES = ("frame_features",)


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
    """The content of `manifest.json`. `extractor` is None where there are no features."""

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


@dataclass(frozen=True)
class Snapshot:
    """A published version on disk."""

    path: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self.manifest.name

    @property
    def version(self) -> int:
        """The version's number, from 1."""
        return self.manifest.version

    @property
    def content_digest(self) -> str:
        """The SHA-256 of its content: equal for equal rows and configuration."""
        return self.manifest.content_digest

    @property
    def label(self) -> str:
        """What to call it in words, for example `sandbox v0001`."""
        return f"{self.name} v{self.version:04d}"

    def has(self, table: str) -> bool:
        """Return whether it holds a table."""
        return table in self.manifest.tables

    def read(self, table: str) -> pl.DataFrame:
        """Read a table and validate it.

        Raises:
            MissingInputError: the snapshot does not hold it.
            InvalidTableError: it is broken.
        """
        if not self.has(table):
            raise MissingInputError(
                f"{self.path}: this snapshot has no table '{table}' (it has {', '.join(self.manifest.tables)})"
                + ("; publish again after `python -m features extract`" if table == "frame_features" else "")
            )
        return read_table(self.path / self.manifest.tables[table].file, SNAPSHOT_TABLES[table])


def publish(dataset: Path, name: str, root: Path = DEFAULT_ROOT) -> tuple[Snapshot, bool]:
    """Publish a built dataset as the next version of `name`, unless nothing has changed.

    Returns:
        The snapshot, and whether it is new (False: it is the newest version as it was).

    Raises:
        MissingInputError, InvalidTableError: `dataset` is not whole.
        PipelineError: `root` cannot be written.
    """
    if not name or name.startswith(".") or set(name) & set("/\\"):
        raise UsageError(f"snapshot name {name!r} cannot be a folder's name; use letters, digits, - and _")
    description = read_description(dataset)
    staging = root / name / f".staging-{uuid.uuid4().hex[:12]}"
    try:
        staging.mkdir(parents=True)
        tables = {table: _stage(dataset, staging, table) for table in SNAPSHOT_TABLES if _is_there(dataset, table)}
        _check_references(staging, tables)
        digest = _content_digest(tables, description["config"], description.get("extractor"))
        while True:
            parent = latest(root, name)
            if parent and parent.content_digest == digest:
                return parent, False
            manifest = _manifest(name, parent, digest, description, tables)
            (staging / "README.md").write_text(render_card(asdict(manifest)), encoding="utf-8")
            files = {"README.md": sha256_of_file(staging / "README.md")}
            write_json(staging / "manifest.json", {**asdict(manifest), "files": files})
            destination = root / name / f"v{manifest.version:04d}"
            try:
                _rename_new(staging, destination)
            except AlreadyPublishedError:
                continue  # somebody else took the number meanwhile; look again
            return open_snapshot(destination), True
    except OSError as error:
        raise PipelineError(
            f"{root / name}: cannot be written ({error.strerror or error}); make room or choose another --root"
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def open_snapshot(path: Path) -> Snapshot:
    """Open the snapshot in a folder (or, for a dataset's folder, its newest version).

    Raises:
        InvalidSnapshotError: the folder is not a snapshot, or one of a newer format.
    """
    manifest = path / "manifest.json"
    if not manifest.is_file():
        newest = _newest(path.glob("v*/manifest.json")) or _newest(path.glob("*/v*/manifest.json"))
        if newest is None:
            raise InvalidSnapshotError(
                f"{path}: not a snapshot (no manifest.json there); make one with `python -m dataset publish`"
            )
        return newest
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        if content["format_version"] > FORMAT_VERSION:
            raise InvalidSnapshotError(
                f"{manifest}: format version {content['format_version']} is newer than this code knows "
                f"({FORMAT_VERSION}); update douban-keyframes"
            )
        content["tables"] = {table: TableEntry(**entry) for table, entry in content["tables"].items()}
        return Snapshot(path, Manifest(**content))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidSnapshotError(f"{manifest}: not a snapshot's manifest ({error}); publish again") from None


def latest(root: Path, name: str) -> Snapshot | None:
    """Return the version of `name` with the highest number, None where there is none."""
    folders = sorted((root / name).glob("v[0-9]*/manifest.json"), key=lambda file: int(file.parent.name[1:]))
    return open_snapshot(folders[-1].parent) if folders else None


def newest_snapshot(root: Path = DEFAULT_ROOT) -> Snapshot:
    """Return the snapshot that was published last, of any name, below `root`.

    Raises:
        MissingInputError: there is none.
    """
    newest = _newest(root.glob("*/v*/manifest.json"))
    if newest is None:
        raise MissingInputError(f"{root}: no snapshot there; `make demo` makes one, or `python -m dataset publish`")
    return newest


def list_snapshots(root: Path = DEFAULT_ROOT) -> list[Snapshot]:
    """Return all snapshots below `root`, by name and version."""
    found = [open_snapshot(manifest.parent) for manifest in root.glob("*/v*/manifest.json")]
    return sorted(found, key=lambda snapshot: (snapshot.name, snapshot.version))


def verify(snapshot: Snapshot) -> list[str]:
    """Return what is wrong with the files of a snapshot, one line a file; empty when all is well."""
    expected = {entry.file: entry.sha256 for entry in snapshot.manifest.tables.values()} | snapshot.manifest.files
    present = {file.name for file in snapshot.path.iterdir()} - {"manifest.json"}
    problems = [f"{name}: missing" for name in sorted(expected.keys() - present)]
    problems += [f"{name}: not in the manifest" for name in sorted(present - expected.keys())]
    for name in sorted(expected.keys() & present):
        if sha256_of_file(snapshot.path / name) != expected[name]:
            problems.append(f"{name}: its bytes are not the ones that were published (SHA-256 differs)")
    return problems


def _is_there(dataset: Path, table: str) -> bool:
    return table not in _OPTIONAL_TABLES or (dataset / f"{table}.parquet").is_file()


def _stage(dataset: Path, staging: Path, table: str) -> TableEntry:
    """Copy a table into the staging folder after validating it, and describe it."""
    source, schema = dataset / f"{table}.parquet", SNAPSHOT_TABLES[table]
    rows = read_table(source, schema)
    target = staging / source.name
    shutil.copyfile(source, target)
    return TableEntry(
        file=target.name,
        rows=rows.height,
        size_bytes=target.stat().st_size,
        sha256=sha256_of_file(target),
        content_sha256=content_digest(rows, schema),
        columns={column: str(dtype) for column, dtype in rows.schema.items()},
    )


def _check_references(staging: Path, tables: dict[str, TableEntry]) -> None:
    """Check the references between the staged tables (keys only, so features are not read)."""
    keys = {
        name: pl.from_arrow(
            pq.read_table(staging / entry.file, columns=[c for c in entry.columns if c.endswith("_id")])
        )
        for name, entry in tables.items()
    }
    references = [
        ("frames", "movies", ["movie_id"]),
        ("interactions", "movies", ["movie_id"]),
        ("frame_likes", "frames", ["frame_id", "movie_id"]),
        ("frame_likes", "interactions", ["user_id", "movie_id"]),
        ("frame_features", "frames", ["frame_id"]),
    ]
    for child, parent, columns in references:
        child_keys, parent_keys = keys.get(child), keys.get(parent)
        if isinstance(child_keys, pl.DataFrame) and isinstance(parent_keys, pl.DataFrame):
            require_references(child_keys, parent_keys, columns, child, parent)


def _content_digest(tables: dict[str, TableEntry], config: dict[str, Any], extractor: dict[str, Any] | None) -> str:
    content = {
        "tables": {name: entry.content_sha256 for name, entry in tables.items()},
        "columns": {name: entry.columns for name, entry in tables.items()},
        "config": config,
        "extractor": extractor,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _manifest(
    name: str, parent: Snapshot | None, digest: str, description: dict[str, Any], tables: dict[str, TableEntry]
) -> Manifest:
    return Manifest(
        format_version=FORMAT_VERSION,
        name=name,
        version=parent.version + 1 if parent else 1,
        parent=parent.version if parent else None,
        content_digest=digest,
        created_at=datetime.now(UTC).isoformat(timespec="microseconds"),
        code_version=code_version(),
        config=description["config"],
        provenance=description["provenance"],
        extractor=description.get("extractor"),
        statistics=description["statistics"],
        quarantined=description["quarantined"],
        tables=tables,
    )


def _rename_new(staging: Path, destination: Path) -> None:
    """Rename a folder to a name that must not exist; a rename onto a filled folder fails on every system.

    Raises:
        AlreadyPublishedError: `destination` exists.
    """
    try:
        os.rename(staging, destination)  # noqa: PTH104 - Path.rename says nothing of folders
    except OSError:
        if destination.exists():
            raise AlreadyPublishedError(f"{destination}: exists already; a published version never changes") from None
        raise


def _newest(manifests: Any) -> Snapshot | None:
    snapshots = [open_snapshot(manifest.parent) for manifest in manifests]
    return max(snapshots, key=lambda snapshot: snapshot.manifest.created_at, default=None)
