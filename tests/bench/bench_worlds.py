"""The invented worlds against real data, and the worlds in which pictures must add nothing.

    make bench ONLY=worlds        # WORLDS_SEEDS=2: fewer seeds; WORLDS_MODEL=jifr_na: another model with pictures;
                                  # WORLDS_PARTS=probe,paper,demo,nulls: some parts only; WORLDS_PRESETS=paper,no_looks

1. Calibration: NDCG@15 over all items (test) of five models as a share of EASE's, for two seeds of `paper` and the
   mean of 10 of `demo`. It must lie within the range of real data (MovieLens's small set, a Douban matrix, Gowalla),
   from 0.9 times the lowest to 1.1 times the highest. EASE's λ, the shrinkage of the neighbours, β and α of RP3β and
   the l2 of BPR are chosen on validation.
2. The share of held-out choices that looks decide, and what an oracle that knows all tastes loses without the looks.
3. Null worlds: a model with pictures, and the same with the pictures' features shuffled, over 20 seeds. At most 2 of
   the pairs may be significant (paired t-test over people, one-sided, 5 %); in the `paper` world, at least 16 must be
   (see `null_worlds.py`). Each world is a kept row. `BENCH_JOBS=8` measures eight worlds at once, `BENCH_DEVICE=cuda`
   on a GPU.
4. How much of the scene a linear probe finds in the features of a network (WORLDS_NETWORKS=vgg19=random:0,timm:…=auto).

The seeds are ones that no choice of a preset saw.
"""

import os
from collections.abc import Iterator

import numpy as np
from drawn_sets import WIDTH, Sets, people_ndcg, trained
from null_worlds import null_rows
from run import Result
from torch import Tensor

from crawler.sandbox.drawn import SCENES
from crawler.sandbox.pictures import Picture, paint
from crawler.worlds.features import bank_features
from crawler.worlds.oracle import looks_of_choices
from crawler.worlds.presets import PRESETS
from crawler.worlds.tables import digest
from crawler.worlds.world import draw_world
from features.config import ExtractorConfig
from features.extractor import Extractor

FIRST_SEED, FIRST_NULL_SEED = 2000, 2100  # the paper's table is of the seeds 2000 to 2004
SEEDS = int(os.environ.get("WORLDS_SEEDS", "20"))
PARTS = os.environ.get("WORLDS_PARTS", "probe,paper,demo,nulls").split(",")
PROBED = os.environ.get("WORLDS_NETWORKS", "vgg19=random:0")
MODEL = os.environ.get("WORLDS_MODEL", "vbpr")
REAL = {
    "popular": (0.07, 0.52), "itemknn": (0.83, 0.93), "rp3beta": (0.86, 0.97), "userknn": (0.84, 0.87),
    "bpr": (0.71, 0.94),
}  # fmt: skip
"""The lowest and the highest share of EASE's NDCG on real data."""
TRIED: dict[str, list[dict[str, float]]] = {
    "ease": [{"l2": l2} for l2 in (30.0, 100.0, 300.0)],
    "itemknn": [{"shrink": shrink} for shrink in (10.0, 30.0)],
    "userknn": [{"shrink": shrink} for shrink in (10.0, 30.0)],
    "rp3beta": [{"beta": beta, "alpha": alpha} for beta in (0.1, 0.3, 0.5, 0.7) for alpha in (0.6, 1.0)],
    "popular": [{}],
    "bpr": [{"l2": l2} for l2 in (0.01, 0.03)],
}


def measure() -> Iterator[Result]:
    if "probe" in PARTS:
        yield from _probe()
    for name, n_seeds in (("paper", 2), ("demo", 10)):
        if name in PARTS:
            yield from _calibration(name, min(n_seeds, SEEDS))
    if "nulls" in PARTS:
        yield from null_rows(MODEL, range(FIRST_NULL_SEED, FIRST_NULL_SEED + SEEDS))


def people_of_best(sets: Sets, name: str, tried: list[dict[str, float]], seed: int) -> Tensor:
    """Return NDCG@15 of each test person with the settings that are best on validation."""
    runs = [trained(sets.training, sets, name, settings, seed) for settings in tried]
    return people_ndcg(max(runs, key=lambda run: run[1])[0], sets)


def _calibration(name: str, n_seeds: int) -> Iterator[Result]:
    sums = dict.fromkeys(TRIED, 0.0)
    for seed in range(FIRST_SEED, FIRST_SEED + n_seeds):
        world = draw_world(PRESETS[name], seed)
        sets = Sets(world, seed)
        values = {model: float(people_of_best(sets, model, tried, seed).mean()) for model, tried in TRIED.items()}
        sums = {model: sums[model] + value for model, value in values.items()}
        shares = ", ".join(f"{model} {values[model] / values['ease']:.2f}" for model in REAL)
        told = looks_of_choices(world, seed)
        print(f"  {name} {world.preset.version}, seed {seed}, digest {digest(world)[:12]}: {len(sets.users):,} people,")
        print(f"    {len(sets.movies):,} movies; EASE {values['ease']:.3f}; {shares}; looks: {told}", flush=True)
        if name == "paper":
            yield from _shares(f"{name}, seed {seed}", values)
    if name != "paper":
        yield from _shares(f"{name}, mean of {n_seeds}", sums)


def _shares(where: str, values: dict[str, float]) -> Iterator[Result]:
    """Yield each share of EASE's figure, against the nearer end of its range; the line says whether it is inside."""
    for model, (low, high) in REAL.items():
        share, ends = values[model] / values["ease"], (0.9 * low, 1.1 * high)
        verdict = "inside" if ends[0] <= share <= ends[1] else "OUTSIDE"
        yield Result(f"{where}: {model}", share, f"{verdict} {ends[0]:.2f}–{ends[1]:.2f}", ends[1], "of EASE")


def _probe() -> Iterator[Result]:
    """Yield how many pictures' scenes a ridge regression finds in the features of a network, against guessing."""
    n_scenes, n_train, n_test = len(SCENES), 12, 8
    pictures = [Picture(scene, "still", number) for scene in SCENES for number in range(n_train + n_test)]
    crops = np.stack([np.asarray(paint(picture).resize((224, 224)), np.uint8) for picture in pictures])
    sets = {f"drawn, {WIDTH} numbers": bank_features(n_train + n_test, WIDTH).reshape(len(pictures), WIDTH)}
    for network in PROBED.split(","):
        name, _, weights = network.partition("=")
        extractor = Extractor(ExtractorConfig(name, weights or "random:0"), "cpu")
        sets[network] = np.concatenate([extractor.features(part) for part in np.array_split(crops, len(crops) // 20)])
    labels = np.arange(n_scenes).repeat(n_train + n_test)
    is_train = np.tile(np.arange(n_train + n_test) < n_train, n_scenes)
    for name, features in sets.items():
        x = features.astype(np.float64)
        x = (x - x[is_train].mean(0)) / (x[is_train].std() + 1e-12)
        kernel = x @ x[is_train].T / x.shape[1]
        wanted = np.eye(n_scenes)[labels[is_train]]
        guessed = kernel @ np.linalg.solve(kernel[is_train] + 0.1 * np.eye(int(is_train.sum())), wanted)
        found = (guessed.argmax(1) == labels)[~is_train].mean()
        yield Result(f"scene found by a linear probe: {name}", 100 * float(found), "guessing", 100 / n_scenes, "%")
