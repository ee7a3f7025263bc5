"""Backbones of torchvision: any of its classifiers, up to any node of the network."""

import math
import re
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn
from torch.overrides import TorchFunctionMode
from torchvision import models
from torchvision.models import get_model, get_model_weights, list_models
from torchvision.models.feature_extraction import NodePathTracer, create_feature_extractor

from dataset.errors import MissingExtraError, UsageError, WeightsError
from dataset.pictures.protocol import Geometry
from features.backbones.backbone import Backbone, Flat, Preprocessing, seeded
from features.backbones.names import similar
from features.backbones.weights import Weights, read_state_dict
from features.config import VGG19

_ALIASES = {"fc7": "classifier.4", "fc6": "classifier.1"}
"""The papers' names for layers of AlexNet and VGG (after the ReLU)."""
_DOWNLOAD_TIMEOUT_S = 60


class TorchvisionBackbone(Backbone):
    """A classifier of torchvision up to a node.

    Args:
        name: architecture[:node]; the default node is the input of the last linear layer (for vgg19: fc7).
        source: see `Weights`.

    Raises:
        UsageError: torchvision has no such classifier, or the classifier has no such node.
        WeightsError: see `Weights`.
    """

    def __init__(self, name: str, source: str) -> None:
        architecture, node = parse_name(name)
        presets: Any = get_model_weights(architecture)
        weights = Weights(source, list(presets.__members__), f"torchvision's {architecture}")
        self._preset: Any = presets[weights.name] if weights.name is not None else None
        transforms: Any = (self._preset or next(iter(presets))).transforms()
        geometry = Geometry(transforms.resize_size[0], transforms.crop_size[0], transforms.interpolation.value)
        super().__init__(architecture, node, weights, Preprocessing(geometry, transforms.mean, transforms.std))

    def load(self) -> nn.Module:
        """Return the network with its weights; see `Backbone`."""
        if self._preset is not None:
            return self._download()
        if self.weights.seed is not None:
            with seeded(self.weights.seed):
                return _blank_network(self.architecture)
        network, file = _skeleton(self.architecture), Path(self.weights.source)
        try:
            network.load_state_dict(read_state_dict(file), assign=True)
        except MissingExtraError:
            raise
        except Exception as error:  # torch.load raises many kinds of errors
            raise self.weights.refuse(file, error) from None
        return network.float()  # a file may hold half-precision numbers

    def cut(self, network: nn.Module) -> nn.Module:
        """Return the network up to the node; see `Backbone`."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns that training mode would give other nodes
            nodes = {_layer(self.architecture, self.node): "feature"}
            cut = create_feature_extractor(network, return_nodes=nodes, suppress_diff_warning=True)
        return Flat(cut, "feature").eval()

    def weights_file(self) -> Path | None:
        """Return the file of the weights; see `Backbone`."""
        return self.weights.file if self._preset is None else _checkpoints() / Path(self._preset.url).name

    def _download(self) -> nn.Module:
        try:
            with _socket_timeout(_DOWNLOAD_TIMEOUT_S):
                network: nn.Module = get_model(self.architecture, weights=self._preset)
                return network.eval()
        except (OSError, RuntimeError) as error:
            raise WeightsError(
                f"the weights {self.weights.label} of {self.architecture} cannot be downloaded from "
                f"{self._preset.url} ({error}); put that file into {_checkpoints()}, or pass it with "
                "--weights <file>, or try the pipeline with --weights random:0"
            ) from None


def parse_name(name: str) -> tuple[str, str]:
    """Split `architecture[:node]` and check both; the default node is the input of the last linear layer.

    Raises:
        UsageError: torchvision has no such classifier, or the classifier has no such node.
    """
    architecture, _, node = name.partition(":")
    known = list_models(module=models)
    if architecture not in known:
        raise UsageError(
            f"extractor {name!r}: torchvision has no classifier {architecture!r}; "
            f"{similar(architecture, known)}; for other libraries write timm:<name> or open_clip:<name>/<pretrained>"
        )
    if not node and architecture == VGG19:
        return architecture, "fc7"
    names, default = _nodes(architecture)
    node = node or default
    if not node:
        raise UsageError(f"extractor {name!r}: {architecture} has no linear layer; name one of {', '.join(names[-5:])}")
    layer = _layer(architecture, node)
    if not any(name == layer or name.startswith(f"{layer}.") for name in names):  # a module name means its last node
        close = [known for known in names if known.startswith(node.split(".")[0])] or names
        raise UsageError(
            f"extractor {name!r}: {architecture} has no node {node!r}; similar nodes are {', '.join(close[-5:])}"
        )
    return architecture, node


def _nodes(architecture: str) -> tuple[list[str], str]:
    """Return the names of all nodes and the default node, the input of the last linear layer before dropout, or ""."""
    network = _skeleton(architecture)
    tracer = NodePathTracer(autowrap_modules=(math, torchvision.ops))
    graph = tracer.trace(network)
    modules, names = dict(network.named_modules()), tracer.node_to_qualname
    default = ""
    for node in graph.nodes:
        if node.op == "call_module" and isinstance(modules[node.target], nn.Linear):
            before = node.args[0]
            while before.op == "call_module" and isinstance(modules[before.target], nn.Dropout):
                before = before.args[0]
            default = names[before]
    return list(names.values()), default


def _layer(architecture: str, node: str) -> str:
    return _ALIASES.get(node, node) if re.match(r"alexnet|vgg", architecture) else node


def _skeleton(architecture: str) -> nn.Module:
    """Return a network without weights, in most cases without memory for them."""
    try:
        with torch.device("meta"), _WithoutRandomValues():
            return _blank_network(architecture)
    except NotImplementedError:  # RegNet computes with its initial values
        return _blank_network(architecture)


class _WithoutRandomValues(TorchFunctionMode):
    """Leaves tensors as they are instead of filling them at random; on `meta`, that would load torch's compiler."""

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        is_initial = getattr(function, "__module__", None) == nn.init.__name__
        if is_initial or function in (torch.Tensor.normal_, torch.Tensor.uniform_):
            return args[0] if args else (kwargs or {})["tensor"]
        return function(*args, **(kwargs or {}))


def _blank_network(architecture: str) -> nn.Module:
    """Return a network with initial values, built as its ImageNet weights require."""
    # these two networks convert the usual normalisation of pictures to their own
    options: dict[str, Any] = {}
    if architecture in ("googlenet", "inception_v3"):
        options = {"transform_input": True, "init_weights": True}
    network: nn.Module = get_model(architecture, weights=None, **options)
    return network.eval()


def _checkpoints() -> Path:
    """Return the folder for the files that torchvision downloads."""
    return Path(torch.hub.get_dir()) / "checkpoints"


@contextmanager
def _socket_timeout(timeout_s: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(timeout_s)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
