"""The commands on snapshots: publish, list, show, verify, report, diff and pull.

An address names a folder in an object store: s3://bucket/prefix, gs://… or az://….
"""

from pathlib import Path

from dataset.cli import progress
from dataset.errors import InvalidSnapshotError, MissingInputError
from dataset.files import atomic_path
from dataset.snapshots.card import NO_LICENCE, describe_extractor
from dataset.snapshots.diff import describe_changes, diff_tables
from dataset.snapshots.publish import publish
from dataset.snapshots.pull import file_sizes, pull
from dataset.snapshots.snapshot import DEFAULT_ROOT, Snapshot, list_snapshots, newest_snapshot, snapshot_at
from dataset.snapshots.verify import verify


def publish_dataset(
    *,
    dataset: Path = Path("data/sandbox/dataset"),
    name: str = "sandbox",
    licence: str | None = None,
    root: str = str(DEFAULT_ROOT),
) -> None:
    """Publish a built dataset as the next version.

    Args:
        dataset: the dataset folder
        name: the snapshot's name
        licence: the licence to state on the dataset card: an SPDX name or a sentence
        root: folder or address (s3://bucket/prefix, gs://, az://) of all snapshots
    """
    snapshot, is_new = publish(dataset, name, root, licence)
    if is_new:
        print(f"Published {snapshot.label} in {snapshot.folder}, content {snapshot.content_digest[:12]}.")
    else:
        print(f"Nothing changed since {snapshot.label} ({snapshot.folder}); nothing published.")


def list_published(*, root: str = str(DEFAULT_ROOT)) -> None:
    """List the published snapshots.

    Args:
        root: folder or address (s3://bucket/prefix, gs://, az://) of all snapshots
    """
    snapshots = list_snapshots(root)
    unreadable = [snapshot for snapshot in snapshots if isinstance(snapshot, InvalidSnapshotError)]
    for snapshot in snapshots:
        if isinstance(snapshot, Snapshot):
            numbers = snapshot.manifest.statistics
            print(
                f"{snapshot.label}  {snapshot.manifest.created_at[:16]}  content {snapshot.content_digest[:12]}  "
                f"{numbers['n_users']:,} users, {numbers['n_movies']:,} movies, "
                f"{numbers['n_interactions']:,} interactions"
            )
    if not snapshots:
        print(f"No snapshot below {root}.")
    if unreadable:
        raise InvalidSnapshotError("; ".join(map(str, unreadable)))


def show(snapshot: str | None = None, /, *, root: str = str(DEFAULT_ROOT)) -> None:
    """Show what a snapshot holds.

    Args:
        snapshot: folder or address of a snapshot (by default the newest below --root)
        root: folder or address of all snapshots
    """
    chosen = _chosen(snapshot, root)
    manifest = chosen.manifest
    parent = f"v{manifest.parent:04d}" if manifest.parent else "none"
    print(f"{chosen.label} in {chosen.folder}")
    print(f"  content digest  {chosen.content_digest}")
    print(f"  published       {manifest.created_at}, code {manifest.code_version}, parent {parent}")
    print(f"  source          {manifest.provenance.get('source')}")
    print(f"  licence         {manifest.licence or NO_LICENCE}")
    print(f"  features        {describe_extractor(manifest.extractor)}")
    for name, entry in manifest.tables.items():
        print(f"  {name:<15} {entry.rows:>10,} rows  {entry.size_bytes:>13,} bytes")


def verify_files(snapshot: str | None = None, /, *, root: str = str(DEFAULT_ROOT)) -> None:
    """Check every byte of a snapshot.

    Args:
        snapshot: folder or address of a snapshot (by default the newest below --root)
        root: folder or address of all snapshots
    """
    chosen = _chosen(snapshot, root)
    if problems := verify(chosen):
        raise InvalidSnapshotError(f"{chosen.folder}: {'; '.join(problems)}; get the snapshot from its source again")
    print(f"{chosen.label}: every file is as it was published.")


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
    print(f"Wrote the report on {chosen.label}: {write_dataset_report(chosen, pictures, destination)}")


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
        print("\n".join([f"{old.label} → {new.label}", *lines]))
    else:
        print(f"{old.label} and {new.label} are equal.")
    if rows:
        for table in tables:
            with atomic_path(rows / f"{table.table}.parquet") as path:
                table.rows.write_parquet(path)


def pull_snapshot(
    snapshot: str,
    /,
    *,
    to: Path = DEFAULT_ROOT,
) -> None:
    """Fetch a snapshot from an object store, whole and verified.

    Args:
        snapshot: address or folder of a snapshot (for a folder of several versions: the newest)
        to: the folder of all snapshots on this machine
    """
    source = snapshot_at(snapshot)
    with progress("bytes") as bar:
        line = bar.add_task(f"Pulling {source.label}", total=sum(file_sizes(source).values()), note="")
        pulled, is_new = pull(source, to, lambda n: bar.update(line, advance=n))
    if is_new:
        print(f"Pulled {pulled.label} to {pulled.path}, every file verified.")
    else:
        print(f"{pulled.label} is already in {pulled.path}.")


def _chosen(place: str | None, root: str) -> Snapshot:
    return snapshot_at(place) if place else newest_snapshot(root)
