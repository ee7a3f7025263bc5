"""Decodes pictures ahead of the extractor, as crops of its input size."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dataset.pictures.pool import PicturePool
from dataset.pictures.protocol import Cropped, Geometry
from dataset.shards.references import PictureFiles, is_reference, size_of

MISSING = "the file is missing"
"""The start of the reason where there is no picture; it may come later."""
_CHUNK_SIZE, _CHUNK_SIZE_OF_JPEGS = 16, 64
"""Pictures that a process works on between two answers: a few milliseconds of work or more."""

_CHUNK_BYTES = 16 << 20
"""Bytes of pictures in shards that a process gets at once; a larger picture is alone."""

Crop = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Decoded:
    """The result for a picture.

    Attributes:
        image_sha256: the SHA-256 of the file.
        path: the file, relative to the raw folder, or the place in a shard (`dataset.shards.references`).
        crop: (crop_px, crop_px, 3) uint8, or None.
        reason: why there is no crop; empty if the picture is still a JPEG.
        jpeg: the file's bytes, if it was left for a GPU to decode.
    """

    image_sha256: str
    path: str
    crop: Crop | None
    reason: str = ""
    jpeg: memoryview | None = None


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

    def decode(self, pictures: Sequence[tuple[str, str]], fast: bool, ahead: int) -> Iterator[Decoded]:
        """Yield the result for each (image_sha256, path), in order; a process works on at most `ahead` pictures."""
        for chunk in self.chunks(pictures, fast, chunk_size=ahead):
            yield from [one if one.crop is None else replace(one, crop=one.crop.copy()) for one in chunk]

    def chunks(
        self, pictures: Sequence[tuple[str, str]], fast: bool, keeps_jpegs: bool = False, chunk_size: int = 0
    ) -> Iterator[list[Decoded]]:
        """Yield the results for a few pictures at a time, in order. They are valid until the next ones are asked for.

        Args:
            pictures: (image_sha256, path); those in shards should be in `reading_order`.
            fast: decode large JPEGs at a fraction of their size.
            keeps_jpegs: leave the JPEGs that a GPU can decode as they are.
            chunk_size: at most so many pictures at a time; 0: chosen here.
        """
        share = -(-len(pictures) // self.pool.n_processes)
        size = max(1, min(chunk_size or (_CHUNK_SIZE_OF_JPEGS if keeps_jpegs else _CHUNK_SIZE), share))
        given = deque[Sequence[tuple[str, str]]]()
        with PictureFiles(self.raw) as files:  # of its own, so that each shard is read from start to end

            def found() -> Iterator[list[tuple[str, str | bytes]]]:
                for chunk in _chunks(pictures, size):
                    given.append(chunk)
                    yield [(name, files.read(path, name) if is_reference(path) else path) for name, path in chunk]

            for cropped in self.pool.crops(self.raw, found(), size, self.geometry, fast, keeps_jpegs):
                yield [self._decoded(*picture, one) for picture, one in zip(given.popleft(), cropped, strict=True)]

    def _decoded(self, image_sha256: str, path: str, cropped: Cropped) -> Decoded:
        if cropped.reason:
            return Decoded(image_sha256, path, None, cropped.reason)
        if cropped.is_jpeg:
            return Decoded(image_sha256, path, None, jpeg=cropped.content)
        side = self.geometry.crop_px
        return Decoded(image_sha256, path, np.frombuffer(cropped.content, np.uint8).reshape(side, side, 3))


def _chunks(pictures: Sequence[tuple[str, str]], size: int) -> Iterator[Sequence[tuple[str, str]]]:
    """Yield pictures, at most `size` at a time, and fewer if they are large and in shards."""
    start = n_bytes = 0
    for place, (_, path) in enumerate(pictures):
        n_new = size_of(path)
        if place - start == size or (place > start and n_bytes + n_new > _CHUNK_BYTES):
            yield pictures[start:place]
            start, n_bytes = place, 0
        n_bytes += n_new
    if start < len(pictures):
        yield pictures[start:]
