"""Run folders: the files of a trained model.

    data/runs/<model>-<snapshot>-v<version>[-<feature set>]-<seed>-<hash>/   (see `runs.naming`)
        config.json            model, settings, seed and code version; the snapshot's name, version and digest; and
                               from its manifest how it was built, its extractor and the provenance of the crawl
        checkpoint.pt          everything that an epoch changes; a stopped training continues from it
        training.parquet       one row per epoch
        costs.parquet          epochs, seconds and memory
        model.pt               the best weights; a run with them is trained
        metrics.parquet        test metrics, once evaluated (validation: validation_metrics.parquet)
        user_metrics.parquet   the same per user
        held_out_ranks.parquet the rank of every held-out positive, from which the ranking metrics follow
        slices.parquet         metrics by users' activity, and by movies' popularity and number of frames
        recommendations.parquet  written by `python -m model.recommend`; with --interactions, new_people.parquet
        done.json              settings of the evaluation on test, and digest of everything that determines the metrics
                               (written after them)

`model.pt` and `checkpoint.pt` hold the digest of the model, settings, seed and data of their training. So no
weights are used with the `config.json` of another training.

Every number in a report can be traced back: metrics → config.json → snapshot digest → crawl.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import torch
from pydantic import BaseModel, Field

from dataset.cli import LARGEST_SEED
from dataset.documents import FolderName, Settings, Sha256, Whole, holds, read_document
from dataset.errors import InvalidSnapshotError, MissingInputError, TrainingError, UsageError, describe_load_error
from dataset.files import atomic_path, explain_write_errors, write_json
from dataset.schema import HELD_OUT_SPLITS
from dataset.snapshots.snapshot import Fold, Snapshot, newest_snapshot, open_snapshot
from dataset.tables import read_table, write_table
from dataset.version import code_version
from model.data.loading import SnapshotData, data_from_tables, read_tables, with_features_of
from model.data.tables import with_new_frames
from model.evaluation.config import EvaluationConfig
from model.evaluation.results import EVALUATION_TABLES, Evaluation
from model.experiments.new_items import with_new_items
from model.experiments.runs.naming import RESULTS_VERSION, evaluation_digest, fold_name, in_paths, own_code, run_digest
from model.experiments.settings import apply_settings
from model.models.recommender import Config, Recommender
from model.models.registry import default_config, make_model
from model.schema import Cost, Training
from model.training.config import TrainingConfig
from model.training.trainer import TrainedRun, Trainer, training_table


@dataclass(frozen=True)
class Run:
    """A trained model.

    Attributes:
        model_name: a name of `registry.MODELS`.
        seed: the seed that it was trained with.
        model: a torch module, with the weights that were best on validation.
        training: the `training` table: loss and validation NDCG per epoch.
        device: where the model is, "cpu" or "cuda".
    """

    model_name: str
    seed: int
    model: Recommender
    training: pl.DataFrame
    device: str


class _KnownSnapshot(BaseModel):
    name: FolderName
    version: Whole
    content_digest: Sha256
    path: str


class _KnownFold(BaseModel):
    number: Annotated[int, Field(ge=1)]
    k: Annotated[int, Field(ge=3)]
    seed: Whole


class _KnownDescription(BaseModel):
    """The keys of a `config.json` or `search.json` that this code reads."""

    model: str
    config: Settings
    training: Settings
    seed: Annotated[int, Field(ge=0, le=LARGEST_SEED)]
    snapshot: _KnownSnapshot
    features: str | None = None
    fold: _KnownFold | None = None
    code_version: str = ""


_Description = Annotated[Settings, holds(_KnownDescription)]
_TRAINING = "training_sha256"
_AGAIN = {
    "model.pt": "train another one with `python -m model.train --fresh`",
    "checkpoint.pt": "omit --resume to train from the first epoch",
}


def find_snapshot(path: Path | None, features: str | None = None) -> Snapshot:
    """Open the snapshot in a folder, or the newest one, with the feature set that models read (None: the main one).

    Raises:
        UsageError: it has no such feature set.
    """
    return (newest_snapshot() if path is None else open_snapshot(path)).with_features(features)


def data_name(snapshot: Snapshot, features: Sequence[str] = ()) -> str:
    """Return the name of the data in a folder's name: `sandbox-v0001`, or `sandbox-v0001-clip` for the set `clip`.

    Args:
        snapshot: the data.
        features: the names of the feature sets if there are several, as for `sandbox-v0001-main-clip`.
    """
    name = f"{snapshot.name}-v{snapshot.version:04d}"
    if len(set(features)) > 1:
        return "-".join((name, *map(in_paths, dict.fromkeys(features))))
    name = name if snapshot.features is None else f"{name}-{in_paths(snapshot.features)}"
    return f"{name}-{fold_name(asdict(snapshot.fold))}" if snapshot.fold else name


def identify(snapshot: Snapshot) -> dict[str, Any]:
    """Return which snapshot a run used, as JSON."""
    return {
        "name": snapshot.name,
        "version": snapshot.version,
        "content_digest": snapshot.content_digest,
        "path": str(snapshot.path),
    }


def describe_run(
    model_name: str, config: Config, training: TrainingConfig, seed: int, snapshot: Snapshot
) -> dict[str, Any]:
    """Return the content of `config.json`."""
    return {
        "model": model_name,
        "config": asdict(config),
        "training": asdict(training),
        "seed": seed,
        "snapshot": identify(snapshot),
        "dataset": snapshot.manifest.config,
        "provenance": snapshot.manifest.provenance,
        "extractor": snapshot.extractor,
        **({"features": snapshot.features} if snapshot.features else {}),
        **({"fold": asdict(snapshot.fold)} if snapshot.fold else {}),
        "results_version": RESULTS_VERSION,
        **own_code(model_name),
        "code_version": code_version(),
        "torch_version": torch.__version__,
    }


def fold_in(description: dict[str, Any]) -> Fold | None:
    """Return the fold of a `config.json`; None if its run reads the snapshot's splits."""
    return Fold(**description["fold"]) if description.get("fold") else None


