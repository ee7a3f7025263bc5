"""Backbones of OpenCLIP: their features and pictures are those that OpenCLIP's own code computes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from backbone_files import RunsCode, hub_folder, names_in_the_readme, picture, without_internet

from dataset.errors import UsageError, WeightsError
from dataset.pictures.operations import cut
from features.backbones.opening import open_backbone
from features.config import ExtractorConfig
from features.extractor import Extractor

open_clip = pytest.importorskip("open_clip")
safetensors = pytest.importorskip("safetensors.torch")

TINY = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 2, "layers": 1},
}
WEIGHTS = {  # a model's own preprocessing: SigLIP's
    "url": "",
    "hf_hub": "made/tiny/",
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
    "interpolation": "bilinear",
    "resize_mode": "squash",
}


@pytest.fixture(autouse=True)
def tiny_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let OpenCLIP know `tiny`, which has weights in the cache of the Hub, and `tiny-own`, which has none."""
    factory, pretrained = (getattr(open_clip, name) for name in ("factory", "pretrained"))
    monkeypatch.setattr(factory, "_MODEL_CONFIGS", dict(factory._MODEL_CONFIGS))
    monkeypatch.setattr(factory, "_MODEL_CONFIG_PATHS", list(factory._MODEL_CONFIG_PATHS))
    monkeypatch.setitem(pretrained._PRETRAINED, "tiny", {"made_1": WEIGHTS})
    for name in ("tiny", "tiny-own"):
        (tmp_path / f"{name}.json").write_text(json.dumps(TINY))
        open_clip.add_model_config(tmp_path / f"{name}.json")
    without_internet(monkeypatch, tmp_path / "hub")
    files = hub_folder(tmp_path / "hub", "made/tiny")
    safetensors.save_file(plain("tiny").state_dict(), files / "open_clip_model.safetensors")


def plain(name: str, pretrained: str | None = None) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return open_clip.create_model(name, pretrained).eval()


def extractor_of(name: str, weights: str = "auto") -> Extractor:
    return Extractor(ExtractorConfig(f"open_clip:{name}", weights, "fp32"), "cpu")


@pytest.mark.parametrize(
    ("name", "weights", "model", "pretrained"),
    [
        ("tiny/made_1", "auto", "tiny", "made_1"),
        ("tiny/made-1", "auto", "tiny", "made_1"),
        ("tiny-own", "random:0", "tiny-own", None),
    ],
)
def test_features_are_the_embeddings_of_pictures(name: str, weights: str, model: str, pretrained: str | None) -> None:
    network = plain(model, pretrained)
    transform = open_clip.transform.image_transform_v2(
        open_clip.transform.PreprocessCfg(**network.visual.preprocess_cfg), False
    )
    extractor = extractor_of(name, weights)
    with torch.inference_mode():
        expected = network.encode_image(transform(picture())[None])
    features = extractor.features(np.array(cut(picture(), extractor.geometry))[None])
    assert features.shape == (1, 24)
    torch.testing.assert_close(torch.from_numpy(features), expected, rtol=1e-4, atol=1e-5)
    identity = extractor.identity
    assert (identity.architecture, identity.node) == (f"open_clip:{model}", "image_embedding")
    assert (identity.weights, identity.is_random) == (pretrained or "random:0", pretrained is None)


