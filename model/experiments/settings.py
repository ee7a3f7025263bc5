"""Settings by name: `--set key=value` and a TOML file, checked against the config classes."""

import dataclasses
import tomllib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from pydantic import Field, TypeAdapter, ValidationError

from dataset.errors import MissingInputError, UsageError
from model.models.recommender import Config, FittedRecommender, TrainableRecommender
from model.models.registry import MODELS, default_config
from model.training.config import Size, TrainingConfig

_ON_PAIRS = ("epochs", "batch_size", "learning_rate", "n_negatives", "n_candidates")
_OF_STEPS = ("patience", "validate_every")

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


def settings_of_model(
    settings: Mapping[str, Any], model_name: str, strict: bool = False
) -> tuple[Config, TrainingConfig]:
    """Return the config of a model and of its training, with the settings that belong to each.

    Raises:
        UsageError: as `apply_settings` does; the known keys are those with an effect on the model.
    """
    config = default_config(model_name)
    unread = unread_settings(model_name)
    applied, training = apply_settings(settings, config, TrainingConfig(), strict=strict, unread=unread)
    return applied, training


def unread_settings(model_name: str) -> list[str]:
    """Return the settings of training that have no effect on a model, because it is not trained on pairs or at all."""
    model_class, own = MODELS[model_name].model_class, _names(default_config(model_name))
    if issubclass(model_class, TrainableRecommender):
        return []
    unread = _names(TrainingConfig())
    if issubclass(model_class, FittedRecommender) and model_class.ranks_items:
        unread = [*_ON_PAIRS, *(() if model_class.fits_in_steps else _OF_STEPS)]
    return [name for name in unread if name not in own]


def with_batches_for(device: str, model_name: str, training: TrainingConfig, n_interactions: int) -> TrainingConfig:
    """Return `training` with the batch size that suits a model, a device and so many train interactions.

    It is unchanged for a model that is not trained on pairs.
    """
    model_class = MODELS[model_name].model_class
    if not issubclass(model_class, TrainableRecommender):
        return training
    return training.suited_to(device, n_interactions, model_class.batch_factor)


def apply_settings(
    settings: Mapping[str, Any], *configs: Any, strict: bool = False, unread: Collection[str] = ()
) -> tuple[Any, ...]:
    """Return the configs with the settings that belong to each.

    Args:
        settings: values by the names of fields, or texts that are read as such values.
        configs: dataclasses.
        strict: refuse a text for a number.
        unread: keys without effect, which are accepted and not offered.

    Raises:
        UsageError: no config has the key, or its type does not allow the value; the message names the known keys or
            the limit.
    """
    known = {name for config in configs for name in _names(config)}
    if unknown := sorted(settings.keys() - known):
        offered = sorted(known.difference(unread))
        remedy = f"choose from {', '.join(offered)}" if offered else "this model has no settings"
        raise UsageError(f"setting {unknown[0]!r} is unknown; {remedy}")
    changed = []
    for config in configs:
        hints = get_type_hints(type(config), include_extras=True)
        own = settings.keys() & set(_names(config))
        changed.append(
            dataclasses.replace(config, **{key: _parse(key, settings[key], hints[key], strict) for key in own})
        )
    return tuple(changed)


def _names(config: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(config)]


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
