"""Weights of torchvision networks: torchvision's own (downloaded once), random ones, or those in a file.

The SHA-256 of weights covers the names and bytes of all tensors, so it does not depend on where they come
from. It is cached, so a run with nothing to compute does not load the weights.
"""

import hashlib
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn
from torchvision.models import get_model, get_model_weights

from dataset.errors import PipelineError, UsageError, WeightsError, describe_load_error
from dataset.files import FileState, write_json

_DOWNLOAD_TIMEOUT_S = 60


class Weights:
    """The weights of a network, from one of three sources.

    Args:
        architecture: the network's name in torchvision, for example `vgg19`.
        source: the name of weights in torchvision (`IMAGENET1K_V1`, …), `random:<seed>`, or the path of
            a state dict.

    Raises:
        UsageError: the seed is invalid.
        WeightsError: `source` is none of these.
    """

    def __init__(self, architecture: str, source: str) -> None:
        self.architecture, self.source = architecture, source
        known = get_model_weights(architecture)
        self.is_random = source.startswith("random:")
        self.preset: Any = known[source] if source in known.__members__ else None
        self.transforms: Any = (self.preset or next(iter(known))).transforms()
        self._hashed: tuple[nn.Module, str] | None = None
        seed = source.removeprefix("random:")
        if self.is_random and not (seed.isdecimal() and int(seed) < 2**63):
            raise UsageError(f"weights {source!r}: the seed must be a whole number below 2**63, as in random:0")
        if not self.is_random and self.preset is None and not Path(source).is_file():
            raise WeightsError(
                f"weights {source!r} is not a file; use {', '.join(known.__members__)}, random:<seed>, "
                f"or the file of a state dict of torchvision's {architecture}"
            )

    @property
    def label(self) -> str:
        """A name for the weights, without a local path."""
        return self.source if self.is_random or self.preset is not None else Path(self.source).name

    def load(self) -> nn.Module:
        """Return the network with these weights, in evaluation mode.

        Raises:
            WeightsError: the weights cannot be downloaded or read.
        """
        if self.preset is not None:
            return self._download()
        if self.is_random:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(int(self.source.removeprefix("random:")))
                return _blank_network(self.architecture)
        network = skeleton(self.architecture)
        try:
            state = torch.load(self.source, map_location="cpu", weights_only=True)
            network.load_state_dict(state, assign=True)
        except Exception as error:  # torch.load raises many kinds of errors
            raise WeightsError(
                f"{self.source}: not a state dict of torchvision's {self.architecture} "
                f"({describe_load_error(error)}); save one with torch.save(network.state_dict(), file)"
            ) from None
        return network

    def sha256(self, memory: Path | None) -> str:
        """Return the SHA-256 of the weights, from the JSON file `memory` or by loading them.

        Raises:
            WeightsError: see `load`.
        """
        key, known = self._key(), _read_json(memory)
        if key is not None and isinstance(known.get(key), str):
            return str(known[key])
        self._hashed = self._load_and_hash(memory)
        return self._hashed[1]

    def take(self, memory: Path | None) -> tuple[nn.Module, str]:
        """Return the network and the SHA-256 of its weights; what `sha256` has loaded is not loaded again.

        Raises:
            WeightsError: see `load`.
        """
        taken, self._hashed = self._hashed or self._load_and_hash(memory), None
        return taken

    def _load_and_hash(self, memory: Path | None) -> tuple[nn.Module, str]:
        network = self.load()
        return network, self.remember(network, memory)

    def remember(self, network: nn.Module, memory: Path | None) -> str:
        """Return the SHA-256 of a network's weights, and write it to `memory` for this source."""
        digest = sha256_of_weights(network)
        key, known = self._key(), _read_json(memory)
        if memory is not None and key is not None and known.get(key) != digest:
            with suppress(PipelineError):  # without the cache, the next run only takes longer
                write_json(memory, {**known, key: digest})
        return digest

    def _key(self) -> str | None:
        """Return a key that changes when the weights change; None if they are not downloaded yet."""
        if self.is_random:
            return f"{self.architecture} {self.source} torch {torch.__version__} {torchvision.__version__}"
        path = Path(self.source)
        if self.preset is not None:
            path = Path(torch.hub.get_dir()) / "checkpoints" / Path(self.preset.url).name
        try:
            state = FileState.of(path)
        except OSError:
            return None
        return f"{self.architecture} {path.resolve()} {state.size_bytes} {state.modified_ns}"

    def _download(self) -> nn.Module:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        try:
            with _socket_timeout(_DOWNLOAD_TIMEOUT_S):
                network: nn.Module = get_model(self.architecture, weights=self.preset)
                return network.eval()
        except (OSError, RuntimeError) as error:
            raise WeightsError(
                f"the weights {self.source} of {self.architecture} cannot be downloaded from {self.preset.url} "
                f"({error}); put that file into {folder}, or pass it with --weights <file>, "
                "or try the pipeline with --weights random:0"
            ) from None


def skeleton(architecture: str) -> nn.Module:
    """Return a network without weights, in most cases without memory for them."""
    try:
        with torch.device("meta"):
            return _blank_network(architecture)
    except NotImplementedError:  # RegNet computes with its initial values
        return _blank_network(architecture)


def _blank_network(architecture: str) -> nn.Module:
    """Return a network with initial values, built as its ImageNet weights require."""
    # these two networks convert the usual normalisation of pictures to their own
    options: dict[str, Any] = {}
    if architecture in ("googlenet", "inception_v3"):
        options = {"transform_input": True, "init_weights": True}
    network: nn.Module = get_model(architecture, weights=None, **options)
    return network.eval()


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


@contextmanager
def _socket_timeout(timeout_s: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(timeout_s)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
