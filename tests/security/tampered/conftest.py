"""A whole small project that tests tamper with, canaries outside of it, and a judge of how commands end."""

import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest
import torch
from PIL import Image

from dataset.building.build import DatasetConfig, build
from dataset.building.split import SplitConfig
from dataset.cli import run
from dataset.description import read_description, write_description
from dataset.feature_schema import FrameFeature
from dataset.snapshots.publish import publish
from dataset.tables import write_table

CANARY = "canary-7f3a91"
WIDTH = 8
JUDGED = {
    "dataset": "dataset.__main__",
    **{name: f"model.{name}" for name in ("evaluate", "recommend", "train", "compare")},
}


class Done(NamedTuple):
    status: int
    out: str
    err: str


class World(NamedTuple):
    """A whole small project: raw tables, a dataset and a snapshot with features, a run, and canaries outside."""

    home: Path

    def signed(self, manifest: dict[str, Any]) -> bytes:
        """Return the bytes of a manifest with its own digest."""
        return signed(manifest)

    @property
    def raw(self) -> Path:
        return self.home / "raw"

    @property
    def dataset(self) -> Path:
        return self.home / "dataset"

    @property
    def snapshot(self) -> Path:
        return self.home / "snapshots" / "toy" / "v0001"

    @property
    def run(self) -> Path:
        (folder,) = (self.home / "runs").glob("bpr-toy-v0001-0-*")
        return folder


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """A function that runs a command in this process; see `_run`."""
    return lambda program, *arguments: _run(capfd, program, *arguments)


def _run(capfd: pytest.CaptureFixture[str], program: str, *arguments: object) -> Done:
    """Run a command. It succeeds, or ends in one line; it prints nothing that a terminal obeys, and no canary."""
    capfd.readouterr()
    before, sys.argv = sys.argv, [program, *map(str, arguments), "--quiet"]
    status = 0
    try:
        run(import_module(JUDGED[program]).app)
    except SystemExit as stopped:
        status = int(stopped.code or 0)
    finally:
        sys.argv = before
    done = Done(status, *capfd.readouterr())
    assert bool(status) == bool(done.err)
    assert done.err.count("\n") == (1 if status else 0), done.err
    assert len(done.err) < 2000
    assert "\x1b" not in done.out + done.err
    assert CANARY not in done.out + done.err
    return done


@pytest.fixture(scope="session")
def original(raw_once: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(tmp_path_factory.mktemp("original") / "home")
    shutil.copytree(raw_once, world.raw)
    build(world.raw, world.dataset, DatasetConfig(split=SplitConfig(validation_share=0.2, test_share=0.4)))
    frames = pl.read_parquet(world.dataset / "frames.parquet").select("frame_id").sort("frame_id")
    vectors = torch.rand(frames.height, WIDTH, generator=torch.Generator().manual_seed(0)).half().tolist()
    features = pl.Series(vectors, dtype=pl.Array(pl.Float16, WIDTH))
    table = frames.with_columns(image_sha256=pl.lit("0" * 64), feature=features)
    write_table(table, FrameFeature, world.dataset / "frame_features.parquet")
    extractor = {"architecture": "made", "node": "none", "weights": "random:0", "is_random": True}
    write_description(world.dataset, read_description(world.dataset) | {"extractor": extractor})
    publish(world.dataset, "toy", world.home / "snapshots")
    outside = world.home.parent / "outside"
    outside.mkdir()
    (outside / "canary").write_text(CANARY)
    (outside / "manifest.json").write_text(json.dumps({"name": CANARY}))
    Image.new("RGB", (64, 48), (1, 2, 3)).save(outside / "canary.png")
    return world


@pytest.fixture
def world(original: World, tmp_path: Path) -> World:
    """A copy of everything."""
    shutil.copytree(original.home.parent, tmp_path / "all")
    return World(tmp_path / "all" / "home")


@pytest.fixture(scope="session")
def trained(original: World) -> World:
    """The same, with a trained run."""
    arguments = ["--model", "bpr", "--set", "dim=4", "--snapshot", str(original.snapshot), "--epochs", "1"]
    before, sys.argv = sys.argv, ["train", *arguments, "--runs", str(original.home / "runs")]
    try:
        run(import_module("model.train").app)
    finally:
        sys.argv = before
    return original


def signed(manifest: dict[str, Any]) -> bytes:
    """Return a manifest's bytes with its own digest."""

    def written(digest: str) -> bytes:
        return (json.dumps(manifest | {"manifest_sha256": digest}, indent=2, ensure_ascii=True) + "\n").encode()

    return written(hashlib.sha256(written("")).hexdigest()) if "manifest_sha256" in manifest else written("")
