"""Keeps a crawl folder private: only its owner can enter it, and read the files in it."""

import os
from collections.abc import Iterator
from pathlib import Path

from dataset.errors import PipelineError

FOLDER_MODE, FILE_MODE = 0o700, 0o600
_OTHERS = 0o077
# A folder with one of these is a crawl folder.
_OURS = ("ledger.sqlite", "archive", "pictures", "pseudonym.key", "forgotten.json", "lock")


def make_private(folder: Path) -> None:
    """Create a crawl folder; tighten one that others can enter, with everything in it.

    Raises:
        PipelineError: others can enter it, and it holds something else than a crawl, or cannot be tightened.
        OSError: it cannot be created.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
    if not folder.stat().st_mode & _OTHERS:
        return
    names = {path.name for path in folder.iterdir()}
    if names and not names & set(_OURS):
        raise PipelineError(
            f"{folder}: other accounts can read this folder, and it does not hold a crawl; choose another folder with "
            f"--crawl, or close it: chmod 700 {folder}"
        )
    for path in (folder, *_below(folder)):
        path.chmod(FOLDER_MODE if path.is_dir() else FILE_MODE)
    if folder.stat().st_mode & _OTHERS:
        raise PipelineError(
            f"{folder}: other accounts can read this folder, and this file system cannot change that; choose another "
            "folder with --crawl"
        )


def _below(folder: Path) -> Iterator[Path]:
    for where, folders, files in os.walk(folder):
        yield from (path for name in (*folders, *files) if not (path := Path(where, name)).is_symlink())
