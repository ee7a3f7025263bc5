"""Recommendations of other tools in a study: judged before anything is trained, into the same tables and tests."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from dataset.snapshots.snapshot import Snapshot
from model.evaluation.results import EVALUATION_TABLES
from model.experiments.recommendations import Judged, judge_recommendations
from model.experiments.run_folder import read_description
from model.experiments.studies.pooling import Result
from model.experiments.studies.study import Study


@dataclass(frozen=True)
class Listed:
    """A file of recommendations that was judged.

    Attributes:
        label: its name in the tables.
        folder: the folder that it was judged into.
        description: the content of the folder's `config.json`.
        result: its tables.
        is_baseline: whether all others are compared with it.
    """

    label: str
    folder: Path
    description: Mapping[str, Any]
    result: Result
    is_baseline: bool


def judge_lists(snapshot: Snapshot, study: Study, runs: Path) -> list[Listed]:
    """Judge the lists of a study on the test split, or on each fold.

    Raises:
        MissingInputError, InvalidTableError, TooLittleDataError, UsageError: see `judge_recommendations`.
    """
    found = []
    for lists in study.lists:
        for fold in study.folds or (None,):
            for place, seed in enumerate(study.seeds[: len(lists.files)]):
                path = lists.path(place, fold)
                judged = judge_recommendations(
                    path, lists.label, snapshot.with_fold(fold), "test", study.evaluation, lists.columns, seed, runs
                )
                result = Result(lists.label, seed, fold.number if fold else None, _tables(judged))
                description = {**read_description(judged.folder), "notes": list(judged.notes)}
                is_baseline = study.baseline == lists.label
                found.append(Listed(lists.label, judged.folder, description, result, is_baseline))
    return found


def _tables(judged: Judged) -> Any:
    def table(name: str) -> pl.DataFrame | None:
        return getattr(judged.evaluation, name) if name in EVALUATION_TABLES else None

    return table
