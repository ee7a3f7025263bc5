"""Writes the report of an experiment from the tables in its folder."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from dataset.description import flatten_settings
from dataset.feature_sets import MAIN, split_arm, table_of_set
from dataset.files import write_text
from dataset.progress import stage
from dataset.report.numbers import Number, NumberSource, NumberTable, Row, relative_gain
from dataset.report.page import interval, render
from dataset.report.theme import Chart
from dataset.report.thumbnails import Thumbnails
from dataset.snapshots.feature_words import describe_extractor
from dataset.snapshots.snapshot import Snapshot
from dataset.tables import read_parquet
from dataset.wording import Wording, is_of_the_papers_kind, wording_of
from model.models.names import is_own
from model.report.charts import interval_chart, slice_chart, training_curves
from model.report.cold import cold_movies
from model.report.curves import metric_curves
from model.report.gallery import gallery
from model.report.headlines import (
    TASKS,
    Difference,
    difference,
    headline,
    headline_k,
    ranked,
    spread_file,
    surprises,
    where_of,
)
from model.report.model_styles import GIVEN_LIKES, arm_of, base_of, class_of, in_order, style_of
from model.report.paper.write import write_paper
from model.report.pictures import picture_gains
from model.report.repeats import Repeats, fold_table
from model.report.splits import orders_on_other_splits, strategy_of, why_one_split
from model.report.tuning import SEARCHES, search_costs, search_curves, tuned_settings

TABLES = (
    "metrics", "folds", "slices", "comparisons", "arms", "searches", "search_curves", "splits", "training", "costs",
    "cases", "case_frames", "case_movies",
)  # fmt: skip
PAPER_GAINS = {
    "jifr_rating": {"item": {"hr": 0.0225, "ndcg": 0.0242}, "frame": {"hr": 0.0420, "ndcg": 0.0435}},
    "jifr_visual": {"item": {"hr": 0.0402, "ndcg": 0.0444}, "frame": {"hr": 0.0807, "ndcg": 0.0862}},
    "jifr": {"item": {"hr": 0.0549, "ndcg": 0.0594}, "frame": {"hr": 0.0970, "ndcg": 0.1053}},
}
"""Wu et al. 2019, Table 2: what attention adds to JIFR_NA, at K = 15 for items and 3 for frames."""

_FIGURES = {"item": "Fig.\u00a03", "frame": "Fig.\u00a04"}
_MOST_SLICED = 6
_MANIFEST = "manifest.json"
_STATISTICS = (
    ("n_users", "people"),
    ("n_movies", "{items}"),
    ("n_train_interactions", "training interactions"),
    ("n_test_interactions", "test interactions"),
    ("n_frames", "frames"),
    ("n_test_frame_likes", "test frame likes"),
)


@dataclass(frozen=True)
class AblationRow:
    """A row of the paper's Table 2: gains over JIFR_NA, here and in the paper, and whether the NDCG gains are real.

    Attributes:
        words: the attention that the model has.
        cells: (here, in the paper) of HR and NDCG of movies, then of key frames.
        differences: for each task, the model's NDCG minus JIFR_NA's.
    """

    words: str
    cells: list[tuple[Number | None, Number | None]]
    differences: dict[str, Difference | None]


@stage("Writing the report")
def write_report(folder: Path, snapshot: Snapshot, raw: Path | None) -> Path:
    """Write `report.html`, `charts/` and `tables/` into an experiment's folder from its tables; return the page's path.

    Args:
        folder: the experiment's folder.
        snapshot: the snapshot that it ran on.
        raw: the raw folder with pictures, which may be None or missing; the report then says so.
    """
    manifest = asdict(snapshot.manifest)
    experiment: dict[str, Any] = json.loads((folder / "experiment.json").read_text(encoding="utf-8"))
    runs: list[dict[str, Any]] = [run for run in experiment["runs"] if "recommendations" not in run]
    found = {name: folder / f"{name}.parquet" for name in TABLES}
    tables = {f"{name}.parquet": read_parquet(path) for name, path in found.items() if path.is_file()}
    movies = snapshot.read("movies")
    numbers = NumberSource(tables, {_MANIFEST: manifest, "paper.json": PAPER_GAINS})
    wording, is_of_the_kind = wording_of(manifest["provenance"]), is_of_the_papers_kind(manifest["provenance"])
    tasks = [_task(numbers, task, wording, is_of_the_kind) for task in TASKS]
    training = training_curves(numbers)
    models = in_order({run["label"] for run in experiment["runs"]})
    names = (split_arm(run.get("features") or MAIN)[0] for run in runs)
    sets = list(dict.fromkeys(None if name == MAIN else name for name in names))
    on = f" features={sets[0] or MAIN}" if len(sets) > 1 else ""
    written = write_paper(folder / "tables", snapshot.manifest, experiment, numbers, wording)
    searched, given = search_curves(numbers), _given(experiment["runs"])
    charts = [training, searched, *(chart for task in tasks if task for chart in [*task["charts"], *task["slices"]])]
    page = render(
        "model.report",
        "report.html.j2",
        m=snapshot.manifest,
        sets=[(one or MAIN, snapshot.manifest.extractors.get(one)) for one in sets],
        describe_extractor=describe_extractor,
        cover_the_same=_cover_the_same(snapshot, sets),
        w=wording,
        is_of_the_papers_kind=is_of_the_kind,
        contents=[
            (key, wording.fill(words).capitalize())
            for key, words in _CONTENTS
            if key != "tuning" or numbers.has(SEARCHES)
        ],
        statistics=[(wording.fill(words), numbers.at(_MANIFEST, "statistics", key)) for key, words in _STATISTICS],
        tasks=tasks,
        pictures=picture_gains(numbers, wording),
        surprises=surprises(numbers, wording, on),
        models=[_model_row(numbers, model, wording, model in given) for model in models],
        left_out=_left_out(experiment.get("left_out", {})),
        given_likes=_given_likes(models),
        seeds=sorted({run["seed"] for run in runs}),
        repeats=Repeats.of(experiment),
        given=given,
        cold=cold_movies(numbers, tasks[0]["headline"].k, tasks[0]["real"], wording.items) if tasks[0] else None,
        ablation=_ablation(numbers, on),
        training=training,
        splits=orders_on_other_splits(numbers, wording),
        why_one_split=why_one_split(snapshot.manifest, snapshot.read("interactions")),
        strategy=strategy_of(snapshot.manifest),
        tuned=tuned_settings(numbers),
        search_costs=search_costs(numbers),
        search_chart=searched,
        unequal=(experiment.get("study") or {}).get("unequal", False),
        costs=_costs(numbers, [model for model in models if model not in given]),
        cases=gallery(numbers, dict(movies.select("movie_id", "title").iter_rows()), Thumbnails(raw)),
        runs=runs,
        settings=_settings(runs),
        downloads=_downloads(written),
        all_charts=[chart for chart in charts if chart is not None],
        study=experiment.get("study"),
        chosen=experiment.get("chosen", []),
        style_of=style_of,
        interval=interval,
    )
    for chart in charts:
        if chart is not None:
            chart.write(folder / "charts")
    write_text(folder / "report.html", page)
    return folder / "report.html"


def _cover_the_same(snapshot: Snapshot, sets: Sequence[str | None]) -> bool:
    """Return whether feature sets have features of the same frames, so that they are judged on the same candidates."""
    tables = [table for table in map(table_of_set, sets) if snapshot.has(table)] if len(sets) > 1 else []
    frames = [
        pl.concat([read_parquet(path, ["frame_id"]) for path in snapshot.paths_of(table)])["frame_id"].sort()
        for table in tables
    ]
    return all(one.equals(frames[0]) for one in frames)


def _downloads(written: Sequence[Path]) -> dict[str, list[str]]:
    """Return the files by what they hold, each as a path from the page."""
    found: dict[str, list[str]] = {}
    for path in written:
        found.setdefault(path.stem.replace("_", " "), []).append(f"{path.parent.name}/{path.name}")
    return found


def _left_out(models: dict[str, str]) -> list[tuple[str, list[str]]]:
    """Return each thing that the snapshot lacks, with the titles of the models that could not run without it."""
    reasons = dict.fromkeys(models.values())
    return [(why, [style_of(name).title for name, reason in models.items() if reason == why]) for why in reasons]


def _settings(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the settings of all runs, those that differ only in their seed together."""
    found: dict[str, dict[str, Any]] = {}
    for run in runs:
        parts = {part: list(flatten_settings(run[part]).items()) for part in ("config", "training")}
        entry = {"title": style_of(run["label"]).title, **parts, "seeds": []}
        found.setdefault(json.dumps([run["label"], parts], default=str), entry)["seeds"].append(run["seed"])
    return list(found.values())