def start_run(folder: Path, description: dict[str, Any]) -> None:
    """Make a run folder, and delete what an earlier version left in it."""
    for name in RUN_FILES:
        if name != "config.json":
            with explain_write_errors(folder):
                (folder / name).unlink(missing_ok=True)
    write_json(folder / "config.json", description)


def is_trained(folder: Path, description: dict[str, Any]) -> bool:
    """Return whether the folder holds the weights of the run that the description describes."""
    try:
        is_same = run_digest(read_description(folder)) == run_digest(description)
    except MissingInputError:
        return False
    return is_same and (folder / "model.pt").is_file()


def resume_run(folder: Path, description: dict[str, Any], trainer: Trainer) -> None:
    """Restore a trainer from the folder's checkpoint.

    Raises:
        TrainingError: the checkpoint cannot be read, is of another request, or does not fit the model.
    """
    _restore(trainer.load_state_dict, _load(folder, "checkpoint.pt", description), folder / "checkpoint.pt")


def write_checkpoint(folder: Path, trainer: Trainer) -> None:
    """Write the checkpoint that `resume_run` reads, atomically."""
    _save(folder, "checkpoint.pt", trainer.state_dict())


def write_run(folder: Path, model_name: str, seed: int, trained: TrainedRun, costs: pl.DataFrame) -> None:
    """Write the `training` and `costs` tables and the trained weights, and delete the checkpoint."""
    write_table(training_table(model_name, seed, trained.epochs), Training, folder / "training.parquet")
    write_table(costs, Cost, folder / "costs.parquet")
    _save(folder, "model.pt", trained.model.state_dict())
    (folder / "checkpoint.pt").unlink(missing_ok=True)


