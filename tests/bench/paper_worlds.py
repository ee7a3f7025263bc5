"""Worlds of a preset as published snapshots, with the features of one bank of painted pictures (for `bench_paper`)."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.linalg
from PIL import Image, ImageOps
from run import chosen_device, chosen_jobs, run_command

from crawler.sandbox.drawn import SCENES
from crawler.sandbox.pictures import Picture, paint
from crawler.worlds.features import bank_features
from crawler.worlds.presets import PRESETS
from features.config import ExtractorConfig
from features.extractor import Extractor

HOME = Path("data/bench/paper")
PRESET, NETWORK = os.environ.get("PAPER_PRESET", "paper"), os.environ.get("PAPER_NETWORK", "vgg19=random:0")
DRAWN, WIDTH, SIDE_PX = "drawn", 128, 224
"""`drawn` takes the world's invented features in place of painted pictures. Others are reduced to `WIDTH` numbers."""

_SEEDS_OF_SCENE, _BATCH = 1_000_000, 32  # pictures of a scene have seeds of their own
Features = npt.NDArray[np.float32]


def world_snapshot(seed: int) -> Path:
    """Return the folder of the published snapshot of a world, made at the first call."""
    published = HOME / "snapshots" / f"{PRESET}-{seed}" / "v0001"
    if published.is_dir():
        return published
    raw, dataset = HOME / f"raw-{seed}", HOME / f"dataset-{seed}"
    run_command("crawler", "world", "--preset", PRESET, "--seed", seed, "--to", raw, "--replace")
    run_command("dataset", "build", "--raw", raw, "--to", dataset)
    shown = pl.read_parquet(raw / "truth" / "frames.parquet")
    vectors = bank()[shown["scene"].to_numpy(), shown["picture"].to_numpy()]
    table = raw / "features.parquet"
    pl.DataFrame(
        {"frame_id": shown["frame_id"], "feature": vectors},
        schema={"frame_id": pl.String, "feature": pl.Array(pl.Float32, vectors.shape[1])},
    ).write_parquet(table)
    name = "".join(letter if letter.isalnum() else "-" for letter in NETWORK)
    run_command("features", "import", table, "--extractor", name, "--dataset", dataset)
    options = ["--name", f"{PRESET}-{seed}", "--root", HOME / "snapshots", "--train-likes"]
    run_command("dataset", "publish", "--dataset", dataset, *options)
    return published


def bank() -> Features:
    """Return (scenes, pictures, F): the features of the pictures that all worlds share, computed once.

    A network's features are projected on their first principal components, as many as `WIDTH`.
    """
    n_pictures = PRESETS[PRESET].pictures_per_scene
    if NETWORK == DRAWN:
        return bank_features(n_pictures, 64).astype(np.float32)
    path = HOME / "bank" / f"{NETWORK.replace('/', '-').replace('=', '-')}-{n_pictures}.npy"
    if not path.is_file():
        whole = _extracted(n_pictures)
        reduced, share = principal(whole.reshape(-1, whole.shape[2]), WIDTH)
        print(f"  {reduced.shape[1]} principal components have {share:.1%} of the features' variance", flush=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        with part.open("wb") as file:
            np.save(file, reduced.reshape(*whole.shape[:2], -1))
        part.replace(path)
    return np.asarray(np.load(path))


def principal(features: Features, width: int) -> tuple[Features, float]:
    """Return (n, width) first principal components of (n, F) features, and their share of the variance."""
    centred = features.astype(np.float64) - features.mean(0, dtype=np.float64)
    width = min(width, *centred.shape)
    size = centred.shape[1]
    values, vectors = scipy.linalg.eigh(centred.T @ centred, subset_by_index=(size - width, size - 1))
    return (centred @ vectors[:, ::-1]).astype(np.float32), float(values.sum() / np.square(centred).sum())


def _extracted(n_pictures: int) -> Features:
    """Return (scenes, pictures, F) features of a network; the features of a scene are kept when it is done."""
    name, _, weights = NETWORK.partition("=")
    extractor = Extractor(ExtractorConfig(name, weights or "random:0"), chosen_device())
    folder = HOME / "bank" / f"{name.replace('/', '-')}-{extractor.identity.extractor_id}-{n_pictures}"
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{scene}.npy" for scene in SCENES]
    left = [number for number, path in enumerate(paths) if not path.is_file()]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max(1, min(chosen_jobs(), len(left))), context) as pool:
        for number, crops in zip(left, pool.map(partial(_painted, n_pictures), left), strict=True):
            parts = [extractor.features(crops[at : at + _BATCH]) for at in range(0, n_pictures, _BATCH)]
            np.save(paths[number], np.concatenate(parts))
            print(f"  {SCENES[number]}: {n_pictures} pictures painted, features made", flush=True)
    return np.stack([np.load(path) for path in paths])


def _painted(n_pictures: int, scene: int) -> npt.NDArray[np.uint8]:
    """Return (n, side, side, 3): the pictures of a scene, each scaled and cropped at the centre."""
    stills = (Picture(SCENES[scene], "still", scene * _SEEDS_OF_SCENE + number) for number in range(n_pictures))
    sides = (SIDE_PX, SIDE_PX)
    return np.stack([np.asarray(ImageOps.fit(paint(still), sides, Image.Resampling.BILINEAR)) for still in stills])
