"""The description of a built dataset (`dataset.json`), and the paper's statistics to compare it with."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dataset.errors import MissingInputError

FILE_NAME = "dataset.json"

PAPER_STATISTICS: dict[str, int] = {
    "n_users": 16_166,
    "n_movies": 12_811,
    "n_train_interactions": 379_767,
    "n_test_interactions": 98_425,
    "n_test_frame_likes": 4_760,
}
"""The statistics of the paper's dataset after filtering. Source: Wu et al. 2019, section 4."""


def read_description(dataset: Path) -> dict[str, Any]:
    """Return the content of a dataset folder's `dataset.json`.

    Raises:
        MissingInputError: the folder has no readable `dataset.json`.
    """
    path = dataset / FILE_NAME
    try:
        description: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise MissingInputError(
            f"{dataset}: no readable dataset.json there, so it is not a built dataset; run `python -m dataset build`"
        ) from None
    return description


def flatten_settings(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings with dotted names: `{"split": {"seed": 0}}` becomes `{"split.seed": 0}`."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= flatten_settings(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found
