"""Whether tensors have shapes that do not depend on other tensors' values, as training on a GPU needs.

The host waits for a GPU whenever it must read a value there, for example to learn how many distinct
items a batch has. With static shapes it never does, and a CUDA graph can hold a whole step. The price is
some padding, so a CPU trains without them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

_state = {"static": False}


def are_static() -> bool:
    """Return whether shapes must not depend on values now."""
    return _state["static"]


def for_gpu(values: Tensor) -> bool:
    """Return whether to compute as a GPU does it best, with few large operations and sums in a fixed order."""
    return are_static() or values.device.type == "cuda"


@contextmanager
def static_shapes(enabled: bool = True) -> Iterator[None]:
    """Make the models' helpers (`segments`, `distinct`, `lookup`, `loss`) use static shapes inside the block."""
    before = _state["static"]
    _state["static"] = enabled
    try:
        yield
    finally:
        _state["static"] = before
