"""People who asked to be forgotten, known only by a keyed hash.

`forgotten.json` in the crawl folder holds a key and the HMAC-SHA256 of every forgotten uid under that key. It is
separate from the ledger, so that it is kept if the ledger is lost. Pages of forgotten people are never planned, and
every page that mentions one is redacted before it is parsed or archived (`crawler.kinds.html`).
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable
from pathlib import Path

from dataset.errors import PipelineError
from dataset.files import write_json

FILE_NAME = "forgotten.json"


class Forgotten:
    """The forgotten people of a crawl folder.

    Attributes:
        path: the file that `add` writes.
    """

    def __init__(self, crawl_dir: Path) -> None:
        self.path = crawl_dir / FILE_NAME
        self._key = secrets.token_bytes(32)
        self._hashes: set[str] = set()
        self._unseen: set[str] = set()
        if self.path.is_file():
            try:
                fields = json.loads(self.path.read_text(encoding="utf-8"))
                self._key, self._hashes = bytes.fromhex(fields["key"]), set(fields["people"])
                self._unseen = set(fields.get("unseen", ()))
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise PipelineError(
                    f"{self.path}: cannot be read ({error!r}), and without it forgotten people would be crawled "
                    "again; restore it from a copy"
                ) from error

    def __bool__(self) -> bool:
        """Return whether anybody is forgotten."""
        return bool(self._hashes or self._unseen)

    def has(self, uid: str) -> bool:
        """Return whether a uid belongs to a forgotten person."""
        return bool(self) and self._hash(uid) in self._hashes | self._unseen

    def has_seen(self, uid: str) -> bool:
        """Return whether a uid belongs to a forgotten person who was in the crawl before."""
        return bool(self) and self._hash(uid) in self._hashes

    def add(self, uids: Iterable[str]) -> None:
        """Add uids of forgotten people; the file is written when this returns.

        Raises:
            PipelineError: the file cannot be written.
        """
        self._hashes |= {self._hash(uid) for uid in uids}
        self._write()

    def add_unseen(self, uid: str) -> None:
        """Add the uid of somebody who is not in the crawl.

        Raises:
            PipelineError: the file cannot be written.
        """
        self._unseen.add(self._hash(uid))
        self._write()

    def _write(self) -> None:
        people = {"people": sorted(self._hashes), "unseen": sorted(self._unseen)}
        write_json(self.path, {"key": self._key.hex(), **people})
        self.path.chmod(0o600)

    def _hash(self, uid: str) -> str:
        return hmac.new(self._key, uid.encode(), hashlib.sha256).hexdigest()
