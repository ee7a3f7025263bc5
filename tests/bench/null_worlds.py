"""Worlds in which pictures must add nothing, and those in which a model must find what they add (`bench_worlds`).

A model is trained with the real pictures and with shuffled ones, with the same seed, in many worlds of a preset. A gain
is significant if a paired t-test over people, one-sided, has p < 0.05. Items are judged by NDCG@15 over all items, the
key frames by NDCG@3. Each world is a kept row.
"""

import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import torch
from drawn_sets import Sets, frames_ndcg, people_ndcg, trained
from rows import keep_row, kept_row
from run import Result, chosen_device, chosen_jobs
from scipy.stats import ttest_rel
from torch import Tensor

from crawler.worlds.presets import PRESETS
from crawler.worlds.tables import digest
from crawler.worlds.world import draw_world
from model.models.recommender import FrameScorer
from model.models.registry import MODELS
from model.training.config import TrainingConfig

TRAINING = TrainingConfig(epochs=100, patience=4, validate_every=3, batch_size=2048)
"""Large batches: there are hundreds of trainings."""
ROWS = Path("data/bench/worlds/rows.jsonl")
NULLS = {"no_looks": "items", "exchanged_frames": "items", "random_likes": "frames"}
"""The presets in which pictures say nothing, and of what."""
JUDGED = {
    "paper": ("items", "frames"), "no_looks": ("items",), "exchanged_frames": ("items",), "random_likes": ("frames",),
    "best_frame": ("items",), "disliked_looks": ("items",),
}  # fmt: skip
ASKED = os.environ.get("WORLDS_PRESETS", ",".join(JUDGED)).split(",")
_MOST_OF_NULL, _LEAST_OF_POWER = 0.1, 0.8  # of the seeds


def null_rows(model: str, seeds: range) -> Iterator[Result]:
    """Measure the worlds that are not kept yet, all presets of one seed before the next seed, and yield the counts."""
    judged = _judged(model)
    asked = [(name, model, seed) for seed in seeds for name in judged]
    left = [one for one in asked if kept_row(ROWS, _asked(*one)) is None]
    for name, _, seed in _measured(left):
        row = kept_row(ROWS, _asked(name, model, seed))
        assert row is not None
        said = ", ".join(f"{what} {100 * row[what]['gain']:+.1f} % (p {row[what]['p']:.3f})" for what in judged[name])
        print(f"  {name}, seed {seed}, {row['digest'][:12]}: {said}; {row['seconds']:.0f} s", flush=True)
    for name, parts in judged.items():
        for what in parts:
            yield _count(name, what, [kept_row(ROWS, _asked(name, model, seed)) or {} for seed in seeds])


def _judged(model: str) -> dict[str, tuple[str, ...]]:
    """Return what is judged in each of the presets asked for; of a model that ranks no frames, items alone."""
    ranks_frames = issubclass(get_type_hints(MODELS[model].model_class.scorer)["return"], FrameScorer)
    parts = {name: tuple(what for what in JUDGED[name] if what == "items" or ranks_frames) for name in ASKED}
    return {name: whats for name, whats in parts.items() if whats}


def _asked(name: str, model: str, seed: int) -> list[Any]:
    return [name, PRESETS[name].version, model, seed, TRAINING.epochs, TRAINING.patience, TRAINING.batch_size]


def _measured(left: list[tuple[str, str, int]]) -> Iterator[tuple[str, str, int]]:
    """Measure these worlds, in several processes if asked, and yield each when it is kept."""
    jobs = min(chosen_jobs(), len(left))
    if jobs <= 1:
        for one in left:
            _measure(*one, chosen_device())
            yield one
        return
    threads = max(1, (os.cpu_count() or 1) // jobs)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, torch.set_num_threads, (threads,)) as pool:
        running = [pool.submit(_measure, *one, chosen_device()) for one in left]
        for one, future in zip(left, running, strict=True):
            future.result()
            yield one


def _measure(name: str, model: str, seed: int, device: str) -> None:
    started = time.perf_counter()
    world = draw_world(PRESETS[name], seed)
    sets = Sets(world, seed)
    scorers = [
        trained(training, sets, model, {}, seed, device, TRAINING)[0]
        for training in (sets.training, sets.shuffled(seed))
    ]
    judge = {"items": people_ndcg, "frames": frames_ndcg}
    found: dict[str, Any] = {
        what: _gain(*(judge[what](one, sets, device) for one in scorers)) for what in _judged(model)[name]
    }
    found |= {"digest": digest(world), "seconds": time.perf_counter() - started, "device": device}
    keep_row(ROWS, _asked(name, model, seed), found)


def _gain(real: Tensor, shuffled: Tensor) -> dict[str, float]:
    """Return the mean with real pictures, its gain over the mean with shuffled ones, p and the number of people."""
    p = float(ttest_rel(real.numpy(), shuffled.numpy(), alternative="greater").pvalue)
    mean = float(real.mean())
    return {"mean": mean, "gain": mean / float(shuffled.mean()) - 1, "p": p, "n": len(real)}


def _count(name: str, what: str, rows: list[dict[str, Any]]) -> Result:
    """Return in how many seeds pictures help, against the most that may be (the least for `paper`)."""
    found = sum(row[what]["p"] < 0.05 for row in rows)
    mean = 100 * np.mean([row[what]["gain"] for row in rows])
    print(f"  {name}, {what}: real pictures are {mean:+.1f} % of shuffled ones, mean of {len(rows)} seeds", flush=True)
    if NULLS.get(name) == what:
        words, limit = "at most", max(1, round(_MOST_OF_NULL * len(rows)))
    elif name == "paper":
        words, limit = "at least", max(1, round(_LEAST_OF_POWER * len(rows)))
    else:
        words, limit = "no limit; of", len(rows)
    return Result(f"{name}: pictures help, {what}", found, words, limit, "seeds")
