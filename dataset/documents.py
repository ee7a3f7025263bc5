"""Reads JSON documents that somebody else may have written: one strict check, and errors of one line.

Each kind of document is a class that pydantic checks: the manifest, `dataset.json`, a raw folder's `provenance.json`,
a run's `config.json`. An error names the file, the place in it and the rule; it never quotes what the file holds.
"""

import math
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from dataset.errors import PipelineError
from dataset.files import is_below

T = TypeVar("T")

_MAX_BYTES = 64 << 20
_LARGEST = 2**63 - 1


def read_document(kind: type[T] | Any, path: Path, remedy: str, error: type[PipelineError]) -> T:
    """Return the content of a JSON file, checked against `kind` (see `parse_document`).

    Raises:
        PipelineError: an `error`: the file cannot be read, or is not such a document.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as failure:
        raise error(f"{path}: cannot be read ({failure.strerror}); {remedy}") from None
    document: T = parse_document(kind, content, str(path), remedy, error)
    return document


def parse_document(kind: type[T] | Any, content: bytes, where: str, remedy: str, error: type[PipelineError]) -> T:
    """Return a JSON document, checked against `kind`: types as they are, no conversion.

    Args:
        kind: a class or type that pydantic knows.
        content: the document's bytes.
        where: the file, for error messages.
        remedy: what to do about a document that is not valid.
        error: the class of the error.

    Raises:
        PipelineError: an `error`: the bytes are not JSON, or not such a document.
    """
    if len(content) > _MAX_BYTES:
        raise error(f"{where}: more than {_MAX_BYTES >> 20} MiB, too large for what it should hold; {remedy}")
    try:
        checked: T = TypeAdapter(kind).validate_json(content, strict=True)
    except ValidationError as failure:
        raise error(f"{where}: {_first_problem(failure)}; {remedy}") from None
    return checked


def holds(kind: Any) -> AfterValidator:
    """Return a check that a dictionary has the keys and types of `kind`; it may have others, and stays a dictionary."""
    adapter: TypeAdapter[Any] = TypeAdapter(kind)

    def check(value: dict[str, Any]) -> dict[str, Any]:
        try:
            adapter.validate_python(value, strict=True)
        except ValidationError as failure:
            raise ValueError(_first_problem(failure)) from None
        return value

    return AfterValidator(check)


def _first_problem(failure: ValidationError) -> str:
    """Return the first problem in words, without the value: it may hold anything, even what a terminal obeys."""
    problem = failure.errors(include_input=False, include_url=False)[0]
    place = ".".join(str(key) for key in problem["loc"] if isinstance(key, int) or key.isidentifier())
    words = problem["msg"].removeprefix("Value error, ")
    return f"{place}: {words}" if place else words


def _plain(value: Any) -> Any:
    """Check that all numbers in a JSON value are finite and fit into 64 bits."""
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            _plain(part)
    elif isinstance(value, int) and abs(value) > _LARGEST:
        raise ValueError("Input should be a number of at most 64 bits")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("Input should be a finite number")
    return value


def _relative(name: str) -> str:
    if not is_below(name) or not name.isprintable():
        raise ValueError("Input should be a relative name without '..'")
    return name


def _moment(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("Input should be a time in ISO 8601") from None
    return text


Whole = Annotated[int, Field(ge=0, le=_LARGEST)]
"""A number of things."""

Sha256 = Annotated[str, Field(pattern=r"\A[0-9a-f]{64}\z")]
"""64 hexadecimal digits."""

FolderName = Annotated[str, Field(pattern=r"\A\w[\w.-]*\z", max_length=200)]
"""The name of one folder, such as a snapshot's."""

FileName = Annotated[str, Field(max_length=1000), AfterValidator(_relative)]
"""The name of a file below a folder, with `/` between its parts."""

Moment = Annotated[str, AfterValidator(_moment)]
"""A time in ISO 8601."""

Settings = Annotated[dict[str, Any], AfterValidator(_plain)]
"""Names and values of any kind that JSON has; its numbers are finite."""
