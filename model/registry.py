"""The models by name: the one place to add another."""

from dataclasses import dataclass

import torch

from dataset.errors import UsageError
from model.baselines.acf import ACF, ACFConfig
from model.baselines.bpr import BPR, BPRConfig
from model.baselines.cdl import CDL, CDLConfig
from model.baselines.popular import Popular, PopularConfig
from model.baselines.random import Random, RandomConfig
from model.baselines.vbpr import VBPR, VBPRConfig
from model.baselines.vpoi import VPOI, VPOIConfig
from model.interactions import TrainingData
from model.jifr import JIFR, JIFRConfig
from model.recommender import Config, Recommender


@dataclass(frozen=True)
class ModelKind:
    """A model's class and the config it has by default."""

    make: type[Recommender]
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
    """Return an untrained model, its initial values drawn with `seed`."""
    default_config(name)
    return MODELS[name].make(config, data, torch.Generator().manual_seed(seed))
