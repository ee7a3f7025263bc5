"""10,000 damaged pictures and 10,000 folders of odd names: every file is a frame or has a reason, in less than 10 s.

Anything else ends the bench.
"""

import importlib.util
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from run import Result

TESTS = Path(__file__).resolve().parents[1] / "dataset"
N_CASES, LIMIT_S = 10_000, 1200


def measure() -> Iterator[Result]:
    fuzz = _fuzz_test()
    for what, test in (
        ("damaged pictures", fuzz.test_damaged_bytes_are_a_picture_or_unreadable_with_a_reason),
        ("folders of odd names", fuzz.test_every_file_of_a_folder_is_a_frame_or_a_row_of_the_quarantine),
    ):
        started = time.perf_counter()
        test()
        yield Result(f"{N_CASES:,} {what}", time.perf_counter() - started, "limit", LIMIT_S, "s")
    fuzz.kept_pool().close()


def _fuzz_test() -> ModuleType:
    os.environ["DOUBAN_FUZZ_EXAMPLES"] = str(N_CASES)
    spec = importlib.util.spec_from_file_location("fuzz_pictures", TESTS / "test_pictures_fuzz.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"{TESTS}: no test_pictures_fuzz.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
