"""An experiment: trains and evaluates several models with several seeds on one snapshot, and writes a report.

With several feature sets, each model that reads features is trained on each set, and is a model of its own in all
tables: `vbpr features=clip`.

It writes the run folders (see `run_folder`) and, into the experiment's folder:

    report.html               one file that needs no network
    charts/                   its charts as SVG and PNG, for papers
    experiment.json           the description of every run
    metrics, user_metrics, held_out_ranks, slices, comparisons, training, costs, recommendations,
    cases, case_frames, case_movies (.parquet)

If it is run again, a stopped experiment continues with the unfinished runs (see `runner`).
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import dataframely as dy
import polars as pl
import torch

from dataset.errors import UsageError
from dataset.files import write_json
from dataset.snapshots.snapshot import Snapshot
from dataset.tables import empty, read_table, write_table
from model.data.memory import available_memory_bytes
from model.data.tensors import held_out_items
from model.evaluation.results import EVALUATION_TABLES
from model.evaluation.uncertainty import compare
from model.experiments.compare import labels
from model.experiments.config import ExperimentConfig
from model.experiments.memory import usable_cores
from model.experiments.recommend import recommend
from model.experiments.run_folder import describe_run, open_run, run_folder
from model.experiments.run_task import RunTask
from model.experiments.runner import Reporter, load_cached, run_all
from model.models.recommender import FittedRecommender, Recommender
from model.models.registry import MODELS, default_config
from model.report.gallery_cases import write_cases
from model.report.page import write_report
from model.schema import Comparison, Cost, Recommendation, Training, UserMetric

_CORES_PER_RUN = 4
_GIB = 1 << 30


def run_experiment(
    snapshot: Snapshot,
    config: ExperimentConfig,
    destination: Path,
    runs: Path,
    raw: Path | None,
    reporter: Reporter | None = None,
) -> Path:
    """Run the unfinished tasks, write the tables of all runs, and return the path of the report.

    Args:
        snapshot: the data, with the feature set that models read if `config` names none.
        config: the models, seeds and feature sets.
        destination: the experiment's folder.
        runs: the parent of all run folders.
        raw: the raw folder with the gallery's pictures; None for a report without pictures.
        reporter: receives the progress; None for no output.

    Raises:
        UsageError: a model or feature set is unknown, or all models need features and the snapshot has none.
        PipelineError: a run failed; the finished runs are kept.
    """
    sets = [snapshot.with_features(name) for name in config.features] or [snapshot]
    tasks = _tasks(sets, config, runs)
    jobs, threads = _jobs_and_threads(sets, config, tasks)
    reporter = reporter or Reporter()
    if left_out := _left_out(sets[0], config.models):
        reporter.left_out(left_out)
    run_all(tasks, jobs, threads, reporter)
    named = labels([task.description for task in tasks])
    _write_tables(tasks, named, destination)
    described = [{**task.description, "label": label} for task, label in zip(tasks, named, strict=True)]
    write_json(destination / "experiment.json", {"runs": described})
    _write_gallery_tables(tasks, destination)
    return write_report(destination, snapshot, raw)


def _tasks(sets: Sequence[Snapshot], config: ExperimentConfig, runs: Path) -> list[RunTask]:
    """Return a task per model, seed and feature set; a model that reads no features runs with the first set only."""
    for name in config.models:
        default_config(name)  # raises an error for an unknown name before anything runs
    needs = {name: MODELS[name].model_class.needs_features for name in config.models}
    left_out = {snapshot.feature_set: _left_out(snapshot, config.models) for snapshot in sets}
    chosen = {
        (snapshot.feature_set, name): snapshot
        for snapshot in sets
        for name in config.models
        if (needs[name] or snapshot is sets[0]) and name not in left_out[snapshot.feature_set]
    }
    if not chosen:
        raise UsageError(
            f"{sets[0].path}: {' and '.join(_lacking(sets[0]))}, so none of {', '.join(config.models)} can "
            "run; "
            "add a model that needs none, such as bpr"
        )
    return [
        RunTask(
            run_folder(runs, name, snapshot, seed),
            snapshot.path,
            describe_run(name, default_config(name), config.training, seed, snapshot),
            default_config(name),
            config.training,
            config.evaluation,
        )
        for (_, name), snapshot in chosen.items()
        for seed in dict.fromkeys(config.seeds)
    ]


def _left_out(snapshot: Snapshot, models: Sequence[str]) -> dict[str, str]:
    """Return the models that cannot run on the snapshot, each with what the snapshot lacks."""
    lacking = _lacking(snapshot)
    missing = {
        name: [words for words, is_needed in lacking.items() if is_needed(MODELS[name].model_class)] for name in models
    }
    return {name: " and ".join(words) for name, words in missing.items() if words}


def _lacking(snapshot: Snapshot) -> dict[str, Callable[[type[Recommender]], bool]]:
    """Return what the snapshot lacks, in words, and for each whether a model's class needs it."""
    frames, likes = snapshot.read("frames"), snapshot.read("frame_likes")
    known = {column for column in frames.columns if frames[column].null_count() < frames.height}
    lacking: dict[str, Callable[[type[Recommender]], bool]] = {}
    if not snapshot.feature_table:
        lacking["no frame features"] = lambda kind: kind.needs_features
    if "position" not in known:
        lacking["no positions of frames"] = lambda kind: kind.needs_places
    if "train_like_count" not in known:
        lacking["no likes of train pairs"] = lambda kind: kind.learns_from_likes
    if likes.filter(pl.col("split").cast(pl.String) == "test").is_empty():
        lacking["no test likes"] = lambda kind: not kind.ranks_items
    return lacking


