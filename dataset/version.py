"""The version of the running code: the release, and in a checkout the commit."""

import functools
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@functools.cache
def code_version() -> str:
    """Return the version, for example `0.1.0`; in a checkout `0.1.0+g1a2b3c4`, plus `-dirty` for local changes."""
    try:
        release = version("douban-keyframes")
    except PackageNotFoundError:
        release = "unknown"
    command = ["git", "describe", "--always", "--dirty", "--abbrev=7", "--exclude=*"]
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return release
    try:
        described = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return release
    return f"{release}+g{described.stdout.strip()}"
