"""What describes a built dataset: its `dataset.json`, and the paper's statistics for comparison."""

import json
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
"""Wu et al. 2019, section 4: the pruned dataset."""


def read_description(dataset: Path) -> dict[str, Any]:
    """Return the content of a dataset folder's `dataset.json`.

    Raises:
        MissingInputError: it is not a dataset folder.
    """
    path = dataset / FILE_NAME
    try:
        description: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise MissingInputError(
            f"{dataset}: no readable dataset.json there, so it is not a built dataset; run `python -m dataset build`"
        ) from None
    return description
