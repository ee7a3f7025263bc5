"""Chances that depend on what they are for, not on the order in which they are drawn."""

import hashlib


def chance(*parts: object) -> float:
    """Return a number from 0 to 1 that depends only on the parts."""
    return int.from_bytes(hashlib.sha256(" ".join(map(str, parts)).encode()).digest()[:6], "big") / 2**48
