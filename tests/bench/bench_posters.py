"""All models on real people and real posters: MovieLens's small set with features of the films' posters.

    POSTERS_DATA=<folder> make bench ONLY=posters        # or POSTERS_MODELS=ease,bpr and POSTERS_SEEDS=0,1,2,3,4

The folder holds `interactions.parquet` (user_id, movie_id, stars, rated_on, and a fixed split) and
`poster_features.parquet` (movie_id, feature). Everything goes through the public commands: `dataset import
--split-column`, `build --split given`, `features import`, `publish` and `model.experiment`, with each model's own
defaults. All files are kept in `data/bench/posters`: the same command continues where it was stopped. `BENCH_JOBS=8`
trains eight models at once, `BENCH_DEVICE=cuda` on a GPU.

The number is NDCG@15 over all films that a person does not know, on test. A second table has each model's figure for
the films without a poster (slice `item_frames` 0, by the paper's protocol).
"""

import os
from pathlib import Path

import polars as pl
from run import Result, jobs_and_devices, run_command

from model.models.names import MODEL_NAMES

VARIABLE, MODELS, SEEDS = "POSTERS_DATA", "POSTERS_MODELS", "POSTERS_SEEDS"
HOME = Path("data/bench/posters")
N_TRAIN, N_VALIDATION, N_TEST = 63_192, 9_027, 18_055
ELSEWHERE = {
    "ease": 0.345, "jifr_plus": 0.345, "softmax_mf": 0.329, "freedom": 0.302, "userknn": 0.300, "itemknn": 0.299,
    "rp3beta": 0.297, "lightgcn": 0.296,
    "bpr": 0.274, "vbpr": 0.233, "bm3": 0.229, "popular": 0.180, "random": 0.011,
}  # fmt: skip
"""What independent code reaches with the same split and protocol; ItemKNN with k chosen on validation. BPR, VBPR and
the graphs: MMRec's code. JIFR+ is measured against EASE."""
HABIT = {"bpr": ("vbpr", "vpoi", "jifr", "jifr_na"), "lightgcn": ("freedom", "lattice"), "softmax_mf": ("jifr_plus",)}
"""Models with pictures, by the model without them that has the same loss: pictures must cost at most 1 %."""


def measure() -> list[Result]:
    folder = Path(os.environ.get(VARIABLE, ""))
    if not (os.environ.get(VARIABLE) and (folder / "interactions.parquet").is_file()):
        print(f"posters: left out; set {VARIABLE} to the folder with interactions.parquet and poster_features.parquet")
        return []
    models, seeds = os.environ.get(MODELS, ",".join(MODEL_NAMES)), os.environ.get(SEEDS, "0")
    experiment = HOME / "experiment"
    options = ["--snapshot", _snapshot(folder), "--to", experiment, "--runs", HOME / "runs"]
    run_command("model.experiment", "--models", models, "--seeds", seeds, *options, *jobs_and_devices())
    means = _means(experiment / "metrics.parquet", metric="full_ndcg")
    without_poster = _means(experiment / "slices.parquet", metric="ndcg", slice_by="item_frames", low=0)
    for model, value in without_poster.items():
        print(f"  films without a poster, NDCG@15 (paper's protocol): {model} {value:.4f}")
    popular = means.get("popular", ELSEWHERE["popular"])
    with_pictures = [
        Result(f"{model} beside {base}, NDCG@15; limit 0.99", 100 * means[model], base, 100 * means[base], "%")
        for base, models_with in HABIT.items()
        for model in models_with
        if model in means and base in means
    ]
    return with_pictures + [
        Result(
            f"posters' people, NDCG@15, {model}",
            100 * value,
            "independent code" if model in ELSEWHERE else "most popular",
            100 * ELSEWHERE.get(model, popular),
            "%",
        )
        for model, value in sorted(means.items(), key=lambda pair: -pair[1])
    ]


def _snapshot(folder: Path) -> Path:
    """Return the folder of the published snapshot, made from the files at the first call."""
    published = HOME / "snapshots" / "posters" / "v0001"
    if published.is_dir():
        return published
    raw, dataset = HOME / "raw", HOME / "dataset"
    columns = ["--user-column", "user_id", "--item-column", "movie_id", "--rating-column", "stars"]
    columns += ["--time-column", "rated_on", "--split-column", "split"]
    run_command("dataset", "import", folder / "interactions.parquet", *columns, "--to", raw, "--replace")
    run_command("dataset", "build", "--raw", raw, "--to", dataset, "--split", "given", "--k-user", 0, "--k-item", 0)
    counts = pl.read_parquet(dataset / "interactions.parquet")["split"].cast(pl.String).value_counts()
    if dict(counts.iter_rows()) != {"train": N_TRAIN, "validation": N_VALIDATION, "test": N_TEST}:
        raise SystemExit(f"posters: the dataset has {dict(counts.iter_rows())}, not the fixed split")
    of_posters = ["--extractor", "efficientnet-lite0", "--ids-are", "items", "--dataset", dataset]
    run_command("features", "import", folder / "poster_features.parquet", *of_posters)
    run_command("dataset", "publish", "--dataset", dataset, "--name", "posters", "--root", HOME / "snapshots")
    return published


def _means(path: Path, **where: object) -> dict[str, float]:
    """Return the mean over seeds of each model's item metric at 15."""
    rows = pl.read_parquet(path).with_columns(pl.col(pl.Enum, pl.Categorical).cast(pl.String))
    chosen = rows.filter(task="item", k=15, **where)
    return dict(chosen.group_by("model").agg(pl.col("value").mean()).sort("model").iter_rows())