def _task(numbers: NumberSource, task: str, wording: Wording, is_of_the_kind: bool) -> dict[str, Any] | None:
    """Return what the page shows of a task, or None if nothing was evaluated."""
    top = headline(numbers, task, wording)
    if top is None:
        return None
    order = ranked(numbers, task)
    usual = ["jifr", "jifr_na", "bpr", "ease", "first_frame", "popular", "random"]
    real = [model for model in order if arm_of(model) is None]
    own = [model for model in real if is_own(base_of(model))]
    compared = own + [model for name in usual for model in real if base_of(model) == name]
    sliced = list(dict.fromkeys([real[0], *compared]))[:_MOST_SLICED]
    slices = [
        slice_chart(numbers, task, by, top.k, sliced, top.what, wording)
        for by in ("user_activity", "item_popularity", "item_frames")
    ]
    where = where_of(numbers, task, "ndcg", top.k)
    charts: list[Chart] = [interval_chart(numbers, task, "ndcg", top.k, top.what)]
    figure = _FIGURES[task] if is_of_the_kind and where["metric"] == "ndcg" else None
    charts += [metric_curves(numbers, task, metric, top.what, figure) for metric in ("hr", "ndcg")]
    rows = [_result_row(numbers, task, model, top.k) for model in order]
    return {
        "task": task,
        "headline": top,
        "real": real,
        "rows": rows,
        "all_are_sampled": all(_is_same(row["full"], row["ndcg_value"]) for row in rows),
        "n": numbers.of("metrics.parquet", "max(n_users)", **where),
        "left_out": numbers.of("metrics.parquet", "max(n_left_out)", **where),
        "charts": charts,
        "metric": where["metric"],
        "folds": fold_table(numbers, task, top.k, top.what),
        "against_best": [d for model in real[1:] if (d := difference(numbers, real[0], model, **where))],
        "all_pairs": [
            d
            for n, one in enumerate(real)
            for other in real[n + 1 :]
            if (d := difference(numbers, one, other, **where))
        ],
        "slices": [chart for chart in slices if chart is not None],
    }


