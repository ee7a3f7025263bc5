"""The commands that make datasets: import, build, kcore and export."""

import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

from dataset.building.build import DatasetConfig, build
from dataset.building.kcore import k_core_parquet
from dataset.building.statistics import compare_with_paper
from dataset.cli import FLAT, CountOrZero, say
from dataset.dates import IN_WORDS, default_dates
from dataset.description import FILE_NAME as DESCRIPTION
from dataset.description import read_description
from dataset.errors import UsageError
from dataset.formats.export_formats import ExportFormat
from dataset.formats.exporting import export
from dataset.formats.import_config import ImportConfig
from dataset.formats.importing import Imported, import_ratings
from dataset.formats.pictures import ImportedPictures
from dataset.formats.videos import ImportedVideos
from dataset.recipes.importing import Given, import_by_recipe, next_commands
from dataset.recipes.recipe import list_recipes
from dataset.snapshots.datasheet import split_in_words
from dataset.snapshots.manifest import FILE_NAME as MANIFEST
from dataset.snapshots.snapshot import open_snapshot
from dataset.wording import is_of_the_papers_kind, wording_of


def import_ratings_file(
    ratings: Path | None = None,
    /,
    *,
    to: Path | None = None,
    recipe: str | None = None,
    pictures: Path | None = None,
    items: Path | None = None,
    replace: bool = False,
    config: Annotated[ImportConfig, FLAT] = ImportConfig(),  # noqa: B008 - frozen
) -> None:
    """Make raw tables from a ratings file of your own, or from a data set that the field knows by name.

    The file is a text table (CSV, TSV, .dat, .inter, …, also compressed) or Parquet.

    Args:
        ratings: the ratings file; with --recipe, the folder of the data set, or its ratings file
        to: the raw folder to write
        recipe: a data set by name, such as movielens-100k, or a recipe of your own (.toml); list shows them
        pictures: folder with <item>.jpg or <item>/<any>.jpg; or tar, zip, Parquet or Arrow files, which stay packed
        items: a file of titles (found automatically beside MovieLens and RecBole ratings)
        replace: replace the tables in --to, also if they come from another file or from a crawl
        config: how to read the files
    """
    if recipe == "list":
        list_recipes(say)
        return
    if ratings is None or to is None:
        raise UsageError("name the ratings file, and with --to the raw folder to write")
    if recipe:
        done = import_by_recipe(recipe, ratings, to, Given(config, pictures, items, replace))
    else:
        done = import_ratings(
            ratings,
            config.ratings_format(ratings),
            pictures,
            to,
            config.items_file(ratings, items),
            replace,
            config.split,
            config.videos,
            likes=config.likes,
            pictures_in=config.pictures_in,
        )
    _say_imported(done, config)
    if recipe:
        for command in next_commands(recipe, ratings, done.path):
            say(f"Next: {command}")
        return
    as_given = " --split given --k-user 0 --k-item 0" if config.ratings.split_column or config.split.test else ""
    say(f"Next: python -m dataset build --raw {shlex.quote(str(done.path))} --to <folder>{as_given}")


def _say_imported(done: Imported, config: ImportConfig) -> None:
    titles = f" ({done.n_titles:,} with a title)" if done.has_items_file else ""
    say(
        f"Imported {done.n_ratings:,} ratings of {done.n_items:,} items{titles} and {done.n_pictures:,} pictures "
        f"into {done.path} ({done.n_quarantined:,} rows dropped, see quarantine.parquet there)."
    )
    if done.pictures is not None:
        say(f"  {_about_pictures(done, done.pictures)}")
    if config.videos.videos is not None:
        say(f"  {_about_videos(done.videos)}")
    say(f"  rows in the file: {done.n_rows:,} = {done.n_ratings:,} ratings + {done.n_dropped_rows:,} dropped")
    say(f"  read as: {', '.join(f'{name} {value}' for name, value in done.facts.items() if value != 'none')}")
    for reason, n_rows in done.reasons.items():
        say(f"  dropped: {n_rows:,} ({reason})")
    for note in done.notes:
        say(f"  note: {note}")


def _about_pictures(done: Imported, pictures: ImportedPictures) -> str:
    """Return what an import has taken as pictures."""
    dropped = ", ".join(f"{n:,} {reason}" for reason, n in pictures.reasons.items())
    beside = f"; {pictures.n_beside:,} files beside them, such as .json" if pictures.n_beside else ""
    n_packed = len(pictures.shards)
    packed = f" (they stay in {n_packed:,} {'file' if n_packed == 1 else 'files'})" if n_packed else ""
    return (
        f"files of pictures: {pictures.n_files:,} = {pictures.images.height:,} pictures{packed} + "
        f"{pictures.quarantine.height:,} dropped{f' ({dropped})' if dropped else ''}{beside}; "
        f"{done.n_items - done.n_items_with_pictures:,} of {done.n_items:,} items have none"
    )


def _about_videos(done: ImportedVideos) -> str:
    """Return what an import has taken from the videos."""
    left_out = [
        f"{n:,} {what}"
        for n, what in (
            (done.n_repeated, "left out as nearly identical to the one before"),
            (done.n_damaged, "could not be decoded"),
        )
        if n
    ]
    return (
        f"files in the folder of videos: {done.n_files:,} = {done.n_videos:,} videos + {done.quarantine.height:,} "
        f"dropped; {done.frames.height:,} frames{' (further ones: ' if left_out else ''}{', '.join(left_out)}"
        f"{')' if left_out else ''}"
    )


