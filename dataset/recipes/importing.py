"""Imports a data set by its recipe: finds its files, reads them, and compares them with what is published."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import translate
from pathlib import Path
from re import compile as compiled

from dataset.errors import MissingInputError, PipelineError, UsageError
from dataset.files import sha256_of_file
from dataset.formats.import_config import ImportConfig
from dataset.formats.importing import Imported, import_ratings
from dataset.formats.items import ItemsFile, named_items_file
from dataset.formats.ratings import RatingsFormat
from dataset.formats.split_files import GivenSplit
from dataset.reading.content import COMPRESSED_SUFFIXES
from dataset.reading.open import open_user_file
from dataset.reading.table import listed
from dataset.recipes.recipe import Recipe, read_recipe

_SHOWN_FILES = 8


@dataclass(frozen=True)
class Sources:
    """The files of a data set that were found.

    Attributes:
        ratings: the file of the ratings.
        items: the file of titles, if there is one.
        pictures: the folder of pictures, or the zip or tar of them, if there is one.
        split: the files of the published split.
        notes: what the user should know, in sentences.
    """

    ratings: Path
    items: Path | None
    pictures: Path | None
    split: GivenSplit
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Given:
    """What a user gives beside the recipe.

    Attributes:
        config: options that replace what the recipe says.
        pictures: the folder of pictures.
        items: the file of titles.
        replace: whether to replace the tables of another import or a crawl.
    """

    config: ImportConfig = field(default_factory=ImportConfig)
    pictures: Path | None = None
    items: Path | None = None
    replace: bool = False


def find_sources(name: str, recipe: Recipe, given: Path) -> Sources:
    """Find the files of a data set.

    Args:
        name: the recipe's name.
        recipe: the recipe.
        given: the folder of the data set, or its file of ratings; other files are then looked for beside it.

    Raises:
        MissingInputError: a file is missing that the recipe needs.
        UsageError: several files could be the one.
    """
    is_folder = given.is_dir()
    folder = given if is_folder else given.parent
    ratings = _one_of(name, folder, recipe.ratings.files, recipe.convert) if is_folder else given
    if not ratings.is_file():
        raise MissingInputError(f"{ratings}: no such file; {_expected(name, recipe)}")
    split, published = GivenSplit(), recipe.split
    if published:
        test = _one_of(name, folder, published.test, recipe.convert) if published.test else None
        validation = _one_of(name, folder, published.validation, recipe.convert) if published.validation else None
        split = GivenSplit(validation=validation, test=test, drop_cold_users=published.drop_cold_users)
    items = _first(folder, recipe.items.files) if recipe.items else None
    pictures = _first(folder, _also_as_tar(recipe.pictures.folders)) if recipe.pictures else None
    notes = []
    if recipe.items and items is None:
        notes.append(f"no {' or '.join(recipe.items.files)} there: items have their ids as titles")
    if recipe.pictures and pictures is None:
        notes.append(f"no folder {' or '.join(recipe.pictures.folders)} there: items have no pictures")
    return Sources(ratings, items, pictures, split, tuple(notes))


def import_by_recipe(name: str, source: Path, destination: Path, given: Given = Given()) -> Imported:
    """Write a raw folder from the files of a published data set.

    Args:
        name: the recipe's name, or its file.
        source: the folder of the data set, or its file of ratings.
        destination: the raw folder.
        given: what replaces or completes the recipe.

    Returns:
        The result; its notes also say where the data differ from what is published.

    Raises:
        UsageError: there is no such recipe.
        PipelineError: see `import_ratings`. The message says what the recipe expects.
    """
    recipe = read_recipe(name)
    found = find_sources(name, recipe, source)
    ratings_format = recipe.ratings_format.updated(given.config.ratings)
    titles = ItemsFile(found.items, recipe.items_format) if found.items else None
    if given.items:
        titles = named_items_file(given.items, recipe.items_format.updated(given.config.items))
    try:
        _require_columns(found, recipe, ratings_format)
        done = import_ratings(
            found.ratings,
            ratings_format,
            given.pictures or found.pictures,
            destination,
            titles,
            given.replace,
            found.split if given.config.split == GivenSplit() else given.config.split,
            given.config.videos,
            {"recipe": {"name": name, "title": recipe.title, "licence": recipe.licence, "citation": recipe.citation}},
            likes=given.config.likes,
            pictures_in=given.config.pictures_in,
        )
    except PipelineError as error:
        if "--replace" in str(error):  # about the destination, not about the files
            raise
        raise type(error)(f"{error}; {_expected(name, recipe)}") from None
    return replace(done, notes=(*done.notes, *found.notes, *recipe.notes, *_differences(recipe, found, done)))


def next_commands(name: str, source: Path, raw: Path) -> list[str]:
    """Return the commands that follow an import."""
    recipe, folder = read_recipe(name), source if source.is_dir() else source.parent
    dataset = raw.parent / "dataset" if raw.name == "raw" else raw.with_name(f"{raw.name}-dataset")
    build = f"python -m dataset build --raw {shlex.quote(str(raw))} --to {shlex.quote(str(dataset))} {recipe.build}"
    places = {"folder": shlex.quote(str(folder)), "dataset": shlex.quote(str(dataset))}
    return [build.rstrip(), *(command.format(**places) for command in recipe.then)]


def _require_columns(found: Sources, recipe: Recipe, ratings_format: RatingsFormat) -> None:
    """Check that a file without a header has as many columns as the recipe says."""
    part, options = recipe.ratings, ratings_format.file_options
    if options.has_header is not False or ratings_format.has_lists or ratings_format.has_dictionaries:
        return
    opened = open_user_file(found.ratings, options, "ratings")
    n, n_expected = len(opened.names), len(part.columns)
    if n < n_expected or (n > n_expected and not part.has_more_columns):
        raise PipelineError(f"{found.ratings}: it has {n} columns in place of {n_expected}")


def _differences(recipe: Recipe, found: Sources, done: Imported) -> Iterator[str]:
    """Yield in which ways the data differ from what is published."""
    expected = recipe.expected
    if expected:
        for what, n_published, n in (
            ("rows of ratings", expected.ratings, done.n_rows),
            ("users", expected.users, done.n_users),
            ("items with a rating", expected.items, done.n_items),
        ):
            if n_published is not None and n != n_published:
                yield f"the published data set has {n_published:,} {what}, this one {n:,} (source: {expected.source})"
    for path in (found.ratings, *found.split.files(found.ratings).values()):
        published = recipe.sha256.get(path.name)
        if published and sha256_of_file(path) != published:
            yield f"{path.name} is not the published file: its SHA-256 differs"


def _expected(name: str, recipe: Recipe) -> str:
    part = recipe.ratings
    header = "" if recipe.ratings_format.has_header is not False else ", without a header"
    more = " and others" if part.has_more_columns else ""
    columns = f"with the columns {', '.join(part.columns)}{more}{header}"
    convert = f"; {recipe.convert}" if recipe.convert else ""
    return f"the recipe {name} expects {' or '.join(part.files)} of {recipe.title}, {columns}{convert}"


def _one_of(name: str, folder: Path, files: Sequence[str], convert: str) -> Path:
    if not folder.is_dir():
        raise MissingInputError(f"{folder}: no such folder; give the folder with {' or '.join(files)}")
    found = _first(folder, files)
    if found is None:
        present = sorted(path.name for path in folder.iterdir())[:_SHOWN_FILES]
        has = f"it has {listed(present)}" if present else "it is empty"
        convert = f"; {convert}" if convert else ""
        raise MissingInputError(f"{folder}: the recipe {name} expects {' or '.join(files)} there; {has}{convert}")
    return found


def _also_as_tar(names: Sequence[str]) -> list[str]:
    return [*names, *(f"{name}.tar" for name in names)]


def _first(folder: Path, names: Sequence[str]) -> Path | None:
    """Return the first of these files or folders that is there, also compressed.

    Raises:
        UsageError: several match a name with `*`.
    """
    for name in names:
        for suffix in ("", *COMPRESSED_SUFFIXES):
            if "*" not in name:
                if (path := folder / (name + suffix)).exists():
                    return path
                continue
            pattern = compiled(translate(name + suffix))
            matches = sorted(path for path in folder.iterdir() if pattern.match(path.name))
            if len(matches) > 1:
                raise UsageError(
                    f"{folder}: {len(matches):,} files are named like {name + suffix}, such as {matches[0].name} and "
                    f"{matches[1].name}; give the file instead of the folder"
                )
            if matches:
                return matches[0]
    return None
