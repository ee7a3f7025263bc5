"""The description of a built dataset (`dataset.json`), and the paper's statistics to compare it with.

`dataset.json` holds the SHA-256 of each table in its folder (`tables`). If there are features, it also holds what made
them (`extractor` for the main feature set, `feature_sets` for those with a name, `item_features` for the modalities of
items), and in `features_of` the SHA-256 of the frames whose features these are, in `item_features_of` that of the
movies. So readers recognise a folder whose tables, description and features come from different builds.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import polars.selectors as cs
from pydantic import AfterValidator, BaseModel, Discriminator, Field, Tag

from dataset.documents import FileName, Moment, Settings, Sha256, Whole, holds, read_document
from dataset.errors import InvalidTableError, MissingInputError, PipelineError, UsageError
from dataset.feature_sets import (
    files_of_set,
    files_of_table,
    is_feature_file,
    is_feature_table,
    is_item_table,
    is_set_name,
    makers_of_tables,
)
from dataset.files import sha256_of_file, write_json
from dataset.folders import link_or_copy

FILE_NAME = "dataset.json"
TABLE_FILES = tuple(
    f"{name}.parquet"
    for name in ("movies", "frames", "interactions", "frame_likes", "frame_likes_train", "quarantine", "users")
)
"""The tables that a build writes; `users` only if the raw tables say who was read."""

FEATURE_FILES = files_of_set(None)
"""The tables that an extraction or an import of features adds, for the main feature set."""

_BUILD = "build it with `python -m dataset build`"
_BUILD_AGAIN = "build the dataset again with `python -m dataset build`"
_EXTRACT_AGAIN = "run `python -m features extract`, `import` or `text` again"
_OF_FRAMES = ("frames.parquet", "features_of", ("extractor", "feature_sets"))
_OF_ITEMS = ("movies.parquet", "item_features_of", ("item_features",))
"""The file whose rows have features, the key with its SHA-256, and the keys that say what made the features."""

_OF_SPLIT = "train_"
"""How the names of columns begin that depend on the split: counts and means over the train split."""

PAPER_STATISTICS: dict[str, int] = {
    "n_users": 16_166,
    "n_movies": 12_811,
    "n_train_interactions": 379_767,
    "n_test_interactions": 98_425,
    "n_test_frame_likes": 4_760,
}
"""The statistics of the paper's dataset after filtering. Source: Wu et al. 2019, section 4."""


def _set_name(text: str) -> str:
    if not is_set_name(text):
        raise ValueError("Input should be the name of a feature set or a modality")
    return text


class _KnownSettings(BaseModel):
    k_user: Whole = 0
    k_item: Whole = 0


class _KnownVideos(BaseModel):
    used: Whole
    frames: Whole


class _KnownProvenance(BaseModel):
    source: str = ""
    file: str = ""
    site: str | None = None
    is_invented: bool | None = None
    has_pictures: bool = False
    videos: _KnownVideos | None = None
    first_request_at: Moment | None = None
    last_request_at: Moment | None = None
    pages: dict[str, dict[str, Whole]] | None = None
    causes: dict[str, Whole] | None = None
    alarms: list[str] = []
    claimed_and_seen: dict[str, dict[str, Whole]] | None = None


class _KnownNetwork(BaseModel):
    architecture: str
    node: str
    weights: str
    weights_sha256: str = ""
    preprocessing: str = ""
    is_random: bool


class _KnownImport(BaseModel):
    imported: str
    file: str
    file_sha256: Sha256
    width: Whole
    dtype: str
    vectors_of: str


class _KnownEncoder(BaseModel):
    encoder: str
    model: str
    model_sha256: Sha256
    columns: list[str]
    width: Whole
    dtype: str


class _KnownDropped(BaseModel):
    table: str
    reason: str
    rows: Whole


class _KnownStatistics(BaseModel):
    n_users: Whole
    n_movies: Whole
    n_interactions: Whole
    n_frames: Whole
    n_frames_from_videos: Whole = 0


BuildSettings = Annotated[Settings, holds(_KnownSettings)]
"""The configuration of a build."""

