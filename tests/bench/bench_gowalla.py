"""Whether BPR trains to the published quality: Gowalla check-ins in the split of NGCF and LightGCN.

    GOWALLA_DATA=<folder> make bench ONLY=gowalla

The folder holds LightGCN's `train.txt` and `test.txt`, or `train.parquet` and `test.parquet` with integer columns
`user` and `item`. Everything goes through the public commands: `dataset import --test`, `build --split given` without
a k-core, `publish`, `model.tune`, `model.train` and `model.evaluate`.

Protocol: rank all items except the user's train items; Recall@20 and NDCG@20, means over the users
with a test item. First, settings and the number of epochs are chosen on 10 % of train, which `build` draws as
validation. Then the model is trained with these on all of train, and evaluated once on test. This takes tens of
minutes on 2 cores.
"""

import json
import os
import tempfile
from pathlib import Path

import polars as pl
from run import Result, run_command

VARIABLE = "GOWALLA_DATA"
N_TRAIN, N_TEST = 810_128, 217_242
PUBLISHED = {"Recall@20": 0.1627, "NDCG@20": 0.1378}
"""Tuned MF-BPR of the BARS leaderboard (Zhu et al. 2022, gowalla_m1): the best published with this loss."""
SETTINGS = {
    "dim": 64, "epochs": 150, "batch_size": 4096, "learning_rate": 1e-3, "n_negatives": 10, "patience": 3,
    "validate_every": 5, "validation_k": 20,
}  # fmt: skip
TRIED = "l2=0.0005,0.001"
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
        Result(f"BPR on Gowalla, {metric}", 100 * value, "tuned MF-BPR of BARS", 100 * PUBLISHED[metric], "%")
        for metric, value in found.items()
    ]


def _through_the_commands(train: Path, home: Path) -> dict[str, float]:
    """Import, build, publish, train and evaluate; return the metrics on test."""
    form = ["--format", "lightgcn"] if train.suffix == ".txt" else []
    test = train.with_name(f"test{train.suffix}")
    run_command("dataset", "import", train, "--test", test, *form, "--to", home / "raw")
    tuning, whole = (_publish(home, share) for share in (HELD_OUT_SHARE, 0.0))
    counts = pl.read_parquet(whole / "interactions.parquet")["split"].cast(pl.String).value_counts()
    if dict(counts.iter_rows()) != {"train": N_TRAIN, "test": N_TEST}:
        raise SystemExit(f"gowalla: the snapshot has {dict(counts.iter_rows())}, not the published split")
    chosen = [f"--set={name}={value}" for name, value in SETTINGS.items()]
    search = home / "tuning"
    run_command("model.tune", "--model", "bpr", "--snapshot", tuning, *chosen, "--try", TRIED, "--to", search)
    trials = pl.read_parquet(search / "trials.parquet").sort("validation_ndcg", descending=True)
    for row in trials.iter_rows(named=True):
        reached = f"NDCG@20 {row['validation_ndcg']:.4f} after {row['best_epoch']} of {row['epochs']} epochs"
        print(
            f"  on validation: l2 {json.loads(row['settings'])['l2']:g} has {reached}, {row['seconds']:.0f} s",
            flush=True,
        )
    best = ["--config", search / "best.toml", "--epochs", trials["best_epoch"][0]]
    run_command("model.train", "--model", "bpr", "--snapshot", whole, *best, "--runs", home / "runs")
    (run,) = (home / "runs").iterdir()
    run_command("model.evaluate", "--run", run, "--protocol", "full")
    metrics = pl.read_parquet(run / "metrics.parquet").filter(pl.col("task").cast(pl.String) == "item", k=20)
    values = dict(metrics.select("metric", "value").iter_rows())
    return {"Recall@20": values["full_recall"], "NDCG@20": values["full_ndcg"]}


def _publish(home: Path, validation_share: float) -> Path:
    """Build and publish with this share of train as validation, and return the snapshot's folder."""
    name = f"gowalla-{validation_share:g}"
    given = ["--split", "given", "--k-user", 0, "--k-item", 0, "--validation-share", validation_share]
    run_command("dataset", "build", "--raw", home / "raw", "--to", home / "built", *given)
    run_command("dataset", "publish", "--dataset", home / "built", "--name", name, "--root", home / "snapshots")
    return home / "snapshots" / name / "v0001"
