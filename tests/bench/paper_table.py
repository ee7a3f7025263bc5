"""The paper's tables over several worlds, from the tables of their experiments (`bench_paper`)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from model.evaluation.uncertainty import compare
from model.report.pictures import arm_pairs

COLUMNS = {"HR@15": ("item", "hr", 15), "NDCG@15": ("item", "ndcg", 15)}
COLUMNS |= {"frames HR@3": ("frame", "hr", 3), "frames NDCG@3": ("frame", "ndcg", 3)}
TABLE_2 = ("jifr_na", "jifr_visual", "jifr_rating", "jifr")
RANKERS = ("visrank", "mean_frame", "first_frame", "site_order", "most_liked", "random")


def pooled(experiments: Mapping[int, Path]) -> pl.DataFrame:
    """Return the `user_metrics` of all worlds as those of one: the people of each world are people of their own.

    Args:
        experiments: the folder of each world's experiment, by the world's seed.
    """
    wanted = pl.any_horizontal(
        (pl.col("task").cast(pl.String) == task) & (pl.col("metric") == metric) & (pl.col("k") == k)
        for task, metric, k in COLUMNS.values()
    )
    return pl.concat(
        pl.read_parquet(folder / "user_metrics.parquet")
        .filter(wanted)
        .with_columns(
            user_id=pl.format("{} {}", pl.lit(world), "user_id"), world=pl.lit(world), seed=pl.lit(0, pl.Int64)
        )
        for world, folder in experiments.items()
    )


def main_table(rows: pl.DataFrame, baseline: str = "jifr") -> list[str]:
    """Return all models as a Markdown table, best NDCG@15 first, with the tests of each against the baseline."""
    means = _means(rows)
    tests = _tests(compare(rows.drop("world"), {baseline}), baseline)
    ahead = _worlds_ahead(rows, baseline)
    heads = [head for name in COLUMNS for head in (name, "p; ahead")]
    lines = [
        f"p: each model against {baseline}, a paired t-test over the people of all worlds, corrected after Holm;",
        f"ahead: in how many worlds its mean is above that of {baseline}.", "",
        _line(["model", *heads]), _line(["---"] + ["--:"] * len(heads)),
    ]  # fmt: skip
    for model in sorted(means, key=lambda one: -means[one].get("NDCG@15", -1)):
        cells = []
        for name in COLUMNS:
            p = tests.get((model, name))
            cells.append(f"{means[model][name]:.4f}" if name in means[model] else "")
            cells.append("" if p is None else f"{_p(p)}; {ahead[model, name]}")
        lines.append(_line([model, *cells]))
    return lines


def attention_table(rows: pl.DataFrame) -> list[str]:
    """Return the paper's Table 2: what each attention adds to their averages, in percent, with p (Holm)."""
    some = rows.filter(pl.col("model").is_in(TABLE_2))
    means, names = _means(some), ("NDCG@15", "frames NDCG@3")
    if not {*TABLE_2} <= {*means}:
        return []
    tests = _tests(compare(some.drop("world"), {TABLE_2[0]}), TABLE_2[0])
    lines = ["Against the averages in place of both attentions:", "", _line(["model", *names]), "|---|--:|--:|"]
    for model in TABLE_2:
        cells = []
        for name in names:
            more = 100 * (means[model][name] / means[TABLE_2[0]][name] - 1) if name in means[model] else None
            p = tests.get((model, name))
            cells.append("" if more is None else "–" if p is None else f"{more:+.1f} % ({_p(p)})")
        lines.append(_line([model, *cells]))
    return lines


def pictures_table(rows: pl.DataFrame) -> list[str]:
    """Return what real pictures add to each model that also had shuffled ones, with intervals and p (Holm)."""
    pairs = arm_pairs({*rows["model"]})
    found = compare(rows.drop("world"), only=pairs)
    names = {key: name for name, key in COLUMNS.items()}
    lines = ["Real pictures minus shuffled ones, with a 95 % interval:", ""]
    lines += [_line(["model", *COLUMNS]), _line(["---"] + ["--:"] * len(COLUMNS))]
    for real, arm in pairs:
        cells = dict.fromkeys(COLUMNS, "")
        for test in found.filter(pl.col("model") == real, pl.col("other") == arm).iter_rows(named=True):
            interval = f"{test['difference']:+.4f} ({test['ci_low']:+.4f} to {test['ci_high']:+.4f})"
            cells[names[str(test["task"]), test["metric"], test["k"]]] = f"{interval}, {_p(test['p_holm'])}"
        lines.append(_line([real, *cells.values()]))
    return lines


def _means(rows: pl.DataFrame) -> dict[str, dict[str, float]]:
    """Return the mean of each model and column: over people, or over pairs of a person and a movie for frames."""
    names = {key: name for name, key in COLUMNS.items()}
    means: dict[str, dict[str, float]] = {}
    for (model, task, metric, k), part in rows.group_by("model", "task", "metric", "k"):
        means.setdefault(str(model), {})[names[str(task), str(metric), int(str(k))]] = float(part["value"].mean())  # type: ignore[arg-type]
    return means


def _tests(found: pl.DataFrame, baseline: str) -> dict[tuple[str, str], float]:
    names = {key: name for name, key in COLUMNS.items()}
    return {
        (one["other"] if one["model"] == baseline else one["model"], names[str(one["task"]), one["metric"], one["k"]]):
        one["p_holm"] for one in found.iter_rows(named=True)
    }  # fmt: skip


def _worlds_ahead(rows: pl.DataFrame, baseline: str) -> dict[tuple[str, str], str]:
    """Return for each model and column in how many worlds its mean is above the baseline's: `3 of 5`."""
    by_world = [_means(part) for _, part in rows.group_by("world")]
    models = {model for means in by_world for model in means}
    told = {}
    for model in models:
        for name in COLUMNS:
            pairs = [
                (means[model][name], means[baseline][name])
                for means in by_world
                if name in means.get(model, {}) and name in means.get(baseline, {})
            ]
            told[model, name] = f"{sum(one > other for one, other in pairs)} of {len(pairs)}"
    return told


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
