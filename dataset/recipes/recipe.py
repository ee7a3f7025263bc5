"""Defines a recipe and reads it: a TOML file that says how the files of a published data set are imported."""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from dataset.documents import Sha256, Whole
from dataset.errors import MissingInputError, UsageError
from dataset.formats.items import ItemsFormat
from dataset.formats.ratings import FORMATS, RatingsFormat

_STRICT = ConfigDict(extra="forbid")
_SUFFIX = ".toml"
_REMEDY = "see the recipes of this project in dataset/recipes/known"

Name = Annotated[str, Field(min_length=1)]
Names = Annotated[tuple[Name, ...], Field(min_length=1)]
Options = dict[str, str | float | bool]


@dataclass(frozen=True, config=_STRICT)
class RatingsPart:
    """The file of the ratings.

    Attributes:
        files: its possible names, the first found is read; `*` stands for any text. Several files of one name, in
            folders of the data set, are written with the folder.
        columns: the columns that the file has, in their order, for messages; without a header, what they hold.
        options: fields of `RatingsFormat`: the columns that are read, and how.
        format: one of the known formats, in place of options.
        has_more_columns: whether the file may have more columns than those.
    """

    files: Names
    columns: Names
    options: Options = Field(default_factory=dict)
    format: str | None = None
    has_more_columns: bool = False


@dataclass(frozen=True, config=_STRICT)
class ItemsPart:
    """The file of titles; a user may lack it.

    Attributes:
        files: its possible names.
        options: fields of `ItemsFormat`.
    """

    files: Names
    options: Options = Field(default_factory=dict)


@dataclass(frozen=True, config=_STRICT)
class SplitPart:
    """The published split.

    Attributes:
        test: the possible names of the file of test ratings, if the split is in files.
        validation: those of the validation ratings.
        drop_cold_users: whether held-out rows of users without a train row are left out, as the data set's own code
            does.
    """

    test: tuple[Name, ...] = ()
    validation: tuple[Name, ...] = ()
    drop_cold_users: bool = False


@dataclass(frozen=True, config=_STRICT)
class PicturesPart:
    """The pictures.

    Attributes:
        folders: the possible names of the folder of pictures, or of its zip or tar without the extension; a user may
            lack it.
    """

    folders: Names


@dataclass(frozen=True, config=_STRICT)
class Expected:
    """What the published data set holds, with the source of these numbers. None: not known.

    Attributes:
        ratings: rows of ratings.
        users: users.
        items: items with a rating.
        source: where these numbers stand.
    """

    source: Name
    ratings: Whole | None = None
    users: Whole | None = None
    items: Whole | None = None


@dataclass(frozen=True, config=_STRICT)
class Recipe:
    """How the files of a published data set are imported.

    Attributes:
        title: the data set's name.
        about: what it holds, in one sentence.
        item: what an item is, such as film.
        picture: what a picture is; empty if the data set has none.
        page: where people get it: the project's page by name.
        licence: its licence, as its publishers state it; empty if they state none.
        citation: whom to cite.
        source: what the recipe is made from.
        was_run: whether it was run on the published files; otherwise it follows the documentation alone.
        ratings: the file of the ratings.
        items: the file of titles.
        split: the published split.
        pictures: the folder of pictures.
        expected: what the published data set holds.
        sha256: digests of published files, by name; empty where none is published.
        convert: how to make the files, if they are not published in a form that is read here.
        build: options of `dataset build` that keep what was published.
        then: further commands, such as the import of published vectors, with `{folder}` for the data set's folder and
            `{dataset}` for the built dataset.
        notes: what a user should know, in sentences.
    """

    title: Name
    about: Name
    item: Name
    page: Name
    citation: Name
    source: Name
    was_run: bool
    ratings: RatingsPart
    licence: str = ""
    picture: str = ""
    items: ItemsPart | None = None
    split: SplitPart | None = None
    pictures: PicturesPart | None = None
    expected: Expected | None = None
    sha256: Mapping[str, Sha256] = Field(default_factory=dict)
    convert: str = ""
    build: str = ""
    then: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ratings_format(self) -> RatingsFormat:
        """How the file of the ratings is read."""
        known = FORMATS[self.ratings.format] if self.ratings.format else RatingsFormat()  # type: ignore[index]
        return known.updated(RatingsFormat(**self.ratings.options))  # type: ignore[arg-type]

    @property
    def items_format(self) -> ItemsFormat:
        """How the file of titles is read."""
        return ItemsFormat(**self.items.options) if self.items else ItemsFormat()  # type: ignore[arg-type]


