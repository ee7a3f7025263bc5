"""BPR of RecBole (its model, loader and epoch), implicit and Cornac on generated data (.npz): samples per second."""

import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy.sparse

DIM = 32


def main(made: str, batch_size: int) -> None:
    data = np.load(made)
    with contextlib.redirect_stdout(sys.stderr):
        rates = {"recbole": recbole(data, batch_size), "implicit": implicit(data), "cornac": cornac(data)}
    print(json.dumps(rates))


def recbole(data, batch_size, model_name="BPR", settings_of_model=None):
    """The second of two epochs, so that nothing is counted that happens once."""
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.trainer import Trainer
    from recbole.utils import get_model, init_seed

    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):  # it writes logs where it runs
        folder = Path(name) / "made"
        folder.mkdir()
        rows = (f"{user}\t{item}" for user, item in zip(data["users"], data["items"], strict=True))
        (folder / "made.inter").write_text("user_id:token\titem_id:token\n" + "\n".join(rows) + "\n")
        settings = {
            "data_path": name, "checkpoint_dir": name, "embedding_size": DIM, "train_batch_size": batch_size,
            "load_col": {"inter": ["user_id", "item_id"]}, "use_gpu": False, "show_progress": False, "state": "ERROR",
            "train_neg_sample_args": {"distribution": "uniform", "sample_num": 1},
            "eval_args": {"split": {"RS": [0.99, 0.01, 0.0]}, "group_by": None, "order": "RO", "mode": "full"},
            **(settings_of_model or {}),
        }  # fmt: skip
        argv, sys.argv = sys.argv, sys.argv[:1]  # RecBole reads the command line as settings
        config = Config(model=model_name, dataset="made", config_dict=settings)
        sys.argv = argv
        init_seed(0, True)
        train, _, _ = data_preparation(config, dataset := create_dataset(config))
        model = get_model(model_name)(config, train.dataset)
        trainer = Trainer(config, model)
        trainer._train_epoch(train, 0)
        started = time.perf_counter()
        trainer._train_epoch(train, 1)
        del dataset
        return len(train.dataset) / (time.perf_counter() - started)


def implicit(data):
    """Its compiled SGD, on all cores."""
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    shape = (len(data["n_positives"]), len(data["item_features"]))
    matrix = scipy.sparse.csr_matrix((np.ones(len(data["users"]), np.float32), (data["users"], data["items"])), shape)

    def seconds(iterations):
        model = BayesianPersonalizedRanking(factors=DIM, iterations=iterations, random_state=0)
        started = time.perf_counter()
        model.fit(matrix, show_progress=False)
        return time.perf_counter() - started

    return 10 * matrix.nnz / (seconds(11) - seconds(1))


def cornac(data):
    """Its compiled SGD, on all cores."""
    from cornac.data import Dataset
    from cornac.models import BPR

    n = len(data["users"])
    train = Dataset.build(list(zip(data["users"].tolist(), data["items"].tolist(), [1.0] * n, strict=True)), seed=0)

    def seconds(iterations):
        started = time.perf_counter()
        BPR(k=DIM, max_iter=iterations, seed=0, verbose=False).fit(train)
        return time.perf_counter() - started

    return 10 * n / (seconds(11) - seconds(1))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
