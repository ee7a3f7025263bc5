"""Weights of a trained model for items that were not in training, which only their pictures describe."""

from typing import Any

import torch

from dataset.errors import UsageError
from model.data.loading import SnapshotData
from model.models.registry import MODELS


def with_new_items(state: dict[str, Any], model_name: str, data: SnapshotData) -> dict[str, Any]:
    """Return a model's weights with rows of zeros for the items that are new in `data`.

    Raises:
        UsageError: there are new items, and the model has no score for them.
    """
    ids, new = data.ids.movies, data.tables.new_movies
    if new.is_empty():
        return state
    names = MODELS[model_name].model_class.item_parameters
    if names is None:
        able = ", ".join(name for name, kind in MODELS.items() if kind.model_class.item_parameters is not None)
        raise UsageError(
            f"{model_name} has no score for an item by its pictures alone: {len(new):,} items of the new frames are "
            f"not in the snapshot, for example {new[0]!r}; leave them out, or use a run of {able}"
        )
    rows = torch.from_numpy((~ids.is_in(new.implode())).to_numpy())
    padded = {}
    for name in names:
        padded[name] = state[name].new_zeros(len(ids), *state[name].shape[1:])
        padded[name][rows] = state[name]
    return state | padded
