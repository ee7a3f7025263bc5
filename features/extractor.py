"""Feature extractors: VGG-19 up to fc7, on ImageNet's weights, random ones or a file's.

An extractor's identity (architecture, node, weights, preprocessing, precision) is part of the
key of every feature it makes, and of the manifest of every snapshot that holds them.
"""

import copy
import hashlib
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.models import VGG19_Weights, vgg19

from dataset.errors import UsageError, WeightsError

IMAGENET = "IMAGENET1K_V1"
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
MIN_COSINE = 0.999
"""A reduced precision is refused below this cosine to fp32."""
_DOWNLOAD_TIMEOUT_S = 60


@dataclass(frozen=True)
class ExtractorIdentity:
    """What tells one extractor's features from another's."""

    architecture: str
    node: str
    weights: str
    weights_sha256: str
    is_random: bool
    preprocessing: str
    precision: str

    @property
    def extractor_id(self) -> str:
        """A short name of this identity: 16 hexadecimal digits of its SHA-256."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


class Extractor:
    """VGG-19 up to fc7 (the second fully connected layer, after its ReLU), ready to run.

    Args:
        weights: `IMAGENET1K_V1` (downloaded once by torchvision), `random:<seed>`, or the path of
            a state dict of torchvision's `vgg19`.
        precision: `fp32`, `bf16`, or `auto` (bf16 where the processor has it).
        device: a torch device.

    Raises:
        UsageError: an unknown precision or a bad seed.
        WeightsError: the weights cannot be downloaded or read.

    Source: Simonyan & Zisserman 2015; Wu et al. 2019, section 3 (c_k has 4096 dimensions).
    """

    def __init__(self, weights: str = IMAGENET, precision: str = "auto", device: str = "cpu") -> None:
        self.device = torch.device(device)
        precision = best_precision(self.device) if precision == "auto" else precision
        if precision not in PRECISIONS:
            raise UsageError(f"precision {precision!r} is none of auto, {', '.join(PRECISIONS)}")
        network = _load(weights)
        self.identity = ExtractorIdentity(
            architecture="vgg19",
            node="fc7",
            weights=weights if weights == IMAGENET or weights.startswith("random:") else Path(weights).name,
            weights_sha256=_sha256_of_weights(network),
            is_random=weights.startswith("random:"),
            preprocessing=" ".join(str(VGG19_Weights.IMAGENET1K_V1.transforms()).split()),
            precision=precision,
        )
        self._preprocess = VGG19_Weights.IMAGENET1K_V1.transforms()
        layers = [network.features, network.avgpool, nn.Flatten(), *network.classifier[:5]]
        full = nn.Sequential(*layers).eval().to(self.device).to(memory_format=torch.channels_last)
        self._layers = full if precision == "fp32" else copy.deepcopy(full).to(PRECISIONS[precision])
        self._full: nn.Sequential | None = full

    def preprocess(self, picture: Image.Image) -> Tensor:
        """Return a picture as torchvision's preset makes it: (3, 224, 224), float32, normalised."""
        return cast(Tensor, self._preprocess(picture))

    @torch.inference_mode()
    def features(self, inputs: Tensor) -> Tensor:
        """Return the features of a batch: (B, 3, 224, 224) float32 to (B, 4096) float32 on the CPU."""
        dtype = PRECISIONS[self.identity.precision]
        batch = inputs.to(self.device, dtype, memory_format=torch.channels_last)
        return cast(Tensor, self._layers(batch)).float().cpu()

    @torch.inference_mode()
    def check_precision(self, inputs: Tensor) -> float:
        """Return the smallest cosine between this extractor's features of `inputs` and fp32's.

        To be called once, before the first batch: it drops the fp32 weights.

        Raises:
            WeightsError: it is below 0.999; the remedy is `--precision fp32`.
        """
        if self._full is None or self._full is self._layers:
            return 1.0
        full = self._full(inputs.to(self.device, memory_format=torch.channels_last)).float().cpu()
        cosine = float(nn.functional.cosine_similarity(self.features(inputs), full).min())
        self._full = None
        if cosine < MIN_COSINE:
            raise WeightsError(
                f"{self.identity.precision} features have a cosine of only {cosine:.5f} to fp32 ones on your pictures "
                f"(at least {MIN_COSINE} is asked for); run again with --precision fp32"
            )
        return cosine


def best_precision(device: torch.device) -> str:
    """Return `bf16` where the device multiplies bfloat16 matrices natively, else `fp32`."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    capabilities = torch.cpu.get_capabilities()
    return "bf16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "fp32"


def _load(weights: str) -> Any:
    """Return torchvision's `vgg19` with the weights asked for."""
    if weights == IMAGENET:
        return _with_state(_download())
    if weights.startswith("random:"):
        seed = weights.removeprefix("random:")
        if not seed.isdecimal():
            raise UsageError(f"weights {weights!r}: the seed must be a whole number, as in random:0")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(seed))
            return vgg19(weights=None)
    path = Path(weights)
    if not path.is_file():
        raise WeightsError(f"weights {weights!r} is no file; give {IMAGENET}, random:<seed>, or a state dict's file")
    try:
        return _with_state(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # torch.load raises many kinds; each means the same to the user
        raise WeightsError(
            f"{path}: not a state dict of torchvision's vgg19 ({' '.join(str(error).split())[:120]}); "
            "save one with torch.save(network.state_dict(), file)"
        ) from None


def _with_state(state: Any) -> Any:
    network = vgg19(weights=None, init_weights=False)
    network.load_state_dict(state)
    return network


def _download() -> Any:
    try:
        with _socket_timeout(_DOWNLOAD_TIMEOUT_S):
            return VGG19_Weights.IMAGENET1K_V1.get_state_dict(progress=True, check_hash=True)
    except (OSError, RuntimeError) as error:
        url = VGG19_Weights.IMAGENET1K_V1.url
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise WeightsError(
            f"the ImageNet weights of VGG-19 cannot be downloaded from {url} ({error}); put that file into {folder}, "
            "or name it with --weights <file>, or try the pipeline out with --weights random:0"
        ) from None


@contextmanager
def _socket_timeout(timeout_s: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(timeout_s)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _sha256_of_weights(network: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(memoryview(tensor.contiguous().numpy()).cast("B"))
    return digest.hexdigest()
