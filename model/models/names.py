"""The names of the models in `registry.py`. Reading them imports no torch, so `--help` can list them."""

_PAPER = ("jifr", "jifr_visual", "jifr_rating", "jifr_na", "acf", "vpoi", "cdl", "bpr", "vbpr")
_GRAPHS = ("lightgcn", "lattice", "freedom", "bm3")
_WITHOUT_GRADIENTS = ("ease", "slim", "itemknn", "userknn", "rp3beta", "ials")
_RANKERS_OF_FRAMES = ("visrank", "mean_frame", "first_frame", "site_order")

MODEL_NAMES = (*_PAPER, *_GRAPHS, *_WITHOUT_GRADIENTS, *_RANKERS_OF_FRAMES, "most_liked", "popular", "random")
DEFAULT_MODELS = (*_PAPER, "ease", *_RANKERS_OF_FRAMES, "popular", "random")
"""What an experiment compares by default: the paper's models, and models that are fast to train and hard to beat."""


def is_own(name: str) -> bool:
    """Return whether a model's name means a class of the user's: `package.module:Class`."""
    return ":" in name


def name_in_paths(name: str) -> str:
    """Return a model's name as it stands in the names of files and folders."""
    return name.replace(":", ".")