@pytest.mark.parametrize("size", [(640, 480), (97, 1000), (30, 20)], ids=str)
@pytest.mark.parametrize(
    "name",
    [
        "ViT-B-32-quickgelu/openai",
        "ViT-B-32/laion2b_s34b_b79k",
        "ViT-B-16-SigLIP/webli",  # squashed
        "ViT-B-16-SigLIP2-256/webli",
        "MobileCLIP-S1/datacompdr",  # bilinear, neither mean nor standard deviation
        "ViT-L-14-CLIPA/datacomp1b",
        "PE-Core-B-16/meta",
    ],
)
def test_a_crop_is_what_open_clips_transform_makes_of_the_picture(name: str, size: tuple[int, int]) -> None:
    model, tag = name.split("/")
    config = open_clip.get_pretrained_cfg(model, tag)
    image_size = open_clip.get_model_config(model)["vision_cfg"]["image_size"]
    known = {key: config[key] for key in ("mean", "std", "interpolation", "resize_mode")}
    transform = open_clip.transform.image_transform_v2(
        open_clip.transform.PreprocessCfg(size=image_size, **known), False
    )
    preprocessing = open_backbone(f"open_clip:{name}", "random:0").preprocessing
    crop = torch.from_numpy(np.array(cut(picture(*size), preprocessing.geometry))).permute(2, 0, 1)
    mean, std = (torch.tensor(list(values)).view(3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    torch.testing.assert_close((crop / 255 - mean) / std, transform(picture(*size)), rtol=0, atol=1e-5)


def test_every_pretrained_model_has_a_preprocessing() -> None:
    for model, tag in open_clip.list_pretrained():
        assert open_backbone(f"open_clip:{model}/{tag}", "random:0").preprocessing.geometry.crop_px


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("ViT-B-32/openai", "ViT-B-32-quickgelu"),
        ("ViT-B-32-quickgelu/openai", "ViT-B-32-quickgelu"),
        ("ViT-B-32/laion2b_s34b_b79k", "ViT-B-32"),
        ("RN50/openai", "RN50-quickgelu"),
    ],
)
def test_a_model_has_the_activation_that_its_weights_were_trained_with(name: str, model: str) -> None:
    assert open_backbone(f"open_clip:{name}", "random:0").architecture == f"open_clip:{model}"


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_a_file_of_weights_gives_the_same_extractor(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"mine.{suffix}"
    (safetensors.save_file if suffix == "safetensors" else torch.save)(plain("tiny").state_dict(), file)
    identity = extractor_of("tiny/made_1", str(file)).identity
    assert identity.weights == file.name
    assert identity.extractor_id == extractor_of("tiny/made_1").identity.extractor_id


def test_only_the_image_encoder_decides_the_identity(tmp_path: Path) -> None:
    state = plain("tiny").state_dict()
    torch.save({**state, "token_embedding.weight": state["token_embedding.weight"] + 1}, tmp_path / "mine.pt")
    ours = extractor_of("tiny/made_1", str(tmp_path / "mine.pt")).identity
    assert ours.extractor_id == extractor_of("tiny/made_1").identity.extractor_id


@pytest.mark.parametrize("name", ["bad.pt", "bad.safetensors", "other.pt"])
def test_a_file_that_does_not_fit_is_told_in_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "bad.pt").write_bytes(b"x")
    (tmp_path / "bad.safetensors").write_bytes(b"x")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match=rf"{name}: not a state dict of OpenCLIP's tiny") as told:
        extractor_of("tiny/made_1", str(tmp_path / name))
    assert "\n" not in str(told.value)


def test_a_file_that_could_run_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weights": RunsCode()}, "code.pt")
    with pytest.raises(WeightsError, match="could run code"):
        extractor_of("tiny/made_1", "code.pt")
    assert not Path("ran").exists()


def test_weights_that_are_nowhere_are_told_with_the_remedy() -> None:
    words = r"the weights webli of OpenCLIP's ViT-B-16-SigLIP are not in the cache .*HF_HUB_OFFLINE.*hf download timm/"
    with pytest.raises(WeightsError, match=words) as told:
        extractor_of("ViT-B-16-SigLIP/webli")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ViT-B32/openai", r"OpenCLIP has no model 'ViT-B32'; similar names are ViT-B-32"),
        ("siglip", "similar names are ViT-B-16-SigLIP"),
        ("ViT-B-16-SigLIP", r"name the weights.* open_clip:ViT-B-16-SigLIP/webli"),
        ("ViT-B-16-SigLIP/openai", r"name the weights.* open_clip:ViT-B-16-SigLIP/webli"),
        ("tiny-own/openai", r"name the weights.* there are open_clip:tiny-own$"),
        ("", "OpenCLIP has no model ''"),
    ],
)
def test_a_name_that_open_clip_does_not_have_is_told_with_similar_ones(name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as told:
        open_backbone(f"open_clip:{name}", "random:0")
    assert "\n" not in str(told.value)


def test_a_model_without_weights_of_its_own_asks_for_a_file() -> None:
    with pytest.raises(WeightsError, match=r"no weights for OpenCLIP's tiny-own to download; pass their file"):
        open_backbone("open_clip:tiny-own", "auto")


def test_opening_a_model_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    extractor_of("tiny-own", "random:0")
    assert capfd.readouterr() == ("", "")


@pytest.mark.long
def test_the_models_of_open_clip_that_the_readme_names_compute_features() -> None:
    for name in names_in_the_readme("open_clip"):
        extractor = extractor_of(name, "random:0")
        side = extractor.geometry.crop_px
        assert np.isfinite(extractor.features(np.array(picture(side, side))[None])).all()


def test_bf16_features_are_close_to_fp32_ones() -> None:
    half = Extractor(ExtractorConfig("open_clip:tiny/made_1", precision="bf16"), "cpu")
    crops = np.stack([np.array(picture(32, 32, seed)) for seed in (0, 1)])
    assert half.check(crops, half.forward(crops), crops) >= 0.999