@cache
def known_recipes() -> Mapping[str, Recipe]:
    """Return the recipes of this project, by name."""
    folder = files("dataset.recipes") / "known"
    found = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(_SUFFIX))
    return {name.removesuffix(_SUFFIX): _parse((folder / name).read_text("utf-8"), name) for name in found}


def read_recipe(name: str) -> Recipe:
    """Return a recipe by its name, or from a TOML file of the user's.

    Raises:
        UsageError: there is no such recipe, or the file is no recipe.
        MissingInputError: the file is missing.
    """
    if not name.endswith(_SUFFIX):
        if name in known_recipes():
            return known_recipes()[name]
        raise UsageError(
            f"--recipe {name!r}: no such recipe; there are {', '.join(known_recipes())}, and a recipe of your own is "
            "a file that ends in .toml"
        )
    try:
        text = Path(name).read_text("utf-8")
    except OSError as failure:
        raise MissingInputError(f"{name}: cannot be read ({failure.strerror}); {_REMEDY}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{name}: not UTF-8; {_REMEDY}") from None
    return _parse(text, name)


def list_recipes(write: Callable[[str], None]) -> None:
    """Write what this project has recipes for, and what each needs."""
    for name, recipe in known_recipes().items():
        pictures = f"; a picture is {recipe.picture}" if recipe.picture and not recipe.picture.startswith("no ") else ""
        write(f"{name}: {recipe.title}: {recipe.about}")
        write(f"  get it from: {recipe.page}")
        write(f"  files: {' or '.join(recipe.ratings.files)}; an item is a {recipe.item}{pictures}")
        write(f"  licence: {recipe.licence or 'see its page'}")
        write(f"  cite: {recipe.citation}")
        run = "run on the published files" if recipe.was_run else "not run on the published files"
        write(f"  made from: {recipe.source}; {run}")


def _parse(text: str, where: str) -> Recipe:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as failure:
        raise UsageError(f"{where}: not TOML ({' '.join(str(failure).split())}); {_REMEDY}") from None
    try:
        recipe: Recipe = TypeAdapter(Recipe).validate_python(document)
    except ValidationError as failure:
        raise UsageError(f"{where}: {_first(failure)}; {_REMEDY}") from None
    _check_options(where, "ratings.options", recipe.ratings.options, RatingsFormat)
    if recipe.items:
        _check_options(where, "items.options", recipe.items.options, ItemsFormat)
    if recipe.ratings.format and recipe.ratings.format not in FORMATS:
        raise UsageError(f"{where}: ratings.format: it should be one of {', '.join(FORMATS)}; {_REMEDY}")
    for command in recipe.then:
        try:
            command.format(folder="", dataset="")
        except (KeyError, IndexError, ValueError):
            raise UsageError(
                f"{where}: then: {command!r} has braces that are neither {{folder}} nor {{dataset}}; write others twice"
            ) from None
    return recipe


def _check_options(where: str, key: str, options: Options, kind: type[Any]) -> None:
    known = {field.name for field in fields(kind)}
    if unknown := sorted(set(options) - known):
        raise UsageError(f"{where}: {key}: no field {unknown[0]!r}; there are {', '.join(sorted(known))}")
    try:
        TypeAdapter(kind).validate_python(options)
    except ValidationError as failure:
        raise UsageError(f"{where}: {key}.{_first(failure)}; {_REMEDY}") from None


def _first(failure: ValidationError) -> str:
    """Return the first problem in words; a key that is not known comes first, because it may be a missing one."""
    problems = failure.errors(include_url=False)
    problem = min(problems, key=lambda problem: problem["type"] != "unexpected_keyword_argument")
    words = "no such key" if problem["type"] == "unexpected_keyword_argument" else problem["msg"]
    return f"{'.'.join(map(str, problem['loc']))}: {words}"
