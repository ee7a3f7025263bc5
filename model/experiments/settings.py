"""Settings by name: `--set key=value` and a TOML file, checked against the config classes."""

import dataclasses
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from dataset.errors import MissingInputError, UsageError

C = TypeVar("C")

_MAY_BE_ZERO = ("epochs", "patience")  # of the whole numbers; the others count or measure something that must be there


def read_settings(config_file: Path | None, assignments: Iterable[str]) -> dict[str, Any]:
    """Return the settings of a TOML file (flat `key = value` lines), overridden by `key=value` assignments.

    Raises:
        MissingInputError: there is no such file.
        UsageError: the file is not TOML, or an assignment has no "=".
    """
    settings: dict[str, Any] = {}
    if config_file is not None:
        if not config_file.is_file():
            raise MissingInputError(f"{config_file}: no such file; --config takes a TOML file")
        try:
            settings.update(tomllib.loads(config_file.read_text(encoding="utf-8")))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{config_file}: not a TOML file ({error}); write lines such as visual_dim = 64") from None
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals:
            raise UsageError(f"--set {assignment!r} has no value; write it as --set key=value")
        settings[key.strip()] = value.strip()
    return settings


def take_model_name(settings: dict[str, Any], model_name: str | None) -> str:
    """Take `model` out of settings and return it; `model_name` overrides it, and JIFR is the default."""
    named = settings.pop("model", "jifr")
    return str(model_name or named)


def apply_settings(settings: Mapping[str, Any], *configs: Any) -> tuple[Any, ...]:
    """Return the frozen dataclasses with the settings that belong to each.

    Raises:
        UsageError: a key is in none of them, or a value does not fit its type; both name what is possible.
    """
    known = {field.name for config in configs for field in dataclasses.fields(config)}
    if unknown := sorted(settings.keys() - known):
        raise UsageError(f"setting {unknown[0]!r} is unknown; choose from {', '.join(sorted(known))}")
    changed = []
    for config in configs:
        hints = get_type_hints(type(config))
        own = {field.name for field in dataclasses.fields(config)} & settings.keys()
        changed.append(dataclasses.replace(config, **{key: _parse(key, settings[key], hints[key]) for key in own}))
    return tuple(changed)


def _parse(key: str, value: Any, kind: Any) -> Any:
    """Return `value`, text or of its type already, as `kind`: int, float or one of some texts."""
    if get_origin(kind) is Literal:
        if value in get_args(kind):
            return value
        raise UsageError(f"setting {key}={value!r} is not possible; choose one of {', '.join(get_args(kind))}")
    least = 1 if kind is int and key not in _MAY_BE_ZERO else 0
    try:
        parsed = kind(value)
        if isinstance(value, bool) or (isinstance(value, float) and parsed != value):
            raise ValueError
        if least <= parsed < float("inf"):
            return parsed
    except (TypeError, ValueError, OverflowError):
        pass
    words = {int: f"a whole number, at least {least}", float: "a number, at least 0"}[kind]
    raise UsageError(f"setting {key}={value!r} is not possible; it must be {words}")
