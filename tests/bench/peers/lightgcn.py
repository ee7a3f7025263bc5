"""LightGCN of RecBole (its model, loader and epoch) on generated data (.npz): samples per second."""

import contextlib
import json
import sys

import numpy as np
from bpr import recbole


def main(made: str, batch_size: int) -> None:
    with contextlib.redirect_stdout(sys.stderr):
        rate = recbole(np.load(made), batch_size, "LightGCN", {"embedding_size": 64, "n_layers": 2})
    print(json.dumps(rate))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
