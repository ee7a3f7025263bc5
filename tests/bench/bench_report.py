"""The report of 8 models with 5 seeds on a dataset of the paper's size, from made tables: seconds and megabytes."""

import itertools
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from run import Result

from dataset.building.build import DatasetConfig
from dataset.building.statistics import statistics
from dataset.description import write_description
from dataset.files import write_json
from dataset.schema import SNAPSHOT_TABLES
from dataset.snapshots.publish import publish
from dataset.tables import empty, write_table
from model.report.gallery_cases import KINDS
from model.report.page import write_report
from model.schema import SLICES, Case, CaseFrame, CaseMovie, Comparison, Cost, Metric, SliceMetric, Training

MODELS = ("jifr", "jifr_visual", "jifr_rating", "jifr_na", "acf", "vbpr", "bpr", "random")
SEEDS, N_USERS, N_MOVIES, N_FRAMES, N_INTERACTIONS = range(5), 16_166, 12_811, 20, 540_000
LIMIT_S, LIMIT_MB = 60.0, 10.0
BOUNDS = ((1, 4), (5, 9), (10, 19), (20, 99))
KS = {"item": (5, 10, 15, 20, 30, 50), "frame": (1, 2, 3, 4, 5)}


def measure() -> list[Result]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        snapshot = _snapshot(folder)
        _tables(folder / "experiment")
        started = time.perf_counter()
        page = write_report(folder / "experiment", snapshot, None)
        seconds, megabytes = time.perf_counter() - started, page.stat().st_size / 1e6
    what = "report of 8 models x 5 seeds"
    return [
        Result(f"{what}, time", seconds, "limit", LIMIT_S, "s"),
        Result(f"{what}, size", megabytes, "limit", LIMIT_MB, "MB"),
    ]


def _snapshot(folder):
    rng = np.random.default_rng(0)
    pairs = np.unique(rng.integers(0, N_USERS * N_MOVIES, N_INTERACTIONS))
    movies = [f"m{n:05}" for n in range(N_MOVIES)]
    tables: dict[str, dict[str, Any]] = {
        "movies": {"movie_id": movies, "title": [f"Movie {n}" for n in range(N_MOVIES)]},
        "frames": {
            "frame_id": [f"{m}f{n}" for m in movies for n in range(N_FRAMES)],
            "movie_id": np.repeat(movies, N_FRAMES),
            "kind": ["still"] * (N_MOVIES * N_FRAMES),
        },
        "interactions": {
            "user_id": [f"u{n:05}" for n in pairs // N_MOVIES],
            "movie_id": [movies[n] for n in pairs % N_MOVIES],
            "split": rng.choice(["train", "validation", "test"], len(pairs), p=[0.7, 0.1, 0.2]),
        },
        "frame_likes": {},
    }
    frames = {}
    for name, columns in tables.items():
        schema = empty(SNAPSHOT_TABLES[name]).schema
        filled: dict[str, list[str]] = {"genres": [], "directors": []}
        rest = [pl.lit(filled.get(c), t).alias(c) for c, t in schema.items() if c not in columns]
        table = pl.DataFrame(columns).with_columns(rest) if columns else empty(SNAPSHOT_TABLES[name])
        frames[name] = table.select(pl.col(c).cast(t) for c, t in schema.items())
        write_table(frames[name], SNAPSHOT_TABLES[name], folder / "dataset" / f"{name}.parquet")
    numbers = statistics(frames["interactions"], frames["frames"], frames["frame_likes"], frames["frames"]["frame_id"])
    config = json.loads(json.dumps(DatasetConfig(), default=vars))
    description = {"config": config, "provenance": {"source": "made"}, "quarantined": [], "statistics": numbers}
    write_description(folder / "dataset", description)
    return publish(folder / "dataset", "made", folder / "snapshots")[0]


def _judged():
    """Return metric and slice rows."""
    rng = np.random.default_rng(1)
    metrics, slices = [], []
    for (number, model), seed, (task, ks) in itertools.product(enumerate(MODELS), SEEDS, KS.items()):
        for metric, k in itertools.product(("hr", "ndcg", "full_ndcg", "full_hr", "full_recall"), ks):
            value = 0.3 - 0.02 * number + 0.002 * k + rng.normal(0, 0.002)
            interval = (value - 0.01, value + 0.01)
            metrics.append((model, seed, task, metric, k, value, *interval, N_USERS, 0, None, None))
        for by, (low, high), metric, k in itertools.product(SLICES, BOUNDS, ("hr", "ndcg"), ks):
            slices.append((model, seed, task, metric, k, by, low, high, 0.2, 0.1, 0.3, 4000, 9000))
    return metrics, slices


def _tables(folder):
    metrics, slices = _judged()
    runs = list(itertools.product(MODELS, SEEDS))
    training = [(*one, epoch, 1 / epoch, 0.3 - 0.1 / epoch, 3.0) for one in runs for epoch in range(1, 301)]
    costs = [(*one, 10**6, 300, 250, 900.0, 20.0, 2, 4 << 30) for one in runs]
    comparisons = [
        (task, metric, k, *pair, 0.3, 0.2, 0.1, 0.05, 0.15, 1e-4, 1e-3, True, N_USERS, 5, 5)
        for pair in itertools.combinations(MODELS, 2)
        for task, ks in KS.items()
        for metric in ("hr", "ndcg")
        for k in ks
    ]
    cases = [(n, kind, f"u{n:05}", f"m{n:05}", 100, 4760, 0.4) for n, kind in enumerate(KINDS, 1)]
    frames = [
        (case, model, f"m{case:05}f{n}", n + 1, float(-n), 0.05 if model == "jifr" else None, n == 0)
        for case, *_ in cases
        for model in MODELS[:4]
        for n in range(N_FRAMES)
    ]
    movies = [
        (c, role, n, f"m{n:05}", f"m{n:05}f0", False)
        for c, *_ in cases
        for role in ("watched", "recommended")
        for n in range(1, 6)
    ]
    for name, schema, rows in (
        ("metrics", Metric, metrics),
        ("slices", SliceMetric, slices),
        ("comparisons", Comparison, comparisons),
        ("training", Training, training),
        ("costs", Cost, costs),
        ("cases", Case, cases),
        ("case_frames", CaseFrame, frames),
        ("case_movies", CaseMovie, movies),
    ):
        table = pl.DataFrame(rows, schema=empty(schema).schema, orient="row")
        write_table(table, schema, folder / f"{name}.parquet")
    run = {"config": {"d": 32}, "training": {"epochs": 300}, "code_version": "0"}
    described = [run | {"model": model, "label": model, "seed": seed} for model in MODELS for seed in SEEDS]
    write_json(folder / "experiment.json", {"runs": described})
