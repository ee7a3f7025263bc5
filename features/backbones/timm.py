"""Backbones of timm: any of its networks without the classifier, such as DINOv2 and SigLIP."""

import math
import warnings
from pathlib import Path
from typing import Any

import timm
from timm.data import resolve_data_config
from timm.models import load_state_dict
from torch import nn

from dataset.errors import UsageError, WeightsError
from dataset.pictures.protocol import Geometry
from features.backbones.backbone import Backbone, Flat, Preprocessing, seeded
from features.backbones.hub import HubFile
from features.backbones.names import similar, some
from features.backbones.weights import Weights

_NODE = "pre_logits"  # timm's name for the input of the classifier
_HUB_FILE = "pytorch_model.bin"  # timm's name for a file of weights that has no name of its own


class TimmBackbone(Backbone):
    """A network of timm without its classifier.

    Args:
        name: architecture[.tag]; the tag names weights and the preprocessing that belongs to them.
        source: see `Weights`; the library's weights are those of the tag.

    Raises:
        UsageError: timm has no such network, or the network takes no square RGB pictures.
        WeightsError: see `Weights`.
    """

    def __init__(self, name: str, source: str) -> None:
        architecture, tag, config = _parse_name(name)
        self._name = f"{architecture}.{tag}" if tag else architecture
        self._config = config
        repository = config.get("hf_hub_id")
        self._hub_file = HubFile(repository, config.get("hf_hub_filename") or _HUB_FILE) if repository else None
        has_weights = repository or config.get("url")
        weights = Weights(source, [tag or "default"] if has_weights else [], f"timm's {self._name}")
        preprocessing = _preprocessing(self._name, config)
        super().__init__(f"timm:{architecture}", _NODE, weights, preprocessing, f"timm:{self._name} {timm.__version__}")

    def load(self) -> nn.Module:
        """Return the network with its weights; see `Backbone`."""
        if self.weights.seed is not None:
            with seeded(self.weights.seed):
                return self._create(pretrained=False)
        file = self.weights.file or self._fetch()
        try:
            return self._read(file)
        except Exception as error:  # timm and torch raise many kinds of errors
            raise self.weights.refuse(file, error) from None

    def cut(self, network: nn.Module) -> nn.Module:
        """Return the network, which has no classifier; see `Backbone`."""
        return Flat(network).eval()

    def weights_file(self) -> Path | None:
        """Return the file of the weights; see `Backbone`."""
        return self.weights.file or (self._hub_file.cached() if self._hub_file is not None else None)

    def _fetch(self) -> Path:
        words = f"the weights {self.weights.label} of timm's {self._name}"
        if self._hub_file is None:
            raise WeightsError(
                f"{words} are not on the Hugging Face Hub; download {self._config['url']} and pass it with "
                "--weights <file>, or try the pipeline with --weights random:0"
            )
        return self._hub_file.fetch(words)

    def _read(self, file: Path) -> nn.Module:
        """Return the network with the weights in a file, which may have a classifier of other classes or none."""
        if file.suffix == ".npz":  # weights as JAX saved them
            return self._create(pretrained_cfg_overlay={"file": str(file), "custom_load": True})
        tensors = load_state_dict(str(file), weights_only=True)
        try:
            return self._create(pretrained_cfg_overlay={"state_dict": tensors, "custom_load": False})
        except RuntimeError:
            names = self._config.get("classifier") or ()
        classifiers = (names,) if isinstance(names, str) else names
        tensors = {name: tensor for name, tensor in tensors.items() if name.rpartition(".")[0] not in classifiers}
        overlay = {"state_dict": tensors, "custom_load": False, "num_classes": 0, "label_offset": None}
        return self._create(num_classes=0, pretrained_cfg_overlay=overlay)

    def _create(self, pretrained: bool = True, **options: Any) -> nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network: Any = timm.create_model(self._name, pretrained=pretrained, **options)
        network.pretrained_cfg.pop("state_dict", None)  # a second copy of the tensors
        network.reset_classifier(0)
        without_classifier: nn.Module = network.eval()
        return without_classifier


def _parse_name(name: str) -> tuple[str, str, dict[str, Any]]:
    """Return a network's architecture, its tag (or "") and timm's configuration of its weights.

    Raises:
        UsageError: timm has no such network, or none with such a tag.
    """
    architecture, _, tag = name.partition(".")
    known = timm.list_models()
    if architecture not in known:
        raise UsageError(
            f"extractor 'timm:{name}': timm has no network {architecture!r}; {similar(architecture, known)}"
        )
    tagged = timm.list_models(architecture, include_tags=True)
    if tag and name not in tagged:
        raise UsageError(f"extractor 'timm:{name}': timm has no such weights; it has {some(tagged)}")
    config: Any = timm.get_pretrained_cfg(name)
    described: dict[str, Any] = config.to_dict() if config is not None else {}
    return architecture, tag or described.get("tag", ""), described


def _preprocessing(name: str, config: dict[str, Any]) -> Preprocessing:
    """Return the preprocessing that timm's own transforms for evaluation do.

    Raises:
        UsageError: it is one that this package cannot do.
    """
    data: dict[str, Any] = resolve_data_config(pretrained_cfg=config)
    channels, height, width = data["input_size"]
    if channels != 3 or height != width or data["crop_mode"] not in ("center", "squash"):
        raise UsageError(
            f"extractor 'timm:{name}': it takes pictures of {channels} x {height} x {width} with the crop mode "
            f"{data['crop_mode']}; only square RGB pictures with the crop modes center and squash are possible"
        )
    resize_px = math.floor(height / data["crop_pct"])
    geometry = Geometry(resize_px, height, data["interpolation"], is_squashed=data["crop_mode"] == "squash")
    return Preprocessing(geometry, data["mean"], data["std"])
