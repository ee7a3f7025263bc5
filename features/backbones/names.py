"""Says what a user may have meant by a name that a library does not have."""

from collections.abc import Collection, Sequence
from difflib import get_close_matches

_MOST = 5


def similar(name: str, known: Collection[str]) -> str:
    """Return which known names are similar: those that contain the name come first, then those spelled like it."""
    spelled = {one.casefold(): one for one in known}
    wanted = name.casefold()
    containing = sorted((one for one in spelled if wanted and wanted in one), key=len)
    close = get_close_matches(wanted, spelled, _MOST, 0.5)
    found = list(dict.fromkeys(spelled[one] for one in (*containing, *close)))
    if not found:
        return f"none of its {len(known):,} names is similar"
    return f"similar names are {', '.join(found[:_MOST])}"


def some(names: Sequence[str]) -> str:
    """Return the first names, and how many others there are."""
    others = f" and {len(names) - _MOST:,} others" if len(names) > _MOST else ""
    return ", ".join(names[:_MOST]) + others
