"""Configuration of feature extraction: which extractor, how to run it, and the identity of features.

This module loads neither torch nor numpy, so command lines and flows can import it quickly.
"""

import hashlib
import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from pydantic import Field
from pydantic.dataclasses import dataclass

from dataset.pictures.protocol import PICTURE_TIMEOUT_S

VGG19 = "vgg19"
AUTO = "auto"
Precision = Literal["fp32", "bf16"]
Decoding = Literal["fast", "full", "gpu"]
DEFAULT_STORE = Path("data/features")
_LARGE_GPU_BYTES = 20 << 30
"""With so much memory, a GPU computes batches of 512, which take about 10 GiB with VGG-19."""


@dataclass(frozen=True)
class ExtractorIdentity:
    """Everything that distinguishes one extractor's features from another's.

    It is part of the key of every feature, and of the manifest of every snapshot with features.
    """

    architecture: str
    node: str
    weights: str
    weights_sha256: str
    is_random: bool
    preprocessing: str
    precision: Precision

    @property
    def extractor_id(self) -> str:
        """A short id of this extractor: 16 hexadecimal digits of a SHA-256.

        The id depends on the weights' contents, not their name.
        """
        key = {name: value for name, value in asdict(self).items() if name not in ("weights", "is_random")}
        return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class ExtractorConfig:
    """Which features to compute: everything that changes a feature.

    Attributes:
        name: timm:<name>, open_clip:<name>/<pretrained>, or <name>[:node] of torchvision, like resnet50:avgpool
        weights: auto: the library's (downloaded once); random:<seed>; a file; or a name of torchvision's weights
        precision: number format of the network; auto: bf16 if the processor supports it
        decoding: fast: decode large JPEGs at 1/2, 1/4 or 1/8 of their size, never below 1.4 times the size needed; gpu:
            decode common JPEGs on the GPU, other pictures as fast does; auto: gpu if the GPU can do that, else fast

    A network of torchvision has a node; the default is the last linear layer's input, for `vgg19` fc7.

    Source: for `vgg19`, fc7 is the second fully connected layer, after its ReLU (Simonyan & Zisserman 2015; Wu et al.
    2019, section 3: c_k has 4096 dimensions).
    """

    name: Annotated[str, Parameter(name="--extractor")] = VGG19
    weights: str = AUTO
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    decoding: Literal["auto", "fast", "full", "gpu"] = "auto"


@dataclass(frozen=True)
class ExtractOptions:
    """How to compute features. `batch_size` may change the last bits of a feature; the other options change none.

    Attributes:
        batch_size: pictures per batch (0: chosen for the device)
        n_decoders: decoder processes (0: chosen for the device)
        timeout_s: seconds after which decoding of a picture is stopped
        shard_time_s: seconds after which a shard is written even if not full; a killed run can lose this much work
    """

    batch_size: Annotated[int, Field(ge=0)] = 0
    n_decoders: Annotated[int, Field(ge=0), Parameter(name="--decoders")] = 0
    timeout_s: Annotated[float, Field(gt=0), Parameter(parse=False)] = PICTURE_TIMEOUT_S
    shard_time_s: Annotated[float, Field(ge=0), Parameter(parse=False)] = 20.0

    def resolve(self, device_type: str, memory_bytes: int = 0) -> "ExtractOptions":
        """Return the options with every 0 replaced by a value for the device, `cpu` or `cuda`, and a GPU's memory."""
        on_gpu, n_cores = device_type == "cuda", os.cpu_count() or 1
        # One process decodes about 200 pictures per second: more than any CPU extracts, far fewer than a GPU does.
        n_decoders = self.n_decoders or (max(2, n_cores - 1) if on_gpu else 2)
        of_gpu = 512 if memory_bytes >= _LARGE_GPU_BYTES else 128
        return replace(self, batch_size=self.batch_size or (of_gpu if on_gpu else 16), n_decoders=n_decoders)
