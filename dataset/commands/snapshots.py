"""The commands on snapshots: publish, list, show, verify, diff, pull, report. A place is a path or an address."""

import argparse
from pathlib import Path
from typing import Any

from dataset.cli import progress
from dataset.errors import InvalidSnapshotError, MissingInputError
from dataset.files import atomic_path
from dataset.snapshots.card import NO_LICENCE, describe_extractor
from dataset.snapshots.diff import describe_changes, diff_tables
from dataset.snapshots.publish import publish
from dataset.snapshots.pull import file_sizes, pull
from dataset.snapshots.snapshot import DEFAULT_ROOT, Snapshot, list_snapshots, newest_snapshot, snapshot_at
from dataset.snapshots.verify import verify


def add_snapshot_commands(commands: Any) -> None:
    """Add the commands to an argument parser's sub-parsers."""
    places = "a folder, or an address as s3://bucket/prefix (also gs://, az://)"

    command = commands.add_parser("publish", help="publish a built dataset as the next version")
    command.set_defaults(command=_publish)
    command.add_argument("--dataset", type=Path, default=Path("data/sandbox/dataset"), help="the dataset folder")
    command.add_argument("--name", default="sandbox", help="what to publish it as")
    command.add_argument("--licence", help="what others may do with it, for its card: an SPDX name or a sentence")

    commands.add_parser("list", help="list the published snapshots").set_defaults(command=_list)
    for name, action, words in (
        ("show", _show, "say what a snapshot holds"),
        ("verify", _verify, "check every byte of a snapshot"),
        ("report", _report, "write a snapshot's page: one HTML file with its numbers, charts and pictures"),
    ):
        command = commands.add_parser(name, help=words)
        command.set_defaults(command=action)
        command.add_argument("snapshot", nargs="?", help=f"{places} (the newest below --root if absent)")
    for name in ("publish", "list", "show", "verify", "report"):
        commands.choices[name].add_argument("--root", default=str(DEFAULT_ROOT), help=f"of all snapshots: {places}")
    command = commands.choices["report"]
    command.add_argument("--raw", type=Path, help="raw folder with pictures (data/<name>/raw if absent)")
    command.add_argument("--to", type=Path, help="folder to write (data/reports/<name>-v<version> if absent)")

    command = commands.add_parser("diff", help="say what changed between two snapshots, in rows and in words")
    command.set_defaults(command=_diff)
    command.add_argument("before", help=places)
    command.add_argument("after", help=places)
    command.add_argument("--rows", type=Path, help="folder to write the rows that differ to, a Parquet file a table")

    command = commands.add_parser("pull", help="fetch a snapshot from an object store, whole and verified")
    command.set_defaults(command=_pull)
    command.add_argument("snapshot", help=f"{places} (of several, the newest)")
    command.add_argument("--to", type=Path, default=DEFAULT_ROOT, help="folder of all snapshots here")


def _publish(arguments: argparse.Namespace) -> None:
    snapshot, is_new = publish(arguments.dataset, arguments.name, arguments.root, arguments.licence)
    if is_new:
        print(f"Published {snapshot.label} in {snapshot.folder}, content {snapshot.content_digest[:12]}.")
    else:
        print(f"Nothing changed since {snapshot.label} ({snapshot.folder}); nothing published.")


def _list(arguments: argparse.Namespace) -> None:
    snapshots = list_snapshots(arguments.root)
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
        print(f"No snapshot below {arguments.root}.")
    if unreadable:
        raise InvalidSnapshotError("; ".join(map(str, unreadable)))


def _show(arguments: argparse.Namespace) -> None:
    snapshot = _chosen(arguments)
    manifest = snapshot.manifest
    parent = f"v{manifest.parent:04d}" if manifest.parent else "none"
    print(f"{snapshot.label} in {snapshot.folder}")
    print(f"  content digest  {snapshot.content_digest}")
    print(f"  published       {manifest.created_at}, code {manifest.code_version}, parent {parent}")
    print(f"  source          {manifest.provenance.get('source')}")
    print(f"  licence         {manifest.licence or NO_LICENCE}")
    print(f"  features        {describe_extractor(manifest.extractor)}")
    for name, entry in manifest.tables.items():
        print(f"  {name:<15} {entry.rows:>10,} rows  {entry.size_bytes:>13,} bytes")


def _verify(arguments: argparse.Namespace) -> None:
    snapshot = _chosen(arguments)
    problems = verify(snapshot)
    if problems:
        raise InvalidSnapshotError(f"{snapshot.folder}: {'; '.join(problems)}; take the snapshot from its source again")
    print(f"{snapshot.label}: every file is as it was published.")


def _report(arguments: argparse.Namespace) -> None:
    from dataset.report.dataset_report import DEFAULT_REPORTS, write_dataset_report  # brings what draws charts

    snapshot = _chosen(arguments)
    raw = arguments.raw or Path("data") / snapshot.name / "raw"
    if arguments.raw and not (raw / "images.parquet").is_file():
        raise MissingInputError(f"{raw}: no images.parquet there; --raw takes the folder of raw tables")
    destination = arguments.to or DEFAULT_REPORTS / f"{snapshot.name}-v{snapshot.version:04d}"
    print(f"The page of {snapshot.label}: {write_dataset_report(snapshot, raw, destination)}")


def _diff(arguments: argparse.Namespace) -> None:
    before, after = snapshot_at(arguments.before), snapshot_at(arguments.after)
    tables = diff_tables(before, after)
    lines = list(describe_changes(before, after, tables))
    print(
        "\n".join([f"{before.label} → {after.label}", *lines])
        if lines
        else f"{before.label} and {after.label} are equal."
    )
    for diff in tables if arguments.rows else []:
        with atomic_path(arguments.rows / f"{diff.table}.parquet") as path:
            diff.rows.write_parquet(path)


def _pull(arguments: argparse.Namespace) -> None:
    source = snapshot_at(arguments.snapshot)
    with progress("bytes") as bar:
        line = bar.add_task(f"Pulling {source.label}", total=sum(file_sizes(source).values()), note="")
        snapshot, is_new = pull(source, arguments.to, lambda n: bar.update(line, advance=n))
    print(
        f"Pulled {snapshot.label} to {snapshot.path}, every file verified."
        if is_new
        else f"{snapshot.label} is in {snapshot.path} already."
    )


def _chosen(arguments: argparse.Namespace) -> Snapshot:
    return snapshot_at(arguments.snapshot) if arguments.snapshot else newest_snapshot(arguments.root)
