"""The report's appendix on tuning: what each search tried, chose and cost, and its best result so far."""

from dataclasses import dataclass

import altair as alt
import polars as pl

from dataset.report.numbers import Number, NumberSource, NumberTable, Row
from dataset.report.theme import Chart, render_svg, y_title
from model.report.model_styles import in_order, style_of

SEARCHES, CURVES = "searches.parquet", "search_curves.parquet"
_WIDTH, _HEIGHT = 460, 200
_EDGES = {"low": "lower", "high": "upper"}


@dataclass(frozen=True)
class TunedSetting:
    """A setting that was searched, in words, and at which end of what was tried the best value lies, if at one."""

    title: str
    setting: str
    tried: str
    best: str
    edge: str | None


def tuned_settings(numbers: NumberSource) -> list[TunedSetting]:
    """Return every setting that was searched, models in the report's order; none without a search."""
    rows = numbers.rows(SEARCHES)
    found = []
    for model in in_order(set(rows["model"])) if rows.height else []:
        for row in rows.filter(model=model).iter_rows(named=True):
            best = row["best"] if row["best_value"] is None else f"{row['best_value']:.4g}"
            words = (row["setting"], row["tried"], best)
            found.append(TunedSetting(style_of(model).title, *words, _EDGES.get(row["edge"] or "")))
    return found


def search_costs(numbers: NumberSource) -> NumberTable | None:
    """Return the trials, time and result of each search; None without a search."""
    rows = numbers.rows(SEARCHES)
    if rows.is_empty():
        return None
    asked = (
        ("max(n_trials)", ",d"),
        ("max(n_pruned)", ",d"),
        ("max(n_failed)", ",d"),
        ("max(seconds)", ",.1f"),
        ("max(validation_ndcg)", ".4f"),
    )
    return NumberTable(
        "What each search cost, and the validation NDCG of its best trial",
        "model",
        ["trials", "ended early", "failed", "seconds", "best NDCG"],
        [
            Row(style_of(model).title, [(numbers.of(SEARCHES, what, model=model), form) for what, form in asked])
            for model in in_order(set(rows["model"]))
        ],
    )


def search_curves(numbers: NumberSource) -> Chart | None:
    """Return the best validation NDCG after each trial, one line per model; None without a search."""
    rows = numbers.rows(CURVES)
    if rows.is_empty():
        return None
    models = in_order(set(rows["model"]))
    titles = [style_of(model).title for model in models]
    rows = rows.with_columns(
        title=pl.col("model").replace_strict(dict(zip(models, titles, strict=True)), return_dtype=pl.String),
        number=pl.col("number").cast(pl.Int64),
    )
    styles = [style_of(model) for model in models]
    chart = (
        alt.Chart(rows)
        .mark_line(interpolate="step-after", strokeWidth=2, point=alt.OverlayMarkDef(size=30))
        .encode(
            alt.X("number:Q", title="trials", axis=alt.Axis(tickMinStep=1, format="d"), scale=alt.Scale(zero=False)),
            alt.Y("best:Q", scale=alt.Scale(zero=False), **y_title("best NDCG")),
            alt.Color(
                "title:N",
                scale=alt.Scale(domain=titles, range=[style.colour for style in styles]),
                legend=alt.Legend(columns=3, symbolStrokeWidth=3, symbolType="stroke"),
            ),
            alt.StrokeDash(
                "title:N",
                scale=alt.Scale(domain=titles, range=[list(style.dash) for style in styles]),
                legend=None,
            ),
        )
    )
    ends = [(model, rows.filter(model=model)["number"].max()) for model in models]
    table = NumberTable(
        "Best validation NDCG after the first trial that counts, and after the last",
        "model",
        ["first", "last", "trials"],
        [
            Row(
                style_of(model).title,
                [
                    (numbers.of(CURVES, "min(best)", model=model), ".4f"),
                    (_at(numbers, model, int(str(end))), ".4f"),
                    (numbers.of(CURVES, "max(number)", model=model), ",d"),
                ],
            )
            for model, end in ends
        ],
    )
    return Chart(
        "search_curves",
        "Best validation NDCG so far, by trials",
        "One line per search. A line that still rises at its end says that more trials might find better settings.",
        f"Lines of the best validation NDCG so far, for {', '.join(titles)}.",
        render_svg(chart, _WIDTH, _HEIGHT),
        table,
    )


def _at(numbers: NumberSource, model: str, number: int) -> Number | None:
    return numbers.of(CURVES, "best", model=model, number=number)
