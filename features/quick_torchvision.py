"""Imports torchvision without torch's compiler, which takes seconds to import and which most runs never use.

torchvision imports it to name one function (`torchvision.ops.roi_align`). Until something else is needed of the
compiler, this module stands in for it. Import it before torchvision.
"""

import importlib
import sys
from types import ModuleType
from typing import Any

import torch  # noqa: F401 - the stand-ins must not be there while torch itself is imported

_PACKAGE, _USED = "torch._dynamo", "torch._dynamo.utils"


class _StandIn(ModuleType):
    """A module that imports the real one when anything of it is used."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__ = []  # a package

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what Python asks of any module
            raise AttributeError(name)
        _remove_stand_ins()
        return getattr(importlib.import_module(self.__name__), name)


def _is_compile_supported(device_type: str) -> Any:
    return importlib.import_module(_USED).is_compile_supported(device_type)


def _remove_stand_ins() -> None:
    for name in (_PACKAGE, _USED):
        if isinstance(sys.modules.get(name), _StandIn):
            del sys.modules[name]


def _import_torchvision() -> None:
    if _PACKAGE not in sys.modules and "torchvision" not in sys.modules:
        for name in (_PACKAGE, _USED):
            sys.modules[name] = _StandIn(name)
        vars(sys.modules[_USED])["is_compile_supported"] = _is_compile_supported
    try:
        importlib.import_module("torchvision.io")  # also adds the operators to torch.ops.image
    finally:
        _remove_stand_ins()


_import_torchvision()
