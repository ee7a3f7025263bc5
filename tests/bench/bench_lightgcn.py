"""LightGCN: an epoch over about 190,000 interactions against RecBole's, at the same batch size, d = 64, one negative.

RecBole's side is its own model, loader and epoch. Both pass over the whole graph of 2 layers in every step.
"""

import tempfile
from pathlib import Path

import torch
from made import interactions, rate_of_epochs, save_for_peers
from peers import run_peer
from run import Result

from model.data.tensors import Frames, TrainingData
from model.models.graphs.lightgcn import LightGCNConfig
from model.training.config import TrainingConfig

N_USERS, N_ITEMS, N_PAIRS, BATCH_SIZE = 6_000, 3_700, 200_000, 4096


def measure() -> list[Result]:
    pairs = interactions(N_USERS, N_ITEMS, N_PAIRS, torch.Generator().manual_seed(0))
    data = TrainingData(pairs, N_ITEMS, Frames(torch.zeros(N_ITEMS + 1, dtype=torch.int64), None))
    training = TrainingConfig(epochs=2, batch_size=BATCH_SIZE, n_negatives=1)
    ours, _ = rate_of_epochs(data, "lightgcn", LightGCNConfig(dim=64, n_layers=2), training)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "made.npz"
        save_for_peers(data, torch.zeros(data.n_items, 1), made)
        peers = run_peer("lightgcn", made, BATCH_SIZE)
    return [Result(f"LightGCN, batches of {BATCH_SIZE:,}; limit 2", ours / 1e3, "RecBole", peers / 1e3, "k samples/s")]
