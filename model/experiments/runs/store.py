"""The folder of all runs: which folder a request has, and runs by name.

A request is what makes a run (see `runs.naming`). Its folder is `<name>`, and `<name>-2`, `<name>-3`, … are the runs
that `--fresh` starts beside it. The newest of them is the one that the request finds.
"""

import glob
import itertools
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from dataset.errors import MissingInputError, UsageError
from dataset.files import explain_write_errors, free_lock, waiting_lock
from model.experiments.folders import DEFAULT_RUNS
from model.experiments.run_folder import RUN_FILES, read_description
from model.experiments.runs.naming import run_digest, run_name

_MOST_NAMED = 4


def folder_of(runs: Path, description: dict[str, Any], is_fresh: bool = False) -> Path:
    """Return the folder of a request: its newest run, or else one that is not there yet.

    Args:
        runs: the parent of all run folders.
        description: the content of the run's `config.json`.
        is_fresh: make a new folder beside the runs that are there.
    """
    name = run_name(description)
    there = _numbers(runs, name)
    if is_fresh:
        return _made(runs, name, max(there, default=0) + 1)
    same = [number for number in there if _digest_in(_numbered(runs, name, number)) == run_digest(description)]
    if same:
        return _numbered(runs, name, max(same))
    free = (number for number in itertools.count(1) if not (_numbered(runs, name, number) / "config.json").exists())
    return _numbered(runs, name, next(free))


def lock_run(folder: Path, on_wait: Callable[[], None] = lambda: None) -> AbstractContextManager[None]:
    """Return a context in which no other process trains, evaluates or removes the run; wait for it if one does."""
    return waiting_lock(_lock_file(folder), on_wait)


def find_run(text: str | Path, runs: Path = DEFAULT_RUNS) -> Path:
    """Return the run folder that a user names: a path, a name below `runs`, or the start of either.

    Raises:
        MissingInputError: there is no such run.
        UsageError: several runs start with the text.
    """
    path = Path(text)
    if not path.name:
        read_description(path)
    parents = [path.parent] if len(path.parts) > 1 else [Path(), runs]
    for folder in (parent / path.name for parent in parents):
        if (folder / "config.json").is_file():
            return folder
    found = [folder for parent in parents for folder in run_folders(parent) if folder.name.startswith(path.name)]
    if len(found) > 1:
        names = ", ".join(folder.name for folder in found[:_MOST_NAMED])
        more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
        raise UsageError(f"{text}: {len(found)} runs start so ({names}{more}); write more of the name")
    if not found:
        read_description(path)  # raises the error that says what is missing there
    return found[0]


def run_folders(runs: Path) -> list[Path]:
    """Return the folders below `runs` that are runs, by name."""
    with suppress(OSError):
        return sorted(folder for folder in runs.iterdir() if _is_run(folder))
    return []


def remove_run(folder: Path) -> None:
    """Delete a run folder. If this is stopped, what is left is still a run.

    Raises:
        MissingInputError: the folder is not a run.
        UsageError: it is a link, holds files that no run has, or is in use.
    """
    require_removable(folder)
    with lock_run(folder), explain_write_errors(folder):
        for path in folder.iterdir():
            if path.name != "config.json":
                path.unlink()
        shutil.rmtree(folder)


def require_removable(folder: Path) -> None:
    """Check that a folder is a run, that it holds nothing else, and that no process uses it.

    Raises:
        MissingInputError: the folder is not a run.
        UsageError: it is a link, holds files that no run has, or is in use.
    """
    if folder.is_symlink():
        raise UsageError(f"{folder}: is a link, so it is not removed; delete it yourself")
    read_description(folder)
    others = sorted(path.name for path in folder.iterdir() if not _is_of_run(path))
    if others:
        raise UsageError(
            f"{folder}: holds {len(others)} files that are not of a run ({others[0]}), so it is not removed; "
            "move them away first"
        )
    if is_in_use(folder):
        raise UsageError(f"{folder}: a process works on this run, so it is not removed; stop the process first")


def is_in_use(folder: Path) -> bool:
    """Return whether another process trains, evaluates or removes the run now."""
    if not _lock_file(folder).exists():
        return False
    with suppress(OSError), free_lock(_lock_file(folder)) as is_free:
        return not is_free
    return True


def _lock_file(folder: Path) -> Path:
    folder = folder.resolve()
    return folder.with_name(f".{folder.name}.lock")


def _is_of_run(path: Path) -> bool:
    part = path.name.startswith(".") and path.name.endswith(".part")  # a write that was killed
    return (path.name in RUN_FILES or part) and path.is_file()


def _is_run(folder: Path) -> bool:
    return not folder.name.startswith(".") and (folder / "config.json").is_file()


def _numbered(runs: Path, name: str, number: int) -> Path:
    return runs / (name if number == 1 else f"{name}-{number}")


def _numbers(runs: Path, name: str) -> list[int]:
    """Return the numbers of the folders that a request has."""
    ends = [folder.name.removeprefix(f"{name}-") for folder in runs.glob(f"{glob.escape(name)}-*")]
    found = [int(end) for end in ends if end.isascii() and end.isdecimal() and not end.startswith("0")]
    return [1, *found] if (runs / name).exists() else found


def _made(runs: Path, name: str, number: int) -> Path:
    """Make the first folder of a name, from a number on, that is not there yet."""
    while True:
        folder = _numbered(runs, name, number)
        with explain_write_errors(folder):
            runs.mkdir(parents=True, exist_ok=True)
            try:
                folder.mkdir()  # fails if another process was first
                return folder
            except FileExistsError:
                number += 1


def _digest_in(folder: Path) -> str | None:
    """Return the digest of a run's request, None if its description cannot be read."""
    try:
        return run_digest(read_description(folder))
    except MissingInputError:
        return None
