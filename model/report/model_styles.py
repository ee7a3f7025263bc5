"""How models are called and drawn in the report: the same in every chart."""

from dataclasses import dataclass

from dataset.report.theme import INK, SERIES


@dataclass(frozen=True)
class Style:
    """A model's title, what it goes by in a few words, and its colour, dash and marker."""

    title: str
    words: str
    colour: str
    dash: tuple[int, ...]
    shape: str


_BLUE, _RED, _GREEN, _PURPLE, _AMBER, _SKY, _GREY = SERIES
_SOLID, _DASHED, _DOTTED = (1, 0), (7, 3), (2, 3)
STYLES = {
    "jifr": Style("JIFR", "habit and looks, weighed by two attentions: the paper’s model", _BLUE, _SOLID, "circle"),
    "jifr_visual": Style("JIFR visual only", "attention to frames, habit and looks equal", _BLUE, _DASHED, "square"),
    "jifr_rating": Style("JIFR rating only", "all frames equal, habit and looks weighed", _BLUE, _DOTTED, "diamond"),
    "jifr_na": Style("JIFR_NA", "habit and looks without attention", _SKY, _SOLID, "triangle-up"),
    "acf": Style("ACF", "attention to what was watched before, and to its frames", _RED, _SOLID, "square"),
    "vpoi": Style("VPOI", "habit, with pictures to regularise the movies", _PURPLE, _SOLID, "diamond"),
    "vbpr": Style("VBPR", "habit and looks with biases", _GREEN, _SOLID, "triangle-down"),
    "cdl": Style("CDL", "looks alone, learnt by comparing pictures", _AMBER, _SOLID, "triangle-up"),
    "bpr": Style("BPR", "habit alone: matrix factorisation", INK, _SOLID, "cross"),
    "popular": Style("most popular", "what most people watched, the same for all", _GREY, _DASHED, "square"),
    "random": Style("random", "guessing", _GREY, _DOTTED, "circle"),
}


def style_of(model: str) -> Style:
    """Return how a model is shown; one that is not known here goes by its own name."""
    return STYLES.get(model, Style(model, "", _GREY, _SOLID, "cross"))


def in_order(models: set[str]) -> list[str]:
    """Return models in the order in which they are shown."""
    return [name for name in STYLES if name in models] + sorted(models - set(STYLES))
