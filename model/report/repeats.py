"""How often an experiment has measured each model: with several seeds, and on several folds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dataset.report.numbers import NumberSource, NumberTable, Row
from model.report.headlines import FOLDS_FILE, ranked, where_of
from model.report.model_styles import style_of


@dataclass(frozen=True)
class Repeats:
    """The numbers of seeds and of folds; no folds if the models are judged on the test split."""

    n_seeds: int
    n_folds: int

    @classmethod
    def of(cls, experiment: Mapping[str, Any]) -> "Repeats":
        """Return those of the content of an `experiment.json`."""
        n_folds = (experiment.get("folds") or {}).get("k", 0)
        return cls(len({run["seed"] for run in experiment["runs"]}), n_folds)

    @property
    def are_several(self) -> bool:
        """Whether a model has more than one value of a metric, so that they have a standard deviation."""
        return self.n_seeds > 1 or self.n_folds > 1

    @property
    def words(self) -> str:
        """What means are over: `5 folds and 3 seeds`."""
        parts = [f"{self.n_folds} folds"] * bool(self.n_folds) + [f"{self.n_seeds} seeds"] * (self.n_seeds > 1)
        return " and ".join(parts) or "one seed"

    @property
    def kinds(self) -> str:
        """The same without numbers: `folds and seeds`."""
        return " and ".join(["folds"] * bool(self.n_folds) + ["seeds"] * (self.n_seeds > 1)) or "seeds"

    @property
    def judged_on(self) -> str:
        """What the models are judged on."""
        return f"{self.n_folds} folds of train and validation" if self.n_folds else "the test split"


def fold_table(numbers: NumberSource, task: str, k: int, what: str) -> NumberTable | None:
    """Return NDCG on each fold, mean over seeds, and its standard deviation over all; None without folds.

    Args:
        numbers: a source that may have `folds.parquet`.
        task: "item" or "frame".
        k: the K of NDCG@K.
        what: what is ranked, in words.
    """
    if not numbers.has(FOLDS_FILE):
        return None
    where = where_of(numbers, task, "ndcg", k)
    folds = sorted(set(numbers.rows(FOLDS_FILE)["fold"]))
    return NumberTable(
        f"NDCG@{k} of {what} on each fold, and its standard deviation",
        "model",
        [*(f"fold {fold}" for fold in folds), "±"],
        [
            Row(
                style_of(model).title,
                [
                    *((numbers.of(FOLDS_FILE, "mean(value)", model=model, fold=one, **where), ".4f") for one in folds),
                    (numbers.of(FOLDS_FILE, "std(value)", model=model, **where), ".4f"),
                ],
            )
            for model in ranked(numbers, task)
        ],
    )
