"""The title, colour, dash and marker of each model, the same in every chart of the report."""

import zlib
from dataclasses import dataclass, replace

from dataset.errors import UsageError
from dataset.feature_sets import MAIN, split_arm
from dataset.report.theme import INK, SERIES
from model.models.names import is_own
from model.models.recommender import Recommender
from model.models.registry import MODELS


@dataclass(frozen=True)
class Style:
    """A model's title, a few words on what it ranks by (for `Wording.fill`), and its colour, dash and marker."""

    title: str
    words: str
    colour: str
    dash: tuple[int, ...]
    shape: str


_BLUE, _RED, _GREEN, _PURPLE, _AMBER, _SKY, _GREY = SERIES
_SOLID, _DASHED, _DOTTED = (1, 0), (7, 3), (2, 3)
_LOOKS_OF_SETS = ((_SOLID, "circle"), (_DASHED, "square"), (_DOTTED, "diamond"), ((9, 3, 2, 3), "triangle-up"))
STYLES = {
    "jifr": Style("JIFR", "habit and looks, weighted by two attentions: the paper’s model", _BLUE, _SOLID, "circle"),
    "jifr_visual": Style(
        "JIFR visual only", "habit and looks with equal weights, frames weighted by attention", _BLUE, _DASHED, "square"
    ),
    "jifr_rating": Style(
        "JIFR rating only",
        "habit and looks weighted by attention, frames with equal weights",
        _BLUE,
        _DOTTED,
        "diamond",
    ),
    "jifr_na": Style("JIFR_NA", "habit and looks with equal weights, without attention", _SKY, _SOLID, "triangle-up"),
    "jifr_plus": Style("JIFR+", "habit, looks and EASE, learnt with a softmax", _BLUE, (9, 3, 2, 3), "cross"),
    "acf": Style(
        "ACF", "habit, with attention to the {items} that they {did} before and their frames", _RED, _SOLID, "square"
    ),
    "vpoi": Style("VPOI", "habit, with pictures as a regulariser of the {items}", _PURPLE, _SOLID, "diamond"),
    "vbpr": Style("VBPR", "habit and looks, with biases", _GREEN, _SOLID, "triangle-down"),
    "svdpp": Style("SVD++", "habit, and the sum of the {items} that they {did} before", INK, _DASHED, "triangle-up"),
    "nais": Style(
        "NAIS", "the {items} that they {did} before, weighted by attention to each other one", _RED, _DOTTED, "square"
    ),
    "lightgcn": Style("LightGCN", "habit, spread over the graph of people and {items}", INK, _DASHED, "circle"),
    "lattice": Style("LATTICE", "LightGCN, and a learnt graph of {items} that look alike", _GREEN, _DASHED, "square"),
    "freedom": Style("FREEDOM", "LightGCN, and a fixed graph of {items} that look alike", _PURPLE, _DASHED, "diamond"),
    "bm3": Style("BM3", "habit and looks that predict each other, without negatives", _RED, _DASHED, "cross"),
    "cdl": Style("CDL", "looks alone, learnt by comparing {items}", _AMBER, _SOLID, "triangle-up"),
    "bpr": Style("BPR", "habit alone: matrix factorisation", INK, _SOLID, "cross"),
    "softmax_mf": Style("softmax MF", "matrix factorisation with a softmax over {items}", INK, _DOTTED, "square"),
    "ease": Style("EASE", "a linear model from {items} to {items}, in closed form", _SKY, _DASHED, "circle"),
    "slim": Style("SLIM", "a sparse linear model from {items} to {items}", _SKY, _DOTTED, "square"),
    "itemknn": Style("ItemKNN", "{items} that the same people {did}", _GREEN, _DASHED, "circle"),
    "userknn": Style("UserKNN", "what the most similar people {did}", _GREEN, _DOTTED, "square"),
    "rp3beta": Style("RP³β", "random walks from {items} over people to {items}", _PURPLE, _DASHED, "triangle-up"),
    "ials": Style("iALS", "matrix factorisation by least squares over all pairs", INK, _DASHED, "diamond"),
    "visrank": Style(
        "VisRank", "what looks like the pictures of the {items} that they {did}", _AMBER, _DASHED, "square"
    ),
    "mean_frame": Style("typical frame", "the frame nearest to the mean of its {item}", _AMBER, _DOTTED, "diamond"),
    "first_frame": Style("first frame", "the poster, or else the first frame", _RED, _DASHED, "triangle-down"),
    "site_order": Style("the site’s order", "frames as the site lists them", _RED, _DOTTED, "cross"),
    "most_liked": Style(
        "most liked",
        "how many people like the frame: likes of train pairs, which no other model sees",
        _PURPLE,
        _DOTTED,
        "cross",
    ),
    "kfr": Style(
        "KFR (upper bound)", "who liked which frame of train pairs, which no other model sees", _RED, _SOLID, "cross"
    ),
    "most_liked_upper_bound": Style(
        "most liked on the site (upper bound)",
        "how many people like the frame on the site, test likes included",
        _PURPLE,
        _SOLID,
        "cross",
    ),
    "popular": Style("most popular", "how many people {did} it; the same list for everyone", _GREY, _DASHED, "square"),
    "random": Style("random", "guessing", _GREY, _DOTTED, "circle"),
}


