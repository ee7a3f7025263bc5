"""The names of the models in `registry.py` and of the losses. Reading them imports no torch, so `--help` is fast."""

from typing import Literal

Loss = Literal["bpr", "softmax"]
"""What a model that learns from pairs minimises: BPR's loss over negatives, or a softmax over items (`softmax.py`)."""

_PAPER = ("jifr", "jifr_visual", "jifr_rating", "jifr_na", "acf", "vpoi", "cdl", "bpr", "vbpr")
_SOFTMAX = ("jifr_plus", "softmax_mf")
_OF_HISTORIES = ("svdpp", "nais")
_GRAPHS = ("lightgcn", "lattice", "freedom", "bm3")
_WITHOUT_GRADIENTS = ("ease", "slim", "itemknn", "userknn", "rp3beta", "ials")
_RANKERS_OF_FRAMES = ("visrank", "mean_frame", "first_frame", "site_order")

_FROM_LIKES = ("most_liked", "kfr", "most_liked_upper_bound")

MODEL_NAMES = (
    *_PAPER,
    *_SOFTMAX,
    *_OF_HISTORIES,
    *_GRAPHS,
    *_WITHOUT_GRADIENTS,
    *_RANKERS_OF_FRAMES,
    *_FROM_LIKES,
    "popular",
    "random",
)
DEFAULT_MODELS = (*_PAPER, "ease", *_RANKERS_OF_FRAMES, "popular", "random")
"""What an experiment compares by default: the paper's models, and models that are fast to train and hard to beat."""
