"""10,000 damaged pages, and as many JSON answers: rows or the reason why not. Any other exception ends the bench."""

import time
from collections.abc import Iterator

import fuzzing
from run import Result

N_CASES, LIMIT_S = 10_000, 120


def measure() -> Iterator[Result]:
    for what, file, test in (
        ("pages", "crawler/test_pages_fuzz.py", "test_damaged_page_gives_valid_rows_or_says_why_not"),
        (
            "JSON answers",
            "crawler/test_mobile_fuzz.py",
            "test_a_changed_answer_gives_valid_rows_or_its_page_says_why_not",
        ),
    ):
        fuzz = fuzzing.load(file, N_CASES)
        started = time.perf_counter()
        getattr(fuzz, test)()
        rate = N_CASES / (time.perf_counter() - started)
        yield Result(f"parse {N_CASES:,} damaged {what}", rate, "limit", N_CASES / LIMIT_S, "pages/s")
