"""Generated data for the benchmarks that train: users choose by habit, by popularity and by how an item looks."""

from pathlib import Path

import numpy as np
import torch

from model.data.jagged import JaggedTensor, group_by_row
from model.data.tensors import Frames, HeldOutItems, TrainingData
from model.models.recommender import Config, Recommender
from model.training.config import TrainingConfig
from model.training.trainer import Trainer

N_USERS, N_ITEMS, N_INTERACTIONS, WIDTH = 6_000, 3_700, 1_000_000, 4096
N_THEMES, HELD_OUT = 40, 0.1


def made_data(frames_per_item: int, seed: int = 0) -> tuple[TrainingData, HeldOutItems]:
    """Return a million train interactions of 6,000 users with 3,700 items, and a test split.

    An item has a theme, which all of its frames show; features have a large common part.
    """
    generator = torch.Generator().manual_seed(seed)
    theme = torch.randint(N_THEMES, (N_ITEMS,), generator=generator)
    loved = torch.rand(N_USERS, N_THEMES, generator=generator).argsort(1) < N_THEMES // 8
    habit = torch.randn(N_USERS, 8, generator=generator) @ torch.randn(8, N_ITEMS, generator=generator) / 8**0.5
    gumbel = -torch.log(-torch.log(torch.rand(N_USERS, N_ITEMS, generator=generator).clamp(1e-7, 1 - 1e-7)))
    taste = 2 * loved[:, theme] + habit + torch.randn(N_ITEMS, generator=generator) + gumbel
    per_user = round(N_INTERACTIONS / (1 - HELD_OUT) / N_USERS)
    items = torch.topk(taste, per_user).indices.flatten()
    users = torch.arange(N_USERS).repeat_interleave(per_user)
    is_train = torch.rand(len(items), generator=generator) >= HELD_OUT
    train = group_by_row(users[is_train], items[is_train], N_USERS)
    test = HeldOutItems(group_by_row(users[~is_train], items[~is_train], N_USERS), train)
    return TrainingData(train, N_ITEMS, made_frames(theme, frames_per_item, generator)), test


def made_frames(theme: torch.Tensor, per_item: int, generator: torch.Generator) -> Frames:
    """Return `per_item` frames per item; a feature is a common part, plus a part of the item's theme, plus noise."""
    common = 3 * torch.rand(WIDTH, generator=generator)
    shown = torch.randn(int(theme.max()) + 1, WIDTH, generator=generator)
    features = torch.empty(len(theme) * per_item, WIDTH, dtype=torch.float16)
    for item, of_item in enumerate(features.split(per_item)):
        noise = torch.randn(per_item, WIDTH, generator=generator)
        of_item.copy_(common + shown[theme[item]] + noise)
    return Frames(torch.arange(len(theme) + 1) * per_item, features)


def interactions(n_users: int, n_items: int, n: int, generator: torch.Generator) -> JaggedTensor:
    """Return about `n` distinct interactions whose items are skewed as popularity is."""
    users = torch.randint(n_users, (n,), generator=generator)
    items = (n_items * torch.rand(n, generator=generator) ** 2).long()
    pairs = torch.unique(users * n_items + items)
    return group_by_row(pairs // n_items, pairs % n_items, n_users)


def rate_of_epochs(
    data: TrainingData, model_name: str, config: Config, training: TrainingConfig
) -> tuple[float, Recommender]:
    """Train all epochs; return positives per second (set-up not counted) and the model."""
    trainer = Trainer(data, None, model_name, config, training, seed=0)
    trained = trainer.run()
    seconds = sum(epoch.seconds for epoch in trainer.epochs)
    return len(trainer.epochs) * len(data.positives.values) / seconds, trained.model


def save_for_peers(data: TrainingData, item_features: torch.Tensor, path: Path) -> None:
    """Write the train interactions and (N, F) features as the .npz that the scripts of `peers/` read."""
    np.savez(
        path,
        users=data.positives.owners.numpy(),
        items=data.positives.values.numpy(),
        n_positives=data.positives.lengths.numpy(),
        item_features=item_features.numpy(),
    )
