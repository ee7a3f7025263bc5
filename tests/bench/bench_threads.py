"""Checks that more threads are never slower: evaluation and training with 1, 2, 4, … threads, up to all cores.

    make bench ONLY=threads

Each row compares a number of threads with the fastest of the smaller numbers. `BENCH_THREADS_TINY=1` runs every
line at toy sizes.
"""

import os
import time
from collections.abc import Callable, Iterator

import torch
from gpu_training import TINY, Size, made_world
from run import Result

from model.data.tensors import HeldOutItems, TrainingData
from model.evaluation.expectation import expected_ranking
from model.evaluation.metrics import ndcg
from model.evaluation.ranking import rank_positives
from model.experiments.memory import usable_cores
from model.models.registry import default_config, make_model
from model.training.config import TrainingConfig
from model.training.trainer import Trainer

IS_TINY = os.environ.get("BENCH_THREADS_TINY") == "1"
SIZE = TINY if IS_TINY else Size(width=256)  # the width of features does not change the cost of evaluation
REPEATS = 1 if IS_TINY else 5


def measure() -> Iterator[Result]:
    data, held_out = made_world(SIZE, "cpu")
    before = torch.get_num_threads()
    try:
        yield from _rows("the paper's protocol, JIFR", _evaluation(data, held_out), "evaluations/min")
        yield from _rows("BPR, an epoch of batches of 256", _epoch("bpr", data, 256), "epochs/min")
        yield from _rows("JIFR, an epoch of batches of 8,192", _epoch("jifr", data, 8192), "epochs/min")
    finally:
        torch.set_num_threads(before)


def _rows(what: str, work: Callable[[], object], unit: str) -> Iterator[Result]:
    work()  # not counted
    fastest = 0.0
    for n_threads in _numbers_of_threads():
        torch.set_num_threads(n_threads)
        rate = 60 / _median_s(work)
        yield Result(f"{what}, {n_threads} threads", rate, "the best of fewer threads", fastest or rate, unit)
        fastest = max(fastest, rate)


def _numbers_of_threads() -> list[int]:
    cores = usable_cores()
    return sorted({cores, *(2**power for power in range(cores.bit_length()))})


def _evaluation(data: TrainingData, held_out: HeldOutItems) -> Callable[[], float]:
    scorer = make_model("jifr", default_config("jifr"), data, 0).scorer()
    return lambda: float(ndcg(expected_ranking(rank_positives(scorer, held_out).counts, 50, 1000), 15).mean())


def _epoch(name: str, data: TrainingData, batch_size: int) -> Callable[[], object]:
    training = TrainingConfig(batch_size=batch_size, n_negatives=1)
    return Trainer(data, None, name, default_config(name), training, seed=0).run_epoch


def _median_s(work: Callable[[], object]) -> float:
    took = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        took.append(time.perf_counter() - started)
    return sorted(took)[len(took) // 2]
