"""Adds features to a dataset folder: after a kill, the folder has the old features or the new ones."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from dataset.description import FILE_NAME, TABLE_FILES, parent_of, read_description, require_only_a_dataset
from dataset.errors import InvalidTableError
from dataset.feature_sets import files_of_table, keys_of_makers, makers_of_tables, table_of_modality, table_of_set
from dataset.files import sha256_of_file, write_json
from dataset.folders import link_or_copy, replaced_folder

T = TypeVar("T")


class Addition(NamedTuple):
    """What is added: what made the features, and the statistics that more frames change."""

    made_by: dict[str, Any]
    statistics: Mapping[str, Any] = {}


def frames_sha256(dataset: Path) -> str:
    """Return the SHA-256 of a dataset's frames, after checking that they are of the build that is described.

    Raises:
        MissingInputError, InvalidTableError: they are not.
        UsageError: the folder holds other files.
    """
    return _proven_sha256(dataset, "frames.parquet")


def movies_sha256(dataset: Path) -> str:
    """Return the SHA-256 of a dataset's movies; see `frames_sha256`."""
    return _proven_sha256(dataset, "movies.parquet")


def _proven_sha256(dataset: Path, file: str) -> str:
    require_only_a_dataset(dataset)
    described = read_description(dataset)
    path = dataset / file
    digest = sha256_of_file(path) if path.is_file() else None
    if digest is None or (described.get("tables") or {}).get(file) != digest:
        raise InvalidTableError(
            f"{dataset}: {file} is not of the build that dataset.json describes; "
            "build the dataset again with `python -m dataset build`"
        )
    return digest


def add_feature_set(
    dataset: Path, name: str | None, expected_frames: str, write: Callable[[Path], tuple[T, Addition]]
) -> T:
    """Write the two tables of a feature set into a dataset folder, and describe them in `dataset.json`.

    The folder is replaced as a whole. The other feature sets stay.

    Args:
        dataset: the dataset folder.
        name: the name of the set; None is the main set.
        expected_frames: the SHA-256 of the frames that the features were made for.
        write: writes the files of the set, and `frames.parquet` if it adds frames, into the folder that it is given.
            The folder holds the dataset's other files; they must be replaced, never edited.

    Raises:
        InvalidTableError: the dataset was built again in the meantime.
    """
    return _add(dataset, table_of_set(name), expected_frames, write)


def add_item_features(
    dataset: Path, modality: str, expected_movies: str, write: Callable[[Path], tuple[T, Addition]]
) -> T:
    """Write the two tables of a modality, as `add_feature_set` does, for the movies with this SHA-256."""
    return _add(dataset, table_of_modality(modality), expected_movies, write)


def _add(dataset: Path, table: str, expected: str, write: Callable[[Path], tuple[T, Addition]]) -> T:
    parent, digest_of_parent = parent_of(table)
    with replaced_folder(dataset) as folder:
        description = read_description(dataset)
        before = makers_of_tables(description)
        if (description.get("tables") or {}).get(parent) != expected:
            raise _built_again(dataset)
        for file in (*TABLE_FILES, *(file for one in before for file in files_of_table(one))):
            if (dataset / file).is_file():
                link_or_copy(dataset / file, folder / file)
        done, added = write(folder)
        tables = description["tables"] | {
            file: sha256_of_file(folder / file) for file in (parent, *files_of_table(table))
        }
        makers = {**before, table: added.made_by}
        described = {key: value for key, value in description.items() if key not in keys_of_makers(before)}
        described |= {"tables": tables, "statistics": {**description["statistics"], **added.statistics}}
        write_json(folder / FILE_NAME, {**described, **keys_of_makers(makers), digest_of_parent: tables[parent]})
        if read_description(dataset) != description:
            raise _built_again(dataset)
    return done


def _built_again(dataset: Path) -> InvalidTableError:
    return InvalidTableError(f"{dataset}: was built again in the meantime; run the same command again")
