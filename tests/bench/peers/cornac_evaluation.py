"""Cornac's own `ranking_eval` on given embeddings: users per second, full ranking."""

import json
import sys
import time
from pathlib import Path

import numpy as np
from cornac.data import Dataset
from cornac.eval_methods.base_method import ranking_eval
from cornac.metrics import NDCG, HitRatio, Recall
from cornac.models import MF

KS = (5, 10, 15, 20, 30, 50)
N_RUNS = 2


def main(folder: Path) -> None:
    world = np.load(folder / "world.npz")
    n_items = len(world["items"])
    uid_map = {user: user for user in range(len(world["users"]))}
    iid_map = {item: item for item in range(n_items)}

    def dataset(pairs: np.ndarray) -> Dataset:
        rows = [(int(u), int(i), 1.0) for u, i in pairs.T]
        return Dataset.build(rows, global_uid_map=uid_map, global_iid_map=iid_map, fmt="UIR")

    train, test = dataset(world["train"]), dataset(world["test"])
    model = MF(k=world["users"].shape[1], max_iter=0, use_bias=False, verbose=False)
    model.fit(train)
    model.u_factors, model.i_factors = world["users"], world["items"]
    metrics = [metric(k=k) for metric in (HitRatio, Recall, NDCG) for k in KS]
    took = []
    for _ in range(N_RUNS):
        started = time.perf_counter()
        ranking_eval(model, metrics, train, test)
        took.append(time.perf_counter() - started)
    print(json.dumps({"full": len(uid_map) / min(took)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
