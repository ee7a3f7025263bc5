"""The reference snapshots: the same content on every machine, which tests, tutorials and other projects rely on."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from crawler.__main__ import main
from crawler.worlds import reference
from crawler.worlds.reference import REFERENCES, digest_of, publish_reference
from dataset.errors import InvalidSnapshotError
from dataset.snapshots.snapshot import Snapshot, open_snapshot
from dataset.snapshots.verify import verify

SMALL = "8d532c8d57ef6c315abd9c31f2749a8ec39a01d50558e2d00f4cfcbb8c4af1ac"
OTHER_MACHINE = {"OPENBLAS_CORETYPE": "Nehalem", "ATEN_CPU_CAPABILITY": "default", "POLARS_MAX_THREADS": "1"}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return publish_reference("small", tmp_path_factory.mktemp("reference"))[0]


def test_the_small_reference_has_its_digest(small: Snapshot) -> None:
    assert digest_of(small) == SMALL == REFERENCES["small"].digest
    assert verify(small) == []
    counts = small.manifest.statistics
    assert [counts[f"n_{what}"] for what in ("users", "movies", "interactions", "frames")] == [425, 270, 5409, 869]


def _digest_elsewhere(size: str, folder: Path) -> str:
    """Return the digest that a process with other mathematics and another number of threads gives."""
    line = [sys.executable, "-m", "crawler", "reference", size, "--root", str(folder)]
    environment = {**os.environ, **OTHER_MACHINE}
    subprocess.run(line, env=environment, check=True, timeout=280, capture_output=True)
    return digest_of(open_snapshot(folder))


def test_another_processor_and_another_number_of_threads_give_the_same_digest(tmp_path: Path) -> None:
    assert _digest_elsewhere("small", tmp_path) == SMALL


@pytest.mark.long
@pytest.mark.parametrize("size", ["medium", "large"])
def test_the_larger_references_have_their_digests_everywhere(size: reference.Size, tmp_path: Path) -> None:
    here = publish_reference(size, tmp_path / "here")[0]
    assert digest_of(here) == REFERENCES[size].digest == _digest_elsewhere(size, tmp_path / "there")


def test_a_new_column_or_setting_of_a_snapshot_does_not_change_the_digest(
    small: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Snapshot.read
    monkeypatch.setattr(Snapshot, "read", lambda self, name: read(self, name).with_columns(new=pl.lit(1)))
    assert digest_of(small) == SMALL


def test_a_reference_is_free_to_use_and_says_that_nobody_in_it_exists(small: Snapshot) -> None:
    card = (small.path / "README.md").read_text("utf-8")
    assert small.manifest.licence == "CC0-1.0"
    assert "All users are invented. This dataset describes no real person." in card
    assert "license: cc0-1.0" in card


def test_every_frame_has_a_drawn_feature_without_rounding_errors(small: Snapshot) -> None:
    features, frames = small.read("frame_features"), small.read("frames")
    assert features["frame_id"].to_list() == frames["frame_id"].to_list()
    assert features["feature"].dtype == pl.Array(pl.Float16, reference.WIDTH)
    numbers = features["feature"].to_numpy().astype(np.float64) * 16
    assert np.array_equal(numbers, np.round(numbers))


def test_the_split_is_frozen(small: Snapshot) -> None:
    assert small.manifest.config["split"]["strategy"] == "stable"
    shares = small.read("interactions")["split"].value_counts(normalize=True)
    found = dict(shares.select(pl.col("split").cast(pl.String), "proportion").iter_rows())
    assert found == pytest.approx({"train": 0.7, "validation": 0.1, "test": 0.2}, abs=0.03)
    assert set(small.read("frame_likes")["split"].unique()) == {"validation", "test"}


def test_a_reference_that_is_there_is_not_published_again(small: Snapshot, capsys: pytest.CaptureFixture[str]) -> None:
    main(["reference", "small", "--root", str(small.path.parents[1])])
    said = capsys.readouterr().out
    assert said.startswith(f"Already there: reference-small v0001 in {small.path}, digest {SMALL[:12]}: 425 users,")


def test_another_content_is_not_published_as_the_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(REFERENCES["small"], digest="0" * 64)
    monkeypatch.setitem(reference.REFERENCES, "small", other)
    with pytest.raises(InvalidSnapshotError, match=rf"its digest here is {SMALL}, and should be 0{{64}}"):
        publish_reference("small", tmp_path)
    assert list(tmp_path.iterdir()) == []
