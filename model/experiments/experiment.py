"""An experiment: trains and evaluates several models with several seeds on one snapshot, and writes a report.

With several feature sets, each model that reads features is trained on each set, and is a model of its own in all
tables: `vbpr features=clip`. An arm takes the place of a set, to measure what pictures add: `vbpr features=shuffled`.

It writes the run folders (see `run_folder`) and, into the experiment's folder:

    report.html               one file that needs no network
    charts/                   its charts as PDF and SVG in the size of a paper's, and as PNG
    tables/                   its tables as LaTeX, Markdown and CSV; the methods in words, and BibTeX
    experiment.json           the description of every run; of a study, its file and the settings that searches chose
    study.toml                the study's file, if there is one
    splits.parquet            of a study on several snapshots: how alike their splits order the models
    tuning.parquet            the trials of all searches, if there are some
    folds.parquet             with folds, the metrics of each; fold_pairs.parquet says which pair is in which
    searches, search_curves   (.parquet) what each search tried and chose, and its best result so far
    metrics, user_metrics, held_out_ranks, slices, comparisons, arms, training, costs, recommendations,
    cases, case_frames, case_movies (.parquet)

If it is run again, a stopped experiment continues with the unfinished runs (see `runner`).
"""

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import torch

from dataset.errors import PipelineError, UsageError
from dataset.feature_sets import MAIN
from dataset.files import write_json, write_text
from dataset.schema import TRAIN_LIKES
from dataset.snapshots.snapshot import Snapshot
from dataset.tables import empty, read_table, write_table
from model.data.folds import counts_train, fold_pairs
from model.data.loading import read_tables
from model.data.memory import available_memory_bytes
from model.data.tensors import held_out_items
from model.evaluation.uncertainty import Bootstrap, compare
from model.experiments.config import ExperimentConfig
from model.experiments.folders import DEFAULT_RUNS, DEFAULT_TUNING
from model.experiments.memory import usable_cores
from model.experiments.recommend import recommend
from model.experiments.run_folder import open_run
from model.experiments.run_task import RunTask, ask_for
from model.experiments.runner import Reporter, load_cached, run_all
from model.experiments.studies.fairness import best_so_far, searched_settings
from model.experiments.studies.lists import Listed, judge_lists
from model.experiments.studies.pooling import FOLDS_FILE, PAIRS_FILE, TABLES, fold_metrics, result_of, table_of
from model.experiments.studies.searching import Chosen, ask, settle
from model.experiments.studies.study import WHOLE, Shard, Study, StudyModel, study_of
from model.experiments.workers import open_workers
from model.models.held_out_frames import scorer_of
from model.models.recommender import FittedRecommender, Recommender
from model.models.registry import MODELS
from model.report.gallery_cases import write_cases
from model.report.model_styles import arm_of
from model.report.page import write_report
from model.report.pictures import ARMS_FILE, arm_pairs
from model.report.splits import SPLITS_FILE
from model.schema import (
    BestSoFar,
    Comparison,
    FoldMetric,
    FoldPair,
    Recommendation,
    SearchedSetting,
    Tuning,
    UserMetric,
)

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
    """Run a study of models that share their settings; see `run_study`."""
    return run_study(snapshot, study_of(config), destination, Folders(runs), raw, reporter)


@dataclass(frozen=True)
class Folders:
    """Where runs and searches are kept.

    Attributes:
        runs: the parent of all run folders.
        searches: the parent of the folders of all searches.
    """

    runs: Path = DEFAULT_RUNS
    searches: Path = DEFAULT_TUNING


def run_study(
    snapshot: Snapshot,
    study: Study,
    destination: Path,
    folders: Folders,
    raw: Path | None,
    reporter: Reporter | None = None,
) -> Path:
    """Search for settings, run the unfinished tasks, write the tables of all runs, and return the path of the report.

    Args:
        snapshot: the data, with the feature set that models read if the study names none.
        study: the models, seeds and feature sets.
        destination: the experiment's folder.
        folders: where runs and searches are kept.
        raw: the raw folder with the gallery's pictures; None for a report without pictures.
        reporter: receives the progress; None for no output.

    Raises:
        UsageError: a feature set is unknown, all models need features and the snapshot has none, the baseline cannot
            run, or the destination holds another study.
        TooLittleDataError: a search needs a validation split, and there is none.
        PipelineError: a run failed; the finished runs are kept.
    """
    _require_own(destination, study)
    listed = judge_lists(snapshot, study, folders.runs)
    ran = _run(snapshot, study, folders, reporter or Reporter())
    _write_tables(ran.tasks, listed, study, destination)
    _write_folds(snapshot, study, destination)
    _write_provenance(ran, listed, study, destination)
    _write_gallery_tables(ran.tasks, destination)
    return write_report(destination, snapshot, raw)


