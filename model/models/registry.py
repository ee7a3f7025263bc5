"""The models by name. To add a model, register it here and add its name to `names.py`.

A model of the user's own needs no line here: its name is `package.module:Class` (`own.py`).
"""

from dataclasses import dataclass, replace

import torch

from dataset.errors import UsageError
from model.data.tensors import TrainingData
from model.models.basic.popular import Popular, PopularConfig
from model.models.basic.random import Random, RandomConfig
from model.models.factors.bpr import BPR, BPRConfig
from model.models.factors.ials import IALS, IALSConfig
from model.models.factors.nais import NAIS, NAISConfig
from model.models.factors.svdpp import SVDPP, SVDPPConfig
from model.models.frames.first_frame import FirstFrame, FirstFrameConfig
from model.models.frames.kfr import KFR, KFRConfig
from model.models.frames.mean_frame import MeanFrame, MeanFrameConfig
from model.models.frames.most_liked import MostLiked, MostLikedConfig, MostLikedUpperBound
from model.models.frames.site_order import SiteOrder, SiteOrderConfig
from model.models.frames.visrank import VisRank, VisRankConfig
from model.models.graphs.bm3 import BM3, BM3Config
from model.models.graphs.freedom import FREEDOM, FREEDOMConfig
from model.models.graphs.lattice import LATTICE, LATTICEConfig
from model.models.graphs.lightgcn import LightGCN, LightGCNConfig
from model.models.linear.ease import EASE, EASEConfig
from model.models.linear.slim import SLIM, SLIMConfig
from model.models.names import is_own
from model.models.neighbours.itemknn import ItemKNN, ItemKNNConfig
from model.models.neighbours.rp3beta import RP3Beta, RP3BetaConfig
from model.models.neighbours.userknn import UserKNN, UserKNNConfig
from model.models.own import check_class, default_settings, own_class
from model.models.recommender import Config, Recommender
from model.models.visual.acf import ACF, ACFConfig
from model.models.visual.cdl import CDL, CDLConfig
from model.models.visual.jifr import JIFR, JIFRConfig
from model.models.visual.jifr_plus import JIFRPlus, JIFRPlusConfig
from model.models.visual.vbpr import VBPR, VBPRConfig
from model.models.visual.vpoi import VPOI, VPOIConfig


@dataclass(frozen=True)
class ModelKind:
    """A model's class and its default config."""

    model_class: type[Recommender]
    config: Config


_ATTENTION = JIFRConfig(collaborative_dim=64, visual_dim=64)
_EQUAL_WEIGHTS = JIFRConfig(collaborative_dim=64, l2=None, visual_l2=None, rating_attention="avg")


class _Models(dict[str, ModelKind]):
    """Our models by name. The name of a class of the user's, `package.module:Class`, is looked up but not listed."""

    def __init__(self) -> None:
        super().__init__()
        self.own: dict[str, ModelKind] = {}

    def __missing__(self, name: str) -> ModelKind:
        if not is_own(name):
            raise UsageError(
                f"model {name!r} is unknown; choose one of {', '.join(self)}, or your own as package.module:Class"
            )
        if name not in self.own:
            model_class = own_class(name)
            for ours, kind in self.items():
                if kind.model_class is model_class:
                    raise UsageError(f"model {name!r}: is not your own; use --model {ours}")
            self.own[name] = ModelKind(model_class, default_settings(model_class, name))
        return self.own[name]


MODELS = _Models()
"""The models by name. `MODELS[name]` raises a `UsageError` for a name that is unknown, or a class that is no model."""
MODELS |= {
    "jifr": ModelKind(JIFR, _ATTENTION),
    "jifr_visual": ModelKind(JIFR, _EQUAL_WEIGHTS),
    "jifr_rating": ModelKind(JIFR, replace(_ATTENTION, visual_attention="avg")),
    "jifr_na": ModelKind(JIFR, replace(_EQUAL_WEIGHTS, visual_attention="avg")),
    "acf": ModelKind(ACF, ACFConfig()),
    "vpoi": ModelKind(VPOI, VPOIConfig()),
    "cdl": ModelKind(CDL, CDLConfig()),
    "bpr": ModelKind(BPR, BPRConfig()),
    "vbpr": ModelKind(VBPR, VBPRConfig()),
    "jifr_plus": ModelKind(JIFRPlus, JIFRPlusConfig()),
    "softmax_mf": ModelKind(BPR, BPRConfig(loss="softmax")),
    "svdpp": ModelKind(SVDPP, SVDPPConfig()),
    "nais": ModelKind(NAIS, NAISConfig()),
    "lightgcn": ModelKind(LightGCN, LightGCNConfig()),
    "lattice": ModelKind(LATTICE, LATTICEConfig()),
    "freedom": ModelKind(FREEDOM, FREEDOMConfig()),
    "bm3": ModelKind(BM3, BM3Config()),
    "ease": ModelKind(EASE, EASEConfig()),
    "slim": ModelKind(SLIM, SLIMConfig()),
    "itemknn": ModelKind(ItemKNN, ItemKNNConfig()),
    "userknn": ModelKind(UserKNN, UserKNNConfig()),
    "rp3beta": ModelKind(RP3Beta, RP3BetaConfig()),
    "ials": ModelKind(IALS, IALSConfig()),
    "visrank": ModelKind(VisRank, VisRankConfig()),
    "mean_frame": ModelKind(MeanFrame, MeanFrameConfig()),
    "first_frame": ModelKind(FirstFrame, FirstFrameConfig()),
    "site_order": ModelKind(SiteOrder, SiteOrderConfig()),
    "most_liked": ModelKind(MostLiked, MostLikedConfig()),
    "kfr": ModelKind(KFR, KFRConfig()),
    "most_liked_upper_bound": ModelKind(MostLikedUpperBound, MostLikedConfig()),
    "popular": ModelKind(Popular, PopularConfig()),
    "random": ModelKind(Random, RandomConfig()),
}


def name_of(model_class: type[Recommender]) -> str:
    """Return the name of a class of the user's, by which it can be used from now on, even if it cannot be imported.

    Raises:
        UsageError: the class cannot be used.
    """
    name = f"{model_class.__module__}:{model_class.__name__}"
    MODELS.own[name] = ModelKind(check_class(model_class, name), default_settings(model_class, name))
    return name


def default_config(name: str) -> Config:
    """Return the default config of a model.

    Raises:
        UsageError: there is no such model.
    """
    return MODELS[name].config


def make_model(name: str, config: Config, data: TrainingData, seed: int) -> Recommender:
    """Return an untrained model whose initial values are drawn with `seed`."""
    model = MODELS[name].model_class(config, data_for(name, data), torch.Generator().manual_seed(seed))
    model.made_of = name, config
    return model


def data_for(name: str, data: TrainingData) -> TrainingData:
    """Return what a model may learn from: `data` without any like that its class does not declare to learn from."""
    kind, frames, likes = MODELS[name].model_class, data.frames, data.likes
    if not kind.learns_from_likes:
        frames, likes = replace(frames, train_likes=None), None
    if not kind.sees_held_out_likes:
        frames = replace(frames, like_counts=None)
    return replace(data, frames=frames, likes=likes)
