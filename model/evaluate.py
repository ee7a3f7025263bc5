"""Evaluation of a trained run on held-out data: `python -m model.evaluate --run <folder>`.

Metrics are computed per user (task `item`) or per user-movie pair (task `frame`), kept as the
`user_metrics` table, and averaged here and nowhere else. Their names:

- `hr`, `ndcg`: the paper's protocol, 1,000 sampled unrated items, mean of 10 repeats; for
  frames, all frames of the movie;
- `full_hr`, `full_ndcg`, `full_recall`: all items but the known ones (`HeldOutItems.known`).

Users without a held-out interaction are left out.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor

from dataset.cli import ArgumentParser, run
from dataset.errors import TooLittleDataError
from dataset.schema import HELD_OUT_SPLITS, Metric, UserMetric
from dataset.tables import validate
from model.interactions import Ids, Tables, held_out_items, held_out_likes, index_ids
from model.metrics import METRICS
from model.protocol import rank_among_all, rank_among_sampled, rank_frames, users_with_positives
from model.recommender import FrameScorer, Scorer
from model.runs import open_run, write_metrics


@dataclass(frozen=True)
class EvaluationConfig:
    """How models are judged.

    Attributes:
        item_ks: the K of item metrics.
        frame_ks: the K of frame metrics.
        n_negatives: sampled items a user; the paper's 1,000.
        n_repeats: how often they are sampled; the paper's 10. With 0, only all items are ranked.
        n_bootstrap: resamples of the users for the intervals.
        seed: of the negatives and the resamples; the same for all models that are compared.
    """

    item_ks: tuple[int, ...] = (5, 10, 15, 20, 30, 50)
    frame_ks: tuple[int, ...] = (1, 2, 3, 4, 5)
    n_negatives: int = 1000
    n_repeats: int = 10
    n_bootstrap: int = 1000
    seed: int = 0


def evaluate(
    scorer: Scorer,
    tables: Tables,
    split: str,
    model_name: str,
    seed: int,
    config: EvaluationConfig | None = None,
    device: str = "cpu",
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Judge a scorer on `split`, "validation" or "test".

    Returns:
        The `metrics` and the `user_metrics` table. Frame metrics are there if the model ranks
        frames and the split has likes.

    Raises:
        TooLittleDataError: the split has no interaction.
    """
    config = config or EvaluationConfig()
    ids = index_ids(tables)
    parts = _item_metrics(scorer, tables, ids, split, config, device)
    if isinstance(scorer, FrameScorer):
        parts += _frame_metrics(scorer, tables, ids, split, config, device)
    per_user = pl.concat(parts).select(
        pl.lit(model_name).alias("model"), pl.lit(seed, pl.Int64).alias("seed"), pl.all()
    )
    user_metrics = validate(per_user.cast({"task": UserMetric.columns()["task"].dtype}), UserMetric, "user_metrics")
    return average(user_metrics, config), user_metrics


def average(user_metrics: pl.DataFrame, config: EvaluationConfig) -> pl.DataFrame:
    """Return the `metrics` table: means with 95 % bootstrap intervals.

    Users are resampled, not user-movie pairs: a user's pairs go together.
    """
    rows = []
    generator = np.random.default_rng(config.seed)
    weights: dict[int, np.ndarray] = {}  # the same resamples for all metrics over as many users
    keys = ["model", "seed", "task", "metric", "k"]
    for key, group in user_metrics.group_by(keys, maintain_order=True):
        users = group.group_by("user_id").agg(pl.col("value").sum(), pl.len().alias("n")).sort("user_id")
        n = users.height
        if n not in weights:
            weights[n] = generator.multinomial(n, np.full(n, 1 / n), size=config.n_bootstrap)
        sums, counts = weights[n] @ users["value"].to_numpy(), weights[n] @ users["n"].to_numpy()
        low, high = np.quantile(sums / counts, [0.025, 0.975])
        mean = group["value"].mean()
        rows.append((*key, mean, low, high, group.height))
    columns = {name: column.dtype for name, column in Metric.columns().items()}
    return validate(pl.DataFrame(rows, schema=columns, orient="row"), Metric, "metrics")


