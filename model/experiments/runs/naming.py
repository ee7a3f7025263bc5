"""The name of a run: `<model>-<snapshot>-v<version>[-<feature set>][-fold<n>of<k>]-<seed>-<hash>`.

The hash is the start of a SHA-256 of everything that makes the run: the model, each of its settings and of training's,
the seed, the snapshot's content, the feature set, the fold, `RESULTS_VERSION` and, for a model of one's own, its
code. It does not depend on the machine, the device, the number of threads or the place of the snapshot. So the same
request always finds the same folder, and another request never touches it.
"""

import hashlib
import inspect
import json
from importlib import import_module
from pathlib import Path
from typing import Any

from dataset.files import sha256_of_file

RESULTS_VERSION = 2
"""Raise it when the code no longer gives the same results for the same settings: no earlier run is then found."""

_HASH_DIGITS = 8
_MAKES_A_RUN = ("model", "config", "training", "seed", "features", "fold", "results_version", "model_code")


def run_digest(description: dict[str, Any]) -> str:
    """Return the SHA-256 of what determines a run's weights.

    Args:
        description: the content of a `config.json`; one of an older version has no `results_version`.
    """
    content: dict[str, Any] = {key: description[key] for key in _MAKES_A_RUN if key in description}
    content["snapshot"] = description["snapshot"]["content_digest"]
    if "results_version" in content:
        content = _canonical(content)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def own_code(model_name: str) -> dict[str, str]:
    """Return what tells the code of a model of one's own (`package.module:Class`) from an earlier one; {} for ours.

    That is the class's `results_version`, if it has one, and else the SHA-256 of the file that defines it. What
    that file imports is not part of it.
    """
    module, colon, name = model_name.partition(":")
    if not colon:
        return {}
    model_class = getattr(import_module(module), name)
    version = getattr(model_class, "results_version", None)
    if version is not None:
        return {"model_code": str(version)}
    file = inspect.getsourcefile(model_class)
    return {"model_code": sha256_of_file(Path(file))} if file else {}


def evaluation_digest(description: dict[str, Any], evaluation: dict[str, Any]) -> str:
    """Return the SHA-256 of what determines a run's test metrics: its training, and the settings of evaluation."""
    content = [run_digest(description), _canonical(evaluation)]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def run_name(description: dict[str, Any]) -> str:
    """Return the name of a run's folder."""
    snapshot, features, fold = description["snapshot"], description.get("features"), description.get("fold")
    parts = [
        in_paths(description["model"]),  # a model of one's own: package.module:Class
        snapshot["name"],
        f"v{snapshot['version']:04d}",
        *([in_paths(features)] if features else []),
        *([fold_name(fold)] if fold else []),
        str(description["seed"]),
        run_digest(description)[:_HASH_DIGITS],
    ]
    return "-".join(parts)


def fold_name(fold: dict[str, Any]) -> str:
    """Return the name of a fold as a part of a file's name: `fold2of5`."""
    return f"fold{fold['number']}of{fold['k']}"


def in_paths(name: str) -> str:
    """Return the name of a model or of features as a part of a file's name, which should have no colon."""
    return name.replace(":", "-")


def _canonical(value: Any) -> Any:
    """Return a JSON value in which equal numbers are written in the same way: 1 and 1.0, 0.0 and -0.0."""
    if isinstance(value, dict):
        return {str(key): _canonical(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(part) for part in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
