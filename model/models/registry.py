"""The models by name. To add a model, register it here and add its name to `names.py`."""

from dataclasses import dataclass

import torch

from dataset.errors import UsageError
from model.data.tensors import TrainingData
from model.models.basic.popular import Popular, PopularConfig
from model.models.basic.random import Random, RandomConfig
from model.models.factors.bpr import BPR, BPRConfig
from model.models.graphs.bm3 import BM3, BM3Config
from model.models.graphs.freedom import FREEDOM, FREEDOMConfig
from model.models.graphs.lattice import LATTICE, LATTICEConfig
from model.models.graphs.lightgcn import LightGCN, LightGCNConfig
from model.models.recommender import Config, Recommender
from model.models.visual.acf import ACF, ACFConfig
from model.models.visual.cdl import CDL, CDLConfig
from model.models.visual.jifr import JIFR, JIFRConfig
from model.models.visual.vbpr import VBPR, VBPRConfig
from model.models.visual.vpoi import VPOI, VPOIConfig


@dataclass(frozen=True)
class ModelKind:
    """A model's class and its default config."""

    model_class: type[Recommender]
    config: Config


MODELS: dict[str, ModelKind] = {
    "jifr": ModelKind(JIFR, JIFRConfig()),
    "jifr_visual": ModelKind(JIFR, JIFRConfig(rating_attention="avg")),
    "jifr_rating": ModelKind(JIFR, JIFRConfig(visual_attention="avg")),
    "jifr_na": ModelKind(JIFR, JIFRConfig(visual_attention="avg", rating_attention="avg")),
    "acf": ModelKind(ACF, ACFConfig()),
    "vpoi": ModelKind(VPOI, VPOIConfig()),
    "cdl": ModelKind(CDL, CDLConfig()),
    "bpr": ModelKind(BPR, BPRConfig()),
    "vbpr": ModelKind(VBPR, VBPRConfig()),
    "lightgcn": ModelKind(LightGCN, LightGCNConfig()),
    "lattice": ModelKind(LATTICE, LATTICEConfig()),
    "freedom": ModelKind(FREEDOM, FREEDOMConfig()),
    "bm3": ModelKind(BM3, BM3Config()),
    "popular": ModelKind(Popular, PopularConfig()),
    "random": ModelKind(Random, RandomConfig()),
}


def default_config(name: str) -> Config:
    """Return the default config of a model.

    Raises:
        UsageError: there is no such model.
    """
    if name not in MODELS:
        raise UsageError(f"model {name!r} is unknown; choose one of {', '.join(MODELS)}")
    return MODELS[name].config


def make_model(name: str, config: Config, data: TrainingData, seed: int) -> Recommender:
    """Return an untrained model whose initial values are drawn with `seed`."""
    default_config(name)
    return MODELS[name].model_class(config, data, torch.Generator().manual_seed(seed))
