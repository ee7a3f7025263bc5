"""Rows of `bench_gpu`: epochs of every model at the paper's size, and evaluation.

An epoch's limit is what it must move and multiply at least: the features of the frames that each batch
touches, once forward and once backward, and Adam's seven passes over the weights.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import torch
from gpu_card import Card, median_s, the_card
from made import interactions
from run import Result
from torch import Tensor

from model.data.jagged import group_by_row, row_positions
from model.data.tensors import Frames, HeldOutItems, TrainingData
from model.evaluation.expectation import expected_ranking
from model.evaluation.metrics import METRICS
from model.evaluation.ranking import rank_positives
from model.models.recommender import Config, TrainableRecommender
from model.models.registry import MODELS, default_config
from model.models.visual import projection
from model.models.visual.projection import ScaledFeatures
from model.training.config import TrainingConfig
from model.training.trainer import Trainer

N_NEGATIVES, PROJECTED = 10, 64  # columns of the projections of JIFR, ACF and CDL; the others have half
OF_PAPER = ("jifr", "jifr_visual", "jifr_rating", "jifr_na", "vbpr", "vpoi", "acf", "cdl")
FIRST = ("jifr", "bpr", "vbpr", "jifr_na", "acf", "cdl", "vpoi")
TARGETS_S = {
    ("jifr", 256): 2.0, ("jifr", 2048): 0.5, ("jifr", 8192): 0.3, ("bpr", 256): 0.8, ("vbpr", 256): 1.0,
    ("jifr_na", 2048): 0.5, ("acf", 2048): 0.5, ("cdl", 2048): 0.5, ("vpoi", 2048): 0.5,
}  # fmt: skip
EVALUATION_TARGET_S = 1.0
LONG_S = 4.0  # an epoch of this length is not repeated; of shorter ones, the first is not counted


@dataclass(frozen=True)
class Size:
    """The size of the made data; the defaults are the paper's."""

    users: int = 16_166
    items: int = 12_811
    ratings: int = 379_767  # drawn; 378,637 distinct ones are left
    frames: int = 20
    width: int = 4096
    batches: tuple[int, ...] = (256, 2048, 8192)
    test_ratings: int = 97_000


TINY = Size(users=40, items=30, ratings=400, frames=3, width=16, batches=(16, 64), test_ratings=100)


def rows() -> Iterator[Result]:
    """Yield the rows of training and evaluation."""
    card = the_card()
    size = TINY if card.is_tiny else Size()
    data, held_out = made_world(size, card.device)
    _compute_moments_once(card.device)
    for name in (*FIRST, *(name for name in MODELS if name not in FIRST)):
        if issubclass(MODELS[name].model_class, TrainableRecommender):
            yield from _epochs(card, name, data, size)
        if name == "jifr":
            yield _evaluation(card, data, held_out)


