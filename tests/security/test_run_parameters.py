"""Whoever starts a run of a deployment chooses its parameters; a run uses only what the operator allowed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import MISSING, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from prefect.context import FlowRunContext

from dataset.errors import UsageError
from flows.parameters.allowed import VARIABLE, Allowed, check_run
from flows.parameters.config import BuildConfig, ExtractFeaturesConfig, PublishConfig, RunExperimentConfig
from flows.parameters.types import Answers
from flows.serve import main as serve
from flows.serving.deployments import DEPLOYMENTS
from flows.serving.settings import Settings, read_settings, read_toml

CONFIGS = {
    "build-dataset": BuildConfig,
    "extract-features": ExtractFeaturesConfig,
    "publish-snapshot": PublishConfig,
    "run-experiment": RunExperimentConfig,
}
FLOWS = {deployment.flow.name: deployment.flow for deployment in DEPLOYMENTS}
NEEDED = {"publish-snapshot": {"dataset": "data/sandbox/dataset", "name": "sandbox"}}
OUTSIDE = ("/etc", "../elsewhere", "data/../..", "data/link/x", "data\0x", "datasets")
REFUSED: dict[str, tuple[object, ...]] = {
    "runner": ("dask", "dask:tcp://192.0.2.1:8786", "dask:tls://127.0.0.1:1", "dask:data"),
    "weights": (
        "/tmp/weights.pth",
        "data/weights.pth",
        "weights.pt",
        "../W",
        "random:0/../x",
        "http://192.0.2.1/w.pth",
    ),
    "root": (
        *OUTSIDE,
        "s3://other/datasets",
        "s3:/bucket/datasets",
        "gs://bucket/datasets",
        "S3://bucket/datasets",
        "file:///etc",
        "http://192.0.2.1/x",
        "s3://bucket/datasets2",
        "s3://bucket/datasets/../x",
        "s3://bucket/datasets/%2e%2e/x",
        "s3://bucket/datasets//x",
        "s3://bucket",
    ),
    "exchange": ("s3://other/x", "s3://bucket/datasets2", "s3://bucket/datasets/../x", "gs://bucket/datasets"),
    "snapshot": (*OUTSIDE, "s3://other/lab", "s3://bucket/datasets/../x", "file:///etc", "http://192.0.2.1/x"),
    "models": (("os:getcwd",), ("jifr", "my_models:Mine"), ("this:x",), (":",), ("jifr:",)),
    "site_urls": ("http://192.0.2.1,http://192.0.2.1,http://192.0.2.1", "http://127.0.0.1:1", "file:///etc,a,b"),
}
# Values of a fixed list, numbers, and names that the config itself checks.
BOUNDED = {
    "source",
    "precision",
    "decoding",
    "dates",
    "split",
    "release",
    "max_users",
    "max_movies",
    "epochs",
    "jobs",
    "via",
    "feature_set",
    "features",
}


@contextmanager
def run_of_a_deployment(deployment_id: str | None = "an id") -> Iterator[None]:
    """Call flows inside this context as Prefect calls them for a run of a deployment."""
    flow_run: Any = SimpleNamespace(deployment_id=deployment_id)
    with FlowRunContext.model_construct(flow_run=flow_run):
        yield


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link").symlink_to("/usr")


def _paths(flow: str) -> set[str]:
    return {one.name for one in fields(CONFIGS[flow]) if one.type in (Path, Path | None, Answers)}


def values() -> Iterator[tuple[str, str, Any]]:
    """Every parameter that leads to a file, a cluster, a site or code, with values that nobody allowed."""
    for flow, config in CONFIGS.items():
        for one in fields(config):
            for value in OUTSIDE if one.name in _paths(flow) else REFUSED.get(one.name, ()):
                yield flow, one.name, value


def test_every_flow_that_is_served_is_tried_here() -> None:
    assert FLOWS.keys() == CONFIGS.keys()
    assert len(list(values())) > 60


@pytest.mark.parametrize(("flow", "name", "value"), list(values()))
def test_a_run_of_a_deployment_uses_nothing_that_is_not_allowed(
    flow: str, name: str, value: Any, tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))
    allowed = Allowed(roots=("s3://bucket/datasets/",)).to_json()
    with (
        run_of_a_deployment(),
        mock.patch.dict(os.environ, {VARIABLE: allowed}),
        pytest.raises(UsageError, match=rf"^{name}=.* may not use this.*--allow") as refused,
    ):
        FLOWS[flow].fn(**NEEDED.get(flow, {}) | {name: Path(value) if name in _paths(flow) else value})
    assert "\n" not in str(refused.value)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda deployment: deployment.label)
def test_the_deployments_own_parameters_are_allowed(deployment: Any) -> None:
    config = CONFIGS[deployment.flow.name]
    given = {"contact": "a@example.org", "movies": ("1",)} if deployment.name == "douban" else {}
    Allowed().check(config(**deployment.parameters | given))


def test_the_command_line_and_python_stay_free() -> None:
    anything = BuildConfig(data=Path("/srv"), runner="dask:tcp://192.0.2.1:8786", weights="/srv/vgg.pth")
    check_run(anything)
    with run_of_a_deployment(None):  # a flow that is called in Python, or by another flow
        check_run(anything)
    with run_of_a_deployment(), pytest.raises(UsageError):
        check_run(anything)


def test_what_the_file_allows_is_allowed_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "allow.toml"
    file.write_text(
        'folders = ["data", "/srv/lab"]\nrunners = ["local", "dask"]\nweights = ["/srv/vgg.pth"]\n'
        'site_urls = ["http://a,http://b,http://c"]\nmodels = ["lab.models:Mine"]\n'
    )
    allowed = read_toml(Allowed, file)
    allowed.check(RunExperimentConfig(models=("jifr", "lab.models:Mine")))
    with pytest.raises(UsageError, match=r"^models="):
        allowed.check(RunExperimentConfig(models=("lab.models:Mine", "lab.models:Other")))
    config = {"data": Path("/srv/lab/x"), "runner": "dask", "weights": "/srv/vgg.pth"}
    allowed.check(BuildConfig(**config, site_urls="http://a/, http://b/,http://c"))
    for name, value in {"data": Path("/srv/lab2"), "runner": "dask:x", "weights": "/srv/vgg.pth.bak"}.items():
        with pytest.raises(UsageError, match=f"^{name}="):
            allowed.check(BuildConfig(**config | {name: value}))
    with run_of_a_deployment(), mock.patch.dict(os.environ, {VARIABLE: allowed.to_json()}):
        check_run(PublishConfig(dataset=Path("/srv/lab/x"), name="x"))
        with pytest.raises(UsageError, match="may not use this"):
            check_run(PublishConfig(dataset=Path("/srv/x"), name="x"))


def test_a_list_that_cannot_be_read_allows_nothing() -> None:
    for text in ("{", '{"folder": ["/"]}', "[]"):
        with (
            run_of_a_deployment(),
            mock.patch.dict(os.environ, {VARIABLE: text}),
            pytest.raises(UsageError, match=f"{VARIABLE} in the environment cannot be read"),
        ):
            FLOWS["build-dataset"].fn()


@pytest.mark.parametrize("text", ["folder = ['data']", "folders = 'data'", "runners = [1]", "x"])
def test_a_wrong_list_is_refused_before_anything_starts(text: str, tmp_path: Path) -> None:
    (tmp_path / "allow.toml").write_text(text)
    with pytest.raises(UsageError, match=r"allow\.toml: ") as refused:
        serve(["--allow", "allow.toml"])
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "data" / "prefect").exists()


def test_what_the_operators_own_file_uses_is_allowed() -> None:
    lab = BuildConfig(data=Path("/srv/lab"), runner="dask:tcp://cluster:8786", weights="/srv/vgg.pth")
    allowed = Allowed().with_values_of([lab])
    allowed.check(lab)
    allowed.check(BuildConfig())
    with pytest.raises(UsageError):
        allowed.check(BuildConfig(runner="dask:tcp://other:8786"))


def test_every_parameter_is_a_bounded_value_or_is_checked() -> None:
    free_text = {"name", "contact", "movies", "users", "extractor", "licence", "publisher", "description"}
    for config in CONFIGS.values():
        for one in fields(config):
            if isinstance(one.default, str) or one.default in (None, MISSING) or one.type is Path:
                kind = getattr(one.type, "__origin__", one.type)  # without annotations
                checked = kind in (Path, Path | None) or one.name in REFUSED
                bounded = one.name in BOUNDED
                assert checked or bounded or one.name in free_text, f"{config.__name__}.{one.name}"


def test_user_ids_are_not_the_defaults_of_a_deployment(tmp_path: Path) -> None:
    file = tmp_path / "lab.toml"
    file.write_text('source = "douban"\nname = "lab"\ncontact = "a@example.org"\nusers = ["123456789"]\n')
    with pytest.raises(UsageError, match=r"lab\.toml: users: .*users_file") as refused:
        read_settings(file)
    assert "123456789" not in str(refused.value)


@pytest.mark.parametrize(
    "root", ["s3://bucket/datasets", "s3://bucket/datasets/", "s3://bucket/datasets/lab.v1/a b", "data/snapshots", None]
)
def test_a_run_publishes_where_the_operator_allowed_it(root: str | None) -> None:
    allowed = Allowed().with_values_of([Settings(root="s3://bucket/datasets")])
    allowed.check(BuildConfig(root=root))
    allowed.check(PublishConfig(dataset=Path("data/x"), name="x", root=root or "data"))


def test_a_folder_of_the_settings_is_allowed_as_a_root() -> None:
    allowed = Allowed().with_values_of([Settings(root="/srv/snapshots")])
    allowed.check(BuildConfig(root="/srv/snapshots/x"))
    with pytest.raises(UsageError, match=r"^root="):
        allowed.check(BuildConfig(root="/srv"))
