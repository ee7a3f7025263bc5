"""What a backbone is: a network of a library, its weights, and the preprocessing of its pictures."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from dataset.errors import PipelineError
from dataset.files import FileState, write_json
from dataset.pictures.protocol import Geometry
from features.backbones.weights import Weights


@dataclass(frozen=True)
class Preprocessing:
    """What happens to a picture before the network: it is resized and cropped, and its channels are normalised.

    Attributes:
        geometry: how the picture is resized and cropped.
        mean: what is subtracted from red, green and blue, where white is 1.
        std: what they are then divided by.
    """

    geometry: Geometry
    mean: Sequence[float]
    std: Sequence[float]

    def describe(self, decoding: str) -> str:
        """Return the preprocessing in words. They are part of every extractor's identity."""
        geometry = self.geometry
        size = f"{geometry.resize_px} x {geometry.resize_px}" if geometry.is_squashed else str(geometry.resize_px)
        return (
            f"{decoding} decoding, resize {size} ({geometry.interpolation}, antialiased), centre crop "
            f"{geometry.crop_px}, less {list(self.mean)}, divided by {list(self.std)}"
        )


class Backbone(ABC):
    """A network of a library, up to the output that is the feature.

    Args:
        architecture: the network's name in an identity; a library other than torchvision is named before a colon.
        node: the name of the output that is the feature.
        weights: where its weights come from.
        preprocessing: what happens to a picture before the network.
        made_by: what decides, with a file or a seed, which tensors the network has; None: the architecture.
    """

    def __init__(
        self, architecture: str, node: str, weights: Weights, preprocessing: Preprocessing, made_by: str | None = None
    ) -> None:
        self.architecture, self.node, self.weights, self.preprocessing = architecture, node, weights, preprocessing
        self._made_by = made_by or architecture
        self._hashed: tuple[nn.Module, str] | None = None

    @abstractmethod
    def load(self) -> nn.Module:
        """Return the network with its weights, in evaluation mode.

        Raises:
            WeightsError: the weights cannot be downloaded or read.
        """

    @abstractmethod
    def cut(self, network: nn.Module) -> nn.Module:
        """Return a loaded network up to the feature: (B, 3, crop_px, crop_px) normalised to (B, width)."""

    @abstractmethod
    def weights_file(self) -> Path | None:
        """Return the file that the weights would be read from; None: they are random, or not downloaded yet."""

    def sha256(self, memory: Path | None) -> str:
        """Return the SHA-256 of the weights, from the JSON file `memory` or by loading them.

        It covers the names and bytes of all tensors, so it does not depend on where they come from.

        Raises:
            WeightsError: see `load`.
        """
        key, known = self._key(), _read_json(memory)
        if key is not None and isinstance(known.get(key), str):
            return str(known[key])
        self._hashed = self._load_and_hash(memory)
        return self._hashed[1]

    def take(self, memory: Path | None) -> tuple[nn.Module, str]:
        """Return the loaded network and the SHA-256 of its weights; what `sha256` has loaded is not loaded again.

        Raises:
            WeightsError: see `load`.
        """
        taken, self._hashed = self._hashed or self._load_and_hash(memory), None
        return taken

    def _load_and_hash(self, memory: Path | None) -> tuple[nn.Module, str]:
        """Return the loaded network and the SHA-256 of its weights, and write this to `memory` for their source."""
        network = self.load()
        digest = sha256_of_weights(network)
        key, known = self._key(), _read_json(memory)
        if memory is not None and key is not None and known.get(key) != digest:
            with suppress(PipelineError):  # without the cache, the next run only takes longer
                write_json(memory, {**known, key: digest})
        return network, digest

    def _key(self) -> str | None:
        """Return a key that changes when the weights change; None if they are not downloaded yet."""
        if self.weights.is_random:
            return f"{self._made_by} {self.weights.source} torch {torch.__version__} {torchvision.__version__}"
        path = self.weights_file()
        try:
            state = FileState.of(path) if path is not None else None
        except OSError:
            return None
        if path is None or state is None:
            return None
        return f"{self._made_by} {path.resolve()} {state.size_bytes} {state.modified_ns}"


class Flat(nn.Module):
    """A network whose output becomes (B, width); of a tuple of outputs, the first counts."""

    def __init__(self, network: nn.Module, output: str | None = None) -> None:
        super().__init__()
        self.network, self._output = network, output

    def forward(self, inputs: Tensor) -> Tensor:
        """Compute the features of (B, 3, S, S): (B, width)."""
        outputs: Any = self.network(inputs)
        if self._output is not None:
            outputs = outputs[self._output]
        feature: Tensor = outputs[0] if isinstance(outputs, tuple) else outputs
        return feature.flatten(1)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw random numbers from a seed, inside the block only."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def sha256_of_weights(network: nn.Module) -> str:
    """Return the SHA-256 over the names and bytes of a network's tensors, sorted by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _read_json(path: Path | None) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path is not None else {}
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
