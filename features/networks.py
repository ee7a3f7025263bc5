"""Cuts torchvision classifiers at a node: keeps the part of the network up to one inner output."""

import math
import re
import warnings

import torch
import torchvision.ops
from torch import nn
from torchvision import models
from torchvision.models import list_models
from torchvision.models.feature_extraction import NodePathTracer, create_feature_extractor

from dataset.errors import UsageError
from features.config import VGG19
from features.weights import skeleton

_ALIASES = {"fc7": "classifier.4", "fc6": "classifier.1"}
"""The papers' names for layers of AlexNet and VGG (after the ReLU)."""


def parse_extractor(name: str) -> tuple[str, str]:
    """Split `architecture[:node]`; the default node is the input of the last linear layer.

    Raises:
        UsageError: torchvision has no such classifier, or the classifier has no such node.
    """
    architecture, _, node = name.partition(":")
    if architecture not in list_models(module=models):
        raise UsageError(
            f"extractor {name!r}: torchvision has no classifier {architecture!r}; it has vgg19, resnet50, vit_b_16, "
            "convnext_base and others (torchvision.models.list_models(module=torchvision.models))"
        )
    if not node and architecture == VGG19:
        return architecture, "fc7"
    names, default = _nodes(architecture)
    node = node or default
    if not node:
        raise UsageError(f"extractor {name!r}: {architecture} has no linear layer; name one of {', '.join(names[-5:])}")
    layer = _layer(architecture, node)
    if not any(name == layer or name.startswith(f"{layer}.") for name in names):  # a module name means its last node
        similar = [known for known in names if known.startswith(node.split(".")[0])] or names
        raise UsageError(
            f"extractor {name!r}: {architecture} has no node {node!r}; similar nodes are {', '.join(similar[-5:])}"
        )
    return architecture, node


def cut_network(network: nn.Module, architecture: str, node: str) -> nn.Module:
    """Return a network up to a node; its output is flattened to (B, width)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that training mode would give other nodes
        cut = create_feature_extractor(
            network, return_nodes={_layer(architecture, node): "feature"}, suppress_diff_warning=True
        )
    return _Flat(cut).eval()


class _Flat(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        feature: torch.Tensor = self.network(inputs)["feature"]
        return feature.flatten(1)


def _nodes(architecture: str) -> tuple[list[str], str]:
    """Return the names of all nodes and the default node, the input of the last linear layer before dropout, or ""."""
    network = skeleton(architecture)
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
