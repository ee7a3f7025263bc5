"""The commands on snapshots: publish, list, show, verify, report and diff.

An address names a folder in an object store: s3://bucket/prefix, gs://… or az://….
"""

import textwrap
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from dataset.cli import FLAT, say
from dataset.columns import describe_table
from dataset.dates import IN_WORDS, Dates, describe_published
from dataset.errors import HeldError, InvalidSnapshotError, InvalidTableError, MissingInputError, StorageError
from dataset.files import atomic_path
from dataset.risk import words
from dataset.schema import is_known, schema_of
from dataset.snapshots import DEFAULT_ROOT
from dataset.snapshots.diff import describe_changes, diff_tables
from dataset.snapshots.feature_words import describe_features
from dataset.snapshots.licences import describe_licence
from dataset.snapshots.losses import moved_pairs
from dataset.snapshots.manifest import version_folder
from dataset.snapshots.publication import GateConfig, PublicationConfig
from dataset.snapshots.publish import finer_versions, publish, version_place
from dataset.snapshots.responsible_ai import unanswered
from dataset.snapshots.snapshot import Snapshot, list_snapshots, newest_snapshot, snapshot_at
from dataset.snapshots.verify import verify
from dataset.tables import Schema
from dataset.wording import wording_of


def publish_dataset(
    *,
    dataset: Path = Path("data/sandbox/dataset"),
    name: str = "sandbox",
    root: str = str(DEFAULT_ROOT),
    publication: Annotated[PublicationConfig, FLAT] = PublicationConfig(),  # noqa: B008 - it is frozen
    gate: Annotated[GateConfig, FLAT] = GateConfig(),  # noqa: B008 - it is frozen
) -> None:
    """Publish a built dataset as the next version. A version that loses much of the one before is held.

    Args:
        dataset: the dataset folder
        name: the snapshot's name
        root: folder or address (s3://bucket/prefix, gs://, az://) of all snapshots
        publication: what to state on the dataset card, and how exact dates are
        gate: when a version is held
    """
    try:
        snapshot, is_new = publish(dataset, name, root, publication, gate)
    except HeldError as held:
        say(*held.changes, sep="\n")
        raise
    if is_new:
        say(f"Published {snapshot.label} in {snapshot.folder}, content {snapshot.content_digest[:12]}.")
        say(f"  dates of people's acts: {IN_WORDS[snapshot.manifest.dates]}")
        say(f"  {wording_of(snapshot.manifest.provenance).of_tables(words.in_short(snapshot.manifest.risk_figures))}")
        if fields := unanswered(snapshot.manifest):
            left_out = ", ".join(fields)
            say(f"  croissant.json leaves out {left_out}: only you know the answer; state it with --answers FILE")
        _tell_of_moved_pairs(snapshot, root)
        if finer := finer_versions(snapshot, root):
            say(
                f"  note: {', '.join(one.label for one in finer)} may have more exact dates under the same user ids; "
                "as long as they can be read, coarser dates here protect nobody"
            )
    else:
        say(f"Nothing changed since {snapshot.label} ({snapshot.folder}); nothing published.")


def _tell_of_moved_pairs(snapshot: Snapshot, root: str) -> None:
    parent = snapshot.manifest.parent
    with suppress(
        InvalidSnapshotError, InvalidTableError, StorageError
    ):  # a damaged parent is no fault of this version
        moved = moved_pairs(snapshot_at(version_place(root, snapshot.name, parent)), snapshot) if parent else None
        if moved and moved.lost:
            say(f"  note: {moved}; with --split stable, a build keeps every pair where it is")


def list_published(*, root: str = str(DEFAULT_ROOT)) -> None:
    """List the published snapshots.

    Args:
        root: folder or address (s3://bucket/prefix, gs://, az://) of all snapshots
    """
    snapshots = list_snapshots(root)
    unreadable = [snapshot for snapshot in snapshots if isinstance(snapshot, InvalidSnapshotError)]
    for snapshot in snapshots:
        if isinstance(snapshot, Snapshot):
            items = wording_of(snapshot.manifest.provenance).items
            named = {"users": "users", "movies": items, "interactions": "interactions"}
            counts = ", ".join(f"{_count(snapshot, what)} {words}" for what, words in named.items())
            published = snapshot.manifest.created_at[:16]
            dates = snapshot.manifest.dates or "not recorded"
            say(f"{snapshot.label}  {published}  content {snapshot.content_digest[:12]}  {counts}, dates: {dates}")
    if not snapshots:
        say(f"No snapshot below {root}.")
    if unreadable:
        raise InvalidSnapshotError("; ".join(map(str, unreadable)))


def _count(snapshot: Snapshot, what: str) -> str:
    number = snapshot.manifest.statistics.get(f"n_{what}")
    return f"{number:,}" if isinstance(number, int) else "?"


