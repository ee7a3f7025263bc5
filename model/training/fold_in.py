"""Recommends to people who were not in training: their embeddings are fitted, and all else stays as it is.

    u = argmin of the model's loss over the interactions of the new people, with the items and all weights fixed

A model that reads the interactions of a user when it scores, or solves for a user in closed form, needs no such steps:
it is given other histories (`Recommender.replace_users`). Some models do both.

The loss is the model's own, with its penalties and with negatives drawn as in training. Each embedding starts at the
mean of the train users' and is fitted with Adam, whose learning rate falls to 0.
"""

import copy
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from dataset.errors import UsageError
from model.data.jagged import JaggedTensor
from model.models.recommender import Recommender, TrainableRecommender
from model.models.visual.projection import FixedProjection, ScaledFeatures
from model.training.config import TrainingConfig
from model.training.sampling import Comparisons
from model.training.steps import Steps

_Module = TypeVar("_Module", bound=nn.Module)


@dataclass(frozen=True)
class FoldInConfig:
    """How the embeddings of new people are fitted.

    Attributes:
        epochs: passes over their interactions; more if there are few, see `steps`.
        steps: steps of Adam at least.
        batch_size: interactions per step.
        learning_rate: Adam's learning rate in the first epoch.
        n_negatives: negatives per interaction, drawn again every epoch.
    """

    epochs: int = 30
    steps: int = 200
    batch_size: int = 1024
    learning_rate: float = 0.03
    n_negatives: int = 10


def fold_in(
    model: Recommender,
    histories: JaggedTensor,
    n_items: int,
    seed: int,
    config: FoldInConfig = FoldInConfig(),
) -> Recommender:
    """Return a copy of a trained model whose users are new people. The model itself stays as it is.

    Args:
        model: the trained model.
        histories: for each of the n people, the items that they have interacted with.
        n_items: N.
        seed: for the negatives.
        config: how embeddings are fitted.

    Raises:
        UsageError: the model cannot recommend to new people.
        TooLittleDataError: a person has interacted with all items.
    """
    if not model.takes_new_people():
        raise UsageError(
            f"{type(model).__name__} cannot recommend to people who were not in training: it has no way to fit them; "
            "train it again with them, or use a run of another model, such as ease, bpr or jifr"
        )
    device = next((tensor.device for tensor in (*model.parameters(), *model.buffers())), torch.device("cpu"))
    generator = torch.Generator().manual_seed(seed)
    twin = _twin(model)
    twin.replace_users(histories, generator)
    twin.to(device)
    for name in model.user_parameters:
        trained = getattr(model, name).detach()
        start = trained.mean(0, keepdim=True).expand(len(histories.lengths), *trained.shape[1:])
        twin.register_parameter(name, nn.Parameter(start.clone()))
    if isinstance(twin, TrainableRecommender) and model.user_parameters:
        embeddings = [getattr(twin, name) for name in model.user_parameters]
        _fit(twin, embeddings, histories.to(device), n_items, generator, config)
    return twin


def _fit(
    twin: TrainableRecommender,
    embeddings: list[nn.Parameter],
    histories: JaggedTensor,
    n_items: int,
    generator: torch.Generator,
    config: FoldInConfig,
) -> None:
    """Fit the embeddings of the people to their histories."""
    users, positives, device = histories.owners, histories.values, histories.values.device
    loss = getattr(getattr(twin, "config", None), "loss", "bpr")
    training = TrainingConfig(n_negatives=config.n_negatives)
    comparisons = Comparisons(twin, loss, histories, n_items, training, config.batch_size)
    optimizer = torch.optim.Adam(embeddings, lr=config.learning_rate)
    steps = Steps(twin, optimizer, config.batch_size)
    twin.begin_epoch(torch.Generator(device).manual_seed(generator.initial_seed()))
    n_epochs = max(config.epochs, -(-config.steps // -(-len(users) // config.batch_size)))
    for epoch in range(n_epochs):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * (1 - epoch / n_epochs)
        order = torch.randperm(len(users), generator=generator).to(device)
        negatives = comparisons.draw(users, generator)
        steps.run(users[order], positives[order], negatives[order])


def _twin(module: _Module) -> _Module:
    """Return a module with the same tensors, of which none has gradients; what is assigned to it leaves `module` as is.

    Features are projected once, because all projections stay as they are.
    """
    twin = copy.copy(module)
    kept = {name: _frozen(one) for name, one in module._parameters.items()}
    parts = {name: None if part is None else _twin(part) for name, part in module._modules.items()}
    fixed = {name: FixedProjection(part) if isinstance(part, ScaledFeatures) else part for name, part in parts.items()}
    twin.__dict__ |= {"_parameters": kept, "_buffers": dict(module._buffers), "_modules": fixed}
    return twin


def _frozen(parameter: nn.Parameter | None) -> nn.Parameter | None:
    return None if parameter is None else nn.Parameter(parameter.detach(), requires_grad=False)
