import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from raw_tables import write_pictures

from dataset.building.build import DatasetConfig, build
from dataset.cli import run
from dataset.description import read_proven
from dataset.feature_schema import FrameFeature
from dataset.files import sha256_of_file
from dataset.snapshots.publish import publish
from dataset.tables import read_table
from features.__main__ import app
from features.config import ExtractOptions, ExtractorConfig
from features.extract import compute, extract, finish, plan
from features.extractor import Extractor
from features.store import FeatureStore

TINY = ExtractorConfig("mobilenet_v3_small", "random:0", "fp32")
OPTIONS = ExtractOptions(batch_size=4, n_decoders=1)


@pytest.fixture
def extractor() -> Extractor:
    return Extractor(TINY, "cpu")


@pytest.fixture
def few_pictures(make_raw: Callable[..., Path], tmp_path: Path) -> tuple[Path, Path]:
    """Return a raw and a dataset folder with 5 frames of 4 distinct pictures, one of them broken."""
    raw = make_raw()
    images = pl.read_parquet(raw / "images.parquet").head(5)
    (raw / images["path"][1]).write_bytes((raw / images["path"][0]).read_bytes())
    (raw / images["path"][4]).write_bytes(b"broken")
    digests = [sha256_of_file(raw / path) for path in images["path"]]
    images.with_columns(image_sha256=pl.Series(digests)).write_parquet(raw / "images.parquet")
    return raw, build(raw, tmp_path / "dataset", DatasetConfig()).path


def ignore(_n: int) -> None:
    pass


