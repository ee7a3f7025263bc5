"""Loads the fuzz tests, to run them with more cases than `make test` does."""

import importlib.util
import os
from pathlib import Path
from types import ModuleType

TESTS = Path(__file__).resolve().parents[1]


def load(file: str, n_cases: int) -> ModuleType:
    """Return a module of fuzz tests (a file in `tests/`), each of which runs this many cases when it is called."""
    os.environ["DOUBAN_FUZZ_EXAMPLES"] = str(n_cases)
    spec = importlib.util.spec_from_file_location(f"fuzz_{Path(file).stem}", TESTS / file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{TESTS}: no {file}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
