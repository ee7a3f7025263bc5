"""BPR: an epoch over a million interactions against RecBole's, implicit's and Cornac's, d = 32, one negative.

RecBole's side is its own model, loader and epoch at the same batch size. implicit and Cornac
update after every sample in compiled code.
"""

import tempfile
from pathlib import Path

import torch
from made import made_data, rate_of_epochs, save_for_peers
from peers import run_peer
from run import Result

from model.models.factors.bpr import BPRConfig
from model.training.config import TrainingConfig

BATCH_SIZE = 8192


def measure() -> list[Result]:
    data, _ = made_data(frames_per_item=1)
    training = TrainingConfig(epochs=3, batch_size=BATCH_SIZE, n_negatives=1)
    ours, _ = rate_of_epochs(data, "bpr", BPRConfig(dim=32), training)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "made.npz"
        save_for_peers(data, torch.zeros(data.n_items, 1), made)
        peers = run_peer("bpr", made, BATCH_SIZE)
    million, what = 1e6, f"BPR, batches of {BATCH_SIZE:,}"
    names = {"recbole": "RecBole", "implicit": "implicit (compiled)", "cornac": "Cornac (compiled)"}
    return [Result(what, ours / million, names[name], peers[name] / million, "M samples/s") for name in names]
