"""The commands of `python -m dataset`: import and build here, those on snapshots in `snapshot_commands`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from dataset.build import DatasetConfig, build
from dataset.cli import ArgumentParser, run
from dataset.importing import RatingsFormat, import_ratings
from dataset.interactions import FeedbackConfig
from dataset.snapshot_commands import add_snapshot_commands
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

    add_snapshot_commands(commands)
    return parser


if __name__ == "__main__":
    run(main, "python -m dataset")
