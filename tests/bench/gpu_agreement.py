"""Rows of `bench_gpu`: whether a model that was trained on a GPU ranks as one that was trained on the CPU.

Every model that learns is trained on both devices with the same settings, seeds and draws, on a small world in which
people choose by looks and by habit. The rows compare the mean NDCG@15 of some seeds: of items, or of frames for a model
that ranks frames alone.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from multiprocessing import get_context

import torch
from gpu_card import the_card
from gpu_training import TINY, Size
from run import Result
from torch import Tensor

from model.data.jagged import JaggedTensor, group_by_row
from model.data.tensors import Frames, HeldOutItems, HeldOutLikes, TrainingData, TrainLikes
from model.evaluation.expectation import expected_ranking
from model.evaluation.metrics import ndcg
from model.evaluation.ranking import full_ranking, rank_liked_frames
from model.experiments.memory import usable_cores
from model.models.recommender import Config, FittedRecommender, FrameScorer, TrainableRecommender
from model.models.registry import MODELS, default_config
from model.training.config import TrainingConfig
from model.training.trainer import Trainer

SEEDS, LIMIT, EPOCHS = 5, 0.005, 15
WORLD = Size(300, 200, 6_000, 5, 256, test_ratings=2_000)
LEARNS = (TrainableRecommender, FittedRecommender)
DRAWS = ("kfr", "ials")  # of the models that fit themselves; the others are the same for every seed


def rows() -> Iterator[Result]:
    """Yield a row per model."""
    card = the_card()
    learns = [name for name, kind in MODELS.items() if issubclass(kind.model_class, LEARNS)]
    names = [name for name in learns if not card.is_tiny or name in ("jifr", "kfr")]
    runs = [(name, seed, card.is_tiny) for name in names for seed in range(1 if card.is_tiny else _n_seeds(name))]
    with ProcessPoolExecutor(min(usable_cores(), len(runs)), mp_context=get_context("spawn")) as pool:
        on_cpu = map(_value, runs) if card.is_tiny else pool.map(_value, runs)  # these start at once
        on_gpu, seconds = {}, dict.fromkeys(names, 0.0)
        for run in runs:
            started = time.perf_counter()
            on_gpu[run] = _value(run, card.device)
            seconds[run[0]] += time.perf_counter() - started
        values = {run: (value, on_gpu[run]) for run, value in zip(runs, on_cpu, strict=True)}
    for name in dict.fromkeys(run[0] for run in runs):
        pairs = [pair for run, pair in values.items() if run[0] == name]
        cpu, gpu = (sum(column) / len(pairs) for column in zip(*pairs, strict=True))
        said = ", ".join(f"{a:.4f} and {b:.4f}" for a, b in pairs)
        print(
            f"  {name}: NDCG@15 on the CPU and on {card.device} {said}; {seconds[name]:.1f} s on {card.device}",
            flush=True,
        )
        yield Result(f"{name}, NDCG@15 on GPU and CPU apart", 100 * abs(gpu / cpu - 1), "limit", 100 * LIMIT, "%")


def _n_seeds(name: str) -> int:
    has_draws = issubclass(MODELS[name].model_class, TrainableRecommender) or name in DRAWS
    return SEEDS if has_draws else 1


def _value(run: tuple[str, int, bool], device: str = "cpu") -> float:
    """Return NDCG@15 after a training."""
    name, seed, is_tiny = run
    if device == "cpu":
        torch.set_num_threads(1)
    data, held_out, likes = _world(is_tiny)
    trainer = Trainer(data, None, name, _config(name), TrainingConfig(epochs=EPOCHS), seed, device)
    trainer._generator = torch.Generator().manual_seed(seed + 1)  # both devices draw the same negatives
    scorer = trainer.run().model.scorer()
    if scorer.ranks_items:
        return float(ndcg(full_ranking(scorer, held_out, 15, device), 15).mean())
    assert isinstance(scorer, FrameScorer)
    return float(ndcg(expected_ranking(rank_liked_frames(scorer, likes, device).counts, 15), 15).mean())


def _config(name: str) -> Config:
    """Return a model's default config, without BM3's dropout, whose draws are made on the device that trains."""
    config = default_config(name)
    return replace(config, dropout=0.0) if name == "bm3" else config


@cache
def _world(is_tiny: bool) -> tuple[TrainingData, HeldOutItems, HeldOutLikes]:
    """Return a small world in which users choose by looks and by habit, and like the frame that suits them best."""
    size = TINY if is_tiny else WORLD
    generator = torch.Generator().manual_seed(1)
    theme = torch.randint(5, (size.items,), generator=generator)
    looks, habit = torch.randn(size.users, 5, generator=generator), torch.randn(size.users, 4, generator=generator)
    taste = 2 * looks[:, theme] + habit @ torch.randn(4, size.items, generator=generator)
    taste = taste - torch.log(-torch.log(torch.rand(taste.shape, generator=generator).clamp(1e-6, 1 - 1e-6)))
    per_user = max(2, size.ratings // size.users)
    items = torch.topk(taste, per_user).indices
    is_test = torch.rand(items.shape, generator=generator) < 0.25
    owners = torch.arange(size.users)[:, None].expand_as(items)

    def part(chosen: Tensor) -> JaggedTensor:
        return group_by_row(owners[chosen], items[chosen], size.users)

    shown = torch.randn(5, size.width, generator=generator)
    of_frames = theme.repeat_interleave(size.frames)
    features = 1 + shown[of_frames] + torch.randn(len(of_frames), size.width, generator=generator)
    offsets = torch.arange(size.items + 1) * size.frames
    frames = Frames(offsets, features.half())
    train, test = part(~is_test), part(is_test)
    directions = torch.randn(size.users, size.width, generator=generator)
    train_likes, liked = (_liked(one, directions, features, size.frames) for one in (train, test))
    likes = HeldOutLikes(test.owners, test.values, _one_each(liked), offsets)
    data = TrainingData(train, size.items, frames, likes=TrainLikes(train.owners, train_likes))
    return data, HeldOutItems(test, train), likes


def _liked(pairs: JaggedTensor, directions: Tensor, features: Tensor, n_frames: int) -> Tensor:
    """Return (n,) the frame of each pair's item that points most in the user's direction."""
    frames = pairs.values[:, None] * n_frames + torch.arange(n_frames)  # (n, frames of an item)
    scores = (features[frames] @ directions[pairs.owners][:, :, None]).squeeze(2)
    return frames.gather(1, scores.argmax(1, keepdim=True))[:, 0]


def _one_each(values: Tensor) -> JaggedTensor:
    return JaggedTensor(torch.arange(len(values) + 1), values)
