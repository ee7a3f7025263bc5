"""The settings of `make bench QUICK=1`: smaller sizes of each benchmark, so that all of them end in minutes."""

import os
from collections.abc import Mapping
from types import ModuleType

QUICK: Mapping[str, Mapping[str, object] | None] = {
    "attention": {"SEEDS": 1},
    "bpr": {},
    "build": {},
    "crawl": {"N_USERS": 300},
    "evaluation": {"N_REPEATS": 2, "PAPER_USERS": 2_000},
    "exports": {},
    "features": {"END_TO_END_S": 10, "N_TO_DECODE": 100, "N_MEMORY": (100, 400)},
    "features_read": {"N_TABLE": 5_000, "N_CACHE": 25_000},
    "fuzz": {"N_CASES": 100},
    "fuzz_pictures": {"N_CASES": 100},
    "gowalla": None,
    "gowalla_long": None,
    "gpu": {},
    "import": {"N_ROWS": 100_000},
    "jifr": {"N_BATCHES": 1},
    "kcore": {"SIZES": (2_000_000,), "SHORT_RUNS": 1},
    "kcore_large": {"N_ROWS": 10_000_000},
    "lightgcn": {"N_PAIRS": 50_000},
    "memory": {"N_PAGES": 4_000, "N_WARM": 1_000},
    "new_people": None,
    "paper": None,
    "parsers": {"N_CASES": 200},
    "placeholders": {"N_PICTURES": 25_000},
    "posters": None,
    "report": {"N_USERS": 2_000, "N_INTERACTIONS": 60_000},
    "sandbox": None,
    "shards": {"N_PICTURES": 5_000},
    "threads": {"REPEATS": 1},
    "vbpr": {"BATCH_SIZES": "1024", "EPOCHS": 1},
    "vectors": {"N_VECTORS": 25_000},
    "worlds": None,
}
"""The constants to replace in `bench_<name>.py`; None: left out, because it takes long at any size or needs data."""


def is_quick() -> bool:
    """Return whether QUICK=1 was given."""
    return os.environ.get("BENCH_QUICK", "") not in ("", "0")


def make_quick(module: ModuleType) -> ModuleType:
    """Return a benchmark's module, with its smaller settings if they are wanted."""
    if is_quick():
        for name, value in (QUICK[module.__name__.removeprefix("bench_")] or {}).items():
            setattr(module, name, value)
    return module