def test_every_readable_picture_gets_its_feature_and_a_second_run_computes_nothing(
    few_pictures: tuple[Path, Path], extractor: Extractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, dataset = few_pictures
    seen: list[int] = []
    done = extract(raw, dataset, extractor, tmp_path / "store", seen.append, OPTIONS)
    assert (done.n_features, done.n_computed, done.n_unreadable) == (4, 3, 1)
    assert sum(seen) == 4
    features = read_table(dataset / "frame_features.parquet", FrameFeature)
    first, twin = features["feature"][0].to_numpy(), features["feature"][1].to_numpy()
    assert np.array_equal(first, twin)
    quarantine = pl.read_parquet(dataset / "features_quarantine.parquet")
    assert quarantine["reason"].to_list() == ["picture cannot be decoded"]
    assert quarantine["detail"].to_list() == ["not a JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF picture"]
    before = (dataset / "frame_features.parquet").read_bytes()

    monkeypatch.setattr(Extractor, "forward", lambda *_: pytest.fail("a forward pass over known pictures"))
    monkeypatch.setattr(
        "features.backbones.torchvision.TorchvisionBackbone.load", lambda *_: pytest.fail("weights are loaded")
    )
    monkeypatch.setattr("features.extract.PicturePool", lambda *_: pytest.fail("pictures are decoded"))
    again = extract(raw, dataset, extractor, tmp_path / "store", seen.append, OPTIONS)
    assert (again.n_features, again.n_computed, again.n_unreadable) == (4, 0, 1)
    assert (dataset / "frame_features.parquet").read_bytes() == before


def test_features_that_are_up_to_date_are_not_written_again(
    few_pictures: tuple[Path, Path], extractor: Extractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, dataset = few_pictures
    extract(raw, dataset, extractor, tmp_path / "store", ignore, OPTIONS)
    monkeypatch.setattr("features.table.write_groups", lambda *_: pytest.fail("the table is written again"))
    extract(raw, dataset, extractor, tmp_path / "store", ignore, OPTIONS)


def test_an_extraction_can_add_a_named_feature_set(
    few_pictures: tuple[Path, Path], extractor: Extractor, tmp_path: Path
) -> None:
    raw, dataset = few_pictures
    store = FeatureStore(tmp_path / "store", extractor.identity)
    to_do = plan(raw, dataset, store)
    compute(raw, to_do.missing, extractor, store, OPTIONS, ignore)
    finish(raw, dataset, to_do, store)
    done = finish(raw, dataset, plan(raw, dataset, store), store, "tiny")
    assert done.table.read_bytes() == (dataset / "frame_features.parquet").read_bytes()
    assert done.quarantine == dataset / "features_quarantine-tiny.parquet"
    described = read_proven(dataset)
    assert described["feature_sets"]["tiny"] == described["extractor"]


def test_ten_thousand_known_pictures_take_no_forward_pass_and_stay_as_they_are(
    extractor: Extractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{number:064x}" for number in range(10_000)]
    store = FeatureStore(tmp_path / "store", extractor.identity)
    for start in range(0, 10_000, 1000):
        store.add(names[start : start + 1000], np.ones((1000, 4096), np.float16))
    write_pictures(tmp_path / "raw", [(name, "p.jpg") for name in names])
    monkeypatch.setattr(Extractor, "forward", lambda *_: pytest.fail("a forward pass over known pictures"))
    written = []
    for _ in range(2):
        done = extract(tmp_path / "raw", None, extractor, tmp_path / "store", ignore, OPTIONS)
        assert (done.n_features, done.n_computed) == (10_000, 0)
        written.append((done.table.stat().st_ino, done.table.stat().st_mtime_ns))
    assert written[0] == written[1]


def test_only_what_failed_is_tried_again_and_only_if_asked(
    few_pictures: tuple[Path, Path], extractor: Extractor, tmp_path: Path
) -> None:
    raw, dataset = few_pictures
    images = pl.read_parquet(raw / "images.parquet")
    broken, unseen = raw / images["path"][4], raw / images["path"][3]
    content = unseen.read_bytes()
    unseen.unlink()
    done = extract(raw, dataset, extractor, tmp_path / "store", ignore, OPTIONS)
    assert (done.n_computed, done.n_unreadable) == (2, 2)
    unseen.write_bytes(content)
    tried: list[int] = []
    extract(raw, dataset, extractor, tmp_path / "store", tried.append, OPTIONS, retry=True)
    assert sum(tried) == 1, "the missing file was never a failure, and the broken one is tried"
    done = extract(raw, dataset, extractor, tmp_path / "store", tried.append, OPTIONS)
    assert sum(tried) == 2, "the file that has come back"
    assert (done.n_computed, done.n_unreadable) == (1, 1)
    assert broken.read_bytes() == b"broken"


def test_a_torn_shard_is_reported_and_its_pictures_computed_again(
    few_pictures: tuple[Path, Path], extractor: Extractor, tmp_path: Path
) -> None:
    raw, dataset = few_pictures
    extract(raw, dataset, extractor, tmp_path / "store", ignore, OPTIONS)
    before = (dataset / "frame_features.parquet").read_bytes()
    (shard,) = (tmp_path / "store").glob("*/*.parquet")
    shard.write_bytes(shard.read_bytes()[:-100])
    done = extract(raw, dataset, extractor, tmp_path / "store", ignore, OPTIONS)
    assert (done.corrupt, done.n_computed) == ([shard.name], 3)
    assert (dataset / "frame_features.parquet").read_bytes() == before


def test_a_feature_does_not_depend_on_the_pictures_beside_it(
    few_pictures: tuple[Path, Path], extractor: Extractor, tmp_path: Path
) -> None:
    raw, dataset = few_pictures
    extract(raw, dataset, extractor, tmp_path / "all", ignore, OPTIONS)
    images = pl.read_parquet(raw / "images.parquet")
    for n_pictures in (1, 2, 5):
        images.head(n_pictures).write_parquet(raw / "images.parquet")
        extract(raw, None, extractor, tmp_path / "some", ignore, OPTIONS)
    ours, all_pictures = (folder / "frame_features.parquet" for folder in (dataset, raw / "features"))
    assert all_pictures.read_bytes() == ours.read_bytes()


def test_the_weights_that_were_used_are_in_the_manifest(
    few_pictures: tuple[Path, Path], extractor: Extractor, tmp_path: Path
) -> None:
    raw, dataset = few_pictures
    extract(raw, dataset, extractor, tmp_path / "store", ignore, OPTIONS)
    snapshot, _ = publish(dataset, "toy", tmp_path / "snapshots")
    written = json.loads((snapshot.path / "manifest.json").read_text())["extractor"]
    assert (written["weights"], written["is_random"], written["precision"]) == ("random:0", True, "fp32")
    assert (written["architecture"], written["node"]) == ("mobilenet_v3_small", "classifier.1")
    assert written["preprocessing"].startswith("fast decoding, resize 256 (bilinear, antialiased), centre crop 224")
    card = (snapshot.path / "README.md").read_text()
    assert "random weights that were never trained" in card
    assert f"SHA-256 of the weights {written['weights_sha256'][:16]}…; pictures: {written['preprocessing']}" in card
    assert snapshot.read("frame_features").height == 4


def test_a_dataset_without_pictures_is_refused_in_one_line(
    make_raw: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    raw = make_raw()
    pl.read_parquet(raw / "images.parquet").head(0).write_parquet(raw / "images.parquet")
    dataset = build(raw, tmp_path / "dataset", DatasetConfig()).path
    monkeypatch.setattr(sys, "argv", ["features", *command(raw, dataset, tmp_path)[3:]])
    with pytest.raises(SystemExit) as stopped:
        run(app)
    error = capsys.readouterr().err
    assert stopped.value.code == 1
    assert "no picture of the 24 frames" in error
    assert error.count("\n") == 1


@pytest.mark.timeout(900)
def test_killed_at_random_moments_it_ends_with_one_feature_a_picture_and_no_torn_shard(
    make_raw: Callable[..., Path], tmp_path: Path, is_long: bool
) -> None:
    raw = make_raw()
    dataset = build(raw, tmp_path / "dataset", DatasetConfig()).path
    rng = random.Random(0)
    for _ in range(20 if is_long else 1):
        process = subprocess.Popen(
            command(raw, dataset, tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wanted = len(list(tmp_path.glob("store/*/*.parquet"))) + 1
        while process.poll() is None and len(list(tmp_path.glob("store/*/*.parquet"))) < wanted:
            time.sleep(0.01)
        time.sleep(rng.random() / 20)
        process.kill()
        process.wait()
    subprocess.run(command(raw, dataset, tmp_path), check=True, capture_output=True, timeout=120)
    shards = [pl.read_parquet(path) for path in tmp_path.glob("store/*/*.parquet")]
    pictures = pl.concat(shards)["image_sha256"]
    images = pl.read_parquet(raw / "images.parquet")
    frames = pl.read_parquet(dataset / "frames.parquet")
    expected = images.join(frames, on="frame_id", how="semi")
    assert pictures.sort().to_list() == expected["image_sha256"].unique().sort().to_list()
    assert read_table(dataset / "frame_features.parquet", FrameFeature).height == expected.height
    assert list(tmp_path.glob("store/*/*.corrupt")) == []


@pytest.mark.skipif("TEST_PICTURES" not in os.environ, reason="set TEST_PICTURES to a folder of any files")
def test_every_file_of_a_folder_is_a_feature_or_has_a_reason(extractor: Extractor, tmp_path: Path) -> None:
    """For example Tests/images of Pillow's source distribution."""
    source, raw = Path(os.environ["TEST_PICTURES"]).resolve(), tmp_path / "raw"
    files = sorted(path for path in source.rglob("*") if path.is_file())
    write_pictures(raw, [(sha256_of_file(file), str(file)) for file in files])
    started = time.monotonic()
    done = extract(raw, None, extractor, tmp_path / "store", ignore, ExtractOptions(n_decoders=2))
    reasons = pl.read_parquet(raw / "features" / "features_quarantine.parquet")
    print(f"{len(files)} files, {done.n_features} features in {time.monotonic() - started:.0f} s")
    print(reasons["detail"].str.replace_all(r"\d+", "0").value_counts(sort=True).head(15))
    assert done.n_features + reasons.height == len(files)
    assert reasons["detail"].str.len_chars().min() > 0


def command(raw: Path, dataset: Path, folder: Path) -> list[str]:
    """Return the command line of an extraction that writes a shard every two pictures."""
    code = (
        "import sys; import features.extract; features.extract.SHARD_SIZE = 2; "
        "from dataset.cli import run; from features.__main__ import app; run(app)"
    )
    options = (
        f"--extractor mobilenet_v3_small --weights random:0 --precision fp32 --batch-size 2 --store {folder}/store"
    )
    return [
        *(sys.executable, "-c", code, "extract"),
        *("--raw", str(raw), "--dataset", str(dataset)),
        *options.split(),
    ]
