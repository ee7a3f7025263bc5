"""Decodes pictures ahead of the extractor, as crops of its input size."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dataset.files import path_below
from dataset.pictures.pool import PicturePool
from dataset.pictures.protocol import Geometry, UnreadablePicture

MISSING = "the file is missing"
"""The start of the reason where there is no picture; it may come later."""

Crop = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Decoded:
    """The result for a picture: a crop, (crop_px, crop_px, 3) uint8, or the reason for the failure."""

    image_sha256: str
    path: str
    crop: Crop | None
    reason: str = ""


@dataclass(frozen=True)
class CropReader:
    """Reads pictures as crops.

    Attributes:
        pool: the processes that decode.
        raw: the folder that paths are relative to.
        geometry: how pictures are resized and cropped.
    """

    pool: PicturePool
    raw: Path
    geometry: Geometry

    def decode(self, pictures: Iterable[tuple[str, str]], fast: bool, ahead: int) -> Iterator[Decoded]:
        """Yield the result for each (image_sha256, path), in order, with at most `ahead` pictures in progress."""
        return self.pool.each(lambda picture: self._decode(*picture, fast), pictures, ahead)

    def _decode(self, image_sha256: str, path: str, fast: bool) -> Decoded:
        below = path_below(self.raw, path)
        if below is None:
            return Decoded(image_sha256, path, None, f"{MISSING} from the raw folder: its path leads out of it")
        try:
            content = self.pool.crop(below, image_sha256, self.geometry, fast)
        except UnreadablePicture as reason:
            return Decoded(image_sha256, path, None, str(reason))
        side = self.geometry.crop_px
        return Decoded(image_sha256, path, np.frombuffer(content, np.uint8).reshape(side, side, 3))
