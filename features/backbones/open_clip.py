"""Backbones of OpenCLIP: the image encoders of CLIP, SigLIP and their relatives."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import open_clip
from open_clip.transform import PreprocessCfg, merge_preprocess_dict
from torch import nn

from dataset.errors import UsageError
from dataset.pictures.protocol import Geometry
from features.backbones.backbone import Backbone, Flat, Preprocessing, seeded
from features.backbones.hub import HubFile
from features.backbones.names import similar, some
from features.backbones.weights import Weights

_NODE = "image_embedding"
_HUB_FILE = "open_clip_pytorch_model.bin"  # OpenCLIP's name for a file of weights that has no name of its own
_QUICK_GELU = "-quickgelu"
_MAX_REASON_CHARACTERS = 120


class OpenClipBackbone(Backbone):
    """The image encoder of a model of OpenCLIP; its feature is the embedding that is compared with a text's.

    Args:
        name: model/pretrained; the second part names weights and the preprocessing that belongs to them.
        source: see `Weights`; the library's weights are those after the slash.

    Raises:
        UsageError: OpenCLIP has no such model, or no such weights of it.
        WeightsError: see `Weights`.
    """

    def __init__(self, name: str, source: str) -> None:
        self._model, pretrained = _parse_name(name)
        self._words = f"OpenCLIP's {self._model}"
        weights = Weights(source, [pretrained] if pretrained else [], self._words)
        config: dict[str, Any] = open_clip.get_pretrained_cfg(self._model, pretrained)
        self._hub_path = config.get("hf_hub", "")
        preprocessing = _preprocessing(self._model, config)
        made_by = f"open_clip:{self._model} {open_clip.__version__}"
        super().__init__(f"open_clip:{self._model}", _NODE, weights, preprocessing, made_by)

    def load(self) -> nn.Module:
        """Return the image encoder with its weights; see `Backbone`."""
        if self.weights.seed is not None:
            with seeded(self.weights.seed):
                model = self._create()
        else:
            file = self.weights.file or self._hub_file().fetch(f"the weights {self.weights.label} of {self._words}")
            model = self._create()
            try:
                open_clip.load_checkpoint(model, str(file), weights_only=True)
            except Exception as error:  # OpenCLIP and torch raise many kinds of errors
                raise self.weights.refuse(file, error) from None
        encoder: nn.Module = model.visual.eval()
        return encoder

    def cut(self, network: nn.Module) -> nn.Module:
        """Return the image encoder; see `Backbone`."""
        return Flat(network).eval()

    def weights_file(self) -> Path | None:
        """Return the file of the weights; see `Backbone`."""
        return self.weights.file or self._hub_file().cached()

    def _hub_file(self) -> HubFile:
        repository, _, file = self._hub_path.rpartition("/")
        return HubFile(repository, file or _HUB_FILE)

    def _create(self) -> Any:
        try:
            with _silent():
                return open_clip.create_model(self._model, pretrained_text=False)
        except Exception as error:  # some text encoders need a further library, or the Hub
            words = " ".join(str(error).split())[:_MAX_REASON_CHARACTERS]
            raise UsageError(f"extractor {self.architecture!r}: OpenCLIP cannot build it ({words})") from None


def _parse_name(name: str) -> tuple[str, str]:
    """Return a model and the name of its weights, or "" if OpenCLIP has none.

    Raises:
        UsageError: OpenCLIP has no such model, or no such weights of it.
    """
    model, _, pretrained = name.partition("/")
    known = open_clip.list_models()
    if model not in known:
        raise UsageError(f"extractor 'open_clip:{name}': OpenCLIP has no model {model!r}; {similar(model, known)}")
    tags = open_clip.list_pretrained_tags_by_model(model)
    pretrained = pretrained.lower().replace("-", "_")
    if pretrained not in (tags or [""]):
        examples = some([f"open_clip:{model}/{tag}" for tag in tags] or [f"open_clip:{model}"])
        raise UsageError(
            f"extractor 'open_clip:{name}': name the weights, which also decide the preprocessing; for this model "
            f"there are {examples}"
        )
    return _with_its_activation(model, pretrained, known), pretrained


def _with_its_activation(model: str, pretrained: str, known: list[str]) -> str:
    """Return the model with the activation that these weights were trained with: GELU or QuickGELU."""
    is_quick = bool(open_clip.get_pretrained_cfg(model, pretrained).get("quick_gelu", False))
    if not pretrained or is_quick == bool(open_clip.get_model_config(model).get("quick_gelu", False)):
        return model
    other = f"{model}{_QUICK_GELU}" if is_quick else model.removesuffix(_QUICK_GELU)
    return other if other in known else model


def _preprocessing(model: str, config: dict[str, Any]) -> Preprocessing:
    """Return the preprocessing that OpenCLIP's own transforms for evaluation do.

    Raises:
        UsageError: it is one that this package cannot do.
    """
    wanted = PreprocessCfg(**merge_preprocess_dict(PreprocessCfg(), config))
    size = open_clip.get_model_config(model)["vision_cfg"].get("image_size", wanted.size)
    if not isinstance(size, int) or wanted.resize_mode not in ("shortest", "squash"):
        raise UsageError(
            f"extractor 'open_clip:{model}': it takes pictures of {size} with the resize mode {wanted.resize_mode}; "
            "only square pictures with the resize modes shortest and squash are possible"
        )
    geometry = Geometry(size, size, wanted.interpolation, is_squashed=wanted.resize_mode == "squash")
    return Preprocessing(geometry, wanted.mean, wanted.std)


@contextmanager
def _silent() -> Iterator[None]:
    """Keep OpenCLIP from printing: it logs to the root logger, and configures that if nobody has."""
    handler = logging.NullHandler()
    logging.getLogger().addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.getLogger().removeHandler(handler)
