"""Gowalla check-ins in the split of NGCF and LightGCN, for the benchmarks `gowalla` and `gowalla_long`.

Everything goes through the public commands: `dataset import --test`, `build --split given` without a k-core,
`publish`, `model.train` and `model.evaluate`. All files are kept in `data/bench/gowalla`; the same command
continues where it was stopped. Measured rows are kept in `rows.jsonl` there, with the machine, time and seed.

Protocol: rank all items except the user's train items; Recall@20 and NDCG@20, means over the users with a test
item. Settings and the number of epochs are chosen on 10 % of train, which `build` draws as validation. Then the
model is trained with these on all of train, and evaluated once on test.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from rows import keep_row, kept_row
from run import Result, chosen_device, run_command

VARIABLE = "GOWALLA_DATA"
HOME = Path("data/bench/gowalla")
ROWS = HOME / "rows.jsonl"
N_TRAIN, N_TEST, HELD_OUT_SHARE, SEED = 810_128, 217_242, 0.1, 0
VALIDATION = {"validation_k": 20, "validate_every": 5, "patience": 3}


@dataclass(frozen=True)
class Row:
    """One model's row.

    Attributes:
        model: its name.
        published: Recall@20 and NDCG@20 that others report for it on this split.
        source: who reports them.
        tried: the choices of settings, of which validation takes the best; one choice is no search.
        epochs: the most epochs.
        subset: how many items, drawn at random, the choice is made on; None for all.
        is_tuned: whether anything is chosen on validation.
    """

    model: str
    published: tuple[float, float]
    source: str
    tried: list[dict[str, Any]] = field(default_factory=lambda: [{}])
    epochs: int | None = None
    subset: int | None = None
    is_tuned: bool = True


def measure_rows(rows: list[Row]) -> Iterator[Result]:
    """Measure the rows that are not kept yet, one after another, and yield the results of all."""
    folder = Path(os.environ.get(VARIABLE, ""))
    files = [folder / f"train{suffix}" for suffix in (".txt", ".parquet")]
    train = next((file for file in files if os.environ.get(VARIABLE) and file.is_file()), None)
    if train is None:
        print(f"gowalla: left out; set {VARIABLE} to the folder with Gowalla's train.txt and test.txt (or .parquet)")
        return
    for row in rows:
        found = kept_row(ROWS, _asked(row)) or _measure(row, train)
        told = f"{found['date']}, seed {found['seed']}, {found['seconds']:.0f} s, {found['settings']}"
        print(f"  {row.model}: {told}; {found['machine']}", flush=True)
        for metric, published in zip(("Recall@20", "NDCG@20"), row.published, strict=True):
            yield Result(f"{row.model} on Gowalla, {metric}", 100 * found[metric], row.source, 100 * published, "%")


def _asked(row: Row) -> list[Any]:
    return [row.model, row.tried, row.epochs, row.subset]


def _measure(row: Row, train: Path) -> dict[str, Any]:
    """Choose the settings on validation, train on all of train, evaluate on test, and keep the row."""
    started = time.perf_counter()
    whole = _published(train, "whole", 0.0)
    counts = pl.read_parquet(whole / "interactions.parquet")["split"].cast(pl.String).value_counts()
    if dict(counts.iter_rows()) != {"train": N_TRAIN, "test": N_TEST}:
        raise SystemExit(f"gowalla: the snapshot has {dict(counts.iter_rows())}, not the published split")
    settings = _chosen(row, train) if row.is_tuned else row.tried[0]
    if row.epochs is not None:
        settings = {"epochs": row.epochs} | settings
    run = _trained(row.model, whole, settings)
    run_command("model.evaluate", "--run", run, "--protocol", "full", "--device", chosen_device())
    metrics = pl.read_parquet(run / "metrics.parquet").filter(pl.col("task").cast(pl.String) == "item", k=20)
    values = dict(metrics.select("metric", "value").iter_rows())
    found = {
        "Recall@20": values["full_recall"], "NDCG@20": values["full_ndcg"], "settings": settings, "seed": SEED,
        "seconds": time.perf_counter() - started,
    }  # fmt: skip
    return keep_row(ROWS, _asked(row), found)


def _chosen(row: Row, train: Path) -> dict[str, Any]:
    """Return the settings that are best on the held-out part of train, with their best number of epochs."""
    subset = "" if row.subset is None else f"-{row.subset}-items"
    tuning = _published(train, f"tuning{subset}", HELD_OUT_SHARE, row.subset)
    most = {} if row.epochs is None else {"epochs": row.epochs}
    reached = []
    for tried in row.tried:
        run = _trained(row.model, tuning, VALIDATION | most | tried)
        epochs = pl.read_parquet(run / "training.parquet").filter(pl.col("validation_ndcg").is_not_null())
        best = epochs.sort("validation_ndcg", descending=True).row(0, named=True)
        print(f"  {row.model} {tried}: NDCG@20 {best['validation_ndcg']:.4f} on validation, epoch {best['epoch']}")
        is_fitted = len(epochs) == 1 and best["loss"] is not None and row.subset is not None
        reached.append((best["validation_ndcg"], tried if is_fitted else tried | {"epochs": best["epoch"]}))
    return max(reached, key=lambda pair: pair[0])[1]


def _trained(model: str, snapshot: Path, settings: dict[str, Any]) -> Path:
    """Train, or continue or find the training of these settings; return the run's folder."""
    chosen = "-".join(f"{name}={value}" for name, value in sorted(settings.items()))
    runs = HOME / "runs" / snapshot.parent.name / f"{model}-{chosen}"
    options: list[object] = [f"--set={name}={value}" for name, value in settings.items()]
    options += ["--seed", SEED, "--device", chosen_device(), "--runs", runs]
    run_command("model.train", "--model", model, "--snapshot", snapshot, *options)
    (run,) = (folder for folder in runs.iterdir() if (folder / "config.json").is_file())
    return run


def _published(train: Path, name: str, validation_share: float, n_items: int | None = None) -> Path:
    """Return the folder of a snapshot with this share of train as validation, made at the first call."""
    published = HOME / "snapshots" / name / "v0001"
    if published.is_dir():
        return published
    raw, built = HOME / f"raw-{name}", HOME / f"built-{name}"
    test, form = train.with_name(f"test{train.suffix}"), ["--format", "lightgcn"] if train.suffix == ".txt" else []
    run_command("dataset", "import", train, "--test", test, *form, "--to", raw, "--replace")
    if n_items is not None:
        _keep_some_items(raw, n_items)
    given = ["--split", "given", "--k-user", 0, "--k-item", 0, "--validation-share", validation_share]
    run_command("dataset", "build", "--raw", raw, "--to", built, *given)
    run_command("dataset", "publish", "--dataset", built, "--name", name, "--root", HOME / "snapshots")
    return published


def _keep_some_items(raw: Path, n_items: int) -> None:
    """Leave a random part of the items in the raw tables."""
    movies = pl.read_parquet(raw / "movies.parquet")
    kept = movies.sample(n_items, seed=SEED).sort("movie_id")
    ratings = pl.read_parquet(raw / "ratings.parquet")
    kept.write_parquet(raw / "movies.parquet")
    ratings.filter(pl.col("movie_id").is_in(kept["movie_id"].implode())).write_parquet(raw / "ratings.parquet")
