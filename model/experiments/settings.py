"""Settings by name: `--set key=value` and a TOML file, checked against the config classes."""

import dataclasses
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from pydantic import Field, TypeAdapter, ValidationError

from dataset.errors import MissingInputError, UsageError
from model.training.config import Size

# The values that a field of type int or float may have.
_Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_BOUNDED: dict[Any, Any] = {int: Size, float: _Weight, float | None: _Weight | None}


def read_settings(config_file: Path | None, assignments: Iterable[str]) -> dict[str, Any]:
    """Return the settings of a TOML file (`key = value` lines), overridden by `key=value` assignments.

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


def apply_settings(settings: Mapping[str, Any], *configs: Any, strict: bool = False) -> tuple[Any, ...]:
    """Return the configs with the settings that belong to each.

    Args:
        settings: values by the names of fields, or texts that are read as such values.
        configs: dataclasses.
        strict: refuse a text for a number.

    Raises:
        UsageError: no config has the key, or its type does not allow the value; the message names the known keys or
            the limit.
    """
    known = {field.name for config in configs for field in dataclasses.fields(config)}
    if unknown := sorted(settings.keys() - known):
        raise UsageError(f"setting {unknown[0]!r} is unknown; choose from {', '.join(sorted(known))}")
    changed = []
    for config in configs:
        hints = get_type_hints(type(config), include_extras=True)
        own = {field.name for field in dataclasses.fields(config)} & settings.keys()
        changed.append(
            dataclasses.replace(config, **{key: _parse(key, settings[key], hints[key], strict) for key in own})
        )
    return tuple(changed)


def _parse(key: str, value: Any, kind: Any, strict: bool) -> Any:
    """Return `value` (text, or a value of the right type) as `kind`, the annotation of a config's field."""
    try:
        if isinstance(value, bool) and kind is not bool:  # TOML's true would become 1
            raise ValueError
        return TypeAdapter(_BOUNDED.get(kind, kind)).validate_python(value, strict=strict)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
    except ValueError:
        reason = "Input should be a number or a string"
    raise UsageError(f"setting {key}={value!r} is invalid: {reason}")
