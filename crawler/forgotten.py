"""People who asked to be forgotten: known by a keyed hash alone, and kept out of whatever is written.

`forgotten.json` in the crawl folder holds a key and the HMAC-SHA256 of every forgotten uid under it,
apart from the ledger, so that it outlives one. A page that mentions such a person is redacted before
anything else is done with it: a comment goes, someone who likes a photo becomes anonymous, and any
other mention goes with the list item it stands in. A mention is the uid in a profile's address or in
an avatar's; both are how the site names people. What is parsed and archived is the redacted page.
"""

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote

from lxml import html

from dataset.errors import PipelineError
from dataset.files import write_json

PERSONAL_KINDS = ("collection", "user_likes")  # pages whose subject is a person

_MENTION = re.compile(rb"/people/([^/\"'?#<>\s\\]+)|/icon/u[lp]?([0-9]+)-")
_OWNER = re.compile(rb"id=[\"']db-usr-profile[\"'].*?</h1>", re.DOTALL)
_LIKER = '<li><div class="content"><a href="/anonymous"></a></div></li>'
_NOBODY = b"/people/-"


class Forgotten:
    """The forgotten people of a crawl folder."""

    def __init__(self, crawl_dir: Path) -> None:
        self._path = crawl_dir / "forgotten.json"
        self._key = secrets.token_bytes(32)
        self._hashes: set[str] = set()
        if self._path.is_file():
            try:
                told = json.loads(self._path.read_text(encoding="utf-8"))
                self._key, self._hashes = bytes.fromhex(told["key"]), set(told["people"])
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise PipelineError(
                    f"{self._path}: cannot be read ({error!r}), and without it forgotten people would be crawled "
                    "again; restore it from a copy"
                ) from error

    def has(self, uid: str) -> bool:
        """Return whether a uid is a forgotten person's."""
        return bool(self._hashes) and self._hash(uid) in self._hashes

    def add(self, uids: Iterable[str]) -> None:
        """Forget uids from now on; on disk when this returns.

        Raises:
            PipelineError: the file cannot be written.
        """
        self._hashes |= {self._hash(uid) for uid in uids}
        write_json(self._path, {"key": self._key.hex(), "people": sorted(self._hashes)})
        self._path.chmod(0o600)

    def owns(self, body: bytes) -> bool:
        """Return whether a person's page is a forgotten one's, by the link and avatar in its heading."""
        found = _OWNER.search(body) if self._hashes else None
        return bool(found and self._mentioned(found[0]))

    def redacted(self, body: bytes) -> bytes:
        """Return a page without forgotten people; the very same bytes if it mentions none."""
        gone = self._mentioned(body)
        if not gone:
            return body
        page = html.document_fromstring(body.decode("utf-8", "replace"))
        for node in page.xpath("//*[@*[contains(., '/people/') or contains(., '/icon/u')]]"):
            values = " ".join(node.attrib.values()).encode()
            if page in (node, *node.iterancestors()) and any(uid in gone for uid in _uids(values)):
                _remove(node)
        text: bytes = html.tostring(page, encoding="utf-8", doctype=page.getroottree().docinfo.doctype or None)
        return _MENTION.sub(lambda found: _NOBODY if _uid(found) in gone else found[0], text)

    def _mentioned(self, body: bytes) -> set[str]:
        return {uid for uid in set(_uids(body)) if self.has(uid)} if self._hashes else set()

    def _hash(self, uid: str) -> str:
        return hmac.new(self._key, uid.encode(), hashlib.sha256).hexdigest()


def _uids(text: bytes) -> list[str]:
    return [_uid(found) for found in _MENTION.finditer(text)]


def _uid(found: re.Match[bytes]) -> str:
    return unquote((found[1] or found[2]).decode("utf-8", "replace"))


def _remove(node: html.HtmlElement) -> None:
    """Take a mention out with what belongs to it; someone in a list of likers stays as an anonymous one."""
    for block in (node, *node.iterancestors()):
        if block.tag == "li" and any("topic-fav-list" in above.get("class", "") for above in block.iterancestors()):
            liker = html.fragment_fromstring(_LIKER)
            liker.tail = block.tail
            block.getparent().replace(block, liker)
            return
        if block.tag == "li" or "comment-item" in block.get("class", "").split():
            block.drop_tree()
            return
    node.drop_tree()
