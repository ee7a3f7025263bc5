"""Whether BPR trains to the published quality: Gowalla check-ins in the split of NGCF and LightGCN.

    GOWALLA_DATA=<folder> make bench ONLY=gowalla

The folder holds LightGCN's `train.txt` and `test.txt`, or `train.parquet` and `test.parquet` with integer columns
`user` and `item`. Everything goes through the public commands: `dataset import --test`, `build --split given` without
a k-core, `publish`, `model.train` and `model.evaluate`.

Protocol: rank all items except the user's train items; Recall@20 and NDCG@20, means over the users
with a test item. First, settings and the number of epochs are chosen on 10 % of train, which `build` draws as
validation. Then the model is trained with these on all of train, and evaluated once on test. This takes about
30 minutes on 2 cores.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl
from run import Result

VARIABLE = "GOWALLA_DATA"
N_TRAIN, N_TEST = 810_128, 217_242
PUBLISHED = {"Recall@20": 0.1491, "NDCG@20": 0.1235}
"""MF-BPR with d = 64 as freerec reports it, the best matrix factorisation published on this split."""
SETTINGS = {"dim": 64, "batch_size": 4096, "learning_rate": 1e-3, "n_negatives": 10, "patience": 3, "validate_every": 5}
CHOICES = (5e-4, 1e-3)  # of l2
FIRST_EPOCHS, MOST_EPOCHS = 20, 150  # for each choice; then only the best one is trained to its end
HELD_OUT_SHARE = 0.1


def measure() -> list[Result]:
    folder = Path(os.environ.get(VARIABLE, ""))
    files = [folder / f"train{suffix}" for suffix in (".txt", ".parquet")]
    train = next((file for file in files if os.environ.get(VARIABLE) and file.is_file()), None)
    if train is None:
        print(f"gowalla: left out; set {VARIABLE} to the folder with Gowalla's train.txt and test.txt (or .parquet)")
        return []
    with tempfile.TemporaryDirectory() as name:
        found = _through_the_commands(train, Path(name))
    for metric, value in found.items():
        print(f"  {metric} {value:.4f}, published {PUBLISHED[metric]:.4f}", flush=True)
    return [
        Result(f"BPR on Gowalla, {metric}", 100 * value, "best published MF", 100 * PUBLISHED[metric], "%")
        for metric, value in found.items()
    ]


def _through_the_commands(train: Path, home: Path) -> dict[str, float]:
    """Import, build, publish, train and evaluate; return the metrics on test."""
    form = ["--format", "lightgcn"] if train.suffix == ".txt" else []
    test = train.with_name(f"test{train.suffix}")
    _run("dataset", "import", train, "--test", test, *form, "--to", home / "raw")
    tuning, whole = (_publish(home, share) for share in (HELD_OUT_SHARE, 0.0))
    counts = pl.read_parquet(whole / "interactions.parquet")["split"].cast(pl.String).value_counts()
    if dict(counts.iter_rows()) != {"train": N_TRAIN, "test": N_TEST}:
        raise SystemExit(f"gowalla: the snapshot has {dict(counts.iter_rows())}, not the published split")
    tried = {l2: _train(tuning, home / "runs" / str(l2), l2, FIRST_EPOCHS) for l2 in CHOICES}
    best = max(CHOICES, key=lambda l2: _best(tried[l2])[1])
    epochs, _ = _best(_train(tuning, home / "runs" / "best", best, MOST_EPOCHS))
    run = _train(whole, home / "runs" / "whole", best, epochs)
    _run("model.evaluate", "--run", run, "--protocol", "full")
    metrics = pl.read_parquet(run / "metrics.parquet").filter(pl.col("task").cast(pl.String) == "item", k=20)
    values = dict(metrics.select("metric", "value").iter_rows())
    return {"Recall@20": values["full_recall"], "NDCG@20": values["full_ndcg"]}


def _publish(home: Path, validation_share: float) -> Path:
    """Build and publish with this share of train as validation, and return the snapshot's folder."""
    name = f"gowalla-{validation_share:g}"
    given = ["--split", "given", "--k-user", 0, "--k-item", 0, "--validation-share", validation_share]
    _run("dataset", "build", "--raw", home / "raw", "--to", home / "built", *given)
    _run("dataset", "publish", "--dataset", home / "built", "--name", name, "--root", home / "snapshots")
    return home / "snapshots" / name / "v0001"


def _train(snapshot: Path, runs: Path, l2: float, epochs: int) -> Path:
    """Train BPR, and return the run's folder."""
    started = time.perf_counter()
    shutil.rmtree(runs, ignore_errors=True)
    chosen = [f"--set={name}={value}" for name, value in {**SETTINGS, "l2": l2, "validation_k": 20}.items()]
    _run("model.train", "--model", "bpr", "--snapshot", snapshot, "--runs", runs, "--epochs", epochs, *chosen)
    (run,) = runs.iterdir()
    epoch, ndcg = _best(run)
    reached = f", NDCG@20 {ndcg:.4f} on validation after {epoch}" if ndcg else ""
    print(f"  l2 {l2:g}: {epochs} epochs{reached}, {time.perf_counter() - started:.0f} s", flush=True)
    return run


def _best(run: Path) -> tuple[int, float]:
    """Return the epoch that is best on validation, and its NDCG (0 if nothing was validated)."""
    table = pl.read_parquet(run / "training.parquet").with_columns(pl.col("validation_ndcg").fill_null(0))
    row = table.sort("validation_ndcg", "epoch", descending=[True, False]).row(0, named=True)
    return int(row["epoch"]), float(row["validation_ndcg"])


def _run(module: str, *arguments: object) -> None:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"gowalla: {' '.join(command[1:])} failed:\n{done.stderr[-2000:]}")