def _result_row(numbers: NumberSource, task: str, model: str, k: int) -> dict[str, Any]:
    def mean(column: str, metric: str) -> Number | None:
        return numbers.of("metrics.parquet", f"mean({column})", model=model, **where_of(numbers, task, metric, k))

    file = spread_file(numbers)
    return {
        "model": model,
        **{f"{metric}_{name}": mean(column, metric) for metric in ("hr", "ndcg") for name, column in _COLUMNS.items()},
        "full": numbers.of("metrics.parquet", "mean(value)", model=model, task=task, metric="full_ndcg", k=k),
        "between_seeds": numbers.of(file, "std(value)", model=model, **where_of(numbers, task, "ndcg", k)),
    }


def _is_same(full: Number | None, sampled: Number | None) -> bool:
    return full is None or sampled is None or math.isclose(full.value, sampled.value, rel_tol=1e-9)


def _given(runs: Sequence[dict[str, Any]]) -> dict[str, dict[str, list[str]]]:
    """Return, by label, what is to be said of another tool's recommendations, and of which files."""
    found: dict[str, dict[str, list[str]]] = {}
    for run in runs:
        if "recommendations" in run:
            said = found.setdefault(run["label"], {})
            said.setdefault("; ".join(run.get("notes", [])), []).append(run["recommendations"]["file"])
    return found


