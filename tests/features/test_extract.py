import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from torchvision.models import VGG19_Weights, vgg19

from dataset.build import DatasetConfig, build
from dataset.errors import InvalidTableError, UsageError, WeightsError
from dataset.schema import FrameFeature
from dataset.snapshot import publish
from dataset.tables import read_table
from features.extract import extract
from features.extractor import Extractor
from features.store import FeatureStore


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return Extractor("random:0", "fp32")


@pytest.fixture(scope="module")
def plain_vgg() -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return vgg19(weights=None).eval()


@pytest.fixture
def few_pictures(make_raw: Callable[..., Path], tmp_path: Path) -> tuple[Path, Path]:
    """Return a raw and a dataset folder with 5 frames of 4 distinct pictures, one of them broken."""
    raw = make_raw()
    images = pl.read_parquet(raw / "images.parquet").head(5)
    twin = images["image_sha256"][0]
    images = images.with_columns(
        image_sha256=pl.when(pl.col("frame_id") == images["frame_id"][1]).then(pl.lit(twin)).otherwise("image_sha256")
    )
    images.write_parquet(raw / "images.parquet")
    (raw / images["path"][4]).write_bytes(b"broken")
    return raw, build(raw, tmp_path / "dataset", DatasetConfig()).path


def test_features_are_fc7_after_the_relu_of_torchvisions_vgg19(
    extractor: Extractor, plain_vgg: torch.nn.Module
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    inputs = VGG19_Weights.IMAGENET1K_V1.transforms()(picture)[None]
    seen = {}
    plain_vgg.classifier[4].register_forward_hook(lambda _m, _i, output: seen.update(fc7=output))
    with torch.inference_mode():
        plain_vgg(inputs)
    features = extractor.features(extractor.preprocess(picture)[None])
    assert features.shape == (1, 4096)
    torch.testing.assert_close(features, seen["fc7"], rtol=1e-4, atol=1e-5)
    assert (features >= 0).all()


def test_every_readable_picture_gets_its_feature_and_a_second_run_computes_nothing(
    few_pictures: tuple[Path, Path], extractor: Extractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, dataset = few_pictures
    seen: list[int] = []
    done = extract(raw, dataset, extractor, tmp_path / "store", seen.append)
    assert (done.n_features, done.n_computed, done.n_unreadable) == (4, 3, 1)
    features = read_table(dataset / "frame_features.parquet", FrameFeature)
    first, twin = features["feature"][0].to_numpy(), features["feature"][1].to_numpy()
    assert np.array_equal(first, twin)
    assert pl.read_parquet(dataset / "features_quarantine.parquet")["reason"].to_list() == ["picture cannot be decoded"]
    before = (dataset / "frame_features.parquet").read_bytes()

    def forbidden(_inputs: torch.Tensor) -> torch.Tensor:
        raise AssertionError("a forward pass over known pictures")

    monkeypatch.setattr(extractor, "features", forbidden)
    again = extract(raw, dataset, extractor, tmp_path / "store", seen.append)
    assert (again.n_features, again.n_computed) == (4, 0)
    assert (dataset / "frame_features.parquet").read_bytes() == before


def test_the_weights_that_were_used_are_in_the_manifest(
    few_pictures: tuple[Path, Path], extractor: Extractor, tmp_path: Path
) -> None:
    raw, dataset = few_pictures
    extract(raw, dataset, extractor, tmp_path / "store", lambda _n: None)
    snapshot, _ = publish(dataset, "toy", tmp_path / "snapshots")
    written = json.loads((snapshot.path / "manifest.json").read_text())["extractor"]
    assert (written["weights"], written["is_random"], written["precision"]) == ("random:0", True, "fp32")
    assert "random weights: they carry no knowledge" in (snapshot.path / "README.md").read_text()
    assert snapshot.read("frame_features").height == 4


def test_bf16_features_are_close_to_fp32_ones_and_kept_apart(extractor: Extractor) -> None:
    half = Extractor("random:0", "bf16")
    inputs = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    assert half.check_precision(inputs) >= 0.999
    assert half.identity.extractor_id != extractor.identity.extractor_id
    assert half.identity.weights_sha256 == extractor.identity.weights_sha256


def test_a_state_dict_file_gives_the_same_weights(
    extractor: Extractor, plain_vgg: torch.nn.Module, tmp_path: Path
) -> None:
    torch.save(plain_vgg.state_dict(), tmp_path / "vgg19.pth")
    loaded = Extractor(str(tmp_path / "vgg19.pth"), "fp32")
    assert loaded.identity.weights_sha256 == extractor.identity.weights_sha256
    assert loaded.identity.weights == "vgg19.pth"


def test_weights_that_cannot_be_had_are_named_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_a: object, **_k: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", no_network)
    with pytest.raises(WeightsError, match=r"cannot be downloaded .*service not known.*--weights random:0"):
        Extractor("IMAGENET1K_V1", "fp32")
    with pytest.raises(WeightsError, match="is no file"):
        Extractor("nowhere.pth", "fp32")
    (tmp_path / "bad.pth").write_bytes(b"x")
    with pytest.raises(WeightsError, match="not a state dict"):
        Extractor(str(tmp_path / "bad.pth"), "fp32")
    with pytest.raises(UsageError, match="whole number"):
        Extractor("random:x", "fp32")


def test_a_feature_that_is_not_finite_is_never_stored(extractor: Extractor, tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, extractor.identity)
    with pytest.raises(InvalidTableError, match="picture b is not finite"):
        store.add(["a", "b"], np.array([[1.0, 2.0], [np.inf, 0.0]], np.float16))
    assert store.known() == set()


def test_a_dataset_without_pictures_is_refused_in_one_line(make_raw: Callable[..., Path], tmp_path: Path) -> None:
    raw = make_raw()
    pl.read_parquet(raw / "images.parquet").head(0).write_parquet(raw / "images.parquet")
    dataset = build(raw, tmp_path / "dataset", DatasetConfig()).path
    line = [sys.executable, "-m", "features", "extract", "--raw", str(raw), "--dataset", str(dataset)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "no picture of the 24 frames" in done.stderr
    assert done.stderr.count("\n") == 1
