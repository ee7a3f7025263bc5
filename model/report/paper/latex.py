"""Text as LaTeX and as Markdown: names of models and datasets may have any characters."""

import re
import unicodedata

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\ensuremath{<}",
    ">": r"\ensuremath{>}",
    "|": r"\ensuremath{|}",
    '"': "''",
    "`": r"\textasciigrave{}",
    "[": "{[}",  # at the start of a row, it would be an argument of the line break before it, and so would *
    "]": "{]}",
    "*": "{*}",
    "−": r"\ensuremath{-}",
    "–": "--",
    "’": "'",
    "†": r"\dag{}",
    "±": r"\ensuremath{\pm}",
    "\u202f": r"\,",
    "\u00a0": "~",
}
_GREEK = re.compile(r"GREEK (SMALL|CAPITAL) LETTER ([A-Z]+)")
_SMALL = {
    *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "mu", "nu", "xi", "pi"),
    *("rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega"),
}
_CAPITAL = {"gamma", "delta", "theta", "xi", "pi", "sigma", "upsilon", "phi", "psi", "omega"}
_MARKDOWN = re.compile(r"([\\`*_\[\]<>#|~$&])")


def latex(text: str) -> str:
    """Return a text as LaTeX that shows it, in one line; letters such as Chinese ones stay as they are."""
    written = "".join(_LATEX.get(character) or _letter(character) for character in _one_line(text))
    return re.sub("-(?=-)", "-{}", written)  # two would be a dash


def markdown(text: str) -> str:
    """Return a text as Markdown that shows it, in one line."""
    return _MARKDOWN.sub(r"\\\1", _one_line(text))


def needs_unicode_fonts(text: str) -> bool:
    """Return whether a text has letters that pdfLaTeX does not know, such as Chinese ones."""
    return any(ord(one) > 0x17F and one not in _LATEX and _letter(one) == one for one in text)


def _one_line(text: str) -> str:
    kept = (" " if character.isspace() and character not in "\u202f\u00a0" else character for character in text)
    return "".join(one for one in kept if unicodedata.category(one) not in ("Cc", "Cs"))


def _letter(character: str) -> str:
    if ord(character) < 0x80:
        return character
    found = _GREEK.fullmatch(unicodedata.name(character, ""))
    if found and found[2].lower() in (_SMALL if found[1] == "SMALL" else _CAPITAL):
        name = found[2].lower()
        return rf"\ensuremath{{\{name if found[1] == 'SMALL' else name.capitalize()}}}"
    return character
