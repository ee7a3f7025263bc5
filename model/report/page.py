"""The report as one HTML file: headline, results, gallery, and where every number comes from."""

from dataclasses import dataclass
from typing import Any

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from dataset.card import extractor_in_words
from dataset.manifest import Manifest
from dataset.statistics import PAPER
from model.report.charts import metric_curves, title_of, training_curves
from model.report.gallery import Case

_TASKS = (("item", "movies", 15), ("frame", "key frames", 3))
_STATISTICS = (
    ("n_users", "users"),
    ("n_movies", "movies"),
    ("n_train_interactions", "training interactions"),
    ("n_validation_interactions", "validation interactions"),
    ("n_test_interactions", "test interactions"),
    ("n_frames", "frames"),
    ("n_test_frame_likes", "test frame likes"),
)


@dataclass(frozen=True)
class ReportData:
    """What a report shows.

    Attributes:
        manifest: of the snapshot.
        metrics: `Metric` rows of the test split.
        training: `Training` rows.
        runs: the description of each run (`model.runs.describe_run`).
        cases: the gallery; empty where there are no likes or no pictures.
    """

    manifest: Manifest
    metrics: pl.DataFrame
    training: pl.DataFrame
    runs: list[dict[str, Any]]
    cases: list[Case]


def render_report(data: ReportData) -> str:
    """Return the page."""
    environment = Environment(
        loader=PackageLoader("model", "report/templates"),
        undefined=StrictUndefined,
        autoescape=select_autoescape(["j2", "html"], default=True),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    tasks = [_task(data.metrics, task, what, k) for task, what, k in _TASKS]
    has_validation = data.training["validation_ndcg"].null_count() < data.training.height
    return environment.get_template("report.html.j2").render(
        m=data.manifest,
        statistics=[(words, data.manifest.statistics[key], PAPER.get(key)) for key, words in _STATISTICS],
        features=extractor_in_words(data.manifest.extractor),
        is_random=bool(data.manifest.extractor and data.manifest.extractor["is_random"]),
        is_invented=bool(data.manifest.provenance.get("is_invented")),
        tasks=tasks,
        training_svg=Markup(training_curves(data.training)) if has_validation else None,
        cases=data.cases,
        runs=data.runs,
        title_of=title_of,
    )


def _task(metrics: pl.DataFrame, task: str, what: str, k: int) -> dict[str, Any] | None:
    """Return the headline, the table and the charts of a task, None where nothing was judged."""
    of_task = metrics.filter(pl.col("task").cast(pl.String) == task, pl.col("metric").is_in(["hr", "ndcg"]))
    if of_task.is_empty():
        return None
    at_k = of_task.filter(pl.col("k") == k)
    rows = (
        at_k.group_by("model", "metric")
        .agg(pl.col("value", "ci_low", "ci_high").mean(), pl.col("n_users").first(), pl.len().alias("n_seeds"))
        .pivot("metric", index=["model", "n_users", "n_seeds"], values=["value", "ci_low", "ci_high"])
        .sort("value_ndcg", descending=True)
    )
    return {
        "task": task,
        "what": what,
        "k": k,
        "rows": rows.to_dicts(),
        "headline": _headline(rows.to_dicts(), what, k),
        "charts": [
            (metric, Markup(metric_curves(of_task, task, metric)), f"{name} of {what} over K, a line a model")
            for metric, name in (("hr", "Hit ratio"), ("ndcg", "NDCG"))
        ],
    }


def _headline(rows: list[dict[str, Any]], what: str, k: int) -> str:
    """Say which model is best, by how much, and whether that is more than chance."""
    best = rows[0]
    words = f"{title_of(best['model'])} ranks {what} best, with an NDCG@{k} of {best['value_ndcg']:.3f}"
    if len(rows) > 1:
        second = rows[1]
        gain = best["value_ndcg"] / second["value_ndcg"] - 1 if second["value_ndcg"] else 0.0
        apart = best["ci_low_ndcg"] > second["ci_high_ndcg"]
        words += f", {gain:.1%} above {title_of(second['model'])}"
        words += " (their 95 % intervals do not overlap)" if apart else " (their 95 % intervals overlap: maybe chance)"
    random = next((row for row in rows if row["model"] == "random"), None)
    if random and best is not random and random["value_ndcg"]:
        words += f"; that is {best['value_ndcg'] / random['value_ndcg']:.2f} times random"
    return words + "."
