"""`python -m flows`: it lists its commands, and says in one line when Prefect is not installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dataset.errors import UsageError
from flows import demo, extract_features, serve

ROOT = Path(__file__).resolve().parents[2]


def run_without(packages: tuple[str, ...], folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run Python in a process where some packages are not installed."""
    blocked = "\n".join(f"sys.modules[{package!r}] = None" for package in packages)
    (folder / "sitecustomize.py").write_text(f"import sys\n{blocked}\n")
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_the_commands_are_listed(tmp_path: Path) -> None:
    done = run_without((), tmp_path, "-m", "flows")
    assert done.returncode == 0
    for command in ("demo", "serve", "extract-features"):
        assert f" {command} " in done.stdout


@pytest.mark.parametrize("module", ["flows", "flows.serve", "flows.demo", "flows.extract_features"])
def test_a_missing_prefect_is_one_line_that_says_what_to_install(module: str, tmp_path: Path) -> None:
    done = run_without(("prefect",), tmp_path, "-m", module)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "flows needs Prefect; install it with: pip install 'douban-keyframes[flows]'" in line


def test_the_other_packages_need_neither_prefect_nor_scrapy(tmp_path: Path) -> None:
    code = """
import importlib, pkgutil
for package in ("dataset", "features", "model"):
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        importlib.import_module(module.name)
"""
    done = run_without(("prefect", "prefect_dask", "distributed", "scrapy", "twisted"), tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("main", "wrong", "message"),
    [
        (serve.main, ["--image", "x"], "--image requires --pool"),
        (demo.main, ["--port", "70000"], "--port"),
        (extract_features.main, ["--precision", "fp8"], "--precision"),
        (extract_features.main, ["--pictures-a-shard", "0"], "--pictures-a-shard"),
        (extract_features.main, ["--runner", "slurm"], "unknown runner"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_starts(main, wrong, message) -> None:
    with pytest.raises(UsageError, match=message):
        main(wrong)
