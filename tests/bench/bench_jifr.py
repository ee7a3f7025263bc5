"""JIFR with 20 frames per movie: against the same equations pair by pair, and an epoch at the paper's size.

The epoch is timed over some of its batches and extrapolated: all batches are alike. Its limit is
for 2 cores. Set `BENCH_JIFR_BATCHES` to time more batches.
"""

import os
import time

import torch
from made import interactions, made_data, made_frames
from run import Result
from torch import Tensor

from model.data.tensors import Frames, TrainingData
from model.models.loss import bpr_loss
from model.models.visual.jifr import JIFR, JIFRConfig
from model.training.sampling import NegativeSampler

FRAMES, BATCH_SIZE, N_NEGATIVES = 20, 8192, 10
N_BATCHES = int(os.environ.get("BENCH_JIFR_BATCHES", "2"))
N_PAIRS_PER_PAIR, PAIRS_AT_ONCE = 256, 16
PAPER_USERS, PAPER_MOVIES, PAPER_RATINGS, LIMIT_S = 16_166, 12_811, 379_767, 300


def measure() -> list[Result]:
    data, _ = made_data(FRAMES)
    ours = _pairs_per_second(data)
    jifr = JIFR(JIFRConfig(), data, torch.Generator().manual_seed(0))
    pair_by_pair = _PairByPair(jifr).pairs_per_second(data)
    del jifr, data
    epoch_pairs = PAPER_RATINGS * N_NEGATIVES
    of_paper = _pairs_per_second(_paper_size())
    what, size = f"JIFR, {FRAMES} frames per movie, batches of {BATCH_SIZE:,}", f"{PAPER_MOVIES:,} movies"
    print(f"  an epoch of {PAPER_RATINGS:,} ratings, {size}, {FRAMES} frames each: {epoch_pairs / of_paper:,.0f} s")
    return [
        Result(what, ours, "pair by pair, same equations", pair_by_pair, "pairs/s"),
        Result("JIFR, epoch at the paper's size", 3600 * of_paper / epoch_pairs, "limit", 3600 / LIMIT_S, "epochs/h"),
    ]


def _paper_size() -> TrainingData:
    generator = torch.Generator().manual_seed(0)
    theme = torch.randint(40, (PAPER_MOVIES,), generator=generator)
    positives = interactions(PAPER_USERS, PAPER_MOVIES, PAPER_RATINGS, generator)
    return TrainingData(positives, PAPER_MOVIES, made_frames(theme, FRAMES, generator))


def _pairs_per_second(data: TrainingData) -> float:
    """Time whole steps (negatives, loss, gradients, Adam), the first one not counted."""
    jifr = JIFR(JIFRConfig(), data, torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam(jifr.parameters(), lr=1e-3, fused=True)
    sampler, generator = NegativeSampler(data.positives, data.n_items), torch.Generator().manual_seed(0)
    owners, items = data.positives.owners, data.positives.values
    for number in range(1 + N_BATCHES):
        if number == 1:
            started = time.perf_counter()
        batch = torch.randint(len(items), (BATCH_SIZE,), generator=generator)
        negatives = sampler.sample(owners[batch], N_NEGATIVES, generator)
        optimizer.zero_grad(set_to_none=True)
        jifr.loss(owners[batch], items[batch], negatives).backward()
        optimizer.step()
    return N_BATCHES * BATCH_SIZE * N_NEGATIVES / (time.perf_counter() - started)


class _PairByPair:
    """Eq. 5 to 10 as they are written: every pair gathers and projects the frames of both of its items.

    In plain batched PyTorch and float32, with the weights of a `JIFR`. A batch as large as ours would not fit in
    memory, so its pairs are computed in groups, whose gradients are added. It skips Adam's step, which favours it.
    """

    def __init__(self, jifr: JIFR) -> None:
        self._jifr, self._frames = jifr, Frames(jifr.frame_offsets, jifr.features.features)

    def pairs_per_second(self, data: TrainingData) -> float:
        generator = torch.Generator().manual_seed(0)
        owners, items = data.positives.owners, data.positives.values
        batch = torch.randint(len(items), (N_PAIRS_PER_PAIR // N_NEGATIVES + 1,), generator=generator)
        negatives = NegativeSampler(data.positives, data.n_items).sample(owners[batch], N_NEGATIVES, generator)
        users, positives = (part[batch].repeat_interleave(N_NEGATIVES) for part in (owners, items))
        triples = torch.stack([users, positives, negatives.flatten()])[:, :N_PAIRS_PER_PAIR]
        group = triples[:, :PAIRS_AT_ONCE]
        self._check_equal(self.loss(*group), self._jifr.loss(group[0], group[1], group[2, :, None]))
        for number, group in enumerate(triples.split(PAIRS_AT_ONCE, 1)):
            if number == 1:  # the first is not counted
                started = time.perf_counter()
            self.loss(*group).backward()
        return (N_PAIRS_PER_PAIR - PAIRS_AT_ONCE) / (time.perf_counter() - started)

    @staticmethod
    def _check_equal(loss: Tensor, expected: Tensor) -> None:
        if not torch.isclose(loss, expected, rtol=1e-4):
            raise SystemExit(f"the same pairs have a loss of {loss:.6f} one by one, and of {expected:.6f} in our JIFR")

    def loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Return the loss of (p,) pairs; the same as `JIFR.loss` for one negative per positive."""
        jifr = self._jifr
        u, v, v_other = jifr.user_collaborative[users], *(jifr.item_collaborative[i] for i in (positives, negatives))
        w = jifr.user_visual[users]
        scores = [self._scores(u, w, items) for items in (positives, negatives)]
        squares = sum(vectors.square().sum() for vectors in (u, v, v_other, w))
        penalty = jifr.config.l2 * squares / len(users)
        networks = (jifr.frame_hidden, jifr.frame_logit, jifr.rating_hidden, jifr.rating_logit)
        penalty = penalty + jifr.config.attention_l2 * sum(weight.square().sum() for weight in networks)
        penalty = penalty + jifr.config.projection_l2 * jifr.projection.square().sum()
        return bpr_loss(scores[0], scores[1][:, None]) + penalty

    def _scores(self, u: Tensor, w: Tensor, items: Tensor) -> Tensor:
        jifr = self._jifr
        frames = self._frames.offsets[items][:, None] + torch.arange(FRAMES)  # (p, 20)
        c = (self._frames.features[frames].float() - jifr.features.shift) * jifr.features.inverse_scale  # (p, 20, F)
        v = jifr.item_collaborative[items]  # (p, d1)
        inputs = torch.cat([v[:, None].expand(-1, FRAMES, -1), c @ jifr.reduction.T], 2)
        alpha = torch.softmax(torch.relu(inputs @ jifr.frame_hidden.T) @ jifr.frame_logit, 1)  # (p, 20)
        x = (alpha[:, :, None] * (c @ jifr.projection.T)).sum(1)  # (p, d2)
        pairs = torch.stack([torch.cat([u, v], 1), torch.cat([w, x], 1)], 1)  # (p, 2, 2 d1)
        beta = torch.softmax(torch.relu(pairs @ jifr.rating_hidden.T) @ jifr.rating_logit, 1)  # (p, 2)
        return beta[:, 0] * (u * v).sum(1) + beta[:, 1] * (w * x).sum(1)
