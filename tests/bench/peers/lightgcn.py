"""LightGCN of RecBole (its model, loader and epoch) on generated data (.npz): samples per second."""

import contextlib
import json
import sys

import numpy as np
import scipy.sparse
from bpr import recbole


def main(made: str, batch_size: int) -> None:
    scipy.sparse.dok_matrix._update = lambda self, entries: self._dict.update(
        entries
    )  # RecBole calls SciPy's of before
    with contextlib.redirect_stdout(sys.stderr):
        rate = recbole(np.load(made), batch_size, "LightGCN", {"embedding_size": 64, "n_layers": 2})
    print(json.dumps(rate))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
