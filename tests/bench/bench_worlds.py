"""The invented worlds against real data, and the worlds in which pictures must add nothing.

    make bench ONLY=worlds        # WORLDS_SEEDS=2: fewer seeds; WORLDS_MODEL=jifr_na: another model with pictures;
                                  # WORLDS_PARTS=probe,paper,demo,nulls: some parts only

1. Calibration: NDCG@15 over all items (test) of five models as a share of EASE's, for two seeds of `paper` and the
   mean of 10 of `demo`. It must lie within the range of real data (MovieLens's small set, a Douban matrix, Gowalla),
   from 0.9 times the lowest to 1.1 times the highest. EASE's λ, the shrinkage of the neighbours, β and α of RP3β and
   the l2 of BPR are chosen on validation.
2. The share of held-out choices that looks decide, and what an oracle that knows all tastes loses without the looks.
3. Null worlds: a model with pictures, and the same with the pictures' features shuffled, over 20 seeds. At most 2 of
   the pairs may be significant (paired t-test over people, one-sided, 5 %); in the `paper` world, at least 16 must be.

4. How much of the scene a linear probe finds in the features of a network (WORLDS_NETWORKS=vgg19=random:0,timm:…=auto).

The seeds are ones that no choice of a preset saw.
"""

import os
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from run import Result
from scipy.stats import ttest_rel
from torch import Tensor

from crawler.sandbox.drawn import SCENES
from crawler.sandbox.pictures import Picture, paint
from crawler.worlds.features import bank_features
from crawler.worlds.oracle import looks_of_choices
from crawler.worlds.presets import PRESETS, Preset
from crawler.worlds.tables import digest
from crawler.worlds.world import DrawnWorld, draw_world
from features.config import ExtractorConfig
from features.extractor import Extractor
from model.data.jagged import JaggedTensor, group_by_row
from model.data.tensors import Frames, HeldOutItems, TrainingData
from model.evaluation.metrics import ndcg
from model.evaluation.ranking import full_ranking
from model.models.registry import default_config
from model.training.config import TrainingConfig
from model.training.trainer import Trainer

FIRST_SEED, K, WIDTH = 1000, 15, 64
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
TRAINING = TrainingConfig(epochs=100, patience=6, validate_every=2)


def measure() -> Iterator[Result]:
    if "probe" in PARTS:
        yield from _probe()
    for name, n_seeds in (("paper", 2), ("demo", 10)):
        if name in PARTS:
            yield from _calibration(name, min(n_seeds, SEEDS))
    for name in ("paper", "no_looks", "exchanged_frames", "best_frame", "disliked_looks"):
        if "nulls" in PARTS:
            yield _nulls(PRESETS[name])


class Sets:
    """The train, validation and test pairs of a world after the 5-core, split 70/10/20, with its frames' features."""

    def __init__(self, world: DrawnWorld, seed: int, *, shuffled: bool = False) -> None:
        users, items = _k_core(world.watched.users, world.watched.movies)
        self.movies, items = np.unique(items, return_inverse=True)
        self.users, users = np.unique(users, return_inverse=True)
        chance = np.random.default_rng(seed).random(len(users))
        parts = [chance < 0.7, (chance >= 0.7) & (chance < 0.8), chance >= 0.8]
        n = len(self.users)

        def of(which: np.ndarray) -> JaggedTensor:
            return group_by_row(torch.from_numpy(users[which]), torch.from_numpy(items[which]), n)

        train, validation, test = parts
        self.training = TrainingData(of(train), len(self.movies), self._frames(world, seed, shuffled))
        self.validation = HeldOutItems(of(validation), of(train))
        self.test = HeldOutItems(of(test), of(train | validation))

    def _frames(self, world: DrawnWorld, seed: int, shuffled: bool) -> Frames:
        kept = np.isin(world.frames.movies, self.movies)
        counts = np.bincount(world.frames.movies[kept], minlength=world.preset.n_movies)[self.movies]
        bank = bank_features(world.preset.pictures_per_scene, WIDTH)
        features = torch.from_numpy(bank[world.frames.scenes[kept], world.frames.pictures[kept]])
        if shuffled:
            features = features[np.random.default_rng(seed).permutation(len(features))]
        return Frames(torch.from_numpy(np.concatenate([[0], np.cumsum(counts)])), features)


def _k_core(users: np.ndarray, items: np.ndarray, k: int = 5) -> tuple[np.ndarray, np.ndarray]:
    while True:
        kept = (np.bincount(users)[users] >= k) & (np.bincount(items)[items] >= k)
        if kept.all():
            return users, items
        users, items = users[kept], items[kept]


def people_ndcg(sets: Sets, name: str, tried: list[dict[str, float]], seed: int) -> Tensor:
    """Return NDCG@15 of each test person with the settings that are best on validation."""
    best: tuple[float, Tensor] | None = None
    for settings in tried:
        config = replace(default_config(name), **settings)
        scorer = Trainer(sets.training, sets.validation, name, config, TRAINING, seed).run().model.scorer()
        value = float(ndcg(full_ranking(scorer, sets.validation, K), K).mean())
        if best is None or value > best[0]:
            best = value, ndcg(full_ranking(scorer, sets.test, K), K)
    assert best is not None
    return best[1]


def _calibration(name: str, n_seeds: int) -> Iterator[Result]:
    sums = dict.fromkeys(TRIED, 0.0)
    for seed in range(FIRST_SEED, FIRST_SEED + n_seeds):
        world = draw_world(PRESETS[name], seed)
        sets = Sets(world, seed)
        values = {model: float(people_ndcg(sets, model, tried, seed).mean()) for model, tried in TRIED.items()}
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


def _nulls(preset: Preset) -> Result:
    """Return in how many seeds pictures help, against the most that may be (the least for `paper`)."""
    found, gains = 0, []
    for seed in range(FIRST_SEED, FIRST_SEED + SEEDS):
        world = draw_world(preset, seed)
        real, shuffled = (people_ndcg(Sets(world, seed, shuffled=one), MODEL, [{}], seed) for one in (False, True))
        found += bool(ttest_rel(real.numpy(), shuffled.numpy(), alternative="greater").pvalue < 0.05)
        gains.append(float(real.mean() / shuffled.mean()) - 1)
    print(f"  {preset.name}: {MODEL} with real features is {100 * np.mean(gains):+.1f} % of shuffled", flush=True)
    has_limit = preset.name in ("no_looks", "exchanged_frames")
    limit = max(1, round(0.1 * SEEDS)) if has_limit else max(1, round(0.8 * SEEDS))
    words = "at most" if has_limit else "at least" if preset.name == "paper" else "no limit; of"
    return Result(f"{preset.name}: pictures help {MODEL}", found, words, limit, "seeds")


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
