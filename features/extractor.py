"""Feature extractors: VGG-19 up to fc7, or another network of torchvision's up to any node."""

import functools
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from dataset.errors import UsageError, WeightsError
from features.config import DECODINGS, ExtractorConfig, ExtractorIdentity
from features.images import Geometry
from features.networks import cut_network, parse_extractor
from features.weights import Weights

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
MIN_COSINE = 0.999
"""Features are refused below this cosine to those of the plain way: fp32 on the CPU, pictures decoded in full."""


class Extractor:
    """A network up to a node, its weights loaded when they are first needed.

    Args:
        config: which extractor.
        device: a torch device; `auto` is the GPU where there is one.
        memory: a JSON file that remembers the SHA-256 of weights; None: they are hashed anew.

    Raises:
        UsageError: an unknown name, precision or decoding, or a bad seed.
        WeightsError: the weights cannot be downloaded or read.
    """

    def __init__(self, config: ExtractorConfig, device: str = "auto", memory: Path | None = None) -> None:
        self.config = config
        self.device = torch.device(best_device() if device == "auto" else device)
        precision = best_precision(self.device) if config.precision == "auto" else config.precision
        if precision not in PRECISIONS:
            raise UsageError(f"precision {precision!r} is none of auto, {', '.join(PRECISIONS)}")
        if config.decoding not in DECODINGS:
            raise UsageError(f"decoding {config.decoding!r} is none of {', '.join(DECODINGS)}")
        architecture, node = parse_extractor(config.name)
        self._weights = Weights(architecture, config.weights)
        self._memory = memory
        transforms = self._weights.transforms
        self.geometry = Geometry(transforms.resize_size[0], transforms.crop_size[0], transforms.interpolation.value)
        self._mean, self._std = (torch.tensor(v).view(1, 3, 1, 1) for v in (transforms.mean, transforms.std))
        self.identity = ExtractorIdentity(
            architecture=architecture,
            node=node,
            weights=self._weights.label,
            weights_sha256=self._weights.sha256(memory),
            is_random=self._weights.is_random,
            preprocessing=self._preprocessing(),
            precision=precision,
        )
        self._checked_cosine: float | None = None

    def _preprocessing(self) -> str:
        """Say in words what is done to a picture before the network."""
        geometry, transforms = self.geometry, self._weights.transforms
        return (
            f"{self.config.decoding} decoding, resize {geometry.resize_px} ({geometry.interpolation}, antialiased), "
            f"centre crop {geometry.crop_px}, less {transforms.mean}, divided by {transforms.std}"
        )

    @functools.cached_property
    def _reference(self) -> nn.Module:
        """The network in fp32 on the CPU."""
        network = self._weights.load()
        if self._weights.remember(network, self._memory) != self.identity.weights_sha256:
            raise WeightsError(
                f"weights {self.config.weights}: they have changed meanwhile; run the same command again"
            )
        cut = cut_network(network, self.identity.architecture, self.identity.node)
        return cut.to(memory_format=torch.channels_last)

    @functools.cached_property
    def _network(self) -> nn.Module:
        """The network as it is used."""
        dtype = PRECISIONS[self.identity.precision]
        if self.device.type == "cpu" and dtype == torch.float32:
            return self._reference
        network = cut_network(self._weights.load(), self.identity.architecture, self.identity.node)
        return network.to(self.device, dtype, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def compile(self, crops: npt.NDArray[np.uint8]) -> None:
        """Let `torch.compile` make the network faster for batches of this shape, where that works."""
        eager = self._network
        self.__dict__["_network"] = torch.compile(eager, dynamic=False)
        try:
            self.features(crops)
        except Exception:  # no compiler at hand, an unknown GPU: as fast as before, then
            self.__dict__["_network"] = eager

    @torch.inference_mode()
    def forward(self, crops: npt.NDArray[np.uint8]) -> Tensor:
        """Begin to compute the features of a batch, and return before they are done where the device works on its own.

        Args:
            crops: (B, crop_px, crop_px, 3) uint8.

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
        """Return the smallest cosine between this extractor's features and those of the plain way.

        Pictures that are the plain way's anyway are not computed twice.

        Args:
            crops: a few pictures as this extractor gets them, (B, crop_px, crop_px, 3) uint8.
            features: what `start` made of them, (B, width).
            reference_crops: the same pictures, decoded in full.

        Raises:
            WeightsError: it is below 0.999; the remedy is `--precision fp32 --decoding full`.
        """
        if self._checked_cosine is not None:
            return self._checked_cosine
        differs = (crops != reference_crops).any(axis=(1, 2, 3)) | (self._network is not self._reference)
        ours, reference_crops = features.cpu()[torch.from_numpy(differs)], reference_crops[differs]
        if not len(reference_crops):
            return 1.0
        plain = self._reference(self._normalised(_tensor(reference_crops, torch.device("cpu")), torch.float32))
        cosine = float(nn.functional.cosine_similarity(ours.double(), plain.double()).min())
        if self._network is not self._reference:
            del self.__dict__["_reference"]  # half of the memory
        if not cosine >= MIN_COSINE:
            raise WeightsError(
                f"features in {self.identity.precision} with {self.config.decoding} decoding have a cosine of only "
                f"{cosine:.5f} to plain ones on your pictures (at least {MIN_COSINE} is asked for); run again with "
                "--precision fp32 --decoding full"
            )
        self._checked_cosine = cosine
        return cosine

    def _normalised(self, inputs: Tensor, dtype: torch.dtype) -> Tensor:
        """(B, 3, S, S) uint8 to normalised, in torchvision's order of operations, then in `dtype`."""
        mean, std = self._mean.to(inputs.device), self._std.to(inputs.device)
        return inputs.float().div_(255).sub_(mean).div_(std).to(dtype)


def best_device() -> str:
    """Return `cuda` where there is a GPU, else `cpu`."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def best_precision(device: torch.device) -> str:
    """Return `bf16` where the device multiplies bfloat16 matrices natively, else `fp32`."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    capabilities = torch.cpu.get_capabilities()
    return "bf16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "fp32"


def _tensor(crops: npt.NDArray[np.uint8], device: torch.device) -> Tensor:
    """(B, S, S, 3) uint8 to (B, 3, S, S) on a device; as it lies in memory, that is channels-last already."""
    tensor = torch.from_numpy(crops)
    if device.type == "cuda":
        tensor = tensor.pin_memory().to(device, non_blocking=True)
    return tensor.permute(0, 3, 1, 2)
