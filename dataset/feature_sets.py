"""The names of features: sets of frames' features, and one set of items' features per modality.

A feature set holds features of the frames, from one extractor or one import. The main set has no name; its table is
`frame_features`. A further set has a name, and a table of its own with the same columns: `frame_features-clip` for the
set `clip`. A modality, such as `text`, holds features of the items; its table is `item_features-text`. So every table
has vectors of one width, and any reader of Parquet opens it.
"""

import re
from collections.abc import Mapping
from typing import Any

from dataset.errors import UsageError

FEATURES = "frame_features"
"""The table of the main set."""

ITEM_FEATURES = "item_features"
"""What the table of a modality starts with."""

MAIN = "main"
"""What the main set is called on command lines and in results; no other set can have this name."""

ARMS = ("shuffled", "noise", "constant", "mean")
"""What can take the place of a set's features, to measure what pictures add (`model.data.arms`)."""

TEXT = "text"
"""The modality of items' texts."""

_QUARANTINES = {FEATURES: "features_quarantine", ITEM_FEATURES: "item_features_quarantine"}
_NAME = re.compile(r"[a-z0-9][a-z0-9_.]{0,63}")


def require_set_name(name: str | None) -> None:
    """Check the name of a new feature set; None is the main set.

    Raises:
        UsageError: it cannot be part of a file's name, or means the main set.
    """
    if name is not None:
        _require_name(name, "feature set", "clip_b32")
    if name == MAIN:
        raise UsageError(f"feature set {name!r}: this names the main set; leave --name out to write it")
    if name in ARMS:
        raise UsageError(f"feature set {name!r}: this names what models are given instead of pictures; choose another")


def require_modality_name(name: str) -> None:
    """Check the name of a modality.

    Raises:
        UsageError: it cannot be part of a file's name.
    """
    _require_name(name, "modality", "text")


def split_arm(text: str) -> tuple[str | None, str | None]:
    """Return the feature set and the arm that a text names: `clip:shuffled`, `clip`, or `shuffled` of the main set.

    The set is None where the text names none.

    Raises:
        UsageError: what follows the colon is no arm, or what stands before it is one.
    """
    if text in ARMS:
        return None, text
    name, colon, arm = text.partition(":")
    if colon and (arm not in ARMS or name in ARMS):
        raise UsageError(f"features {text!r}: write a feature set and one of {', '.join(ARMS)}, as in clip:shuffled")
    return name, arm or None


def is_set_name(name: str) -> bool:
    """Return whether a text can name a feature set or a modality."""
    return bool(_NAME.fullmatch(name))


def table_of_set(name: str | None) -> str:
    """Return the table of a feature set; None is the main set."""
    return FEATURES if name is None else f"{FEATURES}-{name}"


def table_of_modality(name: str) -> str:
    """Return the table of a modality."""
    return f"{ITEM_FEATURES}-{name}"


def files_of_set(name: str | None) -> tuple[str, str]:
    """Return the files of a feature set in a dataset folder: its table, and what has no feature."""
    return files_of_table(table_of_set(name))


def files_of_table(table: str) -> tuple[str, str]:
    """Return the files of a feature table in a dataset folder: the table, and what has no feature."""
    start, dash, name = table.partition("-")
    return f"{table}.parquet", f"{_QUARANTINES[start]}{dash}{name}.parquet"


def is_feature_table(table: str) -> bool:
    """Return whether a table holds features, of frames or of items."""
    start, _, name = table.partition("-")
    return table == FEATURES or (start in _QUARANTINES and is_set_name(name))


def is_item_table(table: str) -> bool:
    """Return whether a table holds the features of a modality."""
    return table.startswith(f"{ITEM_FEATURES}-") and is_feature_table(table)


def is_feature_file(file: str) -> bool:
    """Return whether a file of a dataset folder belongs to features: a table, or what has no feature."""
    start, dash, name = file.removesuffix(".parquet").partition("-")
    table = {quarantine: table for table, quarantine in _QUARANTINES.items()}.get(start, start)
    return file.endswith(".parquet") and is_feature_table(f"{table}{dash}{name}")


def extractors_of(described: Mapping[str, Any]) -> dict[str | None, dict[str, Any]]:
    """Return what made each feature set, by its name, the main set first.

    Args:
        described: the keys `extractor` and `feature_sets` of `dataset.json` or of a manifest; they may be missing.
    """
    main = described.get("extractor")
    found: dict[str | None, dict[str, Any]] = {None: main} if main else {}
    return found | dict(sorted((described.get("feature_sets") or {}).items()))


def makers_of_tables(described: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what made each feature table, of frames and of items, by the table's name.

    Args:
        described: as for `extractors_of`, and the key `item_features`, by modality.
    """
    of_items = sorted((described.get("item_features") or {}).items())
    return {table_of_set(name): made_by for name, made_by in extractors_of(described).items()} | {
        table_of_modality(name): made_by for name, made_by in of_items
    }


def keys_of_makers(makers: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what `makers_of_tables` reads: those of `extractor`, `feature_sets`, `item_features` that are needed."""
    named: dict[str, dict[str, Any]] = {"feature_sets": {}, "item_features": {}}
    for table, made_by in sorted(makers.items()):
        if table != FEATURES:
            named["item_features" if is_item_table(table) else "feature_sets"][table.partition("-")[2]] = made_by
    main = {"extractor": makers[FEATURES]} if FEATURES in makers else {}
    return main | {key: by_name for key, by_name in named.items() if by_name}


def _require_name(name: str, what: str, example: str) -> None:
    if not is_set_name(name):
        raise UsageError(
            f"{what} {name!r} is not a valid name; use up to 64 small letters, digits, dots and _, as in {example}"
        )
