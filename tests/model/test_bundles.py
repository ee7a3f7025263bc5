"""Results are packed into a bundle, and a bundle with a number that does not follow from its ranks is refused."""

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from dataset.errors import InvalidBundleError, InvalidSnapshotError, MissingInputError, PipelineError, UsageError
from dataset.snapshots.snapshot import open_snapshot
from model import bundle as command
from model import evaluate, experiment, train, verify_results
from model.bundles.contents import TABLES
from model.bundles.reading import open_bundle
from model.bundles.verify import verify_bundle

SMALL = ["--set", "learning_rate=0.02", "--set", "batch_size=32", "--epochs", "2"]


@pytest.fixture(scope="module")
def home(snapshots: Path) -> Path:
    """A folder with a snapshot, evaluated runs of two models, one of them with two seeds, and their bundle."""
    home = snapshots.parent
    place = ["--snapshot", str(snapshots / "toy" / "v0001"), "--runs", str(home / "runs")]
    for options in (["bpr", *SMALL], ["bpr", *SMALL, "--seed", "1"], ["visrank"]):
        train.main(["--model", *options, *place])
    for run in sorted((home / "runs").iterdir()):
        evaluate.main(["--run", str(run)])
    command.main([str(home / "runs" / "bpr-toy-v0001-0"), str(home / "runs" / "bpr-toy-v0001-1"), str(home / "runs" / "visrank"), "--to", str(home / "toy.zip")])
    return home


def test_an_honest_bundle_is_confirmed(home: Path) -> None:
    verify_results.main([str(home / "toy.zip"), "--snapshot", str(home / "snapshots/toy/v0001"), "--runs", str(home / "runs")])
