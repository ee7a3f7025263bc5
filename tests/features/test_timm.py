"""Backbones of timm: their features and pictures are those that timm's own code computes."""

import json
import re
import socket
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from backbone_files import RunsCode, hub_at, hub_folder, names_in_the_readme, picture, serving, without_internet

from dataset.building.build import DatasetConfig, build
from dataset.errors import UsageError, WeightsError
from dataset.pictures.operations import cut
from dataset.snapshots.publish import publish
from features.backbones.opening import open_backbone
from features.config import ExtractOptions, ExtractorConfig
from features.extract import extract
from features.extractor import Extractor

timm = pytest.importorskip("timm")
safetensors = pytest.importorskip("safetensors.torch")

SMALL = ("test_vit.r160_in1k", "test_resnet.r160_in1k", "resnet10t.c3_in1k")


def seeded_network(name: str, **options: Any) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return timm.create_model(name, **options).eval()


def transform_of(name: str) -> Any:
    config = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    return timm.data.create_transform(**config, is_training=False)


def extractor_of(name: str, weights: str = "random:0") -> Extractor:
    return Extractor(ExtractorConfig(f"timm:{name}", weights, "fp32"), "cpu")


@pytest.mark.parametrize("name", SMALL)
def test_features_are_what_timm_gives_to_its_classifier(name: str) -> None:
    plain, extractor = seeded_network(name), extractor_of(name)
    with torch.inference_mode():
        inputs = transform_of(name)(picture(300, 220))[None]
        expected = plain.forward_head(plain.forward_features(inputs), pre_logits=True)
    features = extractor.features(np.array(cut(picture(300, 220), extractor.geometry))[None])
    assert features.shape == (1, plain.num_features)
    torch.testing.assert_close(torch.from_numpy(features), expected, rtol=1e-4, atol=1e-5)
    assert (extractor.identity.architecture, extractor.identity.node) == (f"timm:{name.split('.')[0]}", "pre_logits")


