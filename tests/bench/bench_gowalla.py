"""Whether BPR trains to the published quality: Gowalla check-ins in the split of NGCF and LightGCN.

    GOWALLA_DATA=<folder> make bench ONLY=gowalla

The folder holds `train.parquet` and `test.parquet` with integer columns `user` and `item`.
Protocol: rank all items except the user's train items; Recall@20 and NDCG@20, means over the users
with a test item. First, settings and the number of epochs are chosen on 10 % of train, held out.
Then the model is trained with these on all of train, and evaluated once on test. This takes about
15 minutes on 2 cores. (With one negative instead of ten, it reaches 0.1392 and 0.1159.)
"""

import os
import time
from dataclasses import replace
from pathlib import Path

import polars as pl
import torch
from run import Result

from model.data.jagged import JaggedTensor, group_by_row
from model.data.tensors import Frames, HeldOutItems, TrainingData
from model.evaluation.metrics import ndcg, recall
from model.evaluation.ranking import full_ranking
from model.models.factors.bpr import BPRConfig
from model.training.config import TrainingConfig
from model.training.trainer import Epoch, Trainer

VARIABLE = "GOWALLA_DATA"
K = 20
PUBLISHED = {"Recall@20": 0.1491, "NDCG@20": 0.1235}
"""MF-BPR with d = 64 as freerec reports it, the best matrix factorisation published on this split."""
TRAINING = TrainingConfig(
    epochs=150, batch_size=4096, learning_rate=1e-3, n_negatives=10, patience=3, validate_every=5, validation_k=K
)
CHOICES = [BPRConfig(dim=64, l2=l2) for l2 in (5e-4, 1e-3)]
FIRST_EPOCHS = 20  # for each choice; then only the best one continues
HELD_OUT_SHARE, JUDGED_USERS = 0.1, 2000  # with all users, validation would take longer than training


def measure() -> list[Result]:
    folder = Path(os.environ.get(VARIABLE, ""))
    if not (os.environ.get(VARIABLE) and (folder / "train.parquet").is_file()):
        print(f"gowalla: left out; set {VARIABLE} to the folder with Gowalla's train.parquet and test.parquet")
        return []
    train, test, n_items = _read(folder)
    config, n_epochs = _choose(train, n_items)
    started = time.perf_counter()
    trainer = _trainer(train, None, n_items, config, replace(TRAINING, epochs=n_epochs))
    trained = trainer.run()
    print(f"  all of train: {n_epochs} epochs in {time.perf_counter() - started:.0f} s", flush=True)
    ranks = full_ranking(trained.model.scorer(), HeldOutItems(test, train), K)
    found = {"Recall@20": recall(ranks, K).mean().item(), "NDCG@20": ndcg(ranks, K).mean().item()}
    for name, value in found.items():
        print(f"  {name} {value:.4f}, published {PUBLISHED[name]:.4f}", flush=True)
    return [
        Result(f"BPR on Gowalla, {name}", 100 * value, "best published MF", 100 * PUBLISHED[name], "%")
        for name, value in found.items()
    ]


def _choose(whole: JaggedTensor, n_items: int) -> tuple[BPRConfig, int]:
    """Return the best config and its best number of epochs, on a part held out of train."""
    generator = torch.Generator().manual_seed(0)
    held_out = torch.rand(len(whole.values), generator=generator) < HELD_OUT_SHARE
    n_users = len(whole.offsets) - 1
    is_judged = torch.zeros(n_users, dtype=torch.bool)
    is_judged[torch.randperm(n_users, generator=generator)[:JUDGED_USERS]] = True
    chosen = (~held_out, held_out & is_judged[whole.owners])
    train, judged = (group_by_row(whole.owners[rows], whole.values[rows], n_users) for rows in chosen)
    trainers = [_trainer(train, HeldOutItems(judged, train), n_items, config, TRAINING) for config in CHOICES]
    for trainer, config in zip(trainers, CHOICES, strict=True):
        while len(trainer.epochs) < FIRST_EPOCHS:
            trainer.run_epoch()
        _tell(config, trainer)
    best = max(range(len(trainers)), key=lambda number: _best(trainers[number]).validation_ndcg)
    trainers[best].run()
    _tell(CHOICES[best], trainers[best])
    return CHOICES[best], _best(trainers[best]).epoch


def _best(trainer: Trainer) -> Epoch:
    return max((epoch for epoch in trainer.epochs if epoch.validation_ndcg), key=lambda epoch: epoch.validation_ndcg)


def _tell(config: BPRConfig, trainer: Trainer) -> None:
    best, seconds = _best(trainer), sum(epoch.seconds for epoch in trainer.epochs)
    print(
        f"  chosen on held-out train: l2 {config.l2:g} has NDCG@{K} {best.validation_ndcg:.4f} after {best.epoch} "
        f"of {len(trainer.epochs)} epochs, {seconds:.0f} s",
        flush=True,
    )


def _trainer(
    train: JaggedTensor, validation: HeldOutItems | None, n_items: int, config: BPRConfig, training: TrainingConfig
) -> Trainer:
    no_frames = Frames(torch.zeros(n_items + 1, dtype=torch.int64), None)
    return Trainer(TrainingData(train, n_items, no_frames), validation, "bpr", config, training, seed=0)


def _read(folder: Path) -> tuple[JaggedTensor, JaggedTensor, int]:
    """Return the train and the test items of each user, and the number of items."""
    parts = [pl.read_parquet(folder / f"{name}.parquet").cast(pl.Int64) for name in ("train", "test")]
    both = pl.concat(parts)
    n_users, n_items = (int(both[name].to_numpy().max()) + 1 for name in ("user", "item"))
    train, test = (group_by_row(part["user"].to_torch(), part["item"].to_torch(), n_users) for part in parts)
    return train, test, n_items