def made_world(size: Size, device: str) -> tuple[TrainingData, HeldOutItems]:
    """Return train interactions, held-out ones and random features with a large common part."""
    generator = torch.Generator().manual_seed(0)
    train = interactions(size.users, size.items, size.ratings, generator)
    pairs = interactions(size.users, size.items, size.test_ratings, generator)
    keys = pairs.owners * size.items + pairs.values
    new = keys[~torch.isin(keys, train.owners * size.items + train.values)]
    test = group_by_row(new // size.items, new % size.items, size.users)
    features = torch.empty(size.items * size.frames, size.width, dtype=torch.float16)
    draws = torch.Generator(device).manual_seed(0)
    for block in torch.split(features, 1 << 14):  # on the GPU, because it draws a billion numbers at once
        block.copy_(1 + torch.randn(block.shape, device=device, generator=draws))
    frames = Frames(torch.arange(size.items + 1) * size.frames, features)
    return TrainingData(train, size.items, frames), HeldOutItems(test, train)


def _compute_moments_once(device: str) -> None:
    """Let all models share the features' means and deviations, which take seconds to compute, and are not measured."""
    compute, known = projection._moments, dict[tuple[int, ...], tuple[Tensor, Tensor]]()

    def moments(features: Tensor) -> tuple[Tensor, Tensor]:
        key = (features.data_ptr(), *features.shape)
        if key not in known:
            mean, variance = compute(features.to(device))
            known[key] = mean.cpu(), variance.cpu()
        return known[key]

    projection._moments = moments


def _config(name: str) -> Config:
    """Return a model's default config; those of the paper with its best dimension, 32, as in the README's table."""
    config, dims = default_config(name), ("collaborative_dim", "visual_dim", "dim")
    if name not in OF_PAPER:
        return config
    return replace(config, **{field.name: 32 for field in fields(config) if field.name in dims})


def _epochs(card: Card, name: str, data: TrainingData, size: Size) -> Iterator[Result]:
    """Time epochs at each batch size, after a first one, which sets up."""
    for batch_size in size.batches:
        training = TrainingConfig(batch_size=batch_size, n_negatives=N_NEGATIVES)
        if card.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        trainer = Trainer(data, None, name, _config(name), training, seed=0, device=card.device)
        made_s = time.perf_counter() - started
        first_s = trainer.run_epoch().seconds
        took = first_s if first_s > LONG_S else trainer.run_epoch().seconds
        floor = _floor_s(card, name, trainer, data, batch_size)
        memory = f", {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB" if card.device == "cuda" else ""
        target = TARGETS_S.get((name, batch_size))
        said = f" (target {target})" if target and not card.is_tiny else ""
        what = f"{name}, batches of {batch_size:,}"
        print(f"  {what}: {took:.3f} s per epoch{said}, first {first_s:.2f}, set-up {made_s:.1f} s{memory}", flush=True)
        yield Result(what, 3600 / took, "the card", 3600 / floor, "epochs/h")


def _floor_s(card: Card, name: str, trainer: Trainer, data: TrainingData, batch_size: int) -> float:
    """Return the shortest time that an epoch can take."""
    positives = data.positives
    batch = torch.randint(len(positives.values), (batch_size,), generator=torch.Generator().manual_seed(0))
    users, items = positives.owners[batch], positives.values[batch]
    n_others = trainer._comparisons._n
    others = torch.randint(data.n_items, (batch_size, n_others), generator=torch.Generator().manual_seed(1))
    touched = torch.cat([items, others.flatten()])
    if name == "vpoi":
        touched = torch.cat([items, others[:, 0]])
    elif name == "acf":
        touched = positives.values[row_positions(positives.offsets, users)[0]]
    items = torch.unique(touched)
    read = [module for module in trainer.model.modules() if isinstance(module, ScaledFeatures)]
    width = read[0].width if read else 0
    n_frames = (
        0 if not read else data.frames.offsets.diff()[items].sum() if read[0].n_frames > data.n_items else len(items)
    )
    columns = PROJECTED if name in ("jifr", "jifr_visual", "acf", "cdl") else PROJECTED // 2
    weights = sum(weight.numel() for weight in trainer.model.parameters())
    n_bytes = 2 * int(n_frames) * width * 2 + 7 * 4 * weights
    n_flops = 2 * 2 * int(n_frames) * width * columns
    return card.floor_s(n_bytes, n_flops) * len(positives.values) / batch_size


def _evaluation(card: Card, data: TrainingData, held_out: HeldOutItems) -> Result:
    """Time the paper's protocol for JIFR, from the first score to the last metric."""
    config = TrainingConfig(epochs=0)
    scorer = Trainer(data, None, "jifr", default_config("jifr"), config, 0, card.device).model.scorer()

    def protocol() -> list[float]:
        ranking = expected_ranking(rank_positives(scorer, held_out, card.device).counts, 50, 1000)
        return [float(METRICS[name](ranking, k).mean()) for name in ("hr", "ndcg") for k in (5, 10, 15, 20, 30, 50)]

    scored_s = median_s(lambda: rank_positives(scorer, held_out, card.device), card.device, 1)
    took = median_s(protocol, card.device, 1 if card.is_tiny else 3)
    n_users = int((held_out.positives.lengths > 0).sum())
    print(f"  the paper's protocol for JIFR: {took:.3f} s, of which scores and ranks {scored_s:.3f} s", flush=True)
    target = n_users / EVALUATION_TARGET_S
    return Result("the paper's protocol, JIFR", n_users / took, "1 s at the paper's size", target, "users/s")
