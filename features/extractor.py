"""Feature extractors: a backbone, VGG-19 by default, on a device and in a precision."""

import copy
import functools
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

import features.quick_torchvision  # noqa: F401 - before anything that imports torchvision
from dataset.cli import say
from dataset.errors import UsageError, WeightsError
from dataset.pictures.protocol import Geometry
from features.backbones.opening import open_backbone
from features.config import Decoding, ExtractorConfig, ExtractorIdentity, Precision
from features.fusing import fused_if_possible, is_fused
from features.gpu_decoding import is_available
from features.winograd import with_winograd

_log = logging.getLogger(__name__)
T = TypeVar("T")

PRECISIONS: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}
Crops = npt.NDArray[np.uint8] | Tensor
_LIMITS_BELOW = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI")
MIN_COSINE = 0.999
"""The minimum cosine between features and reference features (fp32, from pictures that processes decode fully)."""


class GpuDecodingError(WeightsError):
    """The features of pictures that a GPU has decoded differ too much from reference features."""


def with_decoding_that_fits(config: ExtractorConfig, work: Callable[[ExtractorConfig], T]) -> T:
    """Return what `work` returns; where the GPU's decoding fails its check and nobody asked for it, use `fast`.

    Raises:
        GpuDecodingError: the config names the decoding `gpu`, and it fails the check.
    """
    try:
        return work(config)
    except GpuDecodingError as error:
        if config.decoding != "auto":
            raise
        reason = str(error).partition("; ")[0]  # without the advice, which is followed here
        say(f"Decoder processes now decode the pictures, because {reason}.")
        return work(replace(config, decoding="fast"))


