"""Makes of a config class the parameters of a flow, with the form that Prefect shows."""

import functools
import inspect
import re
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, Protocol, TypeVar, runtime_checkable

from cyclopts import Parameter
from pydantic import Field, ValidationError

from flows.parameters.allowed import check_run

_Mark = TypeVar("_Mark")
_Result = TypeVar("_Result")


@runtime_checkable
class NamesFiles(Protocol):
    """A config that names files which are read when it is checked."""

    def require_files(self) -> None:
        """Check the files."""


class Group(NamedTuple):
    """Annotates the first parameter of a group in a flow's form."""

    title: str


def attributes_of(config: type) -> dict[str, str]:
    """Return the descriptions in the `Attributes` section of a config's docstring."""
    _, _, section = (inspect.getdoc(config) or "").partition("Attributes:\n")
    entries = re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)", section.partition("\n\n")[0], re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def parameters_of(config: type) -> Callable[[Callable[[Any], _Result]], Callable[..., _Result]]:
    """Return a decorator that makes of a function `f(config)` a function with the config's fields as parameters.

    Prefect reads the names, types, bounds and defaults of a flow's form from its signature, and the
    descriptions from the docstring's `Args`. A run of a deployment is refused if a parameter is not allowed
    (`flows.parameters.allowed`).
    """
    described = [f"    {name}: {text}" for name, text in descriptions(config).items()]

    def decorate(function: Callable[[Any], _Result]) -> Callable[..., _Result]:
        @functools.wraps(function)
        def with_parameters(**parameters: Any) -> _Result:
            chosen = config(**parameters)
            check_run(chosen)
            if isinstance(chosen, NamesFiles):
                chosen.require_files()
            return function(chosen)

        with_parameters.config = config  # type: ignore[attr-defined]
        with_parameters.__signature__ = _in_groups(inspect.signature(config))  # type: ignore[attr-defined]
        with_parameters.__doc__ = "\n".join([inspect.getdoc(function) or "", "", "Args:", *described])
        return with_parameters

    return decorate


def _in_groups(signature: inspect.Signature) -> inspect.Signature:
    """Return a signature whose form says in front of each parameter's name to which group it belongs."""
    parameters, title = [], ""
    for one in signature.parameters.values():
        title = next((mark.title for mark in _marks(one.annotation, Group)), title)
        label = Field(json_schema_extra={"title": f"{title}: {one.name}" if title else one.name})
        parameters.append(one.replace(annotation=Annotated[one.annotation, label]))
    return signature.replace(parameters=parameters)


def descriptions(config: type) -> dict[str, str]:
    """Return the description of each field of a config: from the docstring's `Attributes`, or from its type."""
    documented = attributes_of(config)
    return {
        name: documented.get(name) or next(str(mark.help) for mark in _marks(one.annotation, Parameter))
        for name, one in inspect.signature(config).parameters.items()
    }


def _marks(annotation: Any, kind: type[_Mark]) -> list[_Mark]:
    return [mark for mark in getattr(annotation, "__metadata__", ()) if isinstance(mark, kind)]


def in_words(error: ValidationError) -> str:
    """Return the problems of parameters as one line, without their values."""
    return "; ".join(
        f"{'.'.join(map(str, one['loc']))}: {one['msg'].removeprefix('Value error, ')}" for one in error.errors()
    )