def build_dataset(
    *,
    raw: Path = Path("data/sandbox/raw"),
    to: Path = Path("data/sandbox/dataset"),
    config: Annotated[DatasetConfig, FLAT] = DatasetConfig(),  # noqa: B008 - frozen
) -> None:
    """Filter and split raw tables.

    Args:
        raw: the raw folder
        to: the dataset folder to write
        config: how to build the dataset
    """
    built = build(raw, to, config)
    numbers, provenance = built.description["statistics"], built.description["provenance"]
    wording = wording_of(provenance)
    items = wording.items
    say(
        f"Built {built.path}: {numbers['n_interactions']:,} interactions of {numbers['n_users']:,} users with "
        f"{numbers['n_movies']:,} {items} ({numbers['n_train_interactions']:,} train, "
        f"{numbers['n_validation_interactions']:,} validation, {numbers['n_test_interactions']:,} test), "
        f"{numbers['n_frames']:,} frames, {numbers['n_test_frame_likes']:,} frame likes for test."
    )
    if is_of_the_papers_kind(provenance):
        for line in compare_with_paper(numbers):
            say(f"  {line}")
    say(
        f"  cold interactions in validation and test: {numbers['n_cold_interactions']:,} "
        f"({numbers['n_cold_users']:,} users and {numbers['n_cold_movies']:,} {items} have no training interaction)"
    )
    for note in built.notes:
        say(f"  {wording.of_tables(note)}")
    say(f"  split: {split_in_words(built.description['config'])}")
    if config.split.strategy == "given":
        say(f"  {_about_given_split(built.description['provenance']['given_split'])}")
    if built.removed_features:
        say(
            f"  features of the earlier build were removed, because the frames or {items} have changed "
            f"({', '.join(built.removed_features)}); run `python -m features extract` (it computes no picture twice), "
            "`import` or `text` again"
        )
    for row in built.description["quarantined"]:
        say(f"  dropped from {row['table']}: {row['rows']:,} ({wording.of_tables(row['reason'])})")


def _about_given_split(given: dict[str, Any]) -> str:
    """Return what a dataset keeps of the split that was given, and how validation came about."""
    kept = ", ".join(f"{given['kept_pairs'][split]:,} of {n:,} {split}" for split, n in given["pairs"].items() if n)
    drawn = given["validation_drawn_from_train"]
    validation = (
        f"; it has no validation, so {drawn['pairs']:,} pairs were drawn from train "
        f"(share {drawn['share_of_train']:g}, seed {drawn['seed']})"
        if drawn
        else ""
    )
    return f"given split: kept {kept} pairs{validation} (SHA-256 of the split: {given['sha256']})"


def _about_dates(source: Path) -> str:
    """Return what a reader of an export must know about its dates; empty if nothing."""
    if (source / MANIFEST).is_file():
        dates = open_snapshot(source).manifest.dates
        return f"dates of people's acts: {IN_WORDS[dates]}" if dates in ("month", "order") else ""
    if (source / DESCRIPTION).is_file() and default_dates(read_description(source)["provenance"]) != "time":
        return (
            "note: these are the exact dates of real people, for your own use; to share an export, publish the dataset "
            "and export the snapshot"
        )
    return ""


def filter_k_core(
    source: Path,
    /,
    *,
    to: Path,
    user_column: str = "user_id",
    item_column: str = "movie_id",
    k_user: CountOrZero = 5,
    k_item: CountOrZero = 5,
    replace: bool = False,
) -> None:
    """Filter a Parquet file of any size to its k-core. A user-item pair counts once; all rows of a kept pair are kept.

    Args:
        source: a Parquet file, or a folder of them
        to: the Parquet file to write
        user_column: column with the user's id
        item_column: column with the item's id
        k_user: minimum items per user
        k_item: minimum users per item
        replace: replace the file in --to
    """
    core = k_core_parquet(source, to, k_user, k_item, user_column, item_column, replace)
    say(
        f"Kept {core.n_kept:,} of {core.n_rows:,} rows in {to}: "
        f"the k-core with k = {k_user} for users and {k_item} for items."
    )
    if core.n_repeats:
        say(f"  {core.n_repeats:,} rows repeat the user and item of another row; each pair counted once.")


def export_dataset(
    source: Path,
    /,
    *,
    to: Path,
    format: ExportFormat = "recbole",
    name: str = "dataset",
    leaking_columns: bool = False,
    features: Literal["none", "items", "frames"] | None = None,
    feature_set: str | None = None,
    modality: str | None = None,
) -> None:
    """Write a dataset for RecBole, LightGCN, Cornac or MMRec.

    Args:
        source: a dataset folder, or the folder of one snapshot version
        to: the folder to write; files there that an export did not write are never replaced
        format: format to write; uir and uirt (with times) are for Cornac and others
        name: the dataset's name in RecBole and MMRec
        leaking_columns: also write the movies' columns that reveal held-out rows, such as rating_mean (recbole only)
        features: also write features, of items (the mean of their frames) or of frames (by default items for mmrec)
        feature_set: the feature set to write (by default the main one)
        modality: also write the items' features of a modality, such as text (by default text for mmrec if it exists)
    """
    done = export(source, to, format, name, leaking_columns, features, feature_set, modality)
    say(f"Exported {source} as {format}:")
    for file in done.files:
        say(f"  {file}")
    for matrix, n_filled in done.n_filled.items():
        if n_filled:
            say(f"  {n_filled:,} items have no {matrix} feature; their row is the mean of the others")
    for column in ("stars", "rated_on"):
        if column not in done.values:
            say(f"  without {column}: some interactions have none")
    if told := _about_dates(source):
        say(f"  {told}")
    if done.n_times:
        midnights = f"; {done.n_midnights:,} are midnight UTC of the day, because the time of day is not known"
        say(
            f"  {done.n_times - done.n_midnights:,} of {done.n_times:,} times are exact to the second"
            f"{midnights if done.n_midnights else ''}"
        )
