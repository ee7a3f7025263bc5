"""VBPR on a million interactions, 4096-wide features, d = 32: against Cornac's, and with 10 negatives against a limit.

First, Cornac's best batch size is searched; then both train with it. Cornac's loss broadcasts
(B,) + (B, 1) to B x B terms, which lowers its rate and its NDCG.
"""

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from made import made_data, rate_of_epochs, save_for_peers
from peers import run_peer
from run import Result

from model.evaluation.metrics import ndcg
from model.evaluation.ranking import full_ranking
from model.models.recommender import EmbeddingScorer
from model.models.visual.projection import mean_by_item
from model.models.visual.vbpr import VBPRConfig
from model.training.config import TrainingConfig

BATCH_SIZES = "128,256,512,1024,2048"
EPOCHS = int(os.environ.get("BENCH_VBPR_EPOCHS", "5"))
LIMIT_PAIRS = 1e6  # per second, on 2 cores with AVX-512 BF16


def measure() -> list[Result]:
    data, test = made_data(frames_per_item=1)
    with tempfile.TemporaryDirectory() as name:
        made, learnt = Path(name) / "made.npz", Path(name) / "learnt.npz"
        features = mean_by_item(data.frames.features, data.frames.offsets)
        scaled = (features - features.mean(0)) / features.std(0) / features.shape[1] ** 0.5  # as ours sees them
        save_for_peers(data, scaled, made)
        searched = run_peer("cornac_vbpr", "search", made, learnt, BATCH_SIZES, 1, 1e-3)["rates"]
        batch_size = int(max(searched, key=searched.get))
        cornac = run_peer("cornac_vbpr", "train", made, learnt, batch_size, EPOCHS, 1e-3)
        vectors = np.load(learnt)
        scorer = EmbeddingScorer(*(torch.from_numpy(vectors[side]).float() for side in ("users", "items")))
    training = TrainingConfig(epochs=EPOCHS, batch_size=batch_size, learning_rate=1e-3, n_negatives=1)
    ours, model = rate_of_epochs(data, "vbpr", VBPRConfig(), training)
    with_ten = replace(training, epochs=1, batch_size=4096, n_negatives=10)
    pairs = 10 * rate_of_epochs(data, "vbpr", VBPRConfig(), with_ten)[0]
    quality = [ndcg(full_ranking(one, test, 10), 10).mean().item() for one in (model.scorer(), scorer)]
    rates = ", ".join(f"{size}: {rate:,.0f}" for size, rate in searched.items())
    print(f"  Cornac's samples per second by batch size: {rates}; its peak memory {cornac['peak_gib']:.1f} GiB")
    peer = cornac["rates"][str(batch_size)]
    return [
        Result(f"VBPR, batches of {batch_size}", ours, "Cornac, its best batch size", peer, "samples/s"),
        Result(f"VBPR, NDCG@10 after {EPOCHS} epochs", quality[0], "Cornac", quality[1], ""),
        Result("VBPR, 10 negatives, batches of 4,096", pairs, "limit", LIMIT_PAIRS, "pairs/s"),
    ]
