"""The words that pages and messages use for a dataset's items: what its source calls them.

A crawl has movies. An import's items are named after the column of their ids (`productId`: product), or else after
the file that describes them (`movies.dat`: movie), or else items.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_IDENTIFIER = re.compile(r"(?:[a-z]{0,3}ids?|no|nr|num|number|code|key|name|title|idx|index|token|\d+)")
_NO_NOUNS = {
    *("asin", "isbn", "issn", "ean", "upc", "sku", "gtin", "barcode", "uri", "url", "link", "hash", "column", "field"),
    *("i", "v", "x", "y", "col", "user", "person", "people", "entity", "object", "target", "parent", "sub", "data"),
}
_FILES = {"movies", "films", "books", "products", "songs", "tracks", "artists", "games", "recipes", "articles", "items"}
_SAME_IN_THE_PLURAL = {"series", "news", "species", "anime", "music", "media", "content"}
_WATCHED = {"movie", "film", "video", "show", "series", "episode", "anime", "clip"}
_LONGEST = 20


@dataclass(frozen=True)
class Wording:
    """What items are called, and what people do with them.

    Attributes:
        item: one item, for example "movie".
        items: several.
        do: what people do with items, for example "watch".
        did: the same in the past.
        done: the same after "has".
    """

    item: str = "movie"
    items: str = "movies"
    do: str = "watch"
    did: str = "watched"
    done: str = "watched"

    def fill(self, text: str) -> str:
        """Return a text with `{item}`, `{items}`, `{a_item}`, `{do}` and `{did}` replaced by these words."""
        return text.format(item=self.item, items=self.items, a_item=self.a_item, do=self.do, did=self.did)

    def of_tables(self, text: str) -> str:
        """Return a text that names tables and reasons, which say movie, with the word for these items."""
        return re.sub(r"\bmovie(s?)\b", lambda found: self.items if found[1] else self.item, text)

    @property
    def a_item(self) -> str:
        """One item with its article, for example "a movie" or "an item"."""
        return f"{'an' if self.item[0] in 'aeiou' else 'a'} {self.item}"


def wording_of(provenance: Mapping[str, Any]) -> Wording:
    """Return the words for the items of a dataset.

    Args:
        provenance: the provenance in the dataset's description or manifest.
    """
    if provenance.get("source") != "import":
        return Wording()
    options, file = provenance.get("options"), provenance.get("items_file")
    column = options.get("item_column") if isinstance(options, Mapping) else None
    stem = PurePath(str(file)).stem.lower() if file else ""
    item = _noun(str(column or "")) or (_singular(stem) if stem in _FILES else "item")
    verbs = (
        ("watch", "watched", "watched") if item in _WATCHED else ("interact with", "interacted with", "interacted with")
    )
    return Wording(item, _plural(item), *verbs)


def is_of_the_papers_kind(provenance: Mapping[str, Any]) -> bool:
    """Return whether a dataset can be compared with the paper's, which was crawled: it is no import."""
    return provenance.get("source") != "import"


def _noun(column: str) -> str:
    """Return the noun in a column's name, empty if there is none: `product` of `productId` and `PRODUCT_ID:token`."""
    name = column.partition(":")[0]
    if not name.isascii():
        return ""
    parts = [part.lower() for part in _PART.findall(name)]
    while parts and _IDENTIFIER.fullmatch(parts[-1]):
        parts.pop()
    noun = _singular(re.sub(r"(?<=...)id$", "", parts[-1])) if parts else ""
    return "" if noun in _NO_NOUNS or not 2 < len(noun) <= _LONGEST else noun


def _singular(word: str) -> str:
    if word in _SAME_IN_THE_PLURAL or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and word not in ("movies", "cookies"):
        return f"{word[:-3]}y"
    return word[:-2] if word.endswith(("sses", "shes", "ches", "xes")) else word[:-1]


def _plural(word: str) -> str:
    if word in _SAME_IN_THE_PLURAL:
        return word
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return f"{word[:-1]}ies"
    return f"{word}es" if word.endswith(("s", "sh", "ch", "x", "z")) else f"{word}s"
