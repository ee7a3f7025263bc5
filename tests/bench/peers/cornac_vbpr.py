"""Cornac's VBPR on generated data (.npz): `search` finds its best batch size; `train`, its rate and vectors."""

import contextlib
import json
import resource
import sys
import time

import numpy as np
from cornac.data import Dataset, ImageModality
from cornac.models import VBPR

N_SEARCHED = 16_384


def main(task: str, made: str, learnt: str, batch_sizes: str, epochs: int, learning_rate: float) -> None:
    data = np.load(made)
    chosen = np.arange(len(data["users"]))
    if task == "search":
        chosen = np.random.default_rng(0).permutation(chosen)[:N_SEARCHED]
    rates = {}
    for size in map(int, batch_sizes.split(",")):
        model, rates[size] = fit(data, chosen, size, epochs, learning_rate)
    np.savez(learnt, users=model.get_user_vectors(), items=model.get_item_vectors())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"rates": rates, "peak_gib": peak}))


def fit(data, chosen, batch_size, epochs, learning_rate):
    """Train on `chosen` interactions; return the model and its samples a second, set-up not counted."""
    n_users, n_items = len(data["n_positives"]), len(data["item_features"])
    triplets = zip(data["users"][chosen].tolist(), data["items"][chosen].tolist(), [1.0] * len(chosen), strict=True)
    ids = ({user: user for user in range(n_users)}, {item: item for item in range(n_items)})
    train = Dataset.build(list(triplets), global_uid_map=ids[0], global_iid_map=ids[1], seed=0)
    train.add_modalities(item_image=ImageModality(features=data["item_features"], ids=list(range(n_items))))
    train.item_image.build(id_map=train.iid_map)
    _ = train.dok_matrix  # made once, at first use
    model = VBPR(
        k=32, k2=32, n_epochs=epochs, batch_size=batch_size, learning_rate=learning_rate,
        lambda_w=1e-3, lambda_b=1e-3, lambda_e=1e-4, verbose=False, seed=0,
    )  # fmt: skip
    started = time.perf_counter()
    with contextlib.redirect_stdout(sys.stderr):
        model.fit(train)
    return model, epochs * len(chosen) / (time.perf_counter() - started)


if __name__ == "__main__":
    main(*sys.argv[1:5], int(sys.argv[5]), float(sys.argv[6]))
