"""Finds what a user may have meant by a name that a library does not have."""

from collections.abc import Iterable
from difflib import get_close_matches

_MOST = 5


def similar(name: str, known: Iterable[str]) -> str:
    """Return up to five of the known names: those that contain the name, then those that are spelled like it."""
    spelled = {one.casefold(): one for one in known}
    wanted = name.casefold()
    containing = sorted((one for one in spelled if wanted and wanted in one), key=len)
    close = get_close_matches(wanted, spelled, _MOST, 0.5)
    found = list(dict.fromkeys(spelled[one] for one in (*containing, *close))) or list(spelled.values())
    return ", ".join(found[:_MOST])
