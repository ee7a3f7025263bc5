"""The paper's tables on invented worlds: five seeds of the preset `paper`, which no choice of anything saw.

    make bench ONLY=paper       # PAPER_SEEDS=2000,2001: some worlds only; PAPER_MODELS, PAPER_ARMS: some models only
                                # BENCH_JOBS=8: eight runs at once; BENCH_DEVICE=cuda: on a GPU

The worlds draw their frames from one bank of 4,032 painted pictures, whose features are made once: VGG-19 with random
weights (PAPER_NETWORK=vgg19=auto for trained ones, timm:<name>=auto, or drawn for invented features), projected on 128
principal components. Each model has its own defaults, but batches of 1,024 and a patience of 10 epochs, so that two
cores train them in three hours. Nothing is searched.

Printed: HR@15 and NDCG@15 of movies by the paper's protocol, HR@3 and NDCG@3 of key frames, tests over the people of
all worlds (Holm), the paper's Table 2, and what real pictures add to some models. They are printed as they come out.

All is kept in `data/bench/paper`; the same command continues. Several processes may measure worlds of their own.
"""

import os
import time
from collections.abc import Iterator
from typing import Any

from paper_table import COLUMNS, RANKERS, attention_table, main_table, pictures_table, pooled
from paper_worlds import HOME, NETWORK, PRESET, world_snapshot
from rows import keep_row, kept_row
from run import Result, jobs_and_devices, run_command

from crawler.worlds.presets import GENERATOR_VERSION, PRESETS
from crawler.worlds.tables import digest
from crawler.worlds.world import draw_world

SEEDS = [int(seed) for seed in os.environ.get("PAPER_SEEDS", "2000,2001,2002,2003,2004").split(",")]
OF_THE_PAPER = ("jifr", "jifr_visual", "jifr_rating", "jifr_na", "acf", "vpoi", "cdl", "bpr", "vbpr")
OTHERS = ("jifr_plus", "softmax_mf", "ease", *RANKERS, "popular")
MODELS = os.environ.get("PAPER_MODELS", ",".join((*OF_THE_PAPER, *OTHERS)))
ARMS = os.environ.get("PAPER_ARMS", "jifr,jifr_na,jifr_plus,vbpr")
TRAINING = {"epochs": int(os.environ.get("PAPER_EPOCHS", "300")), "patience": 10, "batch_size": 1024}


def measure() -> Iterator[Result]:
    asked = {seed: [PRESET, PRESETS[PRESET].version, seed, NETWORK, MODELS, ARMS, TRAINING] for seed in SEEDS}
    kept = [kept_row(HOME / "rows.jsonl", asked[seed]) or _measure(seed, asked[seed]) for seed in SEEDS]
    lines = [f"{PRESET}, version {PRESETS[PRESET].version}, generator {GENERATOR_VERSION}; features: {NETWORK}", ""]
    for seed, row in zip(SEEDS, kept, strict=True):
        told = f"{row['seconds']:.0f} s, {row['date']}, {row['machine']}"
        lines.append(f"- seed {seed}, digest {row['digest'][:12]}: {row['said']}; {told}")
    people = pooled({seed: HOME / f"experiment-{seed}" for seed in SEEDS})
    arms = pooled({seed: HOME / f"arms-{seed}" for seed in SEEDS})
    for part in (main_table(people), attention_table(people), pictures_table(arms)):
        lines += ["", *part] if part else []
    print("\n".join(lines), flush=True)
    (HOME / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    means = {
        name: dict(people.filter(task=task, metric=metric, k=k).group_by("model").agg(value="value").iter_rows())
        for name, (task, metric, k) in COLUMNS.items()
    }
    yield from _against_the_best("NDCG@15", {model: _mean(values) for model, values in means["NDCG@15"].items()})
    frames = {model: _mean(values) for model, values in means["frames NDCG@3"].items()}
    yield from _against_the_best("frames NDCG@3", frames)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _against_the_best(name: str, means: dict[str, float]) -> Iterator[Result]:
    """Yield JIFR against the best other model of the paper or ranker, and JIFR+ against the best of all others."""
    for model, rivals in (("jifr", (*OF_THE_PAPER[4:], *RANKERS)), ("jifr_plus", (*OF_THE_PAPER, *OTHERS))):
        others = [one for one in rivals if one != model and one in means]
        if model in means and others:
            best = max(others, key=means.__getitem__)
            yield Result(f"{model}, {name}", 100 * means[model], best, 100 * means[best], "%")


def _measure(seed: int, asked: list[object]) -> dict[str, Any]:
    """Train and evaluate all models in one world, and some of them with shuffled pictures; keep the row."""
    started = time.perf_counter()
    snapshot = world_snapshot(seed)
    options = ["--snapshot", snapshot, "--runs", HOME / "runs", "--seeds", seed]
    options += [*(f"--set={name}={value}" for name, value in TRAINING.items()), *jobs_and_devices()]
    run_command("model.experiment", "--models", MODELS, *options, "--to", HOME / f"experiment-{seed}")
    arms = ["--features", "main,shuffled", "--to", HOME / f"arms-{seed}"]
    run_command("model.experiment", "--models", ARMS, *options, *arms)
    drawn = draw_world(PRESETS[PRESET], seed)
    rows = pooled({seed: HOME / f"experiment-{seed}"})
    said = ", ".join(
        f"{rows.filter(task=task, metric='ndcg').select('user_id', 'movie_id').n_unique():,} {what}"
        for task, what in (("item", "people"), ("frame", "pairs with likes judged"))
    )
    found = {"digest": digest(drawn), "said": said, "seconds": time.perf_counter() - started}
    return keep_row(HOME / "rows.jsonl", asked, found)