def _model_row(numbers: NumberSource, model: str, wording: Wording, is_given: bool) -> dict[str, Any]:
    """Return a row of Table 1: what a model learns from, and what it was evaluated on."""
    judged = {task: numbers.rows("metrics.parquet", model=model, task=task).height > 0 for task in TASKS}
    kind = class_of(base_of(model))
    return {
        "title": style_of(model).title,
        "words": "recommendations of another tool" if is_given else wording.fill(style_of(model).words),
        "ratings": None if is_given else kind is not None and kind.learns_from_interactions,
        "images": None if is_given else kind is not None and kind.needs_features,
        **judged,
    }


def _ablation(numbers: NumberSource, on: str) -> list[AblationRow]:
    """Return Table 2 from the runs: the gains of attention over JIFR_NA. It is empty if JIFR_NA did not run.

    Args:
        numbers: the source.
        on: the end of the labels of models on the feature set to look at, if there are several.
    """
    if numbers.rows("metrics.parquet", model=f"jifr_na{on}").is_empty():
        return []
    rows = []
    for model, gains in PAPER_GAINS.items():
        cells, differences = [], {}
        for task in TASKS:
            k = headline_k(numbers, task)
            for metric in ("hr", "ndcg"):
                where = where_of(numbers, task, metric, k)
                ours, base = (
                    numbers.of("metrics.parquet", "mean(value)", model=f"{m}{on}", **where) for m in (model, "jifr_na")
                )
                paper = numbers.at("paper.json", model, task, metric) if gains else None
                cells.append((relative_gain(ours, base) if ours and base and base.value else None, paper))
            differences[task] = difference(
                numbers, f"{model}{on}", f"jifr_na{on}", **where_of(numbers, task, "ndcg", k)
            )
        rows.append(AblationRow(_ATTENTION[model], cells, differences))
    return rows


def _given_likes(models: list[str]) -> str:
    """Return which of the models are given likes of train pairs, in words; empty if none is."""
    given = dict.fromkeys(base_of(model) for model in models if base_of(model) in GIVEN_LIKES)
    titles = [style_of(model).title for model in given]
    return f"{' and '.join(titles)} {'are' if len(titles) > 1 else 'is'} given likes of train pairs" if titles else ""


def _costs(numbers: NumberSource, models: list[str]) -> NumberTable | None:
    file = "costs.parquet"
    if not numbers.has(file):
        return None
    asked = (
        ("max(n_parameters)", ",d"),
        ("mean(n_epochs)", ",.0f"),
        ("mean(train_s)", ",.1f"),
        ("mean(evaluate_s)", ",.1f"),
        ("max(peak_memory_bytes)", "MiB"),
    )
    return NumberTable(
        "Time and memory of each model: means over seeds; for memory, the highest peak",
        "model",
        ["learnt weights", "epochs", "training, s", "evaluation, s", "peak memory"],
        [
            Row(style_of(model).title, [(numbers.of(file, what, model=model), form) for what, form in asked])
            for model in models
        ],
    )


_ATTENTION = {"jifr_rating": "rating attention", "jifr_visual": "visual attention", "jifr": "both"}
_COLUMNS = {"value": "value", "low": "ci_low", "high": "ci_high"}
_CONTENTS = [
    ("short", "Summary"),
    ("models", "The models"),
    ("item", "{items}"),
    ("frame", "Key frames"),
    ("pictures", "What pictures add"),
    ("attention", "What attention adds"),
    ("gallery", "Gallery"),
    ("slices", "Results by group"),
    ("splits", "Another split"),
    ("training", "Training, time, memory"),
    ("tuning", "Tuning"),
    ("download", "Download"),
    ("origin", "Data and code"),
]
