"""The Python interface for users: every function and class that is meant to be imported by other code.

    from douban_keyframes import open_snapshot

This package only re-exports, and imports a name when it is first used: reading a snapshot loads no PyTorch.
If a folder of yours, such as `model/` or `dataset/`, hides one of our packages, importing this package fails
with one line that names the folder.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataset.building.build import DatasetConfig as DatasetConfig
    from dataset.building.build import build as build
    from dataset.errors import PipelineError as PipelineError
    from dataset.formats.importing import import_ratings as import_ratings
    from dataset.formats.ratings import RatingsFormat as RatingsFormat
    from dataset.snapshots.publish import publish as publish
    from dataset.snapshots.snapshot import Snapshot as Snapshot
    from dataset.snapshots.snapshot import list_snapshots as list_snapshots
    from dataset.snapshots.snapshot import newest_snapshot as newest_snapshot
    from dataset.snapshots.snapshot import open_snapshot as open_snapshot
    from model.api import MODEL_NAMES as MODEL_NAMES
    from model.api import Epoch as Epoch
    from model.api import Evaluation as Evaluation
    from model.api import EvaluationConfig as EvaluationConfig
    from model.api import Run as Run
    from model.api import SnapshotData as SnapshotData
    from model.api import compare as compare
    from model.api import evaluate as evaluate
    from model.api import load as load
    from model.api import open_run as open_run
    from model.api import recommend as recommend
    from model.api import train as train
    from model.training.config import TrainingConfig as TrainingConfig

_MODULES = {
    "dataset.building.build": ["DatasetConfig", "build"],
    "dataset.errors": ["PipelineError"],
    "dataset.formats.importing": ["import_ratings"],
    "dataset.formats.ratings": ["RatingsFormat"],
    "dataset.snapshots.publish": ["publish"],
    "dataset.snapshots.snapshot": ["Snapshot", "list_snapshots", "newest_snapshot", "open_snapshot"],
    "model.api": [
        "MODEL_NAMES",
        "Epoch",
        "Evaluation",
        "EvaluationConfig",
        "Run",
        "SnapshotData",
        "compare",
        "evaluate",
        "load",
        "open_run",
        "recommend",
        "train",
    ],
    "model.training.config": ["TrainingConfig"],
}
_ORIGIN = {name: module for module, names in _MODULES.items() for name in names}
__all__ = sorted(_ORIGIN)


def __getattr__(name: str) -> object:
    if name not in _ORIGIN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_ORIGIN[name]), name)


def __dir__() -> list[str]:
    return __all__


def _check() -> None:
    try:
        from dataset.extras import refuse_shadowed_packages
    except ModuleNotFoundError:
        spec = find_spec("dataset")
        where = spec.origin if spec else "nothing"
        raise ImportError(
            f"{where} hides the package 'dataset' of douban-keyframes: rename yours, or run Python in another folder"
        ) from None
    refuse_shadowed_packages()


_check()
