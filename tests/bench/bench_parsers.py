"""10,000 damaged pages: every one gives valid rows or says why not. Any other exception ends the bench."""

import time

import fuzzing
from run import Result

N_CASES, LIMIT_S = 10_000, 120


def measure() -> list[Result]:
    fuzz = fuzzing.load("crawler/test_pages_fuzz.py", N_CASES)
    started = time.perf_counter()
    fuzz.test_damaged_page_gives_valid_rows_or_says_why_not()
    rate = N_CASES / (time.perf_counter() - started)
    return [Result(f"parse {N_CASES:,} damaged pages", rate, "limit", N_CASES / LIMIT_S, "pages/s")]
