"""10,000 damaged pictures and 10,000 folders of odd names: every file is a frame or has a reason, in less than 10 s.

Anything else ends the bench.
"""

import time
from collections.abc import Iterator

import fuzzing
from run import Result

N_CASES, LIMIT_S = 10_000, 1200


def measure() -> Iterator[Result]:
    fuzz = fuzzing.load("dataset/test_pictures_fuzz.py", N_CASES)
    for what, test in (
        ("damaged pictures", fuzz.test_damaged_bytes_are_a_picture_or_unreadable_with_a_reason),
        ("folders of odd names", fuzz.test_every_file_of_a_folder_is_a_frame_or_a_row_of_the_quarantine),
    ):
        started = time.perf_counter()
        test()
        yield Result(f"{N_CASES:,} {what}", time.perf_counter() - started, "limit", LIMIT_S, "s")
    fuzz.kept_pool().close()
