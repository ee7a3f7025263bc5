"""Evaluation: the paper's protocol and full ranking against RecBole and Cornac, and JIFR at the paper's size.

6,000 users × 3,700 items with made BPR embeddings (d = 64), 33 held-out positives per user, K up
to 50. The peers' own evaluators run on the same interactions and embeddings. The exact form (5,000
users per second; 1,000 with many ties) and JIFR with its rating attention at the paper's size (60 s)
have limits instead of peers. The last result checks the exact form on real data, if they are there:

    GOWALLA_DATA=<folder> make bench ONLY=evaluation
"""

import functools
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import torch
from peers import run_peer
from run import Result

from model.data.jagged import JaggedTensor, group_by_row
from model.data.tensors import Frames, HeldOutItems, TrainingData
from model.evaluation.expectation import expected_ranking
from model.evaluation.metrics import METRICS, RankDistribution
from model.evaluation.ranking import SampledNegatives, concat_ranked, full_ranking, rank_positives
from model.evaluation.score_blocks import score_blocks
from model.models.factors.bpr import BPRConfig
from model.models.recommender import EmbeddingScorer, Scorer
from model.models.visual.jifr import JIFR, JIFRConfig
from model.training.config import TrainingConfig
from model.training.trainer import Trainer

N_USERS, N_ITEMS, N_TRAIN, N_TEST, DIM = 6_000, 3_700, 117, 33, 64
KS = (5, 10, 15, 20, 30, 50)
N_REPEATS = 10
PAPER_USERS, PAPER_ITEMS, PAPER_TRAIN, PAPER_TEST, PAPER_LIMIT_S = 16_166, 12_811, 23, 6, 60.0
GOWALLA_USERS, GOWALLA_JUDGED, GOWALLA_REPEATS = 2_000, 500, 200
GOWALLA_TRAINING = TrainingConfig(epochs=10, batch_size=1024, learning_rate=5e-3, n_negatives=1)