def show(snapshot: str | None = None, /, *, root: str = str(DEFAULT_ROOT), brief: bool = False) -> None:
    """Show what a snapshot holds: where it comes from, its tables, and what each column means.

    Args:
        snapshot: folder or address of a snapshot (by default the newest below --root)
        root: folder or address of all snapshots
        brief: leave out the columns
    """
    chosen = _chosen(snapshot, root)
    manifest = chosen.manifest
    parent = version_folder(manifest.parent) if manifest.parent else "none"
    facts = {
        "folder": chosen.folder,
        "digest": chosen.content_digest,
        "published": f"{manifest.created_at}, code {manifest.code_version}, parent {parent}",
        "source": manifest.provenance.get("source"),
        "publisher": ", ".join(filter(None, (manifest.publisher, manifest.contact))) or "not stated",
        "licence": describe_licence(manifest.licence),
        "features": describe_features(manifest),
        "dates": IN_WORDS[manifest.dates],
        "risk": words.in_short(manifest.risk_figures) or words.NOT_COMPUTED,
    }
    say(chosen.label)
    for label, fact in facts.items():
        say(f"  {label:<9}  {fact}")
    width = max(14, *map(len, manifest.tables))
    for name, entry in manifest.tables.items():
        say(f"  {name:<{width}} {entry.rows:>11,} rows  {entry.size_bytes:>13,} bytes")
    if not brief:
        for name, entry in manifest.tables.items():
            if is_known(name):
                say("\n".join(["", *_table_in_words(name, schema_of(name), entry.columns, manifest.dates)]))


def _table_in_words(name: str, schema: Schema, types: Mapping[str, str], dates: Dates | None) -> Iterator[str]:
    """Yield lines of at most 80 characters about a table and its columns."""
    yield from textwrap.wrap(f"{name}: {describe_table(schema)}", 80, subsequent_indent="  ")
    for column in describe_published(schema, types, dates):
        kind = [column.type, column.unit, column.values, "" if column.null != "never" else "never null"]
        yield from textwrap.wrap(f"{column.name}: {', '.join(filter(None, kind))}", 80, **_indented(2))
        null = "" if column.null == "never" else f" Null: {column.null}."
        yield from textwrap.wrap(f"{column.meaning}{null}", 80, **_indented(6))
        yield from textwrap.wrap(f"Leakage: {column.leakage}" if column.leakage else "", 80, **_indented(6))


def _indented(spaces: int) -> dict[str, Any]:
    return {"initial_indent": " " * spaces, "subsequent_indent": " " * max(spaces, 4)}


def verify_files(snapshot: str | None = None, /, *, root: str = str(DEFAULT_ROOT)) -> None:
    """Check every byte of a snapshot.

    Args:
        snapshot: folder or address of a snapshot (by default the newest below --root)
        root: folder or address of all snapshots
    """
    chosen = _chosen(snapshot, root)
    if problems := verify(chosen):
        raise InvalidSnapshotError(f"{chosen.folder}: {'; '.join(problems)}; get the snapshot from its source again")
    say(f"{chosen.label}: every file is as it was published.")


def report(
    snapshot: str | None = None,
    /,
    *,
    root: str = str(DEFAULT_ROOT),
    raw: Path | None = None,
    to: Path | None = None,
) -> None:
    """Write a snapshot's page: one HTML file with its numbers, charts and pictures.

    Args:
        snapshot: folder or address of a snapshot (by default the newest below --root)
        root: folder or address of all snapshots
        raw: the raw folder with the pictures (by default data/<name>/raw)
        to: the folder to write (by default data/reports/<name>-v<version>)
    """
    from dataset.report.dataset_report import DEFAULT_REPORTS, write_dataset_report  # loads the chart library

    chosen = _chosen(snapshot, root)
    if raw and not (raw / "images.parquet").is_file():
        raise MissingInputError(f"{raw}: no images.parquet there; --raw takes the folder of raw tables")
    pictures = raw or Path("data") / chosen.name / "raw"
    destination = to or DEFAULT_REPORTS / f"{chosen.name}-v{chosen.version:04d}"
    say(f"Wrote the report on {chosen.label}: {write_dataset_report(chosen, pictures, destination)}")


def diff(before: str, after: str, /, *, rows: Path | None = None) -> None:
    """Show which rows, settings and statistics changed between two snapshots.

    Args:
        before: folder or address of a snapshot
        after: folder or address of the snapshot to compare it with
        rows: folder to write the differing rows to, one Parquet file per table
    """
    old, new = snapshot_at(before), snapshot_at(after)
    tables = diff_tables(old, new)
    if lines := list(describe_changes(old, new, tables)):
        say("\n".join([f"{old.label} → {new.label}", *lines]))
    else:
        say(f"{old.label} and {new.label} are equal.")
    if rows:
        for table in tables:
            with atomic_path(rows / f"{table.table}.parquet") as path:
                table.rows.write_parquet(path)


def _chosen(place: str | None, root: str) -> Snapshot:
    return snapshot_at(place) if place else newest_snapshot(root)