def _jobs_and_threads(sets: Sequence[Snapshot], config: ExperimentConfig, tasks: Sequence[RunTask]) -> tuple[int, int]:
    """Return the number of runs at the same time and the threads per run: one run per four cores, if memory allows."""
    cores, jobs = usable_cores(), config.jobs
    if jobs is None:
        tables = (one.manifest.tables.get(one.feature_table or "") for one in sets)
        known = sets[0].manifest.statistics
        sizes = int(known.get("n_users", 0)), int(known.get("n_movies", 0))
        of_model = max(MODELS[task.model_name].model_class.bytes_needed(*sizes) for task in tasks)
        needed = _GIB + of_model + 4 * max(table.size_bytes if table else 0 for table in tables)
        available = available_memory_bytes()
        fitting = len(tasks) if available is None else available // needed
        jobs = max(1, min(len(tasks), cores // _CORES_PER_RUN, fitting))
    return jobs, config.threads or max(1, cores // jobs)


def _write_tables(tasks: Sequence[RunTask], named: Sequence[str], destination: Path) -> None:
    """Write the tables of all runs together, each model under its label, and the comparisons if there are two."""
    schemas: dict[str, type[dy.Schema]] = {"training": Training, "costs": Cost, **EVALUATION_TABLES}
    for name, schema in schemas.items():
        parts = [
            read_table(task.folder / f"{name}.parquet", schema).with_columns(model=pl.lit(label))
            for task, label in zip(tasks, named, strict=True)
        ]
        write_table(pl.concat(parts), schema, destination / f"{name}.parquet")
    (destination / "comparisons.parquet").unlink(missing_ok=True)
    if len(set(named)) > 1:
        judged = read_table(destination / "user_metrics.parquet", UserMetric)
        write_table(compare(judged), Comparison, destination / "comparisons.parquet")


def _write_gallery_tables(tasks: Sequence[RunTask], destination: Path) -> None:
    """Write the recommendations of the first model that has some, and the gallery's cases.

    The cases are of all models of the same seed and feature set.
    """
    shown = next((task for task in tasks if MODELS[task.model_name].model_class.ranks_items), tasks[0])
    data = load_cached(shown.snapshot, shown.snapshot_digest, shown.feature_set)
    models = {
        task.model_name: open_run(task.folder, shown.snapshot)[0].model
        for task in tasks
        if task.seed == shown.seed
        and task.feature_set == shown.feature_set
        and (task == shown or not _is_fitted(task))  # none of these ranks frames
    }
    known = held_out_items(data.tables, data.ids, "test").known
    users, scorer = torch.arange(len(data.ids.users)), models[shown.model_name].scorer()
    table = empty(Recommendation)
    if scorer.ranks_items:
        table = recommend(scorer, data.training, data.ids, users, known, k=10)
    write_table(table, Recommendation, destination / "recommendations.parquet")
    write_cases(destination, models, shown.seed, data.tables, data.ids)


def _is_fitted(task: RunTask) -> bool:
    return issubclass(MODELS[task.model_name].model_class, FittedRecommender)