GIVEN_LIKES = ("most_liked", "kfr")
"""Models that are given likes of train pairs."""

UPPER_BOUNDS = ("kfr", "most_liked_upper_bound")
"""Models that see likes of the kind that the test asks for: shown, but never called the best."""


def features_of(label: str) -> str | None:
    """Return the feature set or the arm of a label: `clip:shuffled` of `vbpr features=clip:shuffled`; None for none."""
    return label.partition(" features=")[2] or None


def arm_of(label: str) -> str | None:
    """Return what takes the place of the pictures of a model; None if it has its pictures, or reads none."""
    return split_arm(features_of(label) or MAIN)[1]


def is_contender(label: str) -> bool:
    """Return whether a model can be called the best: it is no upper bound, and has no arm."""
    return base_of(label) not in UPPER_BOUNDS and arm_of(label) is None


def base_of(label: str) -> str:
    """Return the model of a label: `vbpr` of `vbpr features=clip`."""
    return label.partition(" ")[0]


def class_of(name: str) -> type[Recommender] | None:
    """Return the class of a model by name; None if there is no such model here, as for an older run."""
    try:
        return MODELS[name].model_class
    except UsageError:
        return None


def style_of(model: str) -> Style:
    """Return the style of a model or of its label; an unknown model is shown by its name, your own as its class says.

    A model on one of several feature sets has its name and colour, and a dash and marker of the set's.
    """
    base, _, setting = model.partition(" ")
    style = STYLES.get(base) or _own_style(base)
    if not setting:
        return style
    name = setting.removeprefix("features=")
    words = name.replace(" features=", ", ").replace(" fold=", ", fold ").replace("fold=", "fold ").replace(":", ", ")
    dash, shape = _LOOKS_OF_SETS[zlib.crc32(name.encode()) % len(_LOOKS_OF_SETS)]
    return replace(style, title=f"{style.title} ({words})", dash=dash, shape=shape)


def _own_style(name: str) -> Style:
    """Return the style of a model that `STYLES` does not have: what its class says of itself, else its name."""
    kind = class_of(name) if is_own(name) else None
    title, words, colour = (kind.title, kind.description, kind.colour) if kind else ("", "", "")
    words = words.replace("{", "{{").replace("}", "}}")  # `Wording.fill` reads it
    return Style(title or name.rpartition(":")[2], words, colour or _GREY, _SOLID, "cross")


def in_order(models: set[str]) -> list[str]:
    """Return models in the order of the report."""
    places = {name: place for place, name in enumerate(STYLES)}
    return sorted(models, key=lambda model: (places.get(base_of(model), len(places)), model))
