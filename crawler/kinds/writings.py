"""Finds a person's traces in bytes, however they are written: plain, percent-encoded, HTML- or JSON-escaped, UTF-16."""

import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from gzip import GzipFile
from html import unescape
from html.entities import codepoint2name
from io import BytesIO
from urllib.parse import unquote

_MAX_UNPACKED_BYTES = 64 << 20
_PIECE_BYTES = 64 << 10
_LONGEST_NAME = 60  # characters
_LONGEST_TEXT = 1000
_SHORTEST = {True: 2, False: 4}  # of a name, by whether it has characters beyond ASCII
_SHORTEST_TEXT = 8
_SHORTEST_NUMBER = 6
_SENTENCE = re.compile(r"[^。！？!?\n\r]+[。！？!?]?")
_ESCAPE = re.compile(r"""\\\\*(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([nrt"'/]))""")
_WORD = re.compile(rb"[A-Za-z0-9._-]+")
_ENDS_ESCAPED = re.compile(rb"(?:%(?:25)*[0-9A-Fa-f]{2}|\\[bfnrt]|\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2})\Z")
_LONGEST_ESCAPE = 12
_BLANKS = (
    rb"(?:\x00?[\s+]\x00?|%(?:25)*20|&(?:amp;)*(?:nbsp|#0*32|#0*160|#x0*20|#x0*a0);|"
    rb"\\+(?:[nrt]|u00[2a]0|u3000|x[2a]0)|\xc2\xa0|\xe3\x80\x80)+"
)
# Where the site writes the id of a person: an id that is too short to be searched everywhere is searched here.
_PLACES = {
    **dict.fromkeys((b"/people/", rb"\\/people\\/", b"%2Fpeople%2F"), rb"(?![A-Za-z0-9._-])"),
    **dict.fromkeys((b"/icon/u", b"/icon/ul", b"/icon/up"), rb"(?![0-9])"),
}


@dataclass(frozen=True)
class Traces:
    """What identifies a person: ids (uids and numbers), names, and texts that they wrote.

    Attributes:
        common: ids and names that are other words too; they count only where they stand for a person.
        others: ids of other people that contain one of the ids.
    """

    ids: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()
    common: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()

    def __or__(self, other: "Traces") -> "Traces":
        if other.ids <= self.ids and other.names <= self.names and other.texts <= self.texts:
            return self  # its expression is compiled already
        return replace(self, ids=self.ids | other.ids, names=self.names | other.names, texts=self.texts | other.texts)

    def __bool__(self) -> bool:
        return bool(self.ids)

    def found_in(self, body: bytes) -> bool:
        """Return whether bytes hold one of the traces, in any writing."""
        if not self:
            return False
        try:
            text = body.decode()
        except UnicodeDecodeError:
            text = "\0"
        if "\0" in text:
            return any(self.found(body)) or self._may_be_in_utf16(body)
        return self._may_be_in(text) and any(self.found(body))  # the first is a hundred times as fast

    def found(self, body: bytes) -> Iterator[re.Match[bytes]]:
        """Yield where the traces stand, in any writing."""
        return (found for found in self._pattern.finditer(body) if not _is_another(found))

    def without(self, body: bytes, marker: bytes) -> bytes:
        """Return bytes with a marker in the place of each trace."""
        return self._pattern.sub(lambda found: found[0] if _is_another(found) else marker, body)

    def _may_be_in_utf16(self, body: bytes) -> bool:
        """Return whether a trace may be in UTF-16 that is escaped besides."""
        if b"\0" not in body:
            return False
        texts = (body[begin:].decode(coding, "replace") for coding in ("utf-16-le", "utf-16-be") for begin in (0, 1))
        return any(map(self._may_be_in, texts))

    def _may_be_in(self, text: str) -> bool:
        plain = _plain(text)
        return any(needle in plain for needle in self._needles)

    @cached_property
    def _needles(self) -> tuple[str, ...]:
        """A part without blanks of each trace, as `_plain` gives it."""
        near = [f"{place}{id_}" for id_ in self.ids for place in ("/people/", "/icon/u", "/icon/ul", "/icon/up")]
        return tuple(
            {max(_plain(text).split(), key=len, default=" ") for text in (*near, *self._searched_everywhere())}
        )

    def _searched_everywhere(self) -> list[str]:
        ids, names = filter(_is_specific_id, self.ids), filter(_is_specific_name, self.names)
        return sorted({*ids, *names, *self._sentences()} - self.common, key=lambda text: (-len(text), text))

    @cached_property
    def _pattern(self) -> re.Pattern[bytes]:
        """Matches every writing of the traces, and the ids of others.

        Ids, names and texts that are so short that other data may hold them are matched only where they stand for a
        person (ids), or not at all.
        """
        everywhere = self._searched_everywhere()
        others = sorted((id_ for id_ in self.others if any(map(id_.__contains__, everywhere))), key=len, reverse=True)
        parts = [b"(?P<other>" + b"|".join(map(any_writing, others)) + b")"] if others else []
        parts += map(any_writing, everywhere)
        for place, end in _PLACES.items():
            parts += [b"(?<=" + place + b")" + any_writing(id_) + end for id_ in self.ids]
        return re.compile(b"|".join(parts) or rb"(?!)", re.IGNORECASE)

    def _sentences(self) -> Iterator[str]:
        for text in self.texts:
            for sentence in _SENTENCE.findall(text):
                if len(sentence.strip()) >= _SHORTEST_TEXT:
                    yield sentence.strip()[:_LONGEST_TEXT]