def run_shard(
    snapshot: Snapshot, study: Study, folders: Folders, shard: Shard, reporter: Reporter | None = None
) -> int:
    """Run one part of a study's runs, and the searches that they need; return how many runs it has.

    The parts may run at the same time, on machines that share the folders. Those that need the same search share its
    trials. `run_study` then finds all runs finished, and gives the same numbers as without parts.

    Raises:
        PipelineError: as `run_study`.
    """
    return len(_run(snapshot, study, folders, reporter or Reporter(), shard).tasks)


@dataclass(frozen=True)
class _Ran:
    """The runs of a study, what its searches have chosen, and the models that were left out, with what they lack."""

    tasks: list[RunTask]
    chosen: list[Chosen]
    left_out: dict[str, str]


def _run(snapshot: Snapshot, study: Study, folders: Folders, reporter: Reporter, shard: Shard = WHOLE) -> _Ran:
    """Run the unfinished searches and runs."""
    folds = study.folds or (None,)
    chosen_sets = [snapshot.with_features(name) for name in study.features] or [snapshot]
    sets = [one.with_fold(folds[0]) for one in _with_pictures(chosen_sets)]
    entries = _entries(sets, study)
    if left_out := _left_out(sets[0], study.models):
        reporter.left_out(left_out)
    jobs, threads = _jobs_and_threads(sets, study, [model for model, _, _ in entries])
    places = itertools.product(folds, entries, dict.fromkeys(study.seeds))
    wanted = shard.of([(model, label, one.with_fold(fold), seed) for fold, (model, label, one), seed in places])
    searched = {
        (label, one.fold): ask(model, label, one, study.seeds[0], folders.searches) for model, label, one, _ in wanted
    }
    with open_workers(jobs, threads, study.devices) as workers:
        settled = dict(zip(searched, settle(list(searched.values()), workers, reporter), strict=True))
        tasks = []
        for model, label, one, seed in wanted:
            found = settled[label, one.fold]
            task = ask_for(folders.runs, one, model.model_name, found.config, found.training, seed, study.evaluation)
            tasks.append(replace(task, label=label, is_baseline=model.label == study.baseline))
        run_all(tasks, workers, reporter)
    return _Ran(tasks, [one.chosen for one in settled.values() if one.chosen], left_out)


def _require_own(destination: Path, study: Study) -> None:
    """Check that the destination does not hold the report of another study file."""
    path = destination / "experiment.json"
    if not path.is_file():
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8")).get("study", {}).get("file")
    except (OSError, ValueError, AttributeError):
        before = None
    if before != study.file:
        held = f"the report of the study {before}" if before else "a report that is not of a study file"
        raise UsageError(f"{destination}: holds {held}; choose another folder with --to")


def _with_pictures(sets: Sequence[Snapshot]) -> list[Snapshot]:
    """Return the feature sets and arms, before each arm the set that it takes the place of; each once."""
    every = [one for arm in sets for one in (replace(arm, arm=None), arm)]
    return list({one.features: one for one in every}.values())


def _entries(sets: Sequence[Snapshot], study: Study) -> list[tuple[StudyModel, str, Snapshot]]:
    """Return each model with its label and data; a model that reads no features runs with the first set only."""
    left_out = {one.features: _left_out(one, study.models) for one in sets}
    chosen = [
        (model, one)
        for one in sets
        for model in study.models
        if (MODELS[model.model_name].model_class.needs_features or one is sets[0])
        and model.label not in left_out[one.features]
    ]
    if not chosen:
        raise UsageError(
            f"{sets[0].path}: {' and '.join(_lacking(sets[0]))}, so none of "
            f"{', '.join(model.label for model in study.models)} can run; add a model that needs none, such as bpr"
        )
    runnable = {model.label for model, _ in chosen} | {one.label for one in study.lists}
    if study.baseline and study.baseline not in runnable:
        why = left_out[sets[0].features][study.baseline]
        raise UsageError(f"{sets[0].path}: {why}, so the baseline {study.baseline} cannot run; choose another baseline")
    times = Counter(model.label for model, one in chosen if not one.arm)
    return [
        (
            model,
            f"{model.label} features={one.features or MAIN}" if one.arm or times[model.label] > 1 else model.label,
            one,
        )
        for model, one in chosen
    ]


