"""Makes batches of crops on the extractor's device, from pictures that decoder processes or the GPU decode."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from features.ahead import one_ahead
from features.config import Decoding
from features.decoding import Crop, CropReader, Decoded
from features.gpu_decoding import JpegDecoder


@dataclass(frozen=True)
class Batch:
    """Crops of pictures.

    All batches have the same shape, so a picture's feature depends only on its place in the batch, not on the number of
    other pictures. (The last bits of a matrix product depend on the place of a row.)

    Attributes:
        names: the SHA-256 of the pictures.
        crops: (B, crop_px, crop_px, 3) uint8 on the device. The first rows are those of `names`, the others blank.
            Keep it until the device has used it.
        failures: pictures that have no crop.
    """

    names: list[str]
    crops: Tensor
    failures: list[Decoded]


@dataclass(frozen=True)
class _Chunk:
    """A few pictures. `crops` has a row for each name, as a tensor on the device or as arrays in shared memory."""

    names: list[str]
    crops: Tensor | list[Crop]
    failures: list[Decoded]


@dataclass(frozen=True)
class BatchMaker:
    """Makes batches.

    Attributes:
        reader: reads crops.
        decoding: `fast`, `full` or `gpu` (`ExtractorConfig`).
        device: where the batches are needed.
        size: pictures per batch.
    """

    reader: CropReader
    decoding: Decoding
    device: torch.device
    size: int

    @functools.cached_property
    def _stream(self) -> torch.cuda.Stream | None:
        """Where a GPU prepares pictures, while it computes in another stream; None on a CPU."""
        return torch.cuda.Stream(self.device) if self.device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def batches(self, pictures: Sequence[tuple[str, str]]) -> Iterator[Batch]:
        """Yield batches of the pictures, given as (image_sha256, path), in order."""
        batch = self._empty()
        chunks = one_ahead(self._gpu_chunks(pictures)) if self.decoding == "gpu" else self._chunks(pictures)
        for chunk in chunks:
            batch.failures.extend(chunk.failures)
            start = 0
            while start < len(chunk.names):
                part = slice(start, start + self.size - len(batch.names))
                self._append(chunk.names[part], chunk.crops[part], batch)
                start = part.stop
                if len(batch.names) == self.size:
                    yield self._on_device(batch)
                    batch = self._empty()
        if batch.names or batch.failures:
            yield self._on_device(batch)

    def _chunks(self, pictures: Sequence[tuple[str, str]]) -> Iterator[_Chunk]:
        """Yield crops that the processes decode; they are valid until the next ones are asked for."""
        for chunk in self.reader.chunks(pictures, self.decoding != "full"):
            crops = [one.crop for one in chunk if one.crop is not None]
            yield _Chunk([one.image_sha256 for one in chunk if one.crop is not None], crops, _failed(chunk))

    def _gpu_chunks(self, pictures: Sequence[tuple[str, str]]) -> Iterator[_Chunk]:
        """Yield crops on the GPU. It decodes the JPEGs that it can; the processes decode the other pictures."""
        decoder = JpegDecoder(self.reader.geometry, self.device, self._stream)
        for chunk in self.reader.chunks(pictures, fast=True, keeps_jpegs=True):
            jpegs = [place for place, one in enumerate(chunk) if one.jpeg is not None]
            crops, made = decoder.crops([one.jpeg for one in chunk if one.jpeg is not None])
            if len(made) == len(chunk):
                yield _Chunk([one.image_sha256 for one in chunk], crops, [])
                continue
            rows: dict[int, Tensor] = {jpegs[place]: crop for place, crop in zip(made, crops, strict=True)}
            refused = [place for place in jpegs if place not in rows]
            names = [(chunk[place].image_sha256, chunk[place].path) for place in refused]
            for place, one in zip(refused, self.reader.decode(names, fast=True, ahead=1), strict=True):
                chunk[place] = one
            with torch.cuda.stream(self._stream):
                for place, one in enumerate(chunk):
                    if one.crop is not None:
                        rows[place] = torch.from_numpy(one.crop.copy()).to(self.device)
                stacked = torch.stack([rows[place] for place in sorted(rows)]) if rows else crops
            yield _Chunk([chunk[place].image_sha256 for place in sorted(rows)], stacked, _failed(chunk))

    def _empty(self) -> Batch:
        """Return a blank batch: on the GPU if the GPU decodes, else in memory that a GPU reads quickly."""
        side, is_decoded_there = self.reader.geometry.crop_px, self.decoding == "gpu"
        with torch.cuda.stream(self._stream):
            crops = torch.zeros(
                (self.size, side, side, 3),
                dtype=torch.uint8,
                device=self.device if is_decoded_there else "cpu",
                pin_memory=self.device.type == "cuda" and not is_decoded_there,
            )
        return Batch([], crops, [])

    def _append(self, names: list[str], crops: Tensor | list[Crop], batch: Batch) -> None:
        """Copy crops to the next places in a batch."""
        places = batch.crops[len(batch.names) : len(batch.names) + len(names)]
        if isinstance(crops, Tensor):
            with torch.cuda.stream(self._stream):
                places.copy_(crops)
        else:
            np.stack(crops, out=places.numpy())
        batch.names.extend(names)

    def _on_device(self, batch: Batch) -> Batch:
        """Return a batch when it is on the device."""
        if self._stream is None:
            return batch
        with torch.cuda.stream(self._stream):
            crops = batch.crops.to(self.device, non_blocking=True)
        self._stream.synchronize()
        return replace(batch, crops=crops)


def _failed(chunk: list[Decoded]) -> list[Decoded]:
    return [one for one in chunk if one.reason]
