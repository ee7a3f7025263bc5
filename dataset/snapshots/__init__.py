"""Published snapshots: writes, reads, verifies, compares, pulls and documents them."""

from pathlib import Path

DEFAULT_ROOT = Path("data/snapshots")
