"""10,000 damaged pages: every one gives valid rows or says why not. Any other exception ends the bench."""

import importlib.util
import os
import time
from pathlib import Path

from run import Result

TESTS = Path(__file__).resolve().parents[1] / "crawler"
N_CASES, LIMIT_S = 10_000, 120


def measure() -> list[Result]:
    fuzz = _fuzz_test()
    started = time.perf_counter()
    fuzz.test_damaged_page_gives_valid_rows_or_says_why_not()
    rate = N_CASES / (time.perf_counter() - started)
    return [Result(f"parse {N_CASES:,} damaged pages", rate, "limit", N_CASES / LIMIT_S, "pages/s")]


def _fuzz_test():
    os.environ["DOUBAN_FUZZ_EXAMPLES"] = str(N_CASES)
    spec = importlib.util.spec_from_file_location("fuzz", TESTS / "test_pages_fuzz.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