@pytest.mark.parametrize("size", [(640, 480), (480, 641), (97, 1000), (224, 224), (30, 20)], ids=str)
@pytest.mark.parametrize(
    "name",
    [
        "resnet10t.c3_in1k",  # bicubic, 95 %
        "vit_small_patch14_dinov2.lvd142m",  # bicubic, the whole width
        "vit_base_patch16_siglip_224.webli",  # squashed
        "vit_base_patch16_clip_224.openai",
        "inception_v3.tv_in1k",
        "convnext_tiny.in12k_ft_in1k_384",  # squashed at 384
        "eva02_base_patch14_448.mim_in22k_ft_in1k",
        "tf_efficientnet_b7.ns_jft_in1k",
        "resmlp_12_224.fb_in1k",
        "volo_d4_448.sail_in1k",  # a crop that is larger than the picture: with a black border
    ],
)
def test_a_crop_is_what_timms_transform_makes_of_the_picture(name: str, size: tuple[int, int]) -> None:
    preprocessing = open_backbone(f"timm:{name}", "random:0").preprocessing
    crop = torch.from_numpy(np.array(cut(picture(*size), preprocessing.geometry))).permute(2, 0, 1)
    mean, std = (torch.tensor(list(values)).view(3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    torch.testing.assert_close((crop / 255 - mean) / std, transform_of(name)(picture(*size)), rtol=0, atol=1e-5)


def test_nearly_every_network_of_timm_has_a_preprocessing_and_the_others_are_refused_in_one_line(is_long: bool) -> None:
    names = timm.list_models(include_tags=True)
    not_square = [name for name in names if name.startswith("vit_base_patch16_sapiens2")]  # not in older versions
    names = names[:: 1 if is_long else 40]
    refused = []
    for name in [*names, *not_square]:
        try:
            open_backbone(f"timm:{name}", "random:0")
        except UsageError as error:
            refused.append(str(error))
    assert len(not_square) <= len(refused) <= len(not_square) + len(names) / 100
    for told in refused:
        assert re.search(r"only square RGB pictures with the crop modes center and squash are possible$", told)
        assert "\n" not in told


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("options", [{}, {"num_classes": 7}, {"num_classes": 0}], ids=str)
def test_a_file_of_weights_gives_the_same_extractor_with_any_classifier(
    suffix: str, options: dict[str, int], tmp_path: Path
) -> None:
    state = seeded_network("resnet10t").state_dict()
    tuned = timm.create_model("resnet10t", **options)
    tuned.load_state_dict({k: v for k, v in state.items() if not k.startswith("fc.")}, strict=False)
    file = tmp_path / f"mine.{suffix}"
    (safetensors.save_file if suffix == "safetensors" else torch.save)(tuned.state_dict(), file)
    identity = extractor_of("resnet10t", str(file)).identity
    assert (identity.weights, identity.is_random) == (file.name, False)
    assert identity.extractor_id == extractor_of("resnet10t").identity.extractor_id


@pytest.mark.parametrize("name", ["bad.pth", "bad.safetensors", "other.pth"])
def test_a_file_that_does_not_fit_is_told_in_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "bad.pth").write_bytes(b"x")
    (tmp_path / "bad.safetensors").write_bytes(b"x")
    torch.save(seeded_network("test_vit").state_dict(), tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=rf"{name}: not a state dict of timm's resnet10t") as told:
        extractor_of("resnet10t", str(tmp_path / name))
    assert "\n" not in str(told.value)


def test_a_file_that_could_run_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weights": RunsCode()}, "code.pth")
    with pytest.raises(WeightsError, match="could run code"):
        extractor_of("resnet10t", "code.pth")
    assert not Path("ran").exists()


def test_weights_in_the_cache_are_read_without_internet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_internet(monkeypatch, tmp_path)
    safetensors.save_file(
        seeded_network("resnet10t").state_dict(), hub_folder(tmp_path, "timm/resnet10t.c3_in1k") / "model.safetensors"
    )
    cached = extractor_of("resnet10t", "auto").identity
    assert (cached.weights, cached.is_random) == ("c3_in1k", False)
    assert cached.extractor_id == extractor_of("resnet10t").identity.extractor_id


def test_weights_in_the_cache_are_not_hashed_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_internet(monkeypatch, tmp_path)
    files = hub_folder(tmp_path, "timm/resnet10t.c3_in1k")
    torch.save(seeded_network("resnet10t").state_dict(), files / "pytorch_model.bin")
    config, memory = ExtractorConfig("timm:resnet10t", precision="fp32"), tmp_path / "weights.json"
    known = Extractor(config, "cpu", memory).identity
    monkeypatch.setattr("features.backbones.timm.TimmBackbone.load", lambda _self: pytest.fail("weights are loaded"))
    assert Extractor(config, "cpu", memory).identity == known


def test_weights_that_are_nowhere_are_told_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_internet(monkeypatch, tmp_path)
    words = (
        r"the weights lvd142m of timm's vit_small_patch14_dinov2.lvd142m are not in the cache .*HF_HUB_OFFLINE is set.*"
        r"hf download timm/vit_small_patch14_dinov2.lvd142m model.safetensors .*--weights <file>.*random:0"
    )
    with pytest.raises(WeightsError, match=words) as told:
        extractor_of("vit_small_patch14_dinov2.lvd142m", "auto")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "error", [OSError("Name or service not known"), RuntimeError("a proxy\nsays no"), ConnectionError("")]
)
def test_a_failed_download_is_one_line(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    without_internet(monkeypatch, tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("features.backbones.hub.get_hf_file_metadata", fail)
    with pytest.raises(WeightsError, match=r"cannot be downloaded from the Hugging Face Hub \(.+\)") as told:
        extractor_of("resnet10t", "auto")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_weights_are_downloaded_once(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / name
    (safetensors.save_file if name.endswith("safetensors") else torch.save)(
        seeded_network("resnet10t").state_dict(), file
    )
    files = {f"/timm/resnet10t.c3_in1k/resolve/main/{name}": file.read_bytes()}
    with serving(files) as address:
        hub_at(address, monkeypatch, tmp_path / "hub")
        downloaded = extractor_of("resnet10t", "auto").identity
    assert downloaded == extractor_of("resnet10t", "auto").identity, "the server is gone, and the cache is used"
    assert downloaded.extractor_id == extractor_of("resnet10t").identity.extractor_id


def test_a_repository_without_weights_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving({}) as address:
        hub_at(address, monkeypatch, tmp_path)
        with pytest.raises(WeightsError, match=r"it has no model.safetensors and no pytorch_model.bin"):
            extractor_of("resnet10t", "auto")


def test_without_a_connection_a_download_fails_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as closed:  # a port where nobody answers
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    hub_at(address, monkeypatch, tmp_path)
    started = time.monotonic()
    with pytest.raises(WeightsError, match=r"Connection refused.*hf download timm/resnet10t"):
        extractor_of("resnet10t", "auto")
    assert time.monotonic() - started < 5
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnet10", r"timm has no network 'resnet10'; similar names are resnet10t"),
        ("dinov2", r"similar names are vit_.*dinov2"),
        ("vit_small_patch14_dinov2.imagenet", r"timm has no such weights; it has vit_small_patch14_dinov2\.lvd142m"),
        ("hf-hub:timm/resnet10t", r"timm has no network 'hf-hub:timm/resnet10t'"),
        ("", "timm has no network ''"),
        ("§§§§", r"none of its [\d,]+ names is similar"),
    ],
)
def test_a_name_that_timm_does_not_have_is_told_with_similar_ones(name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as told:
        open_backbone(f"timm:{name}", "random:0")
    assert "\n" not in str(told.value)


def test_a_network_without_weights_of_its_own_asks_for_a_file() -> None:
    name = next(name for name in timm.list_models() if not timm.is_model_pretrained(name))
    with pytest.raises(WeightsError, match=r"no weights for timm's .* to download; pass their file"):
        open_backbone(f"timm:{name}", "auto")


def test_the_manifest_and_the_card_name_library_network_node_weights_and_preprocessing(
    make_raw: Callable[..., Path], tmp_path: Path
) -> None:
    raw = make_raw()
    dataset = build(raw, tmp_path / "dataset", DatasetConfig()).path
    extractor = extractor_of("test_vit.r160_in1k")
    done = extract(raw, dataset, extractor, tmp_path / "store", lambda _n: None, ExtractOptions(4, 1))
    assert done.n_features == 23
    assert "have their timm:test_vit pre_logits feature" in done.summary(extractor.identity)
    snapshot, _ = publish(dataset, "toy", tmp_path / "snapshots")
    manifest = json.loads((snapshot.path / "manifest.json").read_text())
    assert manifest["extractor"] == asdict(extractor.identity)
    assert snapshot.read("frame_features")["feature"].dtype.shape == (64,)
    card = (snapshot.path / "README.md").read_text()
    assert "timm:test_vit pre_logits features (weights random:0" in card
    assert f"{extractor.identity.weights_sha256[:16]}…" in card
    assert "resize 168 (bicubic, antialiased), centre crop 160" in card


def test_the_networks_of_timm_that_the_readme_names_compute_features() -> None:
    for name in names_in_the_readme("timm"):
        extractor = extractor_of(name)
        side = extractor.geometry.crop_px
        assert np.isfinite(extractor.features(np.array(picture(side, side))[None])).all()


@pytest.mark.parametrize("name", SMALL)
def test_bf16_features_are_close_to_fp32_ones(name: str) -> None:
    half = Extractor(ExtractorConfig(f"timm:{name}", "random:0", "bf16"), "cpu")
    side = half.geometry.crop_px
    crops = np.stack([np.array(picture(side, side, seed)) for seed in (0, 1)])
    assert half.check(crops, half.forward(crops), crops) >= 0.999
