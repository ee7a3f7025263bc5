from pathlib import Path

import numpy as np
from PIL import Image

from dataset.files import sha256_of_file
from dataset.pictures.pool import PicturePool
from dataset.pictures.protocol import Geometry
from features.decoding import CropReader

GEOMETRY = Geometry(64, 56, "bilinear")


def test_crops_come_in_order_whatever_the_number_of_processes(tmp_path: Path) -> None:
    for number in range(30):
        Image.new("RGB", (80, 70), (number, 2 * number, 3 * number)).save(tmp_path / f"{number}.png")
    asked = [(sha256_of_file(tmp_path / f"{number}.png"), f"{number}.png") for number in range(30)]
    with PicturePool(3) as pool:
        decoded = list(CropReader(pool, tmp_path, GEOMETRY).decode(asked, fast=True, ahead=7))
    assert [picture.image_sha256 for picture in decoded] == [name for name, _ in asked]
    for number, picture in enumerate(decoded):
        assert picture.crop is not None
        assert picture.crop.shape == (56, 56, 3)
        assert np.unique(picture.crop.reshape(-1, 3), axis=0).tolist() == [[number, 2 * number, 3 * number]]


def test_a_file_that_is_not_the_one_in_the_table_is_named(tmp_path: Path) -> None:
    Image.new("RGB", (80, 70)).save(tmp_path / "a.png")
    with PicturePool() as pool:
        reader = CropReader(pool, tmp_path, GEOMETRY)
        changed, missing = reader.decode([("0" * 64, "a.png"), ("0" * 64, "none.png")], fast=True, ahead=1)
    assert "has changed" in changed.reason
    assert missing.reason == "the file is missing"
