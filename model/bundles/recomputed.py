"""Computes metrics from the ranks of held-out positives alone: per user, their means, and the tests between models.

Which metric follows from which ranks:

- `hr`, `ndcg` of items (protocols `exact` and `sampled`): the exact expectation over samples of `n_negatives`;
- `full_hr`, `full_ndcg`, `full_recall`, `full_precision`, `full_mrr`, `full_map`: all candidates;
- `hr`, `ndcg` of frames: all frames of the movie;
- `mean_rank`: the mean rank of the user's positives (of the pair's liked frames) among all candidates, ties in
  expectation. It has no K (k is 1), and every rank changes it, however far down. Of recommendations that end, an item
  that is not listed counts as last. The same per item and per frame are the `candidate_ranks`: two ranks of one person
  that were exchanged change them.
"""

from collections.abc import Mapping

import polars as pl
import torch
from torch import Tensor

from dataset.tables import canonical, empty, validate
from model.evaluation.config import EvaluationConfig
from model.evaluation.evaluate import PAPER_METRICS
from model.evaluation.expectation import expected_ranking
from model.evaluation.metrics import METRICS
from model.evaluation.rank_counts import RankCounts
from model.evaluation.uncertainty import Bootstrap, average_metrics, compare
from model.report.model_styles import arm_of
from model.schema import TASKS, CandidateRank, Comparison, Metric, UserMetric

MEAN_RANK = "mean_rank"
_FULL = {f"full_{name}": name for name in METRICS}
FOLLOWING = (*PAPER_METRICS, *_FULL)
"""The metrics of an evaluation that follow from ranks."""

_LARGEST_SUM = 1 << 22  # users times K that are computed at once
_COUNTS = ("positives_before", "negatives_above", "negatives_tied", "place", "group_size")
_RANK = (
    1
    + pl.col("positives_before")
    + pl.col("negatives_above")
    + pl.col("negatives_tied") * (pl.col("place") + 1) / (pl.col("group_size") + 1)
)
"""The expected rank: J of the module `expectation` has mean e (j + 1) / (p + 1)."""


def user_metrics_of(ranks: pl.DataFrame, config: EvaluationConfig) -> pl.DataFrame:
    """Return the `user_metrics` of one run that follow from its ranks.

    Args:
        ranks: the run's `HeldOutRank` rows. They must be possible (`model.bundles.possible_ranks`).
        config: how the run was evaluated.
    """
    model, seed = ranks.select("model", "seed").row(0)
    parts = [
        part
        for task in TASKS
        if (rows := ranks.filter(pl.col("task").cast(pl.String) == task)).height
        for part in _of_task(rows, task, config)
    ]
    table = pl.concat(parts).select(pl.lit(model).alias("model"), pl.lit(seed, pl.Int64).alias("seed"), pl.all())
    typed = table.cast({"task": UserMetric.columns()["task"].dtype})
    return canonical(validate(typed, UserMetric, "user_metrics"), UserMetric)


def candidate_ranks_of(ranks: pl.DataFrame) -> pl.DataFrame:
    """Return the `candidate_ranks` of one run or of several."""
    keys = CandidateRank.primary_key()
    means = ranks.group_by(keys).agg(_RANK.mean().alias("mean_rank"), pl.len().cast(pl.UInt32).alias("n_positives"))
    return canonical(validate(means, CandidateRank, "candidate_ranks"), CandidateRank)


def metrics_of(user_metrics: pl.DataFrame, n_left_out: Mapping[str, int], config: EvaluationConfig) -> pl.DataFrame:
    """Return the `metrics` of one run.

    Args:
        user_metrics: of the run.
        n_left_out: for each task, the users or pairs that could not be evaluated.
        config: how the run was evaluated.
    """
    facts = user_metrics.select(pl.col("task").cast(pl.String), "metric", "k").unique(maintain_order=True)
    left_out = facts["task"].replace_strict(dict(n_left_out), return_dtype=pl.UInt32)
    bootstrap = Bootstrap(config.n_bootstrap, config.seed)
    return canonical(average_metrics(user_metrics, facts.with_columns(n_left_out=left_out), bootstrap), Metric)


def comparisons_of(user_metrics: pl.DataFrame, baselines: tuple[str, ...]) -> pl.DataFrame:
    """Return the `comparisons` of all models, without those that have something in place of their pictures.

    It has no rows if there are fewer than two.
    """
    contenders = [label for label in user_metrics["model"].unique() if arm_of(label) is None]
    if len(contenders) < 2:
        return empty(Comparison)
    judged = user_metrics.filter(pl.col("model").is_in(contenders))
    return canonical(compare(judged, [label for label in baselines if label in contenders]), Comparison)


def _of_task(rows: pl.DataFrame, task: str, config: EvaluationConfig) -> list[pl.DataFrame]:
    """Return all metrics of a task, one table per metric, K and group of owners."""
    keys = ["user_id", "movie_id"] if task == "frame" else ["user_id"]
    ordered = rows.sort(*keys, "positives_before")
    owners = ordered.group_by(keys, maintain_order=True).agg(
        pl.len().alias("n_positives"), pl.col("n_negatives").first()
    )
    ks = config.frame_ks if task == "frame" else config.item_ks
    wanted: list[tuple[int | None, dict[str, str]]] = [(None, {name: name for name in PAPER_METRICS})]
    if task == "item":
        wanted = [(None, _FULL)]
        if config.protocol != "full":
            wanted.append((config.n_negatives, {name: name for name in PAPER_METRICS}))
    parts = []
    n_at_once = max(1, _LARGEST_SUM // max(ks))
    first = 0
    for group in owners.iter_slices(n_at_once):
        n_rows = int(group["n_positives"].sum())
        of_group = ordered.slice(first, n_rows)
        first += n_rows
        counts = _counts(of_group, group)
        named = group.select("user_id", "movie_id" if task == "frame" else pl.lit("").alias("movie_id"))
        mean_ranks = of_group.group_by(keys, maintain_order=True).agg(_RANK.mean().alias("rank"))["rank"]
        parts.append(_labelled(named, task, MEAN_RANK, 1, torch.from_numpy(mean_ranks.to_numpy().copy())))
        for n_sampled, names in wanted:
            ranking = expected_ranking(counts, max(ks), n_sampled)
            parts += [
                _labelled(named, task, name, k, METRICS[metric](ranking, k))
                for k in ks
                for name, metric in names.items()
            ]
    return parts


def _counts(rows: pl.DataFrame, owners: pl.DataFrame) -> RankCounts:
    """Return the positions of positives that are ordered by owner, of (n,) owners."""
    n_positives, n_negatives = (_tensor(owners[name]) for name in ("n_positives", "n_negatives"))
    owner = torch.repeat_interleave(torch.arange(len(n_positives)), n_positives)
    return RankCounts(
        owners=owner,
        n_positives=n_positives,
        n_negatives=n_negatives,
        **{name: _tensor(rows[name]) for name in _COUNTS},
    )


def _labelled(owners: pl.DataFrame, task: str, metric: str, k: int, values: Tensor) -> pl.DataFrame:
    labels = [pl.lit(task).alias("task"), pl.lit(metric).alias("metric"), pl.lit(k, pl.UInt32).alias("k")]
    return owners.select(*labels, "user_id", "movie_id", pl.Series("value", values.numpy()))


def _tensor(column: pl.Series) -> Tensor:
    return torch.from_numpy(column.cast(pl.Int64).to_numpy().copy())
