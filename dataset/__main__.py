"""The commands of `python -m dataset`; those on snapshots are in `snapshot_commands`."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from dataset.building.build import DatasetConfig, build
from dataset.building.feedback import FeedbackConfig
from dataset.building.kcore import k_core_parquet
from dataset.building.split import STRATEGIES, SplitConfig
from dataset.building.statistics import compare_with_paper
from dataset.cli import ArgumentParser, run, whole_number
from dataset.commands.snapshots import add_snapshot_commands
from dataset.formats.exporting import FORMATS as EXPORT_FORMATS
from dataset.formats.exporting import export
from dataset.formats.importing import import_ratings
from dataset.formats.items import find_items_file, named_items_file
from dataset.formats.ratings import FORMATS, RatingsFormat, detect_format


def main(argv: Sequence[str]) -> None:
    """Run one command."""
    arguments = _parser().parse_args(argv)
    arguments.command(arguments)


def _import(arguments: argparse.Namespace) -> None:
    known = detect_format(arguments.ratings) if arguments.format == "auto" else arguments.format
    named = {
        name: value
        for name in ("user_column", "item_column", "rating_column", "time_column", "max_rating", "separator")
        if (value := getattr(arguments, name)) is not None
    }
    form = replace(FORMATS.get(known or "columns", RatingsFormat()), **named)
    items = find_items_file(arguments.ratings, known)
    if arguments.items:
        items = named_items_file(arguments.items, arguments.items_id_column or form.item_column, arguments.title_column)
    done = import_ratings(arguments.ratings, form, arguments.pictures, arguments.to, items)
    titles = f" ({done.n_titles:,} with a title)" if items else ""
    print(
        f"Imported {done.n_ratings:,} ratings of {done.n_items:,} items{titles} and {done.n_pictures:,} pictures "
        f"into {done.path} ({done.n_quarantined:,} rows left out, see quarantine.parquet there).\n"
        f"Next: python -m dataset build --raw {done.path} --to <folder>"
    )


def _build(arguments: argparse.Namespace) -> None:
    config = DatasetConfig(
        k_user=arguments.k_user,
        k_item=arguments.k_item,
        feedback=FeedbackConfig(arguments.min_stars, not arguments.rated_only, arguments.since, arguments.until),
        split=SplitConfig(
            arguments.seed, arguments.validation_share, arguments.test_share, arguments.split, not arguments.drop_cold
        ),
    )
    built = build(arguments.raw, arguments.to, config)
    numbers = built.description["statistics"]
    print(
        f"Built {built.path}: {numbers['n_interactions']:,} interactions of {numbers['n_users']:,} users with "
        f"{numbers['n_movies']:,} movies ({numbers['n_train_interactions']:,} train, "
        f"{numbers['n_validation_interactions']:,} validation, {numbers['n_test_interactions']:,} test), "
        f"{numbers['n_frames']:,} frames, {numbers['n_test_frame_likes']:,} frame likes for test."
    )
    for line in compare_with_paper(numbers):
        print(f"  {line}")
    print(
        f"  cold in validation and test: {numbers['n_cold_interactions']:,} interactions, of "
        f"{numbers['n_cold_users']:,} users and {numbers['n_cold_movies']:,} movies without one for training"
    )
    for row in built.description["quarantined"]:
        print(f"  left out of {row['table']}: {row['rows']:,} ({row['reason']})")


def _kcore(arguments: argparse.Namespace) -> None:
    n, n_kept = k_core_parquet(
        arguments.source,
        arguments.to,
        arguments.k_user,
        arguments.k_item,
        arguments.user_column,
        arguments.item_column,
    )
    print(f"Kept {n_kept:,} of {n:,} rows in {arguments.to}: the core of {arguments.k_user} and {arguments.k_item}.")


def _export(arguments: argparse.Namespace) -> None:
    done = export(arguments.source, arguments.to, arguments.format, arguments.name)
    print(f"Exported {arguments.source} as {arguments.format}:")
    for file in done.files:
        print(f"  {file}")
    for column in ("stars", "rated_on"):
        if column not in done.values:
            print(f"  without {column}: not every interaction has one")


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="python -m dataset", description="Build and publish datasets from raw tables.")
    commands = parser.add_subparsers(required=True, metavar="command")

    command = commands.add_parser("import", help="make raw tables from a ratings file of yours")
    command.set_defaults(command=_import)
    command.add_argument("ratings", type=Path, help="a .csv, .tsv, .parquet, .inter, ratings.dat or u.data file")
    command.add_argument("--to", type=Path, required=True, help="the raw folder to write")
    command.add_argument(
        "--format", choices=["auto", "columns", *FORMATS], default="auto", help="auto: by the file's name"
    )
    command.add_argument("--user-column", help="column with the user's id (without a known format: user)")
    command.add_argument("--item-column", help="column with the item's id (without a known format: item)")
    command.add_argument("--rating-column", help="column with the rating")
    command.add_argument("--time-column", help="column with a date or seconds since 1970")
    command.add_argument("--max-rating", type=float, help="the best rating there is (if not named: 5)")
    command.add_argument("--separator", help="of a CSV file (by default a comma, or a tab in .tsv)")
    command.add_argument("--items", type=Path, help="a file of titles (found by itself beside MovieLens and RecBole)")
    command.add_argument(
        "--items-id-column", help="column of --items with the item's id (if absent, as in the ratings)"
    )
    command.add_argument("--title-column", default="title", help="column of --items with the title")
    command.add_argument("--pictures", type=Path, help="folder with <item>.jpg or <item>/<any>.jpg")

    command = commands.add_parser("build", help="filter and split raw tables")
    command.set_defaults(command=_build)
    command.add_argument("--raw", type=Path, default=Path("data/sandbox/raw"), help="the raw folder")
    command.add_argument("--to", type=Path, default=Path("data/sandbox/dataset"), help="the dataset folder to write")
    _add_k(command)
    command.add_argument("--min-stars", type=float, help="fewest stars that count (by default any rating)")
    command.add_argument("--rated-only", action="store_true", help="leave out what was watched but not rated")
    command.add_argument("--since", type=_day, help="first day that counts, like 2015-01-31")
    command.add_argument("--until", type=_day, help="last day that counts")
    command.add_argument("--split", choices=list(STRATEGIES), default="random", help="how to split")
    command.add_argument("--seed", type=whole_number(0), default=0, help="seed of the split")
    command.add_argument("--validation-share", type=float, default=0.1, help="share for validation")
    command.add_argument("--test-share", type=float, default=0.2, help="share for test")
    command.add_argument(
        "--drop-cold", action="store_true", help="leave out held-out interactions of users or movies not trained on"
    )

    command = commands.add_parser("kcore", help="filter a Parquet file, of any size, to its k-core")
    command.set_defaults(command=_kcore)
    command.add_argument("source", type=Path, help="a Parquet file, or a folder of them")
    command.add_argument("--to", type=Path, required=True, help="the Parquet file to write")
    command.add_argument("--user-column", default="user_id", help="column with the user's id")
    command.add_argument("--item-column", default="movie_id", help="column with the item's id")
    _add_k(command)

    command = commands.add_parser("export", help="write a dataset for RecBole, LightGCN, Cornac, …")
    command.set_defaults(command=_export)
    command.add_argument("source", type=Path, help="a dataset folder, or a version's folder")
    command.add_argument("--to", type=Path, required=True, help="the folder to write")
    command.add_argument("--format", choices=list(EXPORT_FORMATS), default="recbole", help="whose format")
    command.add_argument("--name", default="dataset", help="what RecBole shall call the dataset")

    add_snapshot_commands(commands)
    return parser


def _add_k(command: argparse.ArgumentParser) -> None:
    command.add_argument("--k-user", type=whole_number(0), default=5, help="interactions a user must keep")
    command.add_argument("--k-item", type=whole_number(0), default=5, help="interactions a movie must keep")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day like 2015-01-31") from None


if __name__ == "__main__":
    run(main, "python -m dataset")