def _left_out(snapshot: Snapshot, models: Sequence[StudyModel]) -> dict[str, str]:
    """Return the labels of models that cannot run on the snapshot, each with what the snapshot lacks."""
    lacking = _lacking(snapshot)
    classes = {model.label: MODELS[model.model_name].model_class for model in models}
    missing = {
        label: [words for words, is_needed in lacking.items() if is_needed(model_class)]
        for label, model_class in classes.items()
    }
    return {label: " and ".join(words) for label, words in missing.items() if words}


def _lacking(snapshot: Snapshot) -> dict[str, Callable[[type[Recommender]], bool]]:
    """Return what the snapshot lacks, in words, and for each whether a model's class needs it."""
    frames, likes = snapshot.read("frames"), snapshot.read("frame_likes")
    known = {column for column in frames.columns if frames[column].null_count() < frames.height}
    if snapshot.fold:
        known = {column for column in known if not counts_train(column)}
    judged = "validation" if snapshot.fold else "test"  # the likes of a fold's pairs
    lacking: dict[str, Callable[[type[Recommender]], bool]] = {}
    if not snapshot.feature_table:
        lacking["no frame features"] = lambda kind: kind.needs_features
    if "position" not in known:
        lacking["no positions of frames"] = lambda kind: kind.needs_places
    if "train_like_count" not in known:
        lacking["no likes of train pairs"] = lambda kind: kind.learns_from_likes
    if not snapshot.has(TRAIN_LIKES):
        lacking[f"no {TRAIN_LIKES}"] = lambda kind: kind.needs_liked_pairs
    if "like_count" not in known:
        lacking["no like counts of the site"] = lambda kind: kind.sees_held_out_likes
    if likes.filter(pl.col("split").cast(pl.String) == judged).is_empty():
        lacking[f"no {judged} likes"] = lambda kind: not kind.ranks_items
    return lacking


