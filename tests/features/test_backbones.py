"""The door to the networks of all libraries, and those of torchvision behind it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from backbone_files import picture
from torchvision.models import resnet18
from torchvision.models.feature_extraction import create_feature_extractor

from dataset.errors import MissingExtraError, UsageError, WeightsError
from dataset.pictures.operations import cut
from dataset.snapshots.feature_words import describe_extractor
from features.backbones.opening import open_backbone
from features.config import ExtractorConfig, ExtractorIdentity
from features.extractor import Extractor

VGG19 = ExtractorIdentity(
    architecture="vgg19",
    node="fc7",
    weights="IMAGENET1K_V1",
    weights_sha256="0" * 64,
    is_random=False,
    preprocessing=(
        "fast decoding, resize 256 (bilinear, antialiased), centre crop 224, "
        "less [0.485, 0.456, 0.406], divided by [0.229, 0.224, 0.225]"
    ),
    precision="fp32",
)


@pytest.mark.parametrize("name", ["vgg19", "torchvision:vgg19", "torchvision:vgg19:fc7"])
def test_the_default_extractor_is_who_it_always_was(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("features.backbones.backbone.Backbone.sha256", lambda *_: "0" * 64)
    identity = Extractor(ExtractorConfig(name, precision="fp32"), "cpu").identity
    assert identity == VGG19
    assert identity.extractor_id == "6e2b19940839e4cf"


@pytest.mark.parametrize(
    ("weights", "label"),
    [("auto", "IMAGENET1K_V1"), ("IMAGENET1K_V1", "IMAGENET1K_V1"), ("IMAGENET1K_V2", "IMAGENET1K_V2")],
)
def test_weights_of_a_library_are_known_by_their_name(weights: str, label: str) -> None:
    assert open_backbone("resnet50", weights).weights.label == label


def test_a_network_whose_weights_have_other_names_takes_the_first() -> None:
    assert open_backbone("torchvision:vit_h_14", "auto").weights.label == "IMAGENET1K_SWAG_E2E_V1"


@pytest.mark.parametrize("node", ["layer2", "layer3.1.bn2", "avgpool", "flatten", "fc"])
def test_any_node_of_a_classifier_is_a_feature(node: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        plain = resnet18(weights=None).eval()
    extractor = Extractor(ExtractorConfig(f"torchvision:resnet18:{node}", "random:0", "fp32"), "cpu")
    crops = np.array(cut(picture(300, 260), extractor.geometry))[None]
    inputs = (torch.from_numpy(crops).permute(0, 3, 1, 2) / 255 - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / (
        torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    )
    with torch.inference_mode():
        expected = create_feature_extractor(plain, {node: "out"})(inputs)["out"].flatten(1)
    torch.testing.assert_close(torch.from_numpy(extractor.features(crops)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnet5", r"torchvision has no classifier 'resnet5'; similar names are resnet50"),
        ("torchvision:vgg-19", r"similar names are vgg19"),
        ("openclip:ViT-B-32/openai", r"has no classifier 'openclip'.*open_clip:<name>/<pretrained>"),
        ("vit_small_patch14_dinov2", r"for other libraries write timm:<name>"),
        ("", r"torchvision has no classifier ''"),
        ("torchvision:resnet18:layer7", r"resnet18 has no node 'layer7'; similar nodes are"),
    ],
)
def test_a_name_that_no_library_has_is_told_with_similar_ones(name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as told:
        open_backbone(name, "random:0")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(("name", "library"), [("timm:resnet10t", "timm"), ("open_clip:ViT-B-32/openai", "open_clip")])
def test_a_library_that_is_not_installed_is_named_with_its_extra(
    name: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataset.extras.find_spec", lambda _name: None)
    with pytest.raises(MissingExtraError, match=rf"extractor '{name}' needs {library}: .*\[{library}\]"):
        open_backbone(name, "random:0")


def test_safetensors_that_are_not_installed_are_named_with_their_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.safetensors").write_bytes(b"")
    monkeypatch.setattr("dataset.extras.find_spec", lambda _name: None)
    with pytest.raises(MissingExtraError, match=r"mine.safetensors: .* needs safetensors: .*\[timm\]"):
        open_backbone("resnet18", str(tmp_path / "mine.safetensors")).load()


def test_a_file_of_safetensors_gives_the_same_extractor_as_one_of_torch(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    state = open_backbone("resnet18", "random:3").load().state_dict()
    torch.save(state, tmp_path / "mine.pth")
    safetensors.save_file(state, tmp_path / "mine.safetensors")
    ids = {
        Extractor(ExtractorConfig("resnet18", source, "fp32"), "cpu").identity.extractor_id
        for source in ("random:3", str(tmp_path / "mine.pth"), str(tmp_path / "mine.safetensors"))
    }
    assert len(ids) == 1


def test_a_file_of_half_precision_numbers_is_computed_in_full_precision(tmp_path: Path) -> None:
    state = open_backbone("resnet18", "random:3").load().half().state_dict()
    torch.save(state, tmp_path / "half.pth")
    extractor = Extractor(ExtractorConfig("resnet18", str(tmp_path / "half.pth"), "fp32"), "cpu")
    assert np.isfinite(extractor.features(np.array(picture(224, 224))[None])).all()


@pytest.mark.parametrize("name", ["bad.pth", "bad.safetensors", "bad.bin"])
def test_a_file_that_holds_no_weights_is_told_in_one_line(name: str, tmp_path: Path) -> None:
    if name.endswith("safetensors"):
        pytest.importorskip("safetensors")
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(WeightsError, match=rf"{name}: not a state dict of torchvision's resnet18") as told:
        open_backbone("resnet18", str(tmp_path / name)).load()
    assert "\n" not in str(told.value)


def test_other_preprocessing_is_another_extractor() -> None:
    squashed = replace(VGG19, preprocessing=VGG19.preprocessing.replace("256", "256 x 256"))
    assert squashed.extractor_id != VGG19.extractor_id


def test_a_library_is_named_where_features_are_described() -> None:
    described = {**vars(VGG19), "architecture": "timm:resnet10t", "node": "pre_logits", "weights": "c3_in1k"}
    assert describe_extractor(described) == "timm:resnet10t pre_logits features (weights c3_in1k)"
