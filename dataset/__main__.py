"""The commands of `python -m dataset`: import, build, publish, list, show, verify."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from dataset.build import DatasetConfig, build
from dataset.card import extractor_in_words
from dataset.cli import ArgumentParser, run
from dataset.errors import InvalidSnapshotError
from dataset.importing import RatingsFormat, import_ratings
from dataset.interactions import FeedbackConfig
from dataset.snapshot import DEFAULT_ROOT, list_snapshots, newest_snapshot, open_snapshot, publish, verify
from dataset.split import SplitConfig


def main(argv: Sequence[str]) -> None:
    """Run one command."""
    arguments = _parser().parse_args(argv)
    arguments.command(arguments)


def _import(arguments: argparse.Namespace) -> None:
    form = RatingsFormat(
        user_column=arguments.user_column,
        item_column=arguments.item_column,
        rating_column=arguments.rating_column,
        time_column=arguments.time_column,
        max_rating=arguments.max_rating,
        separator=arguments.separator,
    )
    done = import_ratings(arguments.ratings, form, arguments.pictures, arguments.to)
    print(
        f"Imported {done.n_ratings:,} ratings of {done.n_items:,} items and {done.n_pictures:,} pictures "
        f"into {done.path} ({done.n_quarantined:,} rows left out, see quarantine.parquet there).\n"
        f"Next: python -m dataset build --raw {done.path} --to <folder>"
    )


def _build(arguments: argparse.Namespace) -> None:
    config = DatasetConfig(
        k_user=arguments.k_user,
        k_item=arguments.k_item,
        feedback=FeedbackConfig(arguments.min_stars, not arguments.rated_only),
        split=SplitConfig(arguments.seed, arguments.validation_share, arguments.test_share),
    )
    built = build(arguments.raw, arguments.to, config)
    numbers = built.description["statistics"]
    print(
        f"Built {built.path}: {numbers['n_interactions']:,} interactions of {numbers['n_users']:,} users with "
        f"{numbers['n_movies']:,} movies ({numbers['n_train_interactions']:,} train, "
        f"{numbers['n_validation_interactions']:,} validation, {numbers['n_test_interactions']:,} test), "
        f"{numbers['n_frames']:,} frames, {numbers['n_test_frame_likes']:,} frame likes for test."
    )
    for row in built.description["quarantined"]:
        print(f"  left out of {row['table']}: {row['rows']:,} ({row['reason']})")


def _publish(arguments: argparse.Namespace) -> None:
    snapshot, is_new = publish(arguments.dataset, arguments.name, arguments.root)
    if is_new:
        print(f"Published {snapshot.label} in {snapshot.path}, content {snapshot.content_digest[:12]}.")
    else:
        print(f"Nothing changed since {snapshot.label} ({snapshot.path}); nothing published.")


def _list(arguments: argparse.Namespace) -> None:
    snapshots = list_snapshots(arguments.root)
    for snapshot in snapshots:
        numbers = snapshot.manifest.statistics
        print(
            f"{snapshot.label}  {snapshot.manifest.created_at[:16]}  content {snapshot.content_digest[:12]}  "
            f"{numbers['n_users']:,} users, {numbers['n_movies']:,} movies, {numbers['n_interactions']:,} interactions"
        )
    if not snapshots:
        print(f"No snapshot below {arguments.root}.")


def _show(arguments: argparse.Namespace) -> None:
    snapshot = open_snapshot(arguments.snapshot) if arguments.snapshot else newest_snapshot(arguments.root)
    manifest = snapshot.manifest
    print(f"{snapshot.label} in {snapshot.path}")
    print(f"  content digest  {snapshot.content_digest}")
    print(f"  published       {manifest.created_at}, code {manifest.code_version}")
    print(f"  source          {manifest.provenance.get('source')}")
    print(f"  features        {extractor_in_words(manifest.extractor)}")
    for name, entry in manifest.tables.items():
        print(f"  {name:<15} {entry.rows:>10,} rows  {entry.size_bytes:>13,} bytes")


def _verify(arguments: argparse.Namespace) -> None:
    snapshot = open_snapshot(arguments.snapshot) if arguments.snapshot else newest_snapshot(arguments.root)
    problems = verify(snapshot)
    if problems:
        raise InvalidSnapshotError(f"{snapshot.path}: {'; '.join(problems)}; take the snapshot from its source again")
    print(f"{snapshot.label}: every file is as it was published.")


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="python -m dataset", description="Build and publish datasets from raw tables.")
    commands = parser.add_subparsers(required=True, metavar="command")

    command = commands.add_parser("import", help="make raw tables from a ratings file of yours")
    command.set_defaults(command=_import)
    command.add_argument("ratings", type=Path, help="a .csv, .tsv or .parquet file")
    command.add_argument("--to", type=Path, required=True, help="the raw folder to write")
    command.add_argument("--user-column", default="user", help="column with the user's id")
    command.add_argument("--item-column", default="item", help="column with the item's id")
    command.add_argument("--rating-column", help="column with the rating")
    command.add_argument("--time-column", help="column with a date or seconds since 1970")
    command.add_argument("--max-rating", type=float, default=5.0, help="the best rating there is")
    command.add_argument("--separator", help="of a CSV file (by default a comma, or a tab in .tsv)")
    command.add_argument("--pictures", type=Path, help="folder with <item>.jpg or <item>/<any>.jpg")

    command = commands.add_parser("build", help="filter and split raw tables")
    command.set_defaults(command=_build)
    command.add_argument("--raw", type=Path, default=Path("data/sandbox/raw"), help="the raw folder")
    command.add_argument("--to", type=Path, default=Path("data/sandbox/dataset"), help="the dataset folder to write")
    command.add_argument("--k-user", type=int, default=5, help="interactions a user must keep")
    command.add_argument("--k-item", type=int, default=5, help="interactions a movie must keep")
    command.add_argument("--min-stars", type=float, help="fewest stars that count (by default any rating)")
    command.add_argument("--rated-only", action="store_true", help="leave out what was watched but not rated")
    command.add_argument("--seed", type=int, default=0, help="seed of the split")
    command.add_argument("--validation-share", type=float, default=0.1, help="share for validation")
    command.add_argument("--test-share", type=float, default=0.2, help="share for test")

    command = commands.add_parser("publish", help="publish a built dataset as the next version")
    command.set_defaults(command=_publish)
    command.add_argument("--dataset", type=Path, default=Path("data/sandbox/dataset"), help="the dataset folder")
    command.add_argument("--name", default="sandbox", help="what to publish it as")

    for name, action, words in (
        ("list", _list, "list the published snapshots"),
        ("show", _show, "say what a snapshot holds"),
        ("verify", _verify, "check every byte of a snapshot"),
    ):
        commands.add_parser(name, help=words).set_defaults(command=action)
    for name in ("show", "verify"):
        commands.choices[name].add_argument("snapshot", type=Path, nargs="?", help="its folder (the newest if absent)")
    for name in ("publish", "list", "show", "verify"):
        commands.choices[name].add_argument("--root", type=Path, default=DEFAULT_ROOT, help="folder of all snapshots")
    return parser


if __name__ == "__main__":
    run(main, "python -m dataset")
