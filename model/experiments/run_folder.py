"""Run folders: the files of a trained model.

    data/runs/<model>-<snapshot>-v<version>[-<feature set>]-<seed>/
        config.json            model, settings, seed and code version; the snapshot's name, version and digest; and
                               from its manifest how it was built, its extractor and the provenance of the crawl
        checkpoint.pt          everything that an epoch changes; --resume continues from it
        training.parquet       one row per epoch
        model.pt               the best weights
        metrics.parquet        test metrics, once evaluated (validation: validation_metrics.parquet)
        user_metrics.parquet   the same per user
        held_out_ranks.parquet the rank of every held-out positive, from which the ranking metrics follow
        slices.parquet         metrics by users' activity, and by movies' popularity and number of frames
        recommendations.parquet  written by `python -m model.recommend`
        costs.parquet          epochs, seconds and memory (runs of an experiment)
        done.json              digest of everything that determines the results (runs of an experiment; written last)

`model.pt` and `checkpoint.pt` hold the digest of the model, settings, seed and data of their training. So no
weights are used with the `config.json` of another training.

Every number in a report can be traced back: metrics → config.json → snapshot digest → crawl.
"""

import hashlib
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
from dataset.snapshots.snapshot import Snapshot, newest_snapshot, open_snapshot
from dataset.tables import read_table, write_table
from dataset.version import code_version
from model.data.loading import SnapshotData, data_from_tables, read_tables
from model.data.tables import with_new_frames
from model.evaluation.results import EVALUATION_TABLES, Evaluation
from model.experiments.settings import apply_settings
from model.models.recommender import Config, Recommender
from model.models.registry import default_config, make_model
from model.schema import Training
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


class _KnownDescription(BaseModel):
    """The keys of a `config.json` or `search.json` that this code reads."""

    model: str
    config: Settings
    training: Settings
    seed: Annotated[int, Field(ge=0, le=LARGEST_SEED)]
    snapshot: _KnownSnapshot
    features: str | None = None
    code_version: str = ""


_Description = Annotated[Settings, holds(_KnownDescription)]
_TRAINING = "training_sha256"
_AGAIN = "train again without --resume"


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
        return "-".join((name, *dict.fromkeys(features)))
    return name if snapshot.feature_set is None else f"{name}-{snapshot.feature_set}"


def run_folder(runs: Path, model_name: str, snapshot: Snapshot, seed: int) -> Path:
    """Return the folder of a run."""
    return runs / f"{model_name}-{data_name(snapshot)}-{seed}"


def describe_run(
    model_name: str, config: Config, training: TrainingConfig, seed: int, snapshot: Snapshot
) -> dict[str, Any]:
    """Return the content of `config.json`."""
    return {
        "model": model_name,
        "config": asdict(config),
        "training": asdict(training),
        "seed": seed,
        "snapshot": {
            "name": snapshot.name,
            "version": snapshot.version,
            "content_digest": snapshot.content_digest,
            "path": str(snapshot.path),
        },
        "dataset": snapshot.manifest.config,
        "provenance": snapshot.manifest.provenance,
        "extractor": snapshot.extractor,
        **({"features": snapshot.feature_set} if snapshot.feature_set else {}),
        "code_version": code_version(),
        "torch_version": torch.__version__,
    }


def start_run(folder: Path, description: dict[str, Any]) -> None:
    """Make a run folder, and delete the results of an earlier run of the same name."""
    for name in ("checkpoint.pt", "model.pt", *_RESULTS):
        with explain_write_errors(folder):
            (folder / name).unlink(missing_ok=True)
    write_json(folder / "config.json", description)


def resume_run(folder: Path, description: dict[str, Any], trainer: Trainer) -> int:
    """Restore a trainer from the folder's checkpoint; return the number of finished epochs.

    Raises:
        MissingInputError: there is no run.
        TrainingError: the run has other settings, is an experiment's finished run (which has no checkpoint), or its
            checkpoint cannot be read or does not fit the model.
    """
    before = read_description(folder)
    for key in ("model", "config", "training", "seed", "features"):
        if before.get(key) != description.get(key):
            raise TrainingError(
                f"{folder}: was started with another {key} ({before.get(key)}); use the same {key}, or omit --resume"
            )
    if before["snapshot"]["content_digest"] != description["snapshot"]["content_digest"]:
        raise TrainingError(f"{folder}: was started on another snapshot; use that snapshot, or omit --resume")
    checkpoint = folder / "checkpoint.pt"
    if checkpoint.is_file():
        _restore(trainer.load_state_dict, _load(folder, "checkpoint.pt", before), checkpoint)
    elif (folder / "model.pt").is_file():
        raise TrainingError(
            f"{folder}: training has finished, so nothing is left to resume; omit --resume to train again"
        )
    return len(trainer.epochs)


def write_checkpoint(folder: Path, trainer: Trainer) -> None:
    """Write the checkpoint that `resume_run` reads, atomically."""
    _save(folder, "checkpoint.pt", trainer.state_dict())


