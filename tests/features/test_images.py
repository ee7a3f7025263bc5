import hashlib
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
import skimage
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.models import ConvNeXt_Base_Weights, EfficientNet_B3_Weights, VGG19_Weights
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize
from torchvision.transforms.functional import normalize, pil_to_tensor

from dataset.pictures.operations import crop, cut
from dataset.pictures.protocol import Geometry

PHOTOGRAPHS = sorted(
    path
    for path in (Path(skimage.__file__).parent / "data").iterdir()
    if path.name in {"astronaut.png", "chelsea.png", "coffee.png", "hubble_deep_field.jpg", "retina.jpg", "rocket.jpg"}
)


@pytest.mark.parametrize("weights", [VGG19_Weights, ConvNeXt_Base_Weights, EfficientNet_B3_Weights])
@settings(max_examples=12, deadline=None)
@given(st.integers(1, 500), st.integers(1, 500), st.integers(0, 2**32 - 1))
def test_a_cut_picture_is_what_torchvisions_preset_makes_of_it(weights, width: int, height: int, seed: int) -> None:
    transforms = weights.IMAGENET1K_V1.transforms()
    geometry = Geometry(transforms.resize_size[0], transforms.crop_size[0], transforms.interpolation.value)
    width, height = max(width, height // 30 + 1), max(height, width // 30 + 1)
    picture = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))
    ours = normalize(pil_to_tensor(cut(picture, geometry)).float().div(255), transforms.mean, transforms.std)
    torch.testing.assert_close(ours, transforms(picture), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("resize_px", "crop_px"), [(256, 224), (97, 96), (64, 64), (90, 97), (55, 64)])
@pytest.mark.parametrize("is_squashed", [False, True])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos", "nearest", "box", "hamming"])
@settings(max_examples=4, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 2**32 - 1))
def test_a_picture_may_be_squashed_and_cut_smaller_or_larger(
    resize_px: int, crop_px: int, is_squashed: bool, interpolation: str, width: int, height: int, seed: int
) -> None:
    width, height = max(width, height // 30 + 1), max(height, width // 30 + 1)
    picture = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))
    size = (resize_px, resize_px) if is_squashed else resize_px
    plain = Compose([Resize(size, InterpolationMode(interpolation)), CenterCrop(crop_px)])
    ours = cut(picture, Geometry(resize_px, crop_px, interpolation, is_squashed))
    assert np.array_equal(np.array(ours), np.array(plain(picture)))


def test_photographs_are_at_hand() -> None:
    assert len(PHOTOGRAPHS) == 6


@pytest.mark.parametrize("side_px", [256, 128, 64])  # so that all the fractions of fast decoding occur
@pytest.mark.parametrize("path", PHOTOGRAPHS, ids=lambda path: path.stem)
def test_fast_decoding_of_a_photograph_shows_the_same_picture(path: Path, side_px: int, tmp_path: Path) -> None:
    if path.suffix == ".png":
        with Image.open(path) as picture:
            picture.convert("RGB").save(tmp_path / "p.jpg", quality=90)
        path = tmp_path / "p.jpg"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    geometry = Geometry(side_px, side_px * 7 // 8, "bilinear")
    fast, full = (
        np.frombuffer(crop(path, digest, astuple(geometry), way), np.uint8).astype(float) for way in (True, False)
    )
    with Image.open(path) as picture:
        short = min(picture.size)
    error = np.square(fast - full).mean()
    assert error <= 255**2 / 10**3.5, "less than 35 dB"
    assert (error > 0) == (short >= 2 * 1.4 * side_px)
    cosine = (fast - fast.mean()) @ (full - full.mean()) / np.linalg.norm(fast - fast.mean())
    assert cosine / np.linalg.norm(full - full.mean()) >= 0.995
