"""Train, evaluate and recommend from Python. The functions print nothing and write no run folder.

    snapshot = open_snapshot("data/snapshots/sandbox/v0001")
    data = load(snapshot)
    run = train("jifr", data, seed=0)
    print(evaluate(run, data, "test").metrics)
    print(recommend(run, data, n=10))

The public module `douban_keyframes` re-exports these functions.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from dataset.snapshots.snapshot import Snapshot
from dataset.snapshots.snapshot import open_snapshot as open_snapshot_at
from model.data.loading import SnapshotData, load
from model.evaluation.config import EvaluationConfig
from model.evaluation.evaluate import evaluate as evaluate_scorer
from model.evaluation.results import Evaluation
from model.evaluation.uncertainty import compare as compare_users
from model.experiments.recommend import recommend as recommend_with
from model.experiments.recommend import user_indices
from model.experiments.run_folder import Run
from model.experiments.run_folder import open_run as open_run_folder
from model.experiments.runs.store import find_run
from model.experiments.settings import settings_of_model
from model.models.names import MODEL_NAMES
from model.training.device import use_device
from model.training.trainer import Epoch, Trainer, training_table

__all__ = [
    "MODEL_NAMES",
    "Epoch",
    "Evaluation",
    "EvaluationConfig",
    "Run",
    "Snapshot",
    "SnapshotData",
    "compare",
    "evaluate",
    "load",
    "open_run",
    "open_snapshot",
    "recommend",
    "train",
]


def open_snapshot(path: str | Path) -> Snapshot:
    """Open the snapshot in a folder (or, for a dataset's folder, its newest version).

    Raises:
        InvalidSnapshotError: the folder is not a snapshot.
    """
    return open_snapshot_at(Path(path))


def train(
    model_name: str,
    data: SnapshotData,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    device: str = "cpu",
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> Run:
    """Train a model; validation decides when training stops.

    Args:
        model_name: for example "jifr" or "bpr"; the error for an unknown name lists all names.
        data: what `load` returned.
        seed: for the initial values, the batches and the negatives. The same seed gives the same model.
        settings: model or training settings by name, such as `{"visual_dim": 64, "epochs": 50}`.
        device: "cpu" or "cuda".
        on_epoch: called after every epoch.

    Raises:
        UsageError: the model or a setting is unknown, or there is no such device.
        MissingInputError: the model needs frame features and the snapshot has none.
        TrainingError: the loss is not finite.
    """
    use_device(device)
    config, training = settings_of_model(settings or {}, model_name)
    trained = Trainer(data.training, data.validation, model_name, config, training, seed, device).run(on_epoch)
    return Run(model_name, seed, trained.model, training_table(model_name, seed, trained.epochs), device)


def open_run(folder: str | Path, device: str = "cpu") -> tuple[Run, SnapshotData]:
    """Open a run that `python -m model.train` trained, with the snapshot that it was trained on.

    Args:
        folder: its folder or name, or the start of its name.
        device: "cpu" or "cuda".

    Raises:
        UsageError: several runs start so.
        MissingInputError: the folder is not a run, or its training has not finished.
        InvalidSnapshotError: the snapshot has changed since training.
    """
    return open_run_folder(find_run(folder), device=device)


def evaluate(run: Run, data: SnapshotData, split: str = "test", config: EvaluationConfig | None = None) -> Evaluation:
    """Evaluate a model on a split: how it ranks the held-out movies and, if it ranks frames, the liked frames.

    Args:
        run: what `train` returned.
        data: the snapshot that it was trained on.
        split: "test" or "validation".
        config: the protocol and the values of K; None for the defaults.

    Raises:
        TooLittleDataError: the split has no interaction.
        TrainingError: a score is not finite.
    """
    scorer = run.model.scorer()
    return evaluate_scorer(scorer, data.tables, split, run.model_name, run.seed, config, run.device)


def compare(evaluations: Sequence[Evaluation]) -> pl.DataFrame:
    """Return the `comparisons` table: whether models differ by more than chance, for every pair and every metric.

    Args:
        evaluations: those of two models or more on the same split; several seeds of a model count as one model.

    Raises:
        TooLittleDataError: there are fewer than two models, or fewer than two users.
        UsageError: two models were not evaluated on the same users and movies.
    """
    tables = [evaluation.user_metrics for evaluation in evaluations]
    return compare_users(pl.concat(tables) if tables else pl.DataFrame(schema={"model": pl.String}))


def recommend(run: Run, data: SnapshotData, n: int = 10, users: Sequence[str] | None = None) -> pl.DataFrame:
    """Return the `recommendations` table: `n` movies per user that are new to them, with key frames.

    Args:
        run: what `train` returned.
        data: the snapshot that it was trained on.
        n: movies per user.
        users: user ids; None for all users.

    Raises:
        UsageError: a user is not in the snapshot.
    """
    chosen = user_indices(users, data.ids, data.label)
    scorer, train_items = run.model.scorer(), data.training.positives
    return recommend_with(scorer, data.training, data.ids, chosen, train_items, n, run.device)