def write_evaluation(
    folder: Path,
    split: str,
    evaluation: Evaluation,
    config: EvaluationConfig | None = None,
    seconds: float | None = None,
) -> Path:
    """Write the result tables of a split and, for the test split, their digest and cost.

    Args:
        folder: the run folder.
        split: "validation" or "test".
        evaluation: the tables.
        config: the settings of the evaluation; None if they are not known: no experiment then takes the results.
        seconds: what it took; None if that is not known.

    Returns:
        The path of the averages.
    """
    is_test = split == "test"
    if is_test:
        (folder / "done.json").unlink(missing_ok=True)
    for name, schema in EVALUATION_TABLES.items():
        write_table(getattr(evaluation, name), schema, evaluation_path(folder, split, name))
    if is_test and seconds is not None and (folder / "costs.parquet").is_file():
        costs = read_table(folder / "costs.parquet", Cost).with_columns(evaluate_s=pl.lit(seconds))
        write_table(costs, Cost, folder / "costs.parquet")
    if is_test and config is not None:
        digest = evaluation_digest(read_description(folder), asdict(config))
        write_json(folder / "done.json", {"digest": digest, "evaluation": asdict(config)})
    return evaluation_path(folder, split, "metrics")


def is_evaluated(folder: Path, description: dict[str, Any], config: EvaluationConfig) -> bool:
    """Return whether the folder's test metrics are those of this run and of these settings of evaluation."""
    try:
        done = json.loads((folder / "done.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    expected = evaluation_digest(description, asdict(config))
    return isinstance(done, dict) and done.get("digest") == expected and is_trained(folder, description)


def evaluation_path(folder: Path, split: str, table: str) -> Path:
    """Return the path of a result table of a split."""
    return folder / f"{table if split == 'test' else f'{split}_{table}'}.parquet"


def read_description(folder: Path, name: str = "config.json") -> dict[str, Any]:
    """Return the content of a run's `config.json`, or of a search's `search.json`.

    Raises:
        MissingInputError: the folder has no such file, or the file is not valid.
    """
    kind, command = ("run", "model.train") if name == "config.json" else ("search", "model.tune")
    if not (folder / name).is_file():
        raise MissingInputError(f"{folder}: not a {kind} (no readable {name} there); `python -m {command}` makes one")
    remedy = f"so {folder} is not a {kind} (no readable {name} there); `python -m {command}` makes one"
    description: dict[str, Any] = read_document(_Description, folder / name, remedy, MissingInputError)
    return description


def open_run(
    folder: Path, snapshot_path: Path | None = None, device: str = "cpu", new_frames: pl.DataFrame | None = None
) -> tuple[Run, SnapshotData]:
    """Load a trained model, and the snapshot that it was trained on.

    A model can rank pictures that it has not seen, because their features are its input, and some models can rank
    movies that they have not seen, by their pictures alone.

    Args:
        folder: the run folder.
        snapshot_path: its snapshot; None if it is where it was when the run was trained.
        device: "cpu" or "cuda".
        new_frames: `NewFrame` rows: more frames of the snapshot's movies, or frames of new movies.

    Raises:
        MissingInputError: the folder is not a run, or its training has not finished.
        InvalidSnapshotError: the snapshot's content is not what the run was trained on.
        TrainingError: the weights cannot be read, or do not fit this version's model.
        UsageError: the model has no score for a new movie.
    """
    description = read_description(folder)
    if "recommendations" in description:
        raise UsageError(f"{folder}: holds the results of another tool's recommendations, so there is no model to load")
    if not (folder / "model.pt").is_file():
        raise MissingInputError(f"{folder}: training has not finished; run the command that started it again")
    _config(folder, description)
    expected = description["snapshot"]
    snapshot = open_snapshot(snapshot_path or Path(expected["path"]))
    if snapshot.content_digest != expected["content_digest"]:
        raise InvalidSnapshotError(
            f"{snapshot.path}: its content ({snapshot.content_digest[:12]}) is not what {folder} was trained on "
            f"({expected['content_digest'][:12]}, {expected['name']} v{expected['version']:04d}); use that --snapshot"
        )
    snapshot = snapshot.with_features(description.get("features")).with_fold(fold_in(description))
    tables = read_tables(snapshot)
    if new_frames is not None:
        if snapshot.arm:
            raise UsageError(
                f"{folder}: was trained without its pictures (features {snapshot.features}), so new ones say nothing; "
                "use a run on the pictures themselves"
            )
        tables = with_new_frames(tables, new_frames)
    data = with_features_of(snapshot, data_from_tables(tables, snapshot.label), description["seed"])
    model = load_model(folder, description, data)
    training = read_table(folder / "training.parquet", Training)
    return Run(description["model"], description["seed"], model.to(device), training, device), data


def load_model(folder: Path, description: dict[str, Any], data: SnapshotData) -> Recommender:
    """Return the model of a trained run, on the CPU.

    Raises:
        TrainingError: the weights cannot be read, or do not fit this version's model.
        UsageError: the data have a new movie, and the model has no score for it.
    """
    state = with_new_items(_load(folder, "model.pt", description), description["model"], data)
    model = make_model(description["model"], _config(folder, description), data.training, description["seed"])
    _restore(model.load_state_dict, state, folder / "model.pt")
    return model


def _config(folder: Path, description: dict[str, Any]) -> Config:
    """Return the model's config; a setting that the run's version did not have yet has its default."""
    default = default_config(description["model"])
    try:
        return apply_settings(description["config"], default)[0]
    except UsageError as error:
        raise TrainingError(
            f"{folder / 'config.json'}: {error}; open it with the version that trained it, or train again"
        ) from None


RUN_FILES = (
    "config.json",
    "done.json",
    "checkpoint.pt",
    "model.pt",
    "training.parquet",
    "costs.parquet",
    "recommendations.parquet",
    "new_people.parquet",
    *(evaluation_path(Path(), split, name).name for split in HELD_OUT_SPLITS for name in EVALUATION_TABLES),
)
"""All files that a run folder may hold."""


def _digest_of_training(description: dict[str, Any]) -> torch.Tensor:
    """Return the SHA-256 of what determines the weights, (32,) uint8."""
    return torch.tensor(list(bytes.fromhex(run_digest(description))), dtype=torch.uint8)


def _save(folder: Path, name: str, state: dict[str, Any]) -> None:
    of_training = {_TRAINING: _digest_of_training(read_description(folder))}
    with atomic_path(folder / name) as temporary, temporary.open("wb") as file:
        torch.save({**state, **of_training}, file)


def _load(folder: Path, name: str, description: dict[str, Any]) -> dict[str, Any]:
    """Return the state in a file, if it is of the training that the description describes.

    The file is mapped, not read: a model that keeps its weights there (EASE) needs their memory once, and can refuse
    weights that do not fit before any are read.
    """
    path = folder / name
    try:
        state = dict(torch.load(path, map_location="cpu", weights_only=True, mmap=True))
        found = state.pop(_TRAINING, None)
        is_of_training = found is not None and torch.equal(found, _digest_of_training(description))
    except Exception as error:  # torch.load raises many kinds of errors
        raise TrainingError(f"{path}: cannot be read ({describe_load_error(error)}); {_AGAIN[name]}") from None
    if found is None:
        raise TrainingError(f"{path}: does not say which training wrote it, as older files do not; {_AGAIN[name]}")
    if not is_of_training:
        raise TrainingError(f"{path}: is not of the training that {folder / 'config.json'} describes; {_AGAIN[name]}")
    return state


def _restore(load_state_dict: Callable[[dict[str, Any]], object], state: dict[str, Any], path: Path) -> None:
    """Load a state into a model or a trainer."""
    try:
        load_state_dict(state)
    except (RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        what = " ".join(str(error).split())[:120]
        raise TrainingError(f"{path}: does not fit this version's model ({what}); {_AGAIN[path.name]}") from error