def _is_another(found: re.Match[bytes]) -> bool:
    """Return whether a match is somebody else's id: it is known as theirs, or letters or digits stand beside it."""
    text, begin, end = found.string, found.start(), found.end()
    if found.lastgroup == "other":
        return True
    if not _WORD.fullmatch(found[0]):
        return False
    belongs = bytes.isdigit if found[0].isdigit() else bytes.isalnum
    is_begun = belongs(text[begin - 1 : begin]) and belongs(found[0][:1])
    is_continued = belongs(text[end : end + 1]) and belongs(found[0][-1:])
    return is_continued or (is_begun and not _ENDS_ESCAPED.search(text[max(begin - _LONGEST_ESCAPE, 0) : begin]))


def _is_specific_id(text: str) -> bool:
    return len(text) >= (_SHORTEST_NUMBER if text.isdigit() else _SHORTEST[False])


def _is_specific_name(text: str) -> bool:
    return _SHORTEST[not text.isascii()] <= len(text) <= _LONGEST_NAME


NOBODY = Traces()


def any_writing(text: str) -> bytes:
    """Return an expression for a text in which each character is written in any way; blanks are any blanks."""
    return b"".join(
        _BLANKS if part.isspace() else b"".join(map(_any_character, part)) for part in re.split(r"(\s+)", text)
    )


def _any_character(sign: str) -> bytes:
    """Return an expression for a character. In UTF-16, the zero bytes around it belong to it."""
    code, utf16 = ord(sign), sign.encode("utf-16-be").hex()
    units = [utf16[begin : begin + 4] for begin in range(0, len(utf16), 4)]
    ways = [
        re.escape(sign.encode("utf-16-le")),
        re.escape(sign.encode("utf-16-be")),
        re.escape(sign.encode()),
        "".join(f"%(?:25)*{byte:02x}" for byte in sign.encode()).encode(),
        rf"&(?:amp;)*#(?:0*{code}|x0*{code:x});?".encode(),
        "".join(rf"\\+u{unit}" for unit in units).encode(),
    ]
    if code in codepoint2name:
        ways.append(f"&(?:amp;)*{codepoint2name[code]};".encode())
    if sign == "'":
        ways.append(b"&(?:amp;)*apos;")
    if code < 256:
        ways.append(rf"\\+x{code:02x}".encode())
    if sign in "\"'/\\":
        ways.append(rb"\\+" + re.escape(sign.encode()))
    if code > 127:
        ways.append(re.escape(sign.encode("gb18030", "ignore") or sign.encode()))
    return b"(?:" + b"|".join(ways) + b")"


def _plain(text: str) -> str:
    """Return a text without escapes of any sort, twice resolved, and without upper case."""
    for _ in range(2):
        text = unescaped(unquote(unescape(text))) if "&" in text or "%" in text or "\\" in text else text
    return text.casefold()


def unpacked(content: bytes) -> bytes:
    """Return what a gzip file holds, up to a bound; nothing for any other file."""
    held = bytearray()
    with suppress(EOFError, OSError, zlib.error), GzipFile(fileobj=BytesIO(content)) as file:  # what precedes damage
        while len(held) < _MAX_UNPACKED_BYTES and (piece := file.read1(_PIECE_BYTES)):
            held += piece
    return bytes(held)


def readings(text: str) -> Iterable[str]:
    """Return a text as it is, and with its escapes resolved."""
    yield text
    if "%" in text:
        yield unquote(text)
    if "&" in text:
        yield unescape(text)
    if "\\" in text:
        yield unescaped(text)


def unescaped(text: str) -> str:
    """Return a text without the escapes of a JSON or JavaScript string."""
    plain = _ESCAPE.sub(_unescaped_sign, text)
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if "\\ud" in text.lower() else plain


def _unescaped_sign(found: re.Match[str]) -> str:
    code, sign = found[1] or found[2], found[3]
    return chr(int(code, 16)) if code else "\n" if sign in "nrt" else sign
