"""BibTeX of the models, metrics and tests: only what an experiment used is written.

The entries are in `references.bib` beside this file, and the paper's in `dataset.snapshots.citation`.
"""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from dataset.snapshots.citation import PAPER

NDCG, HOLM, ADAM, VGG = "jarvelin2002ndcg", "holm1979", "kingma2014adam", "simonyan2014vgg"
_PAPER_KEY = "wu2019personalized"

_OF_MODEL = {
    "jifr": _PAPER_KEY, "jifr_visual": _PAPER_KEY, "jifr_rating": _PAPER_KEY, "jifr_na": _PAPER_KEY,
    "jifr_plus": _PAPER_KEY,
    "acf": "chen2017acf", "vpoi": "wang2017vpoi", "cdl": "lei2016cdl", "bpr": "rendle2009bpr", "vbpr": "he2016vbpr",
    "lightgcn": "he2020lightgcn", "lattice": "zhang2021lattice", "freedom": "zhou2023freedom", "bm3": "zhou2023bm3",
    "ease": "steck2019ease", "slim": "ning2011slim", "itemknn": "sarwar2001item", "userknn": "herlocker1999user",
    "rp3beta": "paudel2017rp3", "ials": "hu2008ials", "visrank": "kang2017visually",
    "svdpp": "koren2008svdpp", "nais": "he2018nais", "kfr": "chen2017kfr", "softmax_mf": "wu2024ssm",
}  # fmt: skip


def key_of(model: str) -> str | None:
    """Return the BibTeX key of a model, None if it has no paper."""
    return _OF_MODEL.get(model)


@cache
def entries() -> dict[str, str]:
    """Return all entries by key."""
    file = Path(__file__).with_name("references.bib").read_text(encoding="utf-8")
    found = [PAPER, *file.strip().split("\n\n")]
    return {re.findall(r"^@\w+\{([^,]+),", entry)[0]: entry for entry in found}


def bibtex(keys: Iterable[str], *more: str) -> str:
    """Return the BibTeX of the known among keys, each once, and further entries."""
    return "\n\n".join([*(entries()[key] for key in dict.fromkeys(keys) if key in entries()), *more, ""])
