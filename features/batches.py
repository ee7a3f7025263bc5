"""Makes batches of crops on the extractor's device, from pictures that decoder processes or the GPU decode."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from features.config import Decoding
from features.decoding import CropReader, Decoded
from features.gpu_decoding import crops_of


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
class BatchMaker:
    """Makes batches.

    Attributes:
        reader: reads crops.
        decoding: what decodes.
        device: where the batches are needed.
        size: pictures per batch.
    """

    reader: CropReader
    decoding: Decoding
    device: torch.device
    size: int

    @functools.cached_property
    def _stream(self) -> torch.cuda.Stream | None:
        """Where a GPU decodes and receives pictures, while it computes in another stream; None on a CPU."""
        return torch.cuda.Stream(self.device) if self.device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def batches(self, pictures: Sequence[tuple[str, str]]) -> Iterator[Batch]:
        """Yield batches of the pictures, given as (image_sha256, path), in order."""
        batch = self._empty()
        for chunk in self._chunks(pictures):
            for picture, crop in chunk:
                if crop is None:
                    batch.failures.append(picture)
                    continue
                self._put(crop, batch)
                batch.names.append(picture.image_sha256)
                if len(batch.names) == self.size:
                    yield self._on_device(batch)
                    batch = self._empty()
        if batch.names or batch.failures:
            yield self._on_device(batch)

    def _chunks(self, pictures: Sequence[tuple[str, str]]) -> Iterator[list[tuple[Decoded, Tensor | None]]]:
        """Yield pictures with their crops, on the CPU or on the device; they are valid until the next are asked for."""
        for chunk in self.reader.chunks(pictures, self.decoding != "full", self.decoding == "gpu"):
            made = [(one, None if one.crop is None else torch.from_numpy(one.crop)) for one in chunk]
            if jpegs := [place for place, one in enumerate(chunk) if one.jpeg is not None]:
                with torch.cuda.stream(self._stream):
                    contents = [one.jpeg for one in chunk if one.jpeg is not None]
                    crops = crops_of(contents, self.reader.geometry, self.device)
                for place, crop in zip(jpegs, crops, strict=True):
                    made[place] = chunk[place], crop
                self._decode_the_refused(made)
            yield made

    def _decode_the_refused(self, made: list[tuple[Decoded, Tensor | None]]) -> None:
        """Let the processes decode the JPEGs that the GPU has refused."""
        refused = [place for place, (one, crop) in enumerate(made) if one.jpeg is not None and crop is None]
        if not refused:
            return
        pictures = [(made[place][0].image_sha256, made[place][0].path) for place in refused]
        decoded = self.reader.decode(pictures, fast=True, ahead=1)
        for place, one in zip(refused, decoded, strict=True):
            made[place] = one, None if one.crop is None else torch.from_numpy(one.crop)

    def _empty(self) -> Batch:
        """Return a blank batch, where most of its crops will be: in memory that a GPU reads quickly, or on the GPU."""
        side, on_gpu = self.reader.geometry.crop_px, self.device.type == "cuda"
        with torch.cuda.stream(self._stream):
            crops = torch.zeros(
                (self.size, side, side, 3),
                dtype=torch.uint8,
                device=self.device if self.decoding == "gpu" else "cpu",
                pin_memory=on_gpu and self.decoding != "gpu",
            )
        return Batch([], crops, [])

    def _put(self, crop: Tensor, batch: Batch) -> None:
        """Copy a crop to the next place in a batch."""
        place = batch.crops[len(batch.names)]
        if place.device.type == "cpu":
            place.numpy()[:] = crop.numpy()  # torch would use several threads for it
        else:
            with torch.cuda.stream(self._stream):
                place.copy_(crop)

    def _on_device(self, batch: Batch) -> Batch:
        """Return a batch when it is on the device."""
        if self._stream is None:
            return batch
        with torch.cuda.stream(self._stream):
            crops = batch.crops.to(self.device, non_blocking=True)
        self._stream.synchronize()
        return replace(batch, crops=crops)
