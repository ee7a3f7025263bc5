"""Ratings files that nobody would write, 10,000 of each kind: rows and quarantine rows, or one line, in 10 s.

Anything else ends the bench. DOUBAN_FUZZ_EXAMPLES sets another number of cases.
"""

import os
import time
from collections.abc import Iterator

import fuzzing
from run import Result

N_CASES, LIMIT_MS = int(os.environ.get("DOUBAN_FUZZ_EXAMPLES", "10000")), 200


def measure() -> Iterator[Result]:
    fuzz = fuzzing.load("dataset/test_user_files_fuzz.py", N_CASES)
    for what, test in (
        ("text tables, dialect named", fuzz.test_a_table_is_read_as_it_was_written_or_refused),
        ("text tables, dialect detected", fuzz.test_a_table_whose_dialect_is_detected_loses_no_row),
        ("files of any bytes", fuzz.test_any_bytes_end_in_rows_or_in_one_line),
        ("Parquet files of any type", fuzz.test_parquet_of_any_type_ends_in_all_rows_or_in_one_line),
    ):
        started = time.perf_counter()
        test()
        each_ms = 1000 * (time.perf_counter() - started) / N_CASES
        yield Result(f"{N_CASES:,} {what}", each_ms, "limit", LIMIT_MS, "ms")