Provenance = Annotated[Settings, holds(_KnownProvenance)]
"""Where raw tables come from."""

_KnownExtractor = Annotated[
    Annotated[_KnownNetwork, Tag("network")] | Annotated[_KnownImport, Tag("import")],
    Discriminator(lambda extractor: "import" if "imported" in extractor else "network"),
]

Extractor = Annotated[Settings, holds(_KnownExtractor)]
"""What computed the features, or where they were imported from."""

FeatureSets = Annotated[dict[Annotated[str, AfterValidator(_set_name)], Extractor], Field(max_length=1000)]
"""What made the feature sets that have a name."""

_KnownItemExtractor = Annotated[
    Annotated[_KnownEncoder, Tag("encoder")] | Annotated[_KnownImport, Tag("import")],
    Discriminator(lambda extractor: "import" if "imported" in extractor else "encoder"),
]

ItemFeatures = Annotated[
    dict[Annotated[str, AfterValidator(_set_name)], Annotated[Settings, holds(_KnownItemExtractor)]],
    Field(max_length=1000),
]
"""What made the features of items, by modality: an encoder of texts, or an import."""

Dropped = Annotated[Settings, holds(_KnownDropped)]
"""How many rows of a table were dropped for a reason."""


class _KnownDescription(BaseModel):
    config: BuildSettings
    provenance: Provenance
    quarantined: list[Dropped]
    statistics: Annotated[Settings, holds(_KnownStatistics)]
    tables: dict[FileName, Sha256] | None = None
    extractor: Extractor | None = None
    feature_sets: FeatureSets | None = None
    features_of: Sha256 | None = None
    item_features: ItemFeatures | None = None
    item_features_of: Sha256 | None = None


_Description = Annotated[Settings, holds(_KnownDescription)]


def read_description(dataset: Path) -> dict[str, Any]:
    """Return the content of a dataset folder's `dataset.json`.

    Raises:
        MissingInputError: the folder has no `dataset.json`.
        InvalidTableError: it is not valid.
    """
    path = dataset / FILE_NAME
    if not path.is_file():
        raise MissingInputError(f"{dataset}: no dataset.json there, so it is not a built dataset; {_BUILD}")
    found: dict[str, Any] = read_document(_Description, path, _BUILD_AGAIN, InvalidTableError)
    return found


def write_description(dataset: Path, description: Mapping[str, Any]) -> dict[str, Any]:
    """Write `dataset.json` with the SHA-256 of each table in the folder, and return its content.

    Args:
        dataset: the folder; its tables are of one build, and its features, if any, of its frames.
        description: the other keys; `extractor`, `feature_sets` and `item_features` if there are features.
    """
    tables = {path.name: sha256_of_file(path) for path in sorted(dataset.glob("*.parquet"))}
    written = {**description, "tables": tables}
    for table in makers_of_tables(written):
        parent, key = parent_of(table)
        written[key] = tables[parent]
    write_json(dataset / FILE_NAME, written)
    return written


def read_proven(dataset: Path) -> dict[str, Any]:
    """Return the content of `dataset.json`, after checking that the folder's tables are those that it describes.

    Raises:
        MissingInputError: the folder has no `dataset.json`, or a table is missing.
        InvalidTableError: a table, the description and the features are not of one build.
    """
    description = read_description(dataset)
    known = description.get("tables")
    if known is None:
        raise InvalidTableError(f"{dataset / FILE_NAME}: does not hold the tables' SHA-256; {_BUILD_AGAIN}")
    tables = list(makers_of_tables(description))
    files_of_features = [file for table in tables for file in files_of_table(table)]
    present = [path.name for path in dataset.glob("*.parquet") if is_feature_file(path.name)]
    for name in dict.fromkeys((*TABLE_FILES, *FEATURE_FILES, *files_of_features, *sorted(present))):
        path, remedy = dataset / name, _EXTRACT_AGAIN if is_feature_file(name) else _BUILD_AGAIN
        if path.is_file() and sha256_of_file(path) != known.get(name):
            raise InvalidTableError(f"{path}: is not of this build (its SHA-256 is not in {FILE_NAME}); {remedy}")
        if name in known and not path.is_file():
            raise MissingInputError(f"{path}: no such table; {remedy}")
    if set(tables) != {table for name in known if is_feature_table(table := name.removesuffix(".parquet"))}:
        raise InvalidTableError(f"{dataset / FILE_NAME}: names features or an extractor, not both; {_EXTRACT_AGAIN}")
    for table in tables:
        parent, key = parent_of(table)
        if description.get(key) != known[parent]:
            what = f"{dataset / table}.parquet: features of another build's {parent.removesuffix('.parquet')}"
            raise InvalidTableError(f"{what}; {_EXTRACT_AGAIN}")
    return description


