"""Judges a file of recommendations that another tool has made, into a folder beside the runs.

    data/runs/<name>-<snapshot>-v<version>-<seed>-<start of the file's SHA-256>/
        config.json            the name as `model`, the seed, the snapshot, and under `recommendations` the file and
                               what was found in it
        metrics, user_metrics, held_out_ranks, slices (.parquet), done.json: as of a run (see `run_folder`)

So `python -m model.compare` and an experiment's report take such a folder like a run. Another file with the same name
has a folder of its own.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dataset.documents import is_folder_name
from dataset.errors import UsageError
from dataset.files import write_json
from dataset.snapshots.snapshot import Snapshot
from dataset.version import code_version
from model.data.folds import fold_of
from model.data.tables import Tables
from model.evaluation.config import EvaluationConfig, ListColumns
from model.evaluation.given_lists import evaluate_lists, open_lists, possible
from model.evaluation.list_file import ListFile, read_lists
from model.evaluation.results import Evaluation
from model.experiments.folders import DEFAULT_RUNS
from model.experiments.run_folder import data_name, identify, write_evaluation
from model.models.names import MODEL_NAMES

_TABLES = ("movies", "frames", "interactions", "frame_likes")
_SHOWN_DIGITS = 8


@dataclass(frozen=True)
class Judged:
    """The result of `judge_recommendations`.

    Attributes:
        folder: the folder, as of a run.
        evaluation: the result tables.
        config: the protocol, without what the lists cannot give.
        facts: what was found in the file (`model.evaluation.given_lists.open_lists`).
        notes: sentences on what was left out, and on users without a list.
    """

    folder: Path
    evaluation: Evaluation
    config: EvaluationConfig
    facts: dict[str, int]
    notes: tuple[str, ...]


def judge_recommendations(
    path: Path,
    name: str,
    snapshot: Snapshot,
    split: str = "test",
    config: EvaluationConfig = EvaluationConfig(),  # noqa: B008 - frozen
    columns: ListColumns = ListColumns(),  # noqa: B008 - frozen
    seed: int = 0,
    runs: Path = DEFAULT_RUNS,
    on_users: Callable[[int, int], None] = lambda n, of: None,
) -> Judged:
    """Evaluate the recommendations in a file on a split, as a model is, and write the result tables.

    Args:
        path: the file: a user, an item, and a score or a rank per row.
        name: what results call them.
        snapshot: the data.
        split: "validation" or "test".
        config: the protocol. What does not follow from the lists is left out, see `possible`.
        columns: the names of the file's columns.
        seed: the seed that the tool was run with; files of one name and several seeds count as one model.
        runs: the parent of the folder.
        on_users: is called with the number of users that are done, and of all.

    Raises:
        UsageError: the name cannot be used, or no metric follows from the lists.
        MissingInputError, InvalidTableError, TooLittleDataError: see `read_lists` and `open_lists`.
    """
    if not is_folder_name(name) or name in MODEL_NAMES:
        raise UsageError(
            f"--name {name!r}: is a model of this program; choose another name"
            if name in MODEL_NAMES
            else f"--name {name!r}: use up to 200 letters, digits, dots, - and _"
        )
    file = read_lists(path, columns)
    movies, frames, interactions, likes = (snapshot.read(table) for table in _TABLES)
    tables = Tables(movies, frames, interactions, likes, frame_features=None)
    if snapshot.fold:
        tables = fold_of(tables, snapshot.fold)
    lists = open_lists(file, tables, split)
    given = possible(lists, config)
    n_users = lists.facts["n_judged_users"]
    evaluation = evaluate_lists(lists, tables, split, name, given, seed, lambda n: on_users(n, n_users))
    folder = runs / f"{name}-{data_name(snapshot)}-{seed}-{file.sha256[:_SHOWN_DIGITS]}"
    write_json(folder / "config.json", _describe(file, name, snapshot, seed, lists.facts))
    write_evaluation(folder, split, evaluation, given)
    return Judged(folder, evaluation, given, lists.facts, tuple(_notes(lists.facts, config, given)))


def _describe(file: ListFile, name: str, snapshot: Snapshot, seed: int, facts: dict[str, int]) -> dict[str, Any]:
    """Return the content of `config.json`, with the keys of a run's."""
    return {
        "model": name,
        "config": {},
        "training": {},
        "seed": seed,
        "snapshot": identify(snapshot),
        **({"fold": asdict(snapshot.fold)} if snapshot.fold else {}),
        "recommendations": {"file": file.path.name, "file_sha256": file.sha256, **facts},
        "code_version": code_version(),
    }


def _notes(facts: dict[str, int], asked: EvaluationConfig, given: EvaluationConfig) -> Iterator[str]:
    if facts["n_unknown_users"]:
        users, rows = facts["n_unknown_users"], facts["n_unknown_rows"]
        yield f"left out: {rows:,} rows of {users:,} users who are not in the snapshot"
    if facts["n_without_list"]:
        yield f"{facts['n_without_list']:,} of {facts['n_judged_users']:,} users have no list, and count as 0"
    if n := facts["n_shorter"] - facts["n_without_list"]:
        yield f"{n:,} users have a shorter list than the longest, {facts['longest']:,}; nothing follows it"
    ks = [str(k) for k in asked.item_ks if k not in given.item_ks]
    missing = [*(["metrics over sampled items"] if asked.protocol != given.protocol else []), *_at(ks)]
    if missing:
        yield f"not given, as the lists have at most {facts['longest']:,} items: {' and '.join(missing)}"


def _at(ks: list[str]) -> list[str]:
    return [f"metrics at K = {', '.join(ks)}"] if ks else []
