from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
import skimage
import torch
from PIL import Image
from torchvision.models import VGG19_Weights, resnet18, vgg19

from dataset.errors import UsageError, WeightsError
from dataset.files import sha256_of_file
from dataset.pictures.decoding import read_picture
from dataset.pictures.operations import crop, cut
from features.config import ExtractorConfig
from features.extractor import Extractor

TINY = ExtractorConfig("mobilenet_v3_small", "random:0", "fp32")


@pytest.fixture(scope="module")
def vgg() -> Extractor:
    return Extractor(ExtractorConfig(weights="random:0", precision="fp32"), "cpu")


def noise(n: int = 1) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 224, 224, 3), dtype=np.uint8)


def test_features_are_fc7_after_the_relu_of_torchvisions_vgg19(vgg: Extractor) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        plain = vgg19(weights=None).eval()
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8))
    inputs = VGG19_Weights.IMAGENET1K_V1.transforms()(picture)[None]
    seen = {}
    plain.classifier[4].register_forward_hook(lambda _m, _i, output: seen.update(fc7=output))
    with torch.inference_mode():
        plain(inputs)
    features = vgg.features(np.array(cut(picture, vgg.geometry))[None])
    assert features.shape == (1, 4096)
    torch.testing.assert_close(torch.from_numpy(features), seen["fc7"], rtol=1e-4, atol=1e-5)
    assert (features >= 0).all()
    assert (vgg.identity.architecture, vgg.identity.node) == ("vgg19", "fc7")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, int]]:
    """Return JPEGs of real photographs, each with the fraction that fast decoding reads it at: 2 is one half."""
    data, folder = Path(skimage.__file__).parent / "data", tmp_path_factory.mktemp("photographs")
    tiles = []
    for name in ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"):
        with Image.open(data / name) as picture:
            tiles.append(picture.convert("RGB").crop((50, 0, 350, 300)))
    pictures = [(data / "retina.jpg", 2), (data / "hubble_deep_field.jpg", 2)]
    for n_tiles, fraction in ((1, 1), (5, 4), (10, 8)):  # larger ones are put together, as scaling makes them smooth
        whole = Image.new("RGB", (300 * n_tiles, 300 * n_tiles))
        for place in range(n_tiles * n_tiles):
            whole.paste(tiles[place * 7 // 3 % 4], (300 * (place % n_tiles), 300 * (place // n_tiles)))
        whole.save(folder / f"{n_tiles}.jpg", quality=92)
        pictures.append((folder / f"{n_tiles}.jpg", fraction))
    return pictures


@pytest.mark.parametrize("name", ["resnet18", "vgg19"])
def test_features_of_photographs_are_the_same_whatever_fraction_they_are_decoded_at(
    name: str, vgg: Extractor, photographs: list[tuple[Path, int]]
) -> None:
    extractor = vgg if name == "vgg19" else Extractor(ExtractorConfig(name, "random:0", "fp32"), "cpu")
    geometry, sides = extractor.geometry, 2 * (extractor.geometry.crop_px,)
    crops = []
    for path, fraction in photographs:
        assert read_picture(path, min_side_px=359).width == -(-read_picture(path).width // fraction)
        digest = sha256_of_file(path)
        crops.append([np.frombuffer(crop(path, digest, astuple(geometry), fast), np.uint8) for fast in (True, False)])
    features = extractor.features(np.array(crops).reshape(-1, *sides, 3)).reshape(len(crops), 2, -1)
    fast, full = (features / np.linalg.norm(features, axis=2, keepdims=True)).swapaxes(0, 1)
    assert ((fast * full).sum(axis=1) >= 0.999).all()
    assert (full @ full.T - np.eye(len(full))).max() < 0.999, "other photographs are further away than that"


def test_bf16_features_are_close_to_fp32_ones_and_kept_apart() -> None:
    half, single = (Extractor(ExtractorConfig("resnet18", "random:0", p), "cpu") for p in ("bf16", "fp32"))
    assert 0.999 <= half.check(noise(2), half.forward(noise(2)), noise(2)) < 1
    assert half.identity.extractor_id != single.identity.extractor_id
    assert half.identity.weights_sha256 == single.identity.weights_sha256


def test_pictures_that_are_the_plain_ways_anyway_are_not_computed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = Extractor(TINY, "cpu")
    features = extractor.forward(noise(2))
    monkeypatch.setattr(torch.nn.Module, "__call__", lambda *_: pytest.fail("a forward pass"))
    assert extractor.check(noise(2), features, noise(2)) == 1


def test_features_far_from_plain_ones_are_refused_with_the_remedy() -> None:
    extractor = Extractor(TINY, "cpu")
    with pytest.raises(WeightsError, match=r"cosine of only .* run again with --precision fp32 --decoding full"):
        extractor.check(noise(), extractor.forward(noise()), 255 - noise())


@pytest.mark.parametrize(
    ("name", "node", "width"),
    [
        ("resnet18", "flatten", 512),
        ("resnet18:avgpool", "avgpool", 512),
        ("resnet18:layer1", "layer1", 64 * 56 * 56),
        ("mobilenet_v3_small", "classifier.1", 1024),
        ("vit_b_16", "getitem_5", 768),
        ("convnext_tiny", "classifier.1", 768),
    ],
)
def test_other_networks_end_at_their_node_or_before_their_last_linear_layer(name: str, node: str, width: int) -> None:
    other = Extractor(ExtractorConfig(name, "random:0", "fp32"), "cpu")
    assert other.identity.node == node
    assert other.features(noise()).shape == (1, width)


def test_another_network_computes_what_torchvisions_does() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        plain = resnet18(weights=None).eval()
    plain.fc = torch.nn.Identity()
    ours = Extractor(ExtractorConfig("resnet18", "random:3", "fp32"), "cpu")
    inputs = VGG19_Weights.IMAGENET1K_V1.transforms()(Image.fromarray(noise()[0]).resize((256, 256)))[None]
    crop = np.array(cut(Image.fromarray(noise()[0]).resize((256, 256)), ours.geometry))[None]
    with torch.inference_mode():
        torch.testing.assert_close(torch.from_numpy(ours.features(crop)), plain(inputs), rtol=1e-4, atol=1e-5)


def test_what_torchvision_does_not_have_is_named_with_what_it_has() -> None:
    for name, message in (
        ("resnet1", "torchvision has no classifier 'resnet1'"),
        ("resnet18:layer9", r"resnet18 has no node 'layer9'; similar nodes are .*flatten"),
        ("squeezenet1_1", "squeezenet1_1 has no linear layer; name one of"),
    ):
        with pytest.raises(UsageError, match=message):
            Extractor(ExtractorConfig(name, "random:0"))


def test_a_state_dict_file_gives_the_same_weights(tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save(resnet18(weights=None).state_dict(), tmp_path / "mine.pth")
    of_file = Extractor(ExtractorConfig("resnet18", str(tmp_path / "mine.pth"), "fp32"), "cpu")
    of_seed = Extractor(ExtractorConfig("resnet18", "random:0", "fp32"), "cpu")
    assert of_file.identity.weights == "mine.pth"
    assert of_file.identity.extractor_id == of_seed.identity.extractor_id
    assert np.array_equal(of_file.features(noise()), of_seed.features(noise()))


def test_weights_once_hashed_are_not_loaded_to_know_who_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Extractor(TINY, "cpu", tmp_path / "weights.json").identity
    monkeypatch.setattr(
        "features.backbones.torchvision.TorchvisionBackbone.load", lambda _self: pytest.fail("weights are loaded")
    )
    assert Extractor(TINY, "cpu", tmp_path / "weights.json").identity == known


def test_a_file_of_weights_that_was_exchanged_is_hashed_again(tmp_path: Path) -> None:
    file, ids = tmp_path / "mine.pth", []
    for seed in (0, 1):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            torch.save(resnet18(weights=None).state_dict(), file)
        config = ExtractorConfig("resnet18", str(file), "fp32")
        ids.append(Extractor(config, "cpu", tmp_path / "weights.json").identity.extractor_id)
    assert ids[0] != ids[1]


def test_weights_that_cannot_be_had_are_named_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_a: object, **_k: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", no_network)
    with pytest.raises(WeightsError, match=r"cannot be downloaded .*service not known.*--weights random:0"):
        Extractor(ExtractorConfig("resnet18", "IMAGENET1K_V1", "fp32"))
    with pytest.raises(WeightsError, match="is not a file"):
        Extractor(ExtractorConfig(weights="nowhere.pth"))
    (tmp_path / "bad.pth").write_bytes(b"x")
    with pytest.raises(WeightsError, match="not a state dict"):
        Extractor(ExtractorConfig(weights=str(tmp_path / "bad.pth")))
    for seed in ("x", "-1", str(2**63)):
        with pytest.raises(UsageError, match="whole number"):
            Extractor(ExtractorConfig(weights=f"random:{seed}"))