class Extractor:
    """A backbone that computes features; its weights are loaded when they are first needed.

    Args:
        config: the features to compute.
        device: a torch device; `auto` is the GPU if there is one.
        memory: a JSON file that caches the SHA-256 of weights; None: hash them every time.

    Raises:
        MissingExtraError: the backbone's library is not installed.
        UsageError: the name is unknown, or the seed is invalid.
        WeightsError: the weights cannot be downloaded or read.
    """

    def __init__(self, config: ExtractorConfig, device: str = "auto", memory: Path | None = None) -> None:
        self.config = config
        self.device = torch.device(best_device() if device == "auto" else device)
        precision = best_precision(self.device) if config.precision == "auto" else config.precision
        self._backbone = open_backbone(config.name, config.weights)
        self._memory = memory
        preprocessing = self._backbone.preprocessing
        self.geometry = preprocessing.geometry
        with ThreadPoolExecutor(1) as thread:  # on a GPU, both take a second or more
            weights_sha256 = thread.submit(self._backbone.sha256, memory)
            self.decoding = best_decoding(config.decoding, self.device, self.geometry)
        self._mean, self._std = (torch.tensor(v).view(1, 3, 1, 1) for v in (preprocessing.mean, preprocessing.std))
        self.identity = ExtractorIdentity(
            architecture=self._backbone.architecture,
            node=self._backbone.node,
            weights=self._backbone.weights.label,
            weights_sha256=weights_sha256.result(),
            is_random=self._backbone.weights.is_random,
            preprocessing=preprocessing.describe(self.decoding),
            precision=precision,
        )
        self._checked_cosine: float | None = None

    @functools.cached_property
    def _reference(self) -> nn.Module:
        """The network in fp32 on the device, which computes reference features."""
        network, digest = self._backbone.take(self._memory)
        if digest != self.identity.weights_sha256:
            raise WeightsError(
                f"weights {self.config.weights}: they changed during the run; run the same command again"
            )
        cut = self._backbone.cut(network)
        return cut.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    @functools.cached_property
    def _network(self) -> nn.Module:
        """The network in the configured precision, on the device."""
        dtype = PRECISIONS[self.identity.precision]
        if dtype == torch.float32:
            return self._in_full_precision()

        def make() -> nn.Module:  # the copy of a traced network is in training mode
            return copy.deepcopy(self._reference).eval().to(dtype)

        side = self.geometry.crop_px
        example = torch.zeros((1, 3, side, side), dtype=dtype, device=self.device)
        return fused_if_possible(make, example.contiguous(memory_format=torch.channels_last))

    def _in_full_precision(self) -> nn.Module:
        """Return the network in fp32; on a CPU with the faster convolutions."""
        if self.device.type != "cpu":
            return self._reference
        network, number = with_winograd(self._reference)
        if number:
            _log.info("fp32 on this processor: %d convolutions by Winograd's F(4 × 4, 3 × 3)", number)
        return network

    def compile(self, crops: Crops) -> None:
        """Compile the network with `torch.compile` for batches of this shape, if that works and makes it faster."""
        eager = self._network
        if is_fused(eager):
            return
        self.__dict__["_network"] = torch.compile(eager, dynamic=False)
        try:
            self.forward(crops).cpu()
        except Exception as error:  # no compiler, or an unknown GPU: continue without
            _log.info("torch.compile failed: %s", error)
            self.__dict__["_network"] = eager

    @torch.inference_mode()
    def forward(self, crops: Crops) -> Tensor:
        """Compute the features of a batch. On a GPU, return before the computation has finished.

        Args:
            crops: (B, crop_px, crop_px, 3) uint8, an array or a tensor on any device.

        Returns:
            (B, width) float32 on the device.
        """
        dtype = PRECISIONS[self.identity.precision]
        inputs = self._normalised(_tensor(crops, self.device), dtype)
        features: Tensor = self._network(inputs)
        return features.float()

    def features(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return the features of a batch: (B, crop_px, crop_px, 3) uint8 to (B, width) float32."""
        return self.forward(crops).cpu().numpy()

    @torch.inference_mode()
    def check(self, crops: npt.NDArray[np.uint8], features: Tensor, reference_crops: npt.NDArray[np.uint8]) -> float:
        """Return the smallest cosine between this extractor's features and reference features.

        A picture is not computed again if its crop and the network are those of the reference.

        Args:
            crops: a few pictures as this extractor decodes them, (B, crop_px, crop_px, 3) uint8.
            features: the result of `forward` on them, (B, width).
            reference_crops: the same pictures, decoded fully.

        Raises:
            WeightsError: the cosine is below 0.999; `--precision fp32 --decoding full` fixes this.
            GpuDecodingError: the same, if a GPU has decoded the pictures; `--decoding fast` may fix this.
        """
        if self._checked_cosine is not None:
            return self._checked_cosine
        differs = (crops != reference_crops).any(axis=(1, 2, 3)) | (self._network is not self._reference)
        ours, reference_crops = features[torch.from_numpy(differs).to(features.device)], reference_crops[differs]
        if not len(reference_crops):
            return 1.0
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            inputs = self._normalised(_tensor(reference_crops, self.device), torch.float32)
            reference = self._reference(inputs)
        cosine = float(nn.functional.cosine_similarity(ours.double(), reference.double()).min())
        if self._network is not self._reference:
            del self.__dict__["_reference"]  # it takes half of the memory
        if not cosine >= MIN_COSINE:
            words = (
                f"features in {self.identity.precision} with {self.decoding} decoding have a cosine of only "
                f"{cosine:.5f} to reference features on your pictures (at least {MIN_COSINE} is required)"
            )
            if self.decoding == "gpu":
                raise GpuDecodingError(f"{words}; run again with --decoding fast")
            raise WeightsError(f"{words}; run again with --precision fp32 --decoding full")
        self._checked_cosine = cosine
        return cosine

    def _normalised(self, inputs: Tensor, dtype: torch.dtype) -> Tensor:
        """Normalise (B, 3, S, S) uint8 in torchvision's order of operations, then convert to `dtype`."""
        mean, std = self._mean.to(inputs.device), self._std.to(inputs.device)
        return inputs.float().div_(255).sub_(mean).div_(std).to(dtype)


def best_device() -> str:
    """Return `cuda` if there is a GPU, else `cpu`."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def best_precision(device: torch.device) -> Precision:
    """Return `bf16` if the device multiplies bfloat16 matrices natively, else `fp32`."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    capabilities = torch.cpu.get_capabilities()
    is_native = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    # The second: what oneDNN, which multiplies, is kept to by its variable.
    return "bf16" if is_native and os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() not in _LIMITS_BELOW else "fp32"


def best_decoding(wanted: Literal["auto", "fast", "full", "gpu"], device: torch.device, geometry: Geometry) -> Decoding:
    """Return the decoding for this device: for `auto`, `gpu` if the device decodes JPEGs, else `fast`.

    Raises:
        UsageError: `gpu` is wanted where it is not possible.
    """
    if wanted in ("fast", "full"):
        return wanted
    if is_available(device, geometry):
        return "gpu"
    if wanted == "gpu":
        raise UsageError(f"--decoding gpu: {device} cannot decode JPEGs with this torchvision; use --decoding fast")
    return "fast"


def _tensor(crops: Crops, device: torch.device) -> Tensor:
    """Move (B, S, S, 3) uint8 to a device as (B, 3, S, S); in memory this is already channels-last."""
    tensor = crops if isinstance(crops, Tensor) else torch.from_numpy(crops)
    return tensor.to(device).permute(0, 3, 1, 2)
