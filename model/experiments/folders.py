"""Where runs, searches, experiments and bundles are kept, unless the user names another folder."""

from pathlib import Path

DEFAULT_RUNS = Path("data/runs")
DEFAULT_TUNING = Path("data/tuning")
DEFAULT_EXPERIMENTS = Path("data/experiments")
DEFAULT_TRACKING = Path("data/tracking")
DEFAULT_BUNDLES = Path("data/bundles")
