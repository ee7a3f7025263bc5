"""Whether a study tunes its models fairly: equal budgets, ranges that hold the optimum, and what each search did.

A model's budget is the number of trials of its search; a model with the settings of its author or of its user has none.
If one model is tuned, a model that is tuned less looks worse than it is (Ferrari Dacrema et al. 2021), so a study with
unequal budgets is refused unless it says that they are. Models without anything to tune do not count.

An optimum lies at the edge if it is the lowest or the highest of the values that were tried, or in the outer
twentieth of a range (on the scale on which it was searched). A better one may then lie beyond. The lower end 0 is
no edge.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from dataset.errors import UsageError
from dataset.tables import validate
from model.experiments.studies.study import StudyModel
from model.models.recommender import FittedRecommender, TrainableRecommender
from model.models.registry import MODELS
from model.schema import BestSoFar, SearchedSetting

_OUTER = 0.05


def require_equal_budgets(models: Sequence[StudyModel], is_unequal: bool) -> None:
    """Check that all models of a study are tuned with as many trials, if one is.

    Raises:
        UsageError: they are not, and the study does not say so.
    """
    budgets = {model.label: budget_of(model) for model in models if _can_be_tuned(model)}
    if is_unequal or not any(budgets.values()) or len(set(budgets.values())) == 1:
        return
    listed = ", ".join(f"{label} {n}" for label, n in budgets.items())
    raise UsageError(
        f"the budgets are unequal (trials: {listed}), and a model that is tuned less looks worse than it is; give all "
        "of them a try and the same number of trials, or write unequal = true on the first level"
    )


def budget_of(model: StudyModel) -> int:
    """Return the number of trials of a model's search; 0 without a search."""
    if not model.space:
        return 0
    choices = [len(kind.choices) for kind in model.space.values() if isinstance(kind, CategoricalDistribution)]
    return model.n_trials or math.prod(choices)


def _can_be_tuned(model: StudyModel) -> bool:
    kind = MODELS[model.model_name].model_class
    return kind.ranks_items and issubclass(kind, TrainableRecommender | FittedRecommender)


def searched_settings(
    label: str, space: Mapping[str, BaseDistribution], settings: Mapping[str, Any], trials: pl.DataFrame
) -> pl.DataFrame:
    """Return the `SearchedSetting` rows of a search: one per setting that was searched.

    Args:
        label: the model's label.
        space: what was tried.
        settings: the chosen settings.
        trials: the `tuning` table of the search.
    """
    of_search = {
        "n_trials": trials.height,
        "n_pruned": int(trials["pruned"].sum()),
        "n_failed": trials["error"].len() - trials["error"].null_count(),
        "seconds": float(trials["seconds"].sum()),
        "validation_ndcg": trials.filter(~pl.col("pruned"))["validation_ndcg"].max(),
    }
    rows = [
        {
            "model": label,
            "setting": keys,
            "tried": words_of(kind),
            "low": ends[0] if (ends := _ends(kind)) else None,
            "high": ends[1] if ends else None,
            "best": json.dumps(settings[keys.partition(",")[0]]),
            "best_value": float(settings[keys.partition(",")[0]]) if ends else None,
            "edge": edge_of(kind, settings[keys.partition(",")[0]]),
            **of_search,
        }
        for keys, kind in space.items()
    ]
    columns = {name: column.dtype for name, column in SearchedSetting.columns().items()}
    return validate(pl.DataFrame(rows, schema=columns), SearchedSetting, "searches")


def best_so_far(trials: pl.DataFrame) -> pl.DataFrame:
    """Return the `BestSoFar` rows of a search: the best validation NDCG after each of its trials that has one."""
    counts = ~pl.col("pruned") & pl.col("error").is_null()
    rows = trials.sort("trial").select(
        "model",
        number=pl.int_range(1, pl.len() + 1, dtype=pl.UInt32),
        best=pl.when(counts).then("validation_ndcg").cum_max().forward_fill(),
        seconds=pl.col("seconds").cum_sum(),
    )
    return validate(rows.drop_nulls("best"), BestSoFar, "search_curves")


def words_of(kind: BaseDistribution) -> str:
    """Return what is tried for a setting: `0.0001 to 0.1 (log)`, or `16, 32`."""
    if isinstance(kind, FloatDistribution | IntDistribution):
        return f"{kind.low:g} to {kind.high:g}{' (log)' if kind.log else ''}"
    return ", ".join(map(str, kind.choices)) if isinstance(kind, CategoricalDistribution) else str(kind)


def edge_of(kind: BaseDistribution, value: Any) -> str | None:
    """Return "low" or "high" if a chosen value lies at that edge of what was tried; None if it lies at none."""
    ends = _ends(kind)
    if ends is None or ends[0] == ends[1]:
        return None
    low, high = ends
    margin = 0.0
    if isinstance(kind, FloatDistribution | IntDistribution):
        low, high, at = (math.log(one) if kind.log else one for one in (low, high, value))
        margin = _OUTER * (high - low)
    else:
        at = value
    if at <= low + margin:
        return "low" if ends[0] != 0 else None
    return "high" if at >= high - margin else None


def edge_warnings(searched: pl.DataFrame) -> list[str]:
    """Return a line for each chosen setting that lies at an edge of what was tried, from `SearchedSetting` rows."""
    return [
        f"{row['model']}: the best {row['setting']} is {row['best_value']:.4g}, at the {row['edge']} edge of what was "
        f"tried ({row['tried']}); a better one may lie beyond: try {'lower' if row['edge'] == 'low' else 'higher'} ones"
        for row in searched.filter(pl.col("edge").is_not_null()).iter_rows(named=True)
    ]


def _ends(kind: BaseDistribution) -> tuple[float, float] | None:
    """Return the lowest and the highest value that was tried; None if the values are not all numbers."""
    if isinstance(kind, FloatDistribution | IntDistribution):
        return float(kind.low), float(kind.high)
    choices = kind.choices if isinstance(kind, CategoricalDistribution) else ()
    numbers = [float(one) for one in choices if isinstance(one, int | float) and not isinstance(one, bool)]
    return (min(numbers), max(numbers)) if numbers and len(numbers) == len(choices) else None
