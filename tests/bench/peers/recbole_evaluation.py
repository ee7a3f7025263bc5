"""RecBole's own `Trainer.evaluate` of BPR with given embeddings: users per second, full ranking and uni1000."""

import json
import logging
import os
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.model.general_recommender import BPR
from recbole.trainer import Trainer

N_UNI_USERS = 400  # enough to time it: it is slow
N_RUNS = 2


def main(folder: Path) -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    world = np.load(folder / "world.npz")
    rates = {}
    for mode, n_users in (("full", len(world["users"])), ("uni1000", N_UNI_USERS)):
        rates[mode] = _rate(folder, world, mode, n_users)
    print(json.dumps(rates))


def _rate(folder: Path, world: dict, mode: str, n_users: int) -> float:
    data = folder / mode / "world"
    data.mkdir(parents=True)
    for part, name in (("train", "part1"), ("test", "part2"), ("test", "part3")):
        pairs = world[part][:, world[part][0] < n_users]
        table = pd.DataFrame({"user_id:token": pairs[0], "item_id:token": pairs[1]})
        table.to_csv(data / f"world.{name}.inter", sep="\t", index=False)
    settings = {
        "data_path": str(folder / mode), "benchmark_filename": ["part1", "part2", "part3"],
        "USER_ID_FIELD": "user_id", "ITEM_ID_FIELD": "item_id", "load_col": {"inter": ["user_id", "item_id"]},
        "eval_args": {"split": {"LS": "valid_and_test"}, "order": "RO", "group_by": "user", "mode": mode},
        "metrics": ["Hit", "Recall", "NDCG"], "topk": [5, 10, 15, 20, 30, 50], "valid_metric": "NDCG@10",
        "embedding_size": world["users"].shape[1], "eval_batch_size": 1 << 21, "use_gpu": False, "device": "cpu",
        "show_progress": False, "state": "CRITICAL", "checkpoint_dir": str(folder), "reproducibility": True, "seed": 0,
    }  # fmt: skip
    config = Config(model="BPR", dataset="world", config_dict=settings)
    dataset = create_dataset(config)
    train_data, _, test_data = data_preparation(config, dataset)
    model = BPR(config, train_data.dataset)
    with torch.no_grad():
        for embedding, field, given in (
            (model.user_embedding, "user_id", world["users"]),
            (model.item_embedding, "item_id", world["items"]),
        ):
            tokens = dataset.field2id_token[field][1:].astype(np.int64)
            embedding.weight[1:] = torch.from_numpy(given[tokens])
    trainer = Trainer(config, model)
    trainer.eval_collector.data_collect(train_data)
    took = []
    for _ in range(N_RUNS):
        started = time.perf_counter()
        trainer.evaluate(test_data, load_best_model=False)
        took.append(time.perf_counter() - started)
    return n_users / min(took)


if __name__ == "__main__":
    sys.argv, folder = sys.argv[:1], Path(sys.argv[1])  # RecBole reads the command line
    os.chdir(folder)  # and leaves logs where it runs
    main(folder)
