"""Pseudonyms, which replace people's ids in every export.

A pseudonym is the HMAC-SHA256 of the id under a key that stays in the crawl folder. The same
person has the same pseudonym in every export made with this key. Nobody without the key can
compute it, not even by trying all ids. Without the key, later exports cannot be joined with
earlier ones; publishing the key undoes the protection. `PUBLIC_KEY`, which everybody knows, is for
the invented people of the sandbox: with it, the same world has the same ids on every machine.
"""

import hashlib
import hmac
import os
import secrets
import sys
from pathlib import Path

from dataset.cli import say
from dataset.errors import PipelineError

KEY_BYTES = 32
PUBLIC_KEY = bytes(KEY_BYTES)
_MANY_DIFFERENT_BYTES = 8  # a random key of 32 bytes has more, with certainty
PSEUDONYM_CHARACTERS = 32


class Pseudonyms:
    """Computes pseudonyms of 32 hexadecimal digits under one key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def open(cls, path: Path) -> "Pseudonyms":
        """Read the key; at first use, create it (readable only by its owner) and print where it is.

        Raises:
            PipelineError: the file is not a key, or cannot be read or created.
        """
        try:
            key = _new_key(path) if not path.exists() else bytes.fromhex(path.read_text(encoding="ascii").strip())
        except (OSError, ValueError) as error:
            raise PipelineError(
                f"{path}: cannot be used as the pseudonym key ({error}); put the right key back, "
                "or delete it to get a new one (exports with the new key cannot be joined with earlier ones)"
            ) from error
        if len(key) != KEY_BYTES:
            raise PipelineError(
                f"{path}: holds {len(key)} bytes, a pseudonym key has {KEY_BYTES}; put the right key back"
            )
        return cls(key)

    @property
    def is_public(self) -> bool:
        """Whether the key is no secret: the public one, or one that is typed without any randomness."""
        return len(set(self._key)) < _MANY_DIFFERENT_BYTES

    def of(self, user_id: str) -> str:
        """Return the pseudonym of a user id."""
        return hmac.new(self._key, user_id.encode(), hashlib.sha256).hexdigest()[:PSEUDONYM_CHARACTERS]


def _new_key(path: Path) -> bytes:
    key = secrets.token_bytes(KEY_BYTES)
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(key.hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    say(
        f"created a pseudonym key: {path} (keep it, and keep it secret: without it, "
        "later exports cannot be joined with this one)",
        file=sys.stderr,
    )
    return key