def measure() -> Iterator[Result]:
    generator = torch.Generator().manual_seed(0)
    train, test = _made(N_USERS, N_ITEMS, N_TRAIN, N_TEST, generator)
    scorer = EmbeddingScorer(
        torch.randn(N_USERS, DIM, generator=generator), torch.randn(N_ITEMS, DIM, generator=generator)
    )
    held_out = HeldOutItems(test, train)
    ours = {
        "full": (N_USERS, lambda: _values(full_ranking(scorer, held_out, max(KS)), ("hr", "recall", "ndcg"))),
        "exact": (N_USERS, lambda: _exact(scorer, held_out)),
        "sampled": (N_USERS * N_REPEATS, lambda: _sampled(scorer, held_out)),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(
            folder / "world.npz", users=scorer.users.numpy(), items=scorer.items.numpy(),
            train=np.stack([train.owners.numpy(), train.values.numpy()]),
            test=np.stack([test.owners.numpy(), test.values.numpy()]),
        )  # fmt: skip
        before = {name: n / _seconds(work, 2) for name, (n, work) in ours.items()}
        recbole = run_peer("recbole_evaluation", folder)
        between = {name: n / _seconds(work, 2) for name, (n, work) in ours.items()}
        cornac = run_peer("cornac_evaluation", folder)
    full, exact, sampled = (max(before[name], between[name]) for name in ("full", "exact", "sampled"))
    yield from (
        Result("the paper's protocol, 10 × 1,000 sampled", sampled, "RecBole, uni1000", recbole["uni1000"], "users/s"),
        Result("full ranking", full, "RecBole, full", recbole["full"], "users/s"),
        Result("full ranking", full, "Cornac", cornac["full"], "users/s"),
        Result("the paper's protocol, exact", exact, "limit", 5000.0, "users/s"),
    )
    yield _paper_size(generator)
    yield from _ties(generator)
    yield from _gowalla()


def _values(ranking: RankDistribution, names: tuple[str, ...]) -> list[float]:
    return [float(METRICS[name](ranking, k).mean()) for name in names for k in KS]


def _exact(scorer: Scorer, held_out: HeldOutItems) -> list[float]:
    return _values(expected_ranking(rank_positives(scorer, held_out).counts, max(KS), 1000), ("hr", "ndcg"))


def _sampled(scorer: EmbeddingScorer, held_out: HeldOutItems) -> list[list[float]]:
    return [_values(ranking, ("hr", "ndcg")) for ranking in _sampled_rankings(scorer, held_out, N_REPEATS)]


def _sampled_rankings(scorer: Scorer, held_out: HeldOutItems, n_repeats: int) -> list[RankDistribution]:
    negatives = SampledNegatives(1000, n_repeats, 0)
    blocks = [negatives.rank_block(block) for block in score_blocks(scorer, held_out)]
    return [expected_ranking(concat_ranked(list(parts)).counts, max(KS)) for parts in zip(*blocks, strict=True)]


def _ties(generator: torch.Generator) -> list[Result]:
    """Measure scorers that give many items the same score; each user has rated a different number of items."""
    n_rated = torch.randint(60, 240, (N_USERS,), generator=generator)
    users = torch.arange(N_USERS).repeat_interleave(n_rated)
    keys = users * N_ITEMS + torch.randint(N_ITEMS, (len(users),), generator=generator)
    keys = keys.unique()[torch.randperm(len(keys.unique()), generator=generator)]
    is_test = torch.arange(len(keys)) < len(keys) // 5
    test, train = (group_by_row(part // N_ITEMS, part % N_ITEMS, N_USERS) for part in (keys[is_test], keys[~is_test]))
    held_out, ones = HeldOutItems(test, train), torch.ones(N_USERS, 1)
    drawn = torch.rand(N_ITEMS, 1, generator=generator)
    three = (drawn < 0.95).float() + (drawn < 0.01).float()  # 1 % above the tie, 5 % below
    rows = []
    for what, items in (("all items tie", torch.ones(N_ITEMS, 1)), ("nine of ten items tie", three)):
        scorer = EmbeddingScorer(ones, items)
        rate = N_USERS / _seconds(functools.partial(_exact, scorer, held_out), 2)
        rows.append(Result(f"exact, {what}", rate, "limit", 1000.0, "users/s"))
    return rows


def _paper_size(generator: torch.Generator) -> Result:
    """Measure JIFR with random weights under the exact protocol, from the first score to the last metric."""
    train, test = _made(PAPER_USERS, PAPER_ITEMS, PAPER_TRAIN, PAPER_TEST, generator)
    offsets = torch.arange(PAPER_ITEMS + 1) * 4  # frames do not change the cost: x_i is computed once
    frames = Frames(offsets, torch.randn(4 * PAPER_ITEMS, 128, generator=generator).half())
    scorer = JIFR(JIFRConfig(), TrainingData(train, PAPER_ITEMS, frames), generator).scorer()
    held_out = HeldOutItems(test, train)
    took = _seconds(
        lambda: _values(expected_ranking(rank_positives(scorer, held_out).counts, max(KS), 1000), ("hr", "ndcg")), 1
    )
    return Result(
        "JIFR at the paper's size, exact", PAPER_USERS / took, "limit of 60 s", PAPER_USERS / PAPER_LIMIT_S, "users/s"
    )


def _gowalla() -> list[Result]:
    """Check that 200 sampled repeats agree with the exact form, for each metric and K; then the ratio is above 1."""
    folder = os.environ.get("GOWALLA_DATA", "")
    if not (folder and (Path(folder) / "train.parquet").is_file()):
        print("evaluation: Gowalla left out; set GOWALLA_DATA to the folder with its train.parquet and test.parquet")
        return []
    tables = [pl.read_parquet(Path(folder) / f"{split}.parquet") for split in ("train", "test")]
    n_items = 1 + max(int(table["item"].max()) for table in tables)  # type: ignore[arg-type]

    def of_users(table: pl.DataFrame, n: int) -> JaggedTensor:
        few = table.filter(pl.col("user") < n).cast(pl.Int64)
        return group_by_row(few["user"].to_torch(), few["item"].to_torch(), GOWALLA_USERS)

    train, test = of_users(tables[0], GOWALLA_USERS), of_users(tables[1], GOWALLA_JUDGED)
    data = TrainingData(train, n_items, Frames(torch.zeros(n_items + 1, dtype=torch.int64), None))
    trainer = Trainer(data, None, "bpr", BPRConfig(dim=32), GOWALLA_TRAINING, seed=0)
    scorer, held_out = trainer.run().model.scorer(), HeldOutItems(test, train)
    exact = expected_ranking(rank_positives(scorer, held_out).counts, max(KS), 1000)
    repeats = _sampled_rankings(scorer, held_out, GOWALLA_REPEATS)
    worst = 0.0
    for name, metric in METRICS.items():
        for k in KS:
            means = torch.stack([metric(repeat, k).mean() for repeat in repeats])
            error = float((means.mean() - metric(exact, k).mean()).abs() / (means.std() / GOWALLA_REPEATS**0.5))
            worst = max(worst, error)
            print(f"  Gowalla {name}@{k}: exact {float(metric(exact, k).mean()):.6f}, {error:.2f} standard errors off")
    return [Result("exact form on Gowalla, worst of 36 metrics", 1 / worst, "4 standard errors", 1 / 4, "1/errors")]


def _made(
    n_users: int, n_items: int, n_train: int, n_test: int, generator: torch.Generator
) -> tuple[JaggedTensor, JaggedTensor]:
    chosen = torch.stack([torch.randperm(n_items, generator=generator)[: n_train + n_test] for _ in range(n_users)])

    def part(items: torch.Tensor) -> JaggedTensor:
        return group_by_row(torch.arange(n_users).repeat_interleave(items.shape[1]), items.flatten(), n_users)

    return part(chosen[:, :n_train]), part(chosen[:, n_train:])


def _seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """Return the fastest of some runs."""
    took = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        took.append(time.perf_counter() - started)
    return min(took)
