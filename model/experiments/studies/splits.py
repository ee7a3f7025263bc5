"""Whether the models' order depends on the split: the reports of a study on several snapshots, compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from dataset.snapshots.snapshot import Snapshot
from dataset.tables import read_table, validate, write_table
from model.evaluation.agreement import order_agreement
from model.evaluation.config import EvaluationConfig
from model.report.headlines import TASKS
from model.report.model_styles import is_contender
from model.report.splits import SPLITS_FILE, strategy_of
from model.schema import SplitAgreement, UserMetric


@dataclass(frozen=True)
class Reported:
    """A snapshot of a study, and the folder of its report."""

    snapshot: Snapshot
    folder: Path


def write_agreements(reported: Sequence[Reported], evaluation: EvaluationConfig) -> list[Reported]:
    """Write into each folder how alike the other splits order the models; return those that now have such a table.

    Two snapshots are compared if their splits were made in different ways and some of their users are the same.
    """
    users = [read_table(one.folder / "user_metrics.parquet", UserMetric) for one in reported]
    changed = []
    for mine, table in zip(reported, users, strict=True):
        rows = [
            row
            for other, others in zip(reported, users, strict=True)
            if strategy_of(other.snapshot.manifest) != strategy_of(mine.snapshot.manifest)
            for row in _rows(other.snapshot, table, others, evaluation)
        ]
        (mine.folder / SPLITS_FILE).unlink(missing_ok=True)
        if rows:
            columns = {name: column.dtype for name, column in SplitAgreement.columns().items()}
            found = validate(pl.DataFrame(rows, schema=columns), SplitAgreement, SPLITS_FILE)
            write_table(found, SplitAgreement, mine.folder / SPLITS_FILE)
            changed.append(mine)
    return changed


def _rows(
    other: Snapshot, mine: pl.DataFrame, others: pl.DataFrame, evaluation: EvaluationConfig
) -> list[dict[str, object]]:
    if mine.join(others, on="user_id", how="semi").is_empty():
        return []
    rows = []
    for task, (_, usual) in TASKS.items():
        ks = evaluation.item_ks if task == "item" else evaluation.frame_ks
        k = usual if usual in ks else max((one for one in ks if one < usual), default=min(ks))
        one, two = (_asked(table, task, k) for table in (mine, others))
        models = sorted({*one["model"]} & {*two["model"]})
        found = order_agreement(one, two, models, evaluation.n_bootstrap, evaluation.seed) if models else None
        if found is not None:
            rows.append(
                {
                    "task": task,
                    "metric": "ndcg",
                    "k": k,
                    "other": other.label,
                    "other_split": strategy_of(other.manifest),
                    "n_models": len(models),
                    "n_users": found.n_users,
                    "tau": found.tau,
                    "ci_low": found.low,
                    "ci_high": found.high,
                }
            )
    return rows


def _asked(table: pl.DataFrame, task: str, k: int) -> pl.DataFrame:
    rows = table.filter(pl.col("task").cast(pl.String) == task, pl.col("metric") == "ndcg", pl.col("k") == k)
    return rows.filter([is_contender(model) for model in rows["model"]]) if rows.height else rows
