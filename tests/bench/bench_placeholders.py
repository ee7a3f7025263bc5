"""Groups of nearly equal pictures among 250,000: seconds of one core and memory, in a process of its own.

Two thirds of the pictures are soft random fields, as photos are when they are shrunk to 9 x 9 cells. A third are
products on white: one of 200 outlines in a random colour, which have equal hashes and must be told apart by colour.
One picture in twenty is a copy of another one with the noise of a JPEG.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from run import Result

from dataset.placeholders.config import MAX_NEAR_BITS
from dataset.placeholders.groups import near_groups

N_PICTURES = 250_000
LIMIT_S = 60.0
LIMIT_MIB = 1024.0
_SIDE = 9


def measure() -> Iterator[Result]:
    """Yield the seconds of one core and the peak memory."""
    found = json.loads(subprocess.check_output([sys.executable, str(Path(__file__))]))
    yield Result("near groups of 250,000 pictures", found["seconds"], "limit", LIMIT_S, "s")
    yield Result("the same: peak memory", found["mib"], "limit", LIMIT_MIB, "MiB")


def made_cells(n: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Return the cells of invented pictures, (n, 243)."""
    rng = np.random.default_rng(seed)
    cells = np.empty((n, _SIDE * _SIDE * 3), dtype=np.uint8)
    step = 10_000
    outlines = _fields(rng, 200)[:, :, :, :1] > 0
    for start in range(0, n, step):
        part = min(step, n - start)
        contrast = rng.gamma(2.0, 25.0, (part, 1, 1, 1))
        photos = rng.uniform(40, 200, (part, 1, 1, 3)) + contrast * _fields(rng, part)
        products = np.where(outlines[rng.integers(0, 200, part)], rng.uniform(0, 255, (part, 1, 1, 3)), 255.0)
        is_product = rng.random((part, 1, 1, 1)) < 1 / 3
        levels = np.where(is_product, products, photos).reshape(part, -1)
        cells[start : start + part] = np.clip(levels, 0, 255)
    copies = rng.permutation(n)[: n // 20]
    originals = rng.integers(0, n, len(copies))
    cells[copies] = np.clip(cells[originals] + rng.normal(0, 0.7, (len(copies), cells.shape[1])), 0, 255)
    return cells


def _fields(rng: np.random.Generator, n: int) -> npt.NDArray[np.float64]:
    """Return n soft random fields, (n, 9, 9, 3), of variance about 1; the channels are much alike."""
    coarse = rng.normal(size=(n, 5, 5, 1)) + 0.4 * rng.normal(size=(n, 5, 5, 3))
    places = np.linspace(0, 4, _SIDE)
    weights = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(5)[None, :]))
    fields: npt.NDArray[np.float64] = np.einsum("yi,xj,nijc->nyxc", weights, weights, coarse, optimize=True)
    return fields


if __name__ == "__main__":
    made = made_cells(N_PICTURES)
    before = time.process_time()
    groups = near_groups(made, MAX_NEAR_BITS)
    seconds = time.process_time() - before
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "mib": mib, "groups": len(np.unique(groups))}))
