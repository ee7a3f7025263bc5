"""The dialect of a text table: how its fields are separated, quoted and escaped; `clevercsv` proposes one."""

import csv
import re
from dataclasses import dataclass
from typing import Any

from dataset.errors import UsageError

SEPARATOR_NAMES = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " ", "colon": ":"}
_WORDS = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "pipe", " ": "space", ":": "colon"}
_GUESSED = (",", "\t", ";", "|", ":", " ")
FIELD_END = "\x1f"
"""Stands for a separator of several characters: the reader takes one character."""

_SAMPLE_CHARACTERS = 8_000
_LINE_CHARACTERS = 500
_LONG_FIELD = re.compile(r"[^\t,;|]{40,}")
_LONG_WORD = re.compile(r"[^\s,;|:\"']{40,}")


@dataclass(frozen=True)
class Dialect:
    """How the fields of a text table are separated and quoted; `quote` and `escape` (a backslash) are None if none."""

    separator: str
    quote: str | None = None
    escape: str | None = None

    @property
    def delimiter(self) -> str:
        """The one character that separates the fields in the text that the parser gets."""
        return self.separator if len(self.separator.encode()) == 1 else FIELD_END

    @property
    def csv_options(self) -> dict[str, Any]:
        """The dialect as Python's `csv` module takes it."""
        return {
            "delimiter": self.delimiter,
            "quotechar": self.quote,
            "escapechar": self.escape,
            "quoting": csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
        }

    @property
    def separator_in_words(self) -> str:
        """The separator by its name, if it has one."""
        return _WORDS.get(self.separator, self.separator)


def separator_of(text: str, option: str) -> str:
    """Return the separator that a user means by `text`: itself, or by its name ("tab").

    Raises:
        UsageError: it cannot separate fields; the message names the option.
    """
    separator = SEPARATOR_NAMES.get(text.lower(), text)
    if not separator or set(separator) & set("\r\n\"'\\" + FIELD_END):
        raise UsageError(f"{option} {text!r}: cannot separate fields; give a character or {', '.join(_WORDS.values())}")
    return separator


def sniff(sample: str, name: str) -> Dialect:
    """Return the likely dialect of a text.

    Args:
        sample: the first lines.
        name: the file's name; one with `.tsv` proposes a tab.
    """
    first = sample.partition("\n")[0]
    if ".tsv" in name.lower() and "\t" in first:
        return Dialect("\t", '"')
    import clevercsv  # here, because it takes a while to load
    from clevercsv.detect import Detector

    text = _short_lines(sample)
    try:
        found = Detector().detect(text, delimiters=[mark for mark in _GUESSED if mark in text] or [","])
    except clevercsv.Error:
        found = None
    separator = (found.delimiter if found else "") or next((mark for mark in _GUESSED if mark in first), ",")
    if separator == ":" and "::" in first:
        separator = "::"
    return Dialect(separator, (found.quotechar if found else "") or '"')


def _short_lines(sample: str) -> str:
    """Return the first line and the next short ones; the detector takes minutes for a field of 10,000 characters."""
    first, *others = sample.replace("\0", " ").split("\n")
    if len(first) > _LINE_CHARACTERS:
        first = _LONG_FIELD.sub(_cut, first)[:_LINE_CHARACTERS]
    text = "\n".join([first, *(line for line in others if len(line) <= _LINE_CHARACTERS)])
    return _LONG_WORD.sub(_cut, text)[:_SAMPLE_CHARACTERS]


def _cut(found: re.Match[str]) -> str:
    return found[0][:40]
