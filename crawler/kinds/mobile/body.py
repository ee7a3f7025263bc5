"""Reads JSON strictly: what two readers could understand in two ways, or what takes long to read, is no JSON here."""

import json
import math
from collections.abc import Iterator
from typing import Any, NoReturn

from crawler.kinds.tree import MAX_PAGE_BYTES

MAX_DEPTH = 32  # real answers have about 8
_LONGEST_NUMBER = 24  # characters


class NotJson(ValueError):  # noqa: N818 - an outcome, not an error
    """The bytes are not JSON, or beyond a bound. The message says why and quotes nothing."""


def read_json(body: bytes) -> Any:
    """Return the value in a body. Texts in it have no zero bytes and no half characters (they are replaced).

    Raises:
        NotJson: it is not UTF-8 or not JSON, has a key twice, a number that is not finite or of too many digits, or is
            larger or nested deeper than any answer of the site.
    """
    if len(body) > MAX_PAGE_BYTES:
        raise NotJson(f"is larger than {MAX_PAGE_BYTES:,} bytes")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise NotJson("is not UTF-8") from None
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_not_finite,
            parse_int=_integer,
            parse_float=_real,
        )
    except RecursionError:
        raise NotJson(f"is nested more than {MAX_DEPTH} levels deep") from None
    except json.JSONDecodeError:
        raise NotJson("is not JSON") from None
    _require_shallow(value)
    return _readable(value) if "\\u" in text or "\0" in text else value


def write_json(value: Any) -> bytes:
    """Return a value as JSON, which `read_json` reads as the same value."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def parts_of(value: Any) -> Iterator[Any]:
    """Yield the values in an object or a list; nothing for any other value."""
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotJson("has a key twice")
    return found


def _not_finite(_: str) -> NoReturn:
    raise NotJson("has a number that is not finite")


def _integer(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise NotJson("has a number of too many digits")
    return int(digits)


def _real(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise NotJson("has a number that is not finite")
    return number


def _require_shallow(value: Any) -> None:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise NotJson(f"is nested more than {MAX_DEPTH} levels deep")
        level = [part for one in level for part in parts_of(one) if isinstance(part, dict | list)]


def _readable(value: Any) -> Any:
    """Return a value whose texts can be stored: without zero bytes, and with U+FFFD for half of a character."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_readable(name): _readable(part) for name, part in value.items()}
    return [_readable(part) for part in value] if isinstance(value, list) else value
