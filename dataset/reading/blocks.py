"""A text file as blocks of whole lines in UTF-8, whatever its encoding and compression."""

import codecs
from collections.abc import Iterator
from pathlib import Path

from dataset.errors import InvalidTableError, UsageError
from dataset.reading.content import DECOMPRESSION_ERRORS, open_bytes, refuse_other_content

MAX_LINE_BYTES = 1 << 23
"""The longest line, or row of several lines, that is read."""

_READ_BYTES = 1 << 20


class UndecodableError(InvalidTableError):
    """The bytes of a file are not text in its encoding."""


def require_encoding(encoding: str, option: str) -> None:
    """Check that Python knows an encoding of text.

    Raises:
        UsageError: it does not; the message names the option.
    """
    try:
        "".encode(encoding)
        codecs.getincrementaldecoder(encoding)
    except (LookupError, ValueError):
        raise UsageError(
            f"{option}: no encoding is named {encoding!r}; use for example utf-8, utf-16, latin-1, cp1252 or gb18030"
        ) from None


def line_blocks(path: Path, encoding: str | None, option: str, has_json: bool = False) -> Iterator[bytes]:
    """Yield a file's text as UTF-8, in blocks that end with a line (the last one may lack its line end).

    A byte order mark is left out.

    Args:
        path: the file.
        encoding: its encoding; None is UTF-8.
        option: the option that names the encoding, for messages.
        has_json: whether the text may be JSON or look like it.

    Raises:
        UndecodableError: the file is not in this encoding.
        InvalidTableError: the file is no text, is damaged, or has too long a line.
        MissingInputError: the file cannot be opened.
    """
    decoder = codecs.getincrementaldecoder("utf-8-sig" if encoding in (None, "utf-8", "utf8") else str(encoding))()
    rest, n_lines, is_start = b"", 1, True
    try:
        with open_bytes(path) as file:
            while data := file.read(_READ_BYTES):
                if is_start:
                    refuse_other_content(path, data, None if encoding else option, has_json)
                text = decoder.decode(data)
                if is_start and text:
                    text, is_start = text.removeprefix("\ufeff"), False
                whole, rest = _cut(rest + text.encode())
                n_lines += whole.count(b"\n")
                if whole:
                    yield whole
                if len(rest) > MAX_LINE_BYTES:
                    raise InvalidTableError(f"{path}: line {n_lines:,} is longer than {MAX_LINE_BYTES >> 20} MiB")
            rest += decoder.decode(b"", final=True).encode()
            if rest:
                yield rest
    except UnicodeError as error:
        where = _place_of(error, n_lines + rest.count(b"\n"))
        known = encoding or "UTF-8"
        advice = "" if encoding else ", for example latin-1 (Western Europe) or gb18030 (Chinese)"
        raise UndecodableError(f"{path}: {where} is not {known}; name the encoding with {option}{advice}") from None
    except DECOMPRESSION_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InvalidTableError(f"{path}: cannot be read ({reason}); check the file") from None


def _cut(text: bytes) -> tuple[bytes, bytes]:
    """Return the whole lines in a text, and the rest."""
    end = text.rfind(b"\n") + 1 or text.rfind(b"\r") + 1
    return text[:end], text[end:]


def _place_of(error: UnicodeError, n_lines: int) -> str:
    """Return in words where the text cannot be decoded; `n_lines` is the line where the bytes begin."""
    if not isinstance(error, UnicodeDecodeError):
        return "the text"
    line = n_lines + error.object[: error.start].count(0x0A)
    return f"line {line:,} (byte 0x{error.object[error.start]:02x})"
