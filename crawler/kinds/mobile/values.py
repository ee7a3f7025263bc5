"""The types of the fields in the mobile JSON, checked by pydantic: what is there is read, or is an error.

An absent field, null and (where the site writes it for "none") an empty text are None. Ids come as texts or numbers.
"""

import re
from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from crawler.kinds.document import DELETED_NAME, LARGEST_COUNT
from crawler.kinds.tree import one_line
from crawler.page import NotUnderstood, Person, is_number, is_uid

_DAY = re.compile(r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})(?:[ T][0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?)?")
_LONGEST_TEXT = 1000  # characters


class Fields(BaseModel):
    """An object of the site: the fields that we read; it may have any others."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def read(kind: str, model: type[Fields], value: Any) -> Any:
    """Return an object, checked against a model.

    Raises:
        NotUnderstood: a field is missing or has an impossible value; it names the field and quotes nothing.
    """
    try:
        return model.model_validate(value)
    except ValidationError as failure:
        problem = failure.errors(include_input=False, include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in problem["loc"]) or "object"
        raise NotUnderstood(kind, place, problem["msg"].removeprefix("Value error, ")) from None


def _id(value: Any) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not is_number(text):
        raise ValueError("is not a number")
    return text


def _line(value: Any) -> str:
    """Return a text on one line; an absent one is empty."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError("is not a text")
    line = one_line(value)
    if "\ufffd" in line:
        raise ValueError("holds broken characters")
    if len(line) > _LONGEST_TEXT:
        raise ValueError("is as long as no text of this kind")
    return line


def _count(value: Any) -> int | None:
    if value is None or value == "":
        return None
    if isinstance(value, str) and re.fullmatch("[0-9]{1,10}", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_COUNT:
        raise ValueError("is not a count")
    return value


def _number(value: Any) -> float | None:
    if value is None or value == "":
        return None
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}(?:\.[0-9]{1,9})?", value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("is not a number")
    return float(value)


def _day(value: Any) -> date | None:
    """Return the day of `2031-06-01 20:21:22`; None if there is none (null, an empty text, all zeros)."""
    if value is None or value == "":
        return None
    found = _DAY.fullmatch(value) if isinstance(value, str) else None
    if found and found[1] == "0000":
        return None
    try:
        if found:
            return date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        pass
    raise ValueError("is not a date")


def absent(value: Any) -> Any:
    """Return None for an empty object, which the site writes for none at times."""
    return None if value in ({}, "", []) else value


Id = Annotated[str, BeforeValidator(_id)]
"""The number of a movie, photo or person, as text."""

Line = Annotated[str, BeforeValidator(_line)]
"""A text on one line; empty if there is none."""

CountOrNone = Annotated[int | None, BeforeValidator(_count)]
"""A count of at most 2³²−1; None if the site shows none."""

NumberOrNone = Annotated[float | None, BeforeValidator(_number)]
"""A finite number; None if the site shows none."""

DayOrNone = Annotated[date | None, BeforeValidator(_day)]
"""The day of a time in Beijing, as the HTML pages show it; None if the site shows none."""


class _Stars(Fields):
    value: NumberOrNone = None
    max: NumberOrNone = None


Stars = Annotated[_Stars | None, BeforeValidator(absent)]
"""The rating in a mark: null, or a value out of 5, where 0 is none."""


def stars_of(kind: str, rating: _Stars | None) -> int | None:
    """Return the stars of a mark, 1 to 5; None if it was not rated.

    Raises:
        NotUnderstood: it is not a number of stars.
    """
    if rating is None or not rating.value:
        return None
    if rating.max not in (None, 5.0) or rating.value not in (1.0, 2.0, 3.0, 4.0, 5.0):
        raise NotUnderstood(kind, "rating", "is not a number of stars")
    return int(rating.value)


class _User(Fields):
    id: Any = None
    uid: Any = None
    name: Any = None


User = Annotated[_User | None, BeforeValidator(absent)]
"""A person as the JSON shows them: `id` is their number, `uid` their slug (or the number)."""


def is_deleted(user: _User) -> bool:
    """Return whether the account is deleted."""
    return bool(user.name == DELETED_NAME)


def person_of(user: _User) -> Person | None:
    """Return the person of a user object; None if nothing in it has the form of an id."""
    number, uid = _text(user.id), _text(user.uid)
    number, uid = number if is_number(number) else "", uid if is_uid(uid) else ""
    return Person(number or uid, uid or number) if number or uid else None


def _text(value: Any) -> str:
    return str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
