"""A run's hash depends on all that makes the run, and on nothing else."""

import dataclasses
import json
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from model.experiments.runs import naming
from model.experiments.runs.naming import run_digest
from model.models.registry import MODELS
from model.training.config import TrainingConfig


def _described(model: str = "bpr", **changed: Any) -> dict[str, Any]:
    config = dataclasses.asdict(MODELS[model].config)
    training = dataclasses.asdict(TrainingConfig())
    snapshot = {"name": "toy", "version": 1, "content_digest": "a" * 64, "path": "/data/toy/v0001"}
    whole = {"model": model, "config": config, "training": training, "seed": 0, "snapshot": snapshot}
    return whole | {"results_version": naming.RESULTS_VERSION} | changed


def _others(value: Any, kind: Any) -> list[Any]:
    """Return other values that a setting may have."""
    if value is None:
        return [1, 0.5]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1, value * 2 + 1e-9]
    return [one for one in get_args(kind) if one != value] or [f"{value}x"]


EVERY_SETTING = [
    *(("config", model, field.name) for model in MODELS for field in dataclasses.fields(MODELS[model].config)),
    *(("training", "bpr", field.name) for field in dataclasses.fields(TrainingConfig)),
]


@pytest.mark.parametrize(("part", "model", "key"), EVERY_SETTING)
def test_the_hash_depends_on_every_setting_of_every_model(part: str, model: str, key: str) -> None:
    described = _described(model)
    kind = get_type_hints(type(MODELS[model].config) if part == "config" else TrainingConfig)[key]
    for other in _others(described[part][key], kind):
        changed = described | {part: described[part] | {key: other}}
        assert run_digest(changed) != run_digest(described)


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 1},
        {"features": "clip"},
        {"model": "vbpr"},
        {"results_version": 0},
        {"model_code": "0" * 64},
        {"snapshot": {"name": "toy", "version": 1, "content_digest": "b" * 64, "path": "/data/toy/v0001"}},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_the_hash_depends_on_what_else_makes_a_run(changed: dict[str, Any]) -> None:
    assert run_digest(_described() | changed) != run_digest(_described())


def test_the_hash_depends_on_no_machine_and_no_way_of_writing() -> None:
    described = _described()
    turned = {key: described[key] for key in reversed(described)}
    turned["config"] = {key: described["config"][key] for key in reversed(described["config"])}
    elsewhere = described | {"snapshot": described["snapshot"] | {"path": "/elsewhere", "name": "copy", "version": 7}}
    versions = described | {"torch_version": "9", "code_version": "9", "extractor": None, "provenance": {}}
    whole = described | {"config": described["config"] | {"l2": 1}}
    decimal = described | {"config": described["config"] | {"l2": 1.0}}
    zeros = [described | {"config": described["config"] | {"l2": zero}} for zero in (0, 0.0, -0.0)]
    for one, other in ((described, turned), (described, elsewhere), (described, versions), (whole, decimal)):
        assert run_digest(one) == run_digest(other)
    assert len({run_digest(zero) for zero in zeros}) == 1
    read = json.loads(json.dumps(described))
    assert run_digest(read) == run_digest(described)


def test_the_digest_of_older_runs_stays_what_it_was() -> None:
    description = {
        "model": "bpr", "config": {"dim": 64, "l2": 1e-3, "init_std": 0.01}, "training": {"epochs": 300}, "seed": 0,
        "features": "clip", "snapshot": {"content_digest": "a" * 64},
    }  # fmt: skip
    assert run_digest(description) == "08c7eeca129bfd34b702d2c44fe20e3326e0a98ec3bc0a969f44e48164d2ef05"


def test_the_hash_of_a_model_of_ones_own_depends_on_its_code_or_the_version_that_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    found = []
    for number, code in enumerate(
        ("class Mine: pass", "class Mine: pass  # other", "class Mine:\n results_version = 3")
    ):
        (tmp_path / f"mine{number}.py").write_text(code)
        found.append(naming.own_code(f"mine{number}:Mine")["model_code"])
    assert (len(set(found)), found[2], naming.own_code("jifr")) == (3, "3", {})