def _jobs_and_threads(sets: Sequence[Snapshot], study: Study, models: Sequence[StudyModel]) -> tuple[int, int]:
    """Return the number of runs at the same time and the threads per run: one run per four cores, if memory allows."""
    cores, jobs = usable_cores(), study.jobs or len(study.devices) or None
    if jobs is None:
        tables = (one.manifest.tables.get(one.feature_table or "") for one in sets)
        known = sets[0].manifest.statistics
        sizes = int(known.get("n_users", 0)), int(known.get("n_movies", 0))
        of_model = max(MODELS[model.model_name].model_class.bytes_needed(*sizes) for model in models)
        needed = _GIB + of_model + 4 * max(table.size_bytes if table else 0 for table in tables)
        available = available_memory_bytes()
        n_runs = len(models) * len(set(study.seeds)) * max(1, len(study.folds))
        fitting = n_runs if available is None else available // needed
        jobs = max(1, min(n_runs, cores // _CORES_PER_RUN, fitting))
    return jobs, study.threads or max(1, cores // jobs)


def _write_tables(tasks: Sequence[RunTask], listed: Sequence[Listed], study: Study, destination: Path) -> None:
    """Write the tables of all runs and lists together, each under its label, and the comparisons if there are two.

    Raises:
        PipelineError: another command has evaluated one of the runs in another way meanwhile.
    """
    if changed := [task for task in tasks if not task.is_done]:
        raise PipelineError(
            f"{changed[0].folder}: another command has evaluated it with other settings meanwhile; "
            "run the same command again"
        )
    results = [result_of(task) for task in tasks] + [one.result for one in listed]
    bootstrap = Bootstrap(study.evaluation.n_bootstrap, study.evaluation.seed)
    for name, schema in TABLES.items():
        write_table(table_of(name, results, bootstrap), schema, destination / f"{name}.parquet")
    (destination / FOLDS_FILE).unlink(missing_ok=True)
    if study.folds:
        write_table(fold_metrics(results), FoldMetric, destination / FOLDS_FILE)
    labels = {task.label: task.is_baseline for task in tasks} | {one.label: one.is_baseline for one in listed}
    _write_comparisons(labels, study, destination)


def _write_folds(snapshot: Snapshot, study: Study, destination: Path) -> None:
    """Write which pair of a person and an item is in which fold, so that other tools can be judged on the same."""
    (destination / PAIRS_FILE).unlink(missing_ok=True)
    if study.folds:
        dealt = fold_pairs(read_tables(snapshot), study.folds[0].k, study.folds[0].seed)
        write_table(dealt, FoldPair, destination / PAIRS_FILE)


def _write_comparisons(labels: Mapping[str, bool], study: Study, destination: Path) -> None:
    """Write how the models compare with each other, and each model's pictures with what takes their place.

    A model that is given something in place of its pictures is no contender, so it is compared with itself alone.

    Args:
        labels: the label of each model, and whether it is the baseline.
        study: the study.
        destination: the experiment's folder.
    """
    for name in ("comparisons.parquet", ARMS_FILE, SPLITS_FILE):
        (destination / name).unlink(missing_ok=True)
    table = read_table(destination / "user_metrics.parquet", UserMetric)
    judged = table.filter(pl.col("metric").is_in(study.metrics)) if study.metrics else table
    pairs = arm_pairs(labels)
    baselines = {label for label, is_baseline in labels.items() if is_baseline and not arm_of(label)}
    if len(labels) > 1 + len(pairs):
        contenders = judged.filter(~pl.col("model").is_in([arm for _, arm in pairs]))
        write_table(compare(contenders, baselines), Comparison, destination / "comparisons.parquet")
    if pairs:
        write_table(compare(judged, only=pairs), Comparison, destination / ARMS_FILE)


def _write_provenance(ran: _Ran, listed: Sequence[Listed], study: Study, destination: Path) -> None:
    """Write where the tables come from: the runs, the study's file, and what its searches have chosen."""
    for name in ("tuning.parquet", "searches.parquet", "search_curves.parquet", "study.toml"):
        (destination / name).unlink(missing_ok=True)
    runs: list[RunTask | Listed] = [*ran.tasks, *listed]
    described: dict[str, Any] = {
        "runs": [{**one.description, "label": one.label, "run": one.folder.name} for one in runs],
        "left_out": ran.left_out,
        "evaluation": asdict(study.evaluation),
    }
    if study.folds:
        described["folds"] = {"k": study.folds[0].k, "seed": study.folds[0].seed}
    if study.text is not None:
        compared = {"baseline": study.baseline, "metrics": list(study.metrics)}
        described["study"] = {"file": study.file, "text": study.text, "compared": compared, "unequal": study.unequal}
        write_text(destination / "study.toml", study.text)
    if ran.chosen:
        described["chosen"] = [one.description for one in ran.chosen]
        write_table(pl.concat([one.trials for one in ran.chosen]), Tuning, destination / "tuning.parquet")
        spaces = {model.label: model.space for model in study.models}
        searched = [
            searched_settings(one.label, spaces[re.split(" fold=| features=", one.label)[0]], one.settings, one.trials)
            for one in ran.chosen
        ]
        write_table(pl.concat(searched), SearchedSetting, destination / "searches.parquet")
        curves = [best_so_far(one.trials) for one in ran.chosen]
        write_table(pl.concat(curves), BestSoFar, destination / "search_curves.parquet")
    write_json(destination / "experiment.json", described)


def _write_gallery_tables(tasks: Sequence[RunTask], destination: Path) -> None:
    """Write the recommendations of the first model that has some, and the gallery's cases.

    The cases are of all models of the same seed and feature set.
    """
    shown = next((task for task in tasks if MODELS[task.model_name].model_class.ranks_items), tasks[0])
    data = load_cached(shown.snapshot, shown.snapshot_digest, shown.features, shown.seed, shown.fold)
    models = {
        task.label.partition(" features=")[0]: open_run(task.folder, shown.snapshot)[0].model
        for task in tasks
        if (task.seed, task.fold) == (shown.seed, shown.fold)
        and task.features == shown.features
        and (task == shown or not _ranks_items_alone(task))
    }
    known = held_out_items(data.tables, data.ids, "test").known
    users = torch.arange(len(data.ids.users))
    scorer = scorer_of(models[shown.label.partition(" features=")[0]], data)
    table = empty(Recommendation)
    if scorer.ranks_items:
        table = recommend(scorer, data.training, data.ids, users, known, k=10)
    write_table(table, Recommendation, destination / "recommendations.parquet")
    write_cases(destination, models, shown.seed, data.tables, data.ids)


def _ranks_items_alone(task: RunTask) -> bool:
    kind = MODELS[task.model_name].model_class
    return issubclass(kind, FittedRecommender) and kind.ranks_items
