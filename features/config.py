"""Which extractor is asked for, and which one made a feature.

Apart from `features.extractor`, so that naming an extractor does not take the seconds that
importing torch and torchvision does.
"""

import hashlib
import json
from dataclasses import asdict, dataclass

VGG19 = "vgg19"
IMAGENET = "IMAGENET1K_V1"
DECODINGS = ("fast", "full")


@dataclass(frozen=True)
class ExtractorIdentity:
    """What tells one extractor's features from another's.

    It is part of the key of every feature, and of the manifest of every snapshot that holds them.
    """

    architecture: str
    node: str
    weights: str
    weights_sha256: str
    is_random: bool
    preprocessing: str
    precision: str

    @property
    def extractor_id(self) -> str:
        """A short name of this identity: 16 hexadecimal digits of a SHA-256.

        What the weights are called is no part of it, what they are is.
        """
        key = {name: value for name, value in asdict(self).items() if name not in ("weights", "is_random")}
        return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class ExtractorConfig:
    """Which extractor to use.

    Attributes:
        name: `architecture[:node]` of torchvision, for example `resnet50:avgpool`. `vgg19` ends at
            fc7, the second fully connected layer, after its ReLU (Simonyan & Zisserman 2015; Wu et
            al. 2019, section 3: c_k has 4096 dimensions); others at the input of their last
            linear layer.
        weights: a name of torchvision's (downloaded once), `random:<seed>`, or a state dict's file.
        precision: `fp32`, `bf16`, or `auto` (bf16 where the processor has it).
        decoding: `fast` decodes large JPEGs at a fraction of their size; `full` never does.
    """

    name: str = VGG19
    weights: str = IMAGENET
    precision: str = "auto"
    decoding: str = "fast"
