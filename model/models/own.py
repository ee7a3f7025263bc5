"""Imports a model of the user's own by the name `package.module:Class`, and checks that it is one.

What such a class must have is what `Recommender` says; the settings and their defaults are the dataclass that
annotates `config` in its constructor.
"""

import dataclasses
import importlib
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from dataset.errors import UsageError
from model.models.recommender import Config, Recommender

_HOW = "a model of your own is named package.module:Class"
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


def own_class(name: str) -> type[Recommender]:
    """Import the class that a name `package.module:Class` means.

    Raises:
        UsageError: the name has another form, the module cannot be imported, or the class is missing or no model.
    """
    module_name, _, class_name = name.partition(":")
    if not class_name.isidentifier() or not all(part.isidentifier() for part in module_name.split(".")):
        raise UsageError(f"model {name!r}: {_HOW}, with dots and without .py: --model my_package.my_module:MyModel")
    module = _imported(name, module_name)
    found = getattr(module, class_name, None)
    if found is None:
        models = [
            key
            for key, value in vars(module).items()
            if isinstance(value, type) and issubclass(value, Recommender) and value.__module__ == module_name
        ]
        has = f"its models are {', '.join(models)}" if models else "it has no model"
        raise UsageError(f"model {name!r}: {_file_of(module)} has no {class_name!r}; {has}")
    return check_class(found, name)


def check_class(found: Any, name: str) -> type[Recommender]:
    """Return a class that is a model.

    Raises:
        UsageError: it is no class, derives from none of ours, is abstract, or has a colour that is none.
    """
    if not isinstance(found, type):
        raise UsageError(f"model {name!r}: is a {type(found).__name__}, not a class; name the model's class")
    if not issubclass(found, Recommender):
        raise UsageError(f"model {name!r}: is no model; derive it from TrainableRecommender or FittedRecommender")
    if inspect.isabstract(found):
        missing = ", ".join(sorted(getattr(found, "__abstractmethods__", ())))
        raise UsageError(f"model {name!r}: is abstract; write its {missing}, or name a class that has them")
    if found.colour and not _COLOUR.fullmatch(found.colour):
        raise UsageError(f"model {name!r}: colour {found.colour!r} is none; write it as '#0072b2'")
    return found


def default_settings(model_class: type[Recommender], name: str) -> Config:
    """Return the default settings of a model: those of the dataclass that annotates its constructor's `config`.

    Raises:
        UsageError: there is no such dataclass, a field has no default, or one that is no number, no text and not None.
    """
    how = "def __init__(self, config: MySettings, data: TrainingData, generator: torch.Generator)"
    constructor: Any = model_class.__init__
    kind = inspect.get_annotations(constructor).get("config") if inspect.isfunction(constructor) else None
    if isinstance(kind, str):  # from __future__ import annotations
        kind = constructor.__globals__.get(kind)
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        raise UsageError(f"model {name!r}: its constructor names no dataclass of settings; write {how}")
    for field in dataclasses.fields(kind):
        if not isinstance(field.default, int | float | str | None):  # `MISSING` is none of these either
            raise UsageError(
                f"model {name!r}: setting {field.name!r} of {kind.__name__} needs a default that is a number or a text"
            )
    return kind()


def _imported(name: str, module_name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if not f"{module_name}.".startswith(f"{error.name}."):
            raise UsageError(f"model {name!r}: {module_name} needs {error.name}, which is not installed") from None
        raise UsageError(f"model {name!r}: {_why_missing(str(error.name))}") from None
    except (Exception, SystemExit) as error:  # whatever the user's module does
        what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UsageError(f"model {name!r}: {module_name} cannot be imported ({what})") from None


def _why_missing(module_name: str) -> str:
    """Return why a module or one of its packages was not found, and what to do."""
    top, _, rest = module_name.partition(".")
    if rest and (found := sys.modules.get(top)):
        return f"{_file_of(found)} has no {rest!r}; if yours is another {top!r}, rename it, as this one hides it"
    missing = f"there is no module {module_name!r}"
    if Path(f"{top}.py").is_file() or Path(top).is_dir():
        return f"{missing} where Python looks; it is in this folder: set PYTHONPATH=. or install your package"
    return f"{missing}; run the command in the folder that holds it, set PYTHONPATH, or install your package"


def _file_of(module: ModuleType) -> str:
    return str(getattr(module, "__file__", None) or module.__name__)