def parent_of(table: str) -> tuple[str, str]:
    """Return the file whose rows a feature table describes, and the key of `dataset.json` that holds its SHA-256."""
    parent, key, _ = _OF_ITEMS if is_item_table(table) else _OF_FRAMES
    return parent, key


def keep_features(before: Path, after: Path) -> list[str]:
    """Add features to a new build: those of frames if it has the same frames, those of items if it has the same movies.

    They are the same if nothing but their counts in the train split differs, as after another split.

    Args:
        before: the dataset folder; it may not exist or have no features.
        after: a folder with the tables and the `dataset.json` of the new build.

    Returns:
        The feature tables that were not kept.
    """
    try:
        old, new = read_description(before), read_description(after)
    except PipelineError:
        return [path.stem for path in sorted(before.glob("*.parquet")) if is_feature_table(path.stem)]
    known = old.get("tables") or {}  # an old version wrote none
    removed: list[str] = []
    described, digests = dict(new), dict(new["tables"])
    for parent, key, made_by in (_OF_FRAMES, _OF_ITEMS):
        of_features = {name: old[name] for name in (*made_by, key) if old.get(name)}
        tables = list(makers_of_tables(of_features))
        if not tables:
            continue
        of_parent = known.get(parent)
        if of_parent is None or old.get(key) != of_parent or not _have_same_rows(before / parent, after / parent):
            removed += tables
            continue
        described |= of_features | {key: new["tables"][parent]}
        for file in (file for table in tables for file in files_of_table(table)):
            if file in known and (before / file).is_file():
                link_or_copy(before / file, after / file)
                digests[file] = known[file]
    write_json(after / FILE_NAME, {**described, "tables": digests})
    return removed


def _have_same_rows(before: Path, after: Path) -> bool:
    """Return whether two tables of frames or of movies are equal, apart from the columns that depend on the split."""
    if not before.is_file():
        return False
    if sha256_of_file(before) == sha256_of_file(after):
        return True
    old, new = (pl.scan_parquet(path, glob=False).drop(cs.starts_with(_OF_SPLIT)).collect() for path in (before, after))
    return old.equals(new)


def require_only_a_dataset(folder: Path) -> None:
    """Check that a folder, if it exists, holds nothing but a dataset, so that it can be replaced as a whole.

    Raises:
        UsageError: it holds something else, which would be lost.
    """
    _require_only(folder, lambda name: name in (*TABLE_FILES, FILE_NAME) or is_feature_file(name), "a dataset")


def require_only_features(folder: Path) -> None:
    """Check that a folder, if it exists, holds nothing but features, so that it can be replaced as a whole.

    Raises:
        UsageError: it holds something else, which would be lost.
    """
    _require_only(folder, is_feature_file, "extracted features")


def _require_only(folder: Path, is_known: Callable[[str], bool], what: str) -> None:
    present = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    others = sorted(name for name in present if not (is_known(name) or name == ".DS_Store" or name.endswith(".part")))
    if others:
        raise UsageError(
            f"{folder}: holds {len(others)} files or folders that are no part of {what}, for example {others[0]!r}; "
            f"move them, or choose another folder for {what}"
        )


def flatten_settings(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings with dotted names: `{"split": {"seed": 0}}` becomes `{"split.seed": 0}`."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= flatten_settings(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found
