"""Opens a backbone by its name: the only door to the networks of all libraries."""

from dataset.extras import require_library
from features.backbones.backbone import Backbone
from features.backbones.torchvision import TorchvisionBackbone


def open_backbone(name: str, weights: str) -> Backbone:
    """Return a backbone; its weights are not loaded yet.

    Args:
        name: `timm:<name>`, `open_clip:<name>/<pretrained>`, or `[torchvision:]<name>[:node]`.
        weights: see `features.backbones.weights.Weights`.

    Raises:
        MissingExtraError: the library is not installed.
        UsageError: the library has no such network, or the seed is invalid.
        WeightsError: the weights are neither the library's, nor random, nor a file.
    """
    library, _, rest = name.partition(":")
    if library == "timm":
        require_library("timm", f"extractor {name!r}")
        from features.backbones.timm import TimmBackbone

        return TimmBackbone(rest, weights)
    if library == "open_clip":
        require_library("open_clip", f"extractor {name!r}")
        from features.backbones.open_clip import OpenClipBackbone

        return OpenClipBackbone(rest, weights)
    return TorchvisionBackbone(rest if library == "torchvision" else name, weights)
