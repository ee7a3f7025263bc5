"""Reads the values that a search tries: `--try l2=0.001,0.01 --try learning_rate=0.0005..0.01`, and a study's `try`."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from dataset.errors import UsageError
from model.experiments.settings import settings_of_model
from model.models.recommender import FittedRecommender, TrainableRecommender
from model.models.registry import MODELS, default_config

_PAPER_DIMS = "16,32,64"
_PAPER_L2 = "0.0001,0.001,0.01,0.1"


def read_space(texts: Sequence[str], model_name: str) -> dict[str, BaseDistribution]:
    """Return the search space that the texts define: `key=a,b,c` (choices) or `key=low..high` (a range).

    Keys of settings that must be equal, such as JIFR's two dimensions, are joined by commas. Ranges of positive
    decimal numbers are searched on a log scale. Without texts, the space is the model's `tried`, or else the paper's
    dimensions and penalties.

    Raises:
        UsageError: a key is unknown, or a value is invalid.
    """
    default, model_class = default_config(model_name), MODELS[model_name].model_class
    _require_learner(model_name)
    known = {field.name for field in fields(default)}
    dims = ",".join(name for name in ("collaborative_dim", "visual_dim", "dim") if name in known)
    space = {}
    for text in texts or model_class.tried or [f"{dims}={_PAPER_DIMS}", f"l2={_PAPER_L2}"]:
        joined, _, values = text.partition("=")
        keys = [key.strip() for key in joined.split(",")]
        if not values:
            raise UsageError(f"--try {text!r} has no values; write --try l2=0.001,0.01 or --try l2=0.0001..0.1")
        space[",".join(keys)] = _distribution(f"--try {text!r}", model_name, keys, values, values.split(","))
    return space


def make_space(tried: Mapping[str, Any], model_name: str) -> dict[str, BaseDistribution]:
    """Return the search space of a study's `try`: for each key, a list of choices, or a range as text (`low..high`).

    Raises:
        UsageError: a key is unknown, or a value is invalid or missing.
    """
    _require_learner(model_name)
    space = {}
    for joined, values in tried.items():
        keys = [key.strip() for key in joined.split(",")]
        named = f"try.{joined} = {values!r}"
        is_list = isinstance(values, list)
        if not values or not (is_list or (isinstance(values, str) and ".." in values)):
            raise UsageError(f'{named} has no values to choose from; write [0.001, 0.01] or "0.0001..0.1"')
        text = "" if is_list else values
        space[",".join(keys)] = _distribution(named, model_name, keys, text, values if is_list else [])
    return space


def _require_learner(model_name: str) -> None:
    if not issubclass(MODELS[model_name].model_class, TrainableRecommender | FittedRecommender):
        raise UsageError(f"model {model_name!r} learns nothing, so there is nothing to tune")
    if not MODELS[model_name].model_class.ranks_items:
        raise UsageError(
            f"model {model_name!r} ranks no items, and a search compares how items are ranked; "
            "train it with `python -m model.train --set …` and compare its runs"
        )


def _distribution(named: str, model_name: str, keys: list[str], text: str, choices: Sequence[Any]) -> BaseDistribution:
    """Return the possible values of settings: a range if the text is one, else the choices."""
    if ".." in text:
        return _range(named, [_parsed(model_name, keys, value.strip()) for value in text.split("..")])
    plain = [value.strip() if text and isinstance(value, str) else value for value in choices]
    parsed = [_parsed(model_name, keys, value, strict=not text) for value in plain]
    return CategoricalDistribution(list(dict.fromkeys(parsed)))


def _parsed(model_name: str, keys: list[str], value: Any, strict: bool = False) -> Any:
    """Return a value, converted to the type of its settings."""
    configs = settings_of_model(dict.fromkeys(keys, value), model_name, strict=strict)
    return next(getattr(config, keys[0]) for config in configs if hasattr(config, keys[0]))


def _range(named: str, ends: list[Any]) -> BaseDistribution:
    low, high = (*ends, None, None)[:2]
    if len(ends) != 2 or isinstance(low, str) or not low < high:
        raise UsageError(f"{named} is not a range; write two numbers, the lower first, as in l2=0.0001..0.1")
    return IntDistribution(low, high) if isinstance(low, int) else FloatDistribution(low, high, log=low > 0)