def write_run(folder: Path, model_name: str, seed: int, trained: TrainedRun) -> None:
    """Write the trained weights and the `training` table."""
    write_table(training_table(model_name, seed, trained.epochs), Training, folder / "training.parquet")
    _save(folder, "model.pt", trained.model.state_dict())


def write_evaluation(folder: Path, split: str, evaluation: Evaluation) -> Path:
    """Write the result tables of a split; return the path of the averages."""
    for name, schema in EVALUATION_TABLES.items():
        write_table(getattr(evaluation, name), schema, evaluation_path(folder, split, name))
    return evaluation_path(folder, split, "metrics")


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

    A model can rank pictures that it has not seen, because their features are its input.

    Args:
        folder: the run folder.
        snapshot_path: its snapshot; None if it is where it was when the run was trained.
        device: "cpu" or "cuda".
        new_frames: `NewFrame` rows: more frames of the snapshot's movies.

    Raises:
        MissingInputError: the folder is not a run, or its training has not finished.
        InvalidSnapshotError: the snapshot's content is not what the run was trained on.
        TrainingError: the weights cannot be read, or do not fit this version's model.
    """
    description = read_description(folder)
    if "recommendations" in description:
        raise UsageError(f"{folder}: holds the results of another tool's recommendations, so there is no model to load")
    if not (folder / "model.pt").is_file():
        raise MissingInputError(
            f"{folder}: training has not finished; continue it with `python -m model.train --resume`"
        )
    config, expected = _config(folder, description), description["snapshot"]
    state = _load(folder, "model.pt", description)
    snapshot = open_snapshot(snapshot_path or Path(expected["path"]))
    if snapshot.content_digest != expected["content_digest"]:
        raise InvalidSnapshotError(
            f"{snapshot.path}: its content ({snapshot.content_digest[:12]}) is not what {folder} was trained on "
            f"({expected['content_digest'][:12]}, {expected['name']} v{expected['version']:04d}); use that --snapshot"
        )
    tables = read_tables(snapshot.with_features(description.get("features")))
    if new_frames is not None:
        tables = with_new_frames(tables, new_frames)
    data = data_from_tables(tables, snapshot.label)
    model = make_model(description["model"], config, data.training, description["seed"])
    _restore(model.load_state_dict, state, folder / "model.pt")
    training = read_table(folder / "training.parquet", Training)
    return Run(description["model"], description["seed"], model.to(device), training, device), data


def _config(folder: Path, description: dict[str, Any]) -> Config:
    """Return the model's config; a setting that the run's version did not have yet has its default."""
    default = default_config(description["model"])
    try:
        return apply_settings(description["config"], default)[0]
    except UsageError as error:
        raise TrainingError(
            f"{folder / 'config.json'}: {error}; open it with the version that trained it, or train again"
        ) from None


_RESULTS = (
    "training.parquet",
    "costs.parquet",
    "done.json",
    "recommendations.parquet",
    *(evaluation_path(Path(), split, name).name for split in HELD_OUT_SPLITS for name in EVALUATION_TABLES),
)


def _digest_of_training(description: dict[str, Any]) -> torch.Tensor:
    """Return the SHA-256 of what determines the weights, (32,) uint8."""
    keys = ("model", "config", "training", "seed", "features")
    content: dict[str, Any] = {key: description[key] for key in keys if key in description}
    content["snapshot"] = description["snapshot"]["content_digest"]
    return torch.tensor(list(hashlib.sha256(json.dumps(content, sort_keys=True).encode()).digest()), dtype=torch.uint8)


def _save(folder: Path, name: str, state: dict[str, Any]) -> None:
    of_training = {_TRAINING: _digest_of_training(read_description(folder))}
    with atomic_path(folder / name) as temporary, temporary.open("wb") as file:
        torch.save({**state, **of_training}, file)


def _load(folder: Path, name: str, description: dict[str, Any]) -> dict[str, Any]:
    """Return the state in a file, if it is of the training that the description describes."""
    path = folder / name
    try:
        state = dict(torch.load(path, map_location="cpu", weights_only=True))
        found = state.pop(_TRAINING, None)
        is_of_training = found is not None and torch.equal(found, _digest_of_training(description))
    except Exception as error:  # torch.load raises many kinds of errors
        raise TrainingError(f"{path}: cannot be read ({describe_load_error(error)}); {_AGAIN}") from None
    if found is None:
        raise TrainingError(f"{path}: does not say which training wrote it, as older files do not; {_AGAIN}")
    if not is_of_training:
        raise TrainingError(f"{path}: is not of the training that {folder / 'config.json'} describes; {_AGAIN}")
    return state


def _restore(load_state_dict: Callable[[dict[str, Any]], object], state: dict[str, Any], path: Path) -> None:
    """Load a state into a model or a trainer."""
    try:
        load_state_dict(state)
    except (RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        what = " ".join(str(error).split())[:120]
        raise TrainingError(f"{path}: does not fit this version's model ({what}); {_AGAIN}") from error
