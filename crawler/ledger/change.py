"""Replaces several files of a crawl folder at once: after a kill at any moment, either none or all are replaced.

The new files are written into the folder `.new`. When all are complete, `change.json` is written beside them; from
then on, whoever opens the crawl finishes the replacement. Without that file, `.new` is what a killed command left
behind, and is removed. Call these functions while holding the ledger's lock.
"""

import json
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from dataset.files import write_json

NEW = ".new"
_OLD = ".old"
_MARK = "change.json"


def new_folder(crawl_dir: Path) -> Path:
    """Return the folder for new files; create it if missing."""
    folder = crawl_dir / NEW
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def is_changing(crawl_dir: Path) -> bool:
    """Return whether a replacement was begun and not finished."""
    return (crawl_dir / NEW / _MARK).exists()


def change(crawl_dir: Path, replace: Sequence[str], remove: Sequence[str]) -> None:
    """Replace files and folders by those in `.new`, and remove others: all of it or nothing, even after a kill.

    Raises:
        PipelineError: the folder cannot be written.
    """
    for path in new_folder(crawl_dir).rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    write_json(crawl_dir / NEW / _MARK, {"replace": list(replace), "remove": list(remove)})
    finish_change(crawl_dir)


def finish_change(crawl_dir: Path) -> None:
    """Finish a replacement that was begun; without one, remove what a killed command left behind."""
    if is_changing(crawl_dir):
        wanted = json.loads((crawl_dir / NEW / _MARK).read_text(encoding="utf-8"))
        for name in wanted["replace"]:
            _replace(crawl_dir, name)
        for name in wanted["remove"]:
            (crawl_dir / name).unlink(missing_ok=True)
    for folder in (_OLD, NEW):
        if (crawl_dir / folder).exists():
            shutil.rmtree(crawl_dir / folder)
    for path in [*crawl_dir.glob(".*.part"), *crawl_dir.glob("archive/.*.part")]:
        path.unlink(missing_ok=True)


def _replace(crawl_dir: Path, name: str) -> None:
    path, new, old = crawl_dir / name, crawl_dir / NEW / name, crawl_dir / _OLD / name
    if new.is_dir() and path.exists():  # a folder cannot be replaced by a rename
        old.parent.mkdir(mode=0o700, exist_ok=True)
        path.rename(old)
    with suppress(FileNotFoundError):  # replaced before the kill
        new.replace(path)
