"""Removes people from JSON: the item that is theirs, and wherever else their traces stand in the answer.

A person is an object under `user`, `author` or `creator`, an object of the type `user`, or one with the address of a
profile or an avatar. In a list of people, the whole item with a forgotten person is cut out; elsewhere only the person
becomes null, with the text beside them, so that a film or photo stays. What is left of their ids, names and texts
becomes `-`, unless the rows of the answer would change: then the same words are somebody else's, such as a title.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Any

from crawler.kinds.document import DELETED_NAME
from crawler.kinds.mobile.body import NotJson, parts_of, read_json, write_json
from crawler.kinds.redaction import ids_in, replace_each
from crawler.kinds.tree import one_line
from crawler.kinds.writings import Traces
from crawler.page import is_uid

_PERSON_KEYS = ("user", "author", "creator")
_NO_PERSON_KEYS = ("loc", "subject", "cover")  # a place has an id and a uid too
_NAMES = ("name", "screen_name", "abstract_name")
_TEXTS = ("comment", "description", "text", "abstract", "content", "intro", "signature")
_LINKS = ("url", "uri", "alt", "avatar", "large_avatar", "sharing_url")

Object = dict[str, Any]


def people_ids(value: Any) -> set[str]:
    """Return the ids of all people in an answer."""
    return {id_ for ids, _, _ in _people(value) for id_ in ids}


def owner_ids(value: Any) -> set[str]:
    """Return the ids of the person whom a page about one person names as its owner."""
    owner = value.get("user") if isinstance(value, dict) else None
    return _ids(owner, "user") if isinstance(owner, dict) else set()


def traces_in(value: Any, ids: Collection[str], is_own: bool = False) -> Traces:
    """Return the ids, names and texts of a person in an answer.

    Args:
        value: the answer's JSON.
        ids: the ids under which the person is known.
        is_own: whether the whole answer is about this person.
    """
    found, names, texts, others = set(ids), set[str](), set[str](), set[str]()
    for theirs, person, beside in _people(value):
        written = _texts(beside, _TEXTS)
        if theirs & found:
            found |= theirs
            names |= _texts(person, _NAMES)
            texts |= written | _texts(person, _TEXTS)
        else:
            others |= written
    if is_own:
        texts |= {text for item in _items(value) for text in _texts(item, _TEXTS)}
    return Traces(frozenset(found), _clean(names), _clean(texts) - _clean(others))


def redact(
    body: bytes, ids: Collection[str], traces: Traces, cuts_items: bool, is_same: Callable[[bytes, bytes], bool]
) -> bytes:
    """Return a body without some people and their traces; exactly the same bytes if it has none.

    Args:
        body: the answer's bytes.
        ids: the ids of the people.
        traces: all that is known of them.
        cuts_items: whether the item of a list that mentions one of them is theirs, and is cut out.
        is_same: whether two versions of the body give the same rows.
    """
    try:
        value = read_json(body)
    except NotJson:
        value = None
    gone = {*ids, *traces.ids}
    if people_ids(value) & gone:
        traces |= traces_in(value, gone)
        body = write_json(_blanked(_cut(value, gone) if cuts_items else value, gone))
    return replace_each(body, traces, is_same) if traces.found_in(body) else body


def _cut(value: Any, gone: set[str]) -> Any:
    """Return an answer without the items of its lists that mention one of the people."""
    if not isinstance(value, dict):
        return value
    return {
        name: [item for item in part if not people_ids(item) & gone] if isinstance(part, list) else part
        for name, part in value.items()
    }


def _blanked(value: Any, gone: set[str], name: str = "") -> Any:
    """Return a value with null for each of the people, and without the texts beside them and the links to them."""
    if isinstance(value, list):
        return [_blanked(part, gone, name) for part in value]
    if not isinstance(value, dict):
        return value
    if _is_person(value, name) and _ids(value, name) & gone:
        return None
    has_theirs = any(
        isinstance(part, dict) and _is_person(part, key) and _ids(part, key) & gone for key, part in value.items()
    )
    blank = {key for key in _TEXTS if has_theirs} | {
        key for key in _LINKS if isinstance(link := value.get(key), str) and ids_in(link) & gone
    }
    return {
        key: "" if key in blank and isinstance(part, str) else _blanked(part, gone, key) for key, part in value.items()
    }


def _people(value: Any, name: str = "", around: Object | None = None) -> Iterator[tuple[set[str], Object, Object]]:
    """Yield the ids of every person in a value, with their object and the object that it stands in."""
    if isinstance(value, dict):
        if ids := _ids(value, name):
            yield ids, value, around or {}
        for key, part in value.items():
            yield from _people(part, key, value)
    elif isinstance(value, list):
        for part in value:
            yield from _people(part, name, around)


def _is_person(value: Object, name: str) -> bool:
    return name not in _NO_PERSON_KEYS and (name in _PERSON_KEYS or "user" in (value.get("type"), value.get("kind")))


def _ids(value: Object, name: str) -> set[str]:
    """Return the ids of the person whom an object stands for, or whom its links lead to."""
    if name in _NO_PERSON_KEYS:
        return set()
    own = (value.get("id"), value.get("uid")) if _is_person(value, name) else ()
    found = {str(one) for one in own if isinstance(one, str | int)}
    links = (link for key in _LINKS if isinstance(link := value.get(key), str))
    return {id_ for id_ in found if is_uid(id_)} | {id_ for link in links for id_ in ids_in(link)}


def _texts(value: Object, keys: Collection[str]) -> set[str]:
    return {text for key in keys if isinstance(text := value.get(key), str)}


def _items(value: Any) -> Iterator[Object]:
    for part in parts_of(value):
        if isinstance(part, list):
            yield from (item for item in part if isinstance(item, dict))


def _clean(texts: Collection[str]) -> frozenset[str]:
    """Return texts on one line that have a letter, without those that only repeat a deleted account's name."""
    lines = {one_line(text) for text in texts}
    return frozenset(line for line in lines if any(map(str.isalpha, line)) and line != DELETED_NAME)
