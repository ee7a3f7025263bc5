"""Decodes JPEGs on a GPU, as crops of the extractor's input size.

torchvision decodes with nvJPEG, which uses the hardware decoders of recent GPUs. The pixels differ by a few levels from
those that a CPU decodes, as between any two JPEG decoders.
"""

import functools
import logging
from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate

import features.quick_torchvision  # noqa: F401 - adds the operators to torch.ops.image
from dataset.errors import PipelineError
from dataset.pictures.protocol import Geometry

_log = logging.getLogger(__name__)

_RGB = 3
_INTERPOLATIONS = ("bilinear", "bicubic")
_MAX_MEAN_DIFFERENCE = 3.0
"""Levels by which nvJPEG may differ from libjpeg on the test picture; wrong colours differ by far more."""
_PIXELS_AT_ONCE = 1 << 26


@functools.cache
def is_available(device: torch.device, geometry: Geometry) -> bool:
    """Return whether this device decodes JPEGs: the build of torchvision can, and a test picture comes out right."""
    can_be_cut = geometry.interpolation in _INTERPOLATIONS and geometry.crop_px <= geometry.resize_px
    if device.type != "cuda" or not can_be_cut:
        return False
    row = torch.arange(256, dtype=torch.uint8)
    picture = torch.stack([row.expand(64, 256), row.flip(0).expand(64, 256), row.roll(64).expand(64, 256)])
    try:
        jpeg = torch.ops.image.encode_jpeg(picture.contiguous(), 90)
        (ours,) = decode([jpeg], device)
        plain = torch.ops.image.decode_jpeg(jpeg, _RGB, False)
        difference = float((ours.cpu().float() - plain.float()).abs().mean())
    except (AttributeError, RuntimeError) as error:  # a build without nvJPEG, or a driver that refuses
        _log.warning("%s cannot decode JPEGs, so decoder processes do: %s", device, str(error).partition("\n")[0])
        return False
    if not difference <= _MAX_MEAN_DIFFERENCE:
        _log.warning("%s decodes JPEGs wrongly (by %.1f levels), so decoder processes do", device, difference)
        return False
    return True


def decode(jpegs: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Return JPEGs, each n uint8 on the CPU, as pictures on a device, each (3, height, width) uint8.

    Raises:
        RuntimeError: one of them cannot be decoded.
    """
    return list(torch.ops.image.decode_jpegs_cuda(list(jpegs), _RGB, device))


class JpegDecoder:
    """Decodes JPEGs on a GPU and crops them there.

    Args:
        geometry: how pictures are resized and cropped.
        device: the device.
        stream: the stream that resizes pictures; None on a CPU.
    """

    def __init__(self, geometry: Geometry, device: torch.device, stream: torch.cuda.Stream | None) -> None:
        self._geometry, self._device, self._stream = geometry, device, stream
        # nvJPEG writes in a stream of its own. Its pictures have memory of their own, so nvJPEG cannot overwrite what
        # `stream` still reads.
        self._of_pictures = stream and torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pictures: list[Tensor | None] = []

    @torch.inference_mode()
    def crops(self, jpegs: Sequence[memoryview]) -> tuple[Tensor, list[int]]:
        """Return crops, (n, crop_px, crop_px, 3) uint8, and which JPEGs they are of; the device refuses the others.

        Raises:
            PipelineError: the device has stopped working.
        """
        with torch.cuda.stream(self._of_pictures):
            pictures = _decode_each([torch.frombuffer(jpeg, dtype=torch.uint8) for jpeg in jpegs], self._device)
        if self._stream is not None:
            self._stream.synchronize()  # the pictures before have been resized, while these were decoded
        self._pictures = pictures
        by_size: dict[torch.Size, list[int]] = defaultdict(list)
        for place, picture in enumerate(pictures):
            if picture is not None:
                by_size[picture.shape].append(place)
        side = self._geometry.crop_px
        with torch.cuda.stream(self._stream):
            crops, places = [torch.empty((0, side, side, 3), dtype=torch.uint8, device=self._device)], []
            for size, of_size in by_size.items():
                n_at_once = max(1, _PIXELS_AT_ONCE // size[1:].numel())
                for start in range(0, len(of_size), n_at_once):
                    some = of_size[start : start + n_at_once]
                    crops.append(_cut(torch.stack([pictures[place] for place in some]), self._geometry))  # type: ignore[misc]
                    places += some
            made = crops[1] if len(crops) == 2 else torch.cat(crops)
            if places == sorted(places):
                return made, places
            order = sorted(range(len(places)), key=places.__getitem__)
            return made[order], [places[one] for one in order]


def _decode_each(jpegs: list[Tensor], device: torch.device) -> list[Tensor | None]:
    """Return the pictures; if the decoder refuses them together, halves are tried, down to the one that it refuses."""
    if not jpegs:
        return []
    try:
        return list(decode(jpegs, device))
    except RuntimeError as error:
        if device.type == "cuda":
            _require_working(device)
        if len(jpegs) == 1:
            _log.info("a JPEG that %s refuses: %s", device, str(error).partition("\n")[0])
            return [None]
    half = len(jpegs) // 2
    return _decode_each(jpegs[:half], device) + _decode_each(jpegs[half:], device)


def _require_working(device: torch.device) -> None:
    try:
        torch.cuda.synchronize(device)
    except RuntimeError as error:
        raise PipelineError(
            f"{device} stopped working while it decoded pictures ({str(error).partition(chr(10))[0]}); "
            "run again with --decoding fast"
        ) from None


def _cut(pictures: Tensor, geometry: Geometry) -> Tensor:
    """Resize and crop (B, 3, H, W) uint8 as `dataset.pictures.operations.cut` does: (B, crop_px, crop_px, 3) uint8."""
    height, width = pictures.shape[2:]
    short, long = sorted((height, width))
    long = geometry.resize_px if geometry.is_squashed else int(geometry.resize_px * long / short)
    size = (long, geometry.resize_px) if width <= height else (geometry.resize_px, long)
    resized = interpolate(pictures.float(), size, mode=geometry.interpolation, antialias=True)
    top, left = (round((side - geometry.crop_px) / 2.0) for side in size)
    cropped = resized[:, :, top : top + geometry.crop_px, left : left + geometry.crop_px]
    return cropped.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
