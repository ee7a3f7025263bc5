"""The names of feature sets: features of the same frames, each set from one extractor or one import.

The main set has no name; its table is `frame_features`. A further set has a name, and a table of its own with the same
columns: `frame_features-clip` for the set `clip`. So every table has vectors of one width, in files that any reader of
Parquet opens, and a dataset with one set has the files that it always had.
"""

import re
from collections.abc import Mapping
from typing import Any

from dataset.errors import UsageError

FEATURES = "frame_features"
"""The table of the main set."""

QUARANTINE = "features_quarantine"
_NAME = re.compile(r"[a-z0-9][a-z0-9_.]{0,63}")


def require_set_name(name: str | None) -> None:
    """Check the name of a feature set; None is the main set.

    Raises:
        UsageError: it cannot be part of a file's name.
    """
    if name is not None and not is_set_name(name):
        raise UsageError(
            f"feature set {name!r} is not a valid name; use up to 64 small letters, digits, dots and _, as in clip_b32"
        )


def is_set_name(name: str) -> bool:
    """Return whether a text can name a feature set."""
    return bool(_NAME.fullmatch(name))


def table_of_set(name: str | None) -> str:
    """Return the table of a feature set; None is the main set."""
    return FEATURES if name is None else f"{FEATURES}-{name}"


def files_of_set(name: str | None) -> tuple[str, str]:
    """Return the files of a feature set in a dataset folder: its table, and what has no feature."""
    end = "" if name is None else f"-{name}"
    return f"{FEATURES}{end}.parquet", f"{QUARANTINE}{end}.parquet"


def is_feature_table(table: str) -> bool:
    """Return whether a table holds the features of a set."""
    start, _, name = table.partition("-")
    return start == FEATURES and (table == FEATURES or is_set_name(name))


def extractors_of(described: Mapping[str, Any]) -> dict[str | None, dict[str, Any]]:
    """Return what made each feature set, by its name, the main set first.

    Args:
        described: the keys `extractor` and `feature_sets` of `dataset.json` or of a manifest; they may be missing.
    """
    main = described.get("extractor")
    found: dict[str | None, dict[str, Any]] = {None: main} if main else {}
    return found | dict(sorted((described.get("feature_sets") or {}).items()))