def _item_metrics(
    scorer: Scorer, tables: Tables, ids: Ids, split: str, config: EvaluationConfig, device: str
) -> list[pl.DataFrame]:
    held_out = held_out_items(tables, ids, split)
    users = ids.users[users_with_positives(held_out).numpy()]
    if not len(users):
        raise TooLittleDataError(
            f"interactions: 0 rows in split '{split}', so there is nothing to evaluate on; "
            "build the dataset with a larger share for it (python -m dataset build --help)"
        )
    generator = torch.Generator().manual_seed(config.seed)
    k_max = max(config.item_ks)
    n_negatives, n_repeats = config.n_negatives, config.n_repeats
    repeats = (
        rank_among_sampled(scorer, held_out, k_max, generator, n_negatives, n_repeats, device) if n_repeats else []
    )
    full = rank_among_all(scorer, held_out, k_max, device)
    parts = []
    for k in config.item_ks:
        for name in ("hr", "ndcg") if repeats else ():
            values = torch.stack([METRICS[name](ranks, k) for ranks in repeats]).mean(0)
            parts.append(_rows("item", name, k, users, None, values))
        for name in ("hr", "ndcg", "recall"):
            parts.append(_rows("item", f"full_{name}", k, users, None, METRICS[name](full, k)))
    return parts


def _frame_metrics(
    scorer: FrameScorer, tables: Tables, ids: Ids, split: str, config: EvaluationConfig, device: str
) -> list[pl.DataFrame]:
    likes = held_out_likes(tables, ids, split)
    if not len(likes.users):
        return []
    ranks = rank_frames(scorer, likes, device)
    users, movies = ids.users[likes.users.numpy()], ids.movies[likes.items.numpy()]
    return [
        _rows("frame", name, k, users, movies, METRICS[name](ranks, k))
        for k in config.frame_ks
        for name in ("hr", "ndcg")
    ]


def _rows(task: str, metric: str, k: int, users: pl.Series, movies: pl.Series | None, values: Tensor) -> pl.DataFrame:
    return pl.DataFrame({"user_id": users, "value": values.numpy()}).select(
        pl.lit(task).alias("task"),
        pl.lit(metric).alias("metric"),
        pl.lit(k, pl.UInt32).alias("k"),
        "user_id",
        (pl.lit("") if movies is None else movies).alias("movie_id"),
        "value",
    )


def main(argv: Sequence[str]) -> None:
    """Evaluate a run and write `metrics.parquet` and `user_metrics.parquet` into its folder."""
    arguments = _parser().parse_args(argv)
    opened = open_run(arguments.run, arguments.snapshot, arguments.device)
    metrics, user_metrics = evaluate(
        opened.model.scorer(), opened.tables, arguments.split, opened.model_name, opened.seed, device=arguments.device
    )
    written = write_metrics(arguments.run, arguments.split, metrics, user_metrics)
    print(f"{opened.model_name} on {opened.snapshot_label}, {arguments.split} split:")
    for task, metric, k in (("item", "hr", 15), ("item", "ndcg", 15), ("frame", "hr", 3), ("frame", "ndcg", 3)):
        row = metrics.filter(pl.col("task").cast(pl.String) == task, pl.col("metric") == metric, pl.col("k") == k)
        for value, low, high, n in row.select("value", "ci_low", "ci_high", "n_users").iter_rows():
            unit = "users" if task == "item" else "user-movie pairs"
            print(f"  {task} {metric.upper()}@{k}  {value:.4f}  (95 % interval {low:.4f} to {high:.4f}; {n:,} {unit})")
    print(f"All metrics: {written}")


def _parser() -> argparse.ArgumentParser:
    parser = ArgumentParser(prog="python -m model.evaluate", description="Evaluate a trained run on held-out data.")
    parser.add_argument("--run", type=Path, required=True, help="the folder of a run (python -m model.train makes it)")
    parser.add_argument("--snapshot", type=Path, help="its snapshot, if it has been moved since")
    parser.add_argument("--split", choices=HELD_OUT_SPLITS[::-1], default="test", help="which interactions to rank")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    return parser


if __name__ == "__main__":
    run(main, "python -m model.evaluate")
