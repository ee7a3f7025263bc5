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
from model.data.tensors import TrainingData
from model.evaluation.config import EvaluationConfig
from model.evaluation.evaluate import evaluate as evaluate_scorer
from model.evaluation.results import Evaluation
from model.evaluation.uncertainty import compare as compare_users
from model.experiments.new_people import new_people
from model.experiments.new_people import recommend_to_new as recommend_to_people
from model.experiments.recommend import recommend as recommend_with
from model.experiments.recommend import user_indices
from model.experiments.run_folder import Run
from model.experiments.run_folder import open_run as open_run_folder
from model.experiments.runs.store import find_run
from model.experiments.settings import settings_of_model
from model.models.held_out_frames import scorer_of
from model.models.names import MODEL_NAMES
from model.models.recommender import (
    EmbeddingScorer,
    FittedRecommender,
    Recommender,
    Scorer,
    TrainableRecommender,
)
from model.models.registry import name_of
from model.training.device import use_device
from model.training.trainer import Epoch, Trainer, training_table

__all__ = [
    "MODEL_NAMES",
    "EmbeddingScorer",
    "Epoch",
    "Evaluation",
    "EvaluationConfig",
    "FittedRecommender",
    "Run",
    "Scorer",
    "Snapshot",
    "SnapshotData",
    "TrainableRecommender",
    "TrainingData",
    "compare",
    "evaluate",
    "load",
    "open_run",
    "open_snapshot",
    "recommend",
    "recommend_to_new",
    "train",
]


def open_snapshot(path: str | Path) -> Snapshot:
    """Open the snapshot in a folder (or, for a dataset's folder, its newest version).

    Raises:
        InvalidSnapshotError: the folder is not a snapshot.
    """
    return open_snapshot_at(Path(path))


def train(
    model_name: str | type[Recommender],
    data: SnapshotData,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    device: str = "cpu",
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> Run:
    """Train a model; validation decides when training stops.

    Args:
        model_name: for example "jifr" or "bpr"; the error for an unknown name lists all names. For a model of your own,
            its class or `package.module:Class`.
        data: what `load` returned.
        seed: for the initial values, the batches and the negatives. The same seed gives the same model.
        settings: model or training settings by name, such as `{"visual_dim": 64, "epochs": 50}`.
        device: "cpu" or "cuda".
        on_epoch: called after every epoch.

    Raises:
        UsageError: the model or a setting is unknown, the class is no model, or there is no such device.
        MissingInputError: the model needs frame features and the snapshot has none.
        TrainingError: the loss is not finite.
    """
    use_device(device)
    name = model_name if isinstance(model_name, str) else name_of(model_name)
    config, training = settings_of_model(settings or {}, name)
    trained = Trainer(data.training, data.validation, name, config, training, seed, device).run(on_epoch)
    return Run(name, seed, trained.model, training_table(name, seed, trained.epochs), device)


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
    scorer = scorer_of(run.model, data)
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
    scorer, train_items = scorer_of(run.model, data), data.training.positives
    return recommend_with(scorer, data.training, data.ids, chosen, train_items, n, run.device)


def recommend_to_new(run: Run, data: SnapshotData, interactions: pl.DataFrame, n: int = 10) -> pl.DataFrame:
    """Return the `recommendations` table of people who were not in training: `n` movies that are new to them.

    Their embeddings are fitted to their interactions; nothing else of the model changes, and the run stays as it is.
    Interactions with movies that the snapshot does not have do not count, and people without any other get no rows.

    Args:
        run: what `train` returned.
        data: the snapshot that it was trained on.
        interactions: the columns user_id and movie_id. For a user of the snapshot, their train interactions count too.
        n: movies per user.

    Raises:
        UsageError: the model cannot recommend to new people.
        TooLittleDataError: no interaction is with a movie of the snapshot.
    """
    return recommend_to_people(run, data, new_people(interactions, data), n)
