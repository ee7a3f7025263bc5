"""`python -m model runs`: list the runs, or remove some."""

import dataclasses
import json as json_format
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from dataset.cli import command_line, execute, run, say
from dataset.errors import PipelineError, UsageError
from model.experiments.folders import DEFAULT_RUNS

app = command_line("python -m model.runs")


@app.default
def runs_command(
    action: Literal["list", "rm"] = "list",
    /,
    *names: str,
    json: bool = False,
    yes: bool = False,
    runs: Path = DEFAULT_RUNS,
) -> None:
    """List the runs (the newest last), or remove some (rm).

    A line has the run's name, the settings that differ from the defaults, its state, metrics and age.

    Args:
        action: list or rm
        names: runs to list (all if absent) or to remove: folders, names or the starts of names
        json: print the list as JSON
        yes: remove without asking
        runs: the parent of all run folders
    """
    if action == "rm":
        _remove(names, runs, yes, json)
        return
    if yes:
        raise UsageError("--yes is for rm; omit it to list runs")
    from model.experiments.runs.listing import list_runs
    from model.experiments.runs.store import find_run

    wanted = {find_run(name, runs).resolve() for name in names}
    found = [one for one in list_runs(runs) if not names or Path(one.folder).resolve() in wanted]
    if json:
        say(json_format.dumps([dataclasses.asdict(one) for one in found], indent=2, ensure_ascii=False))
    elif found:
        say(*found, sep="\n")
    else:
        say(f"No run below {runs}; `python -m model.train` makes one.")


def _remove(names: Sequence[str], runs: Path, yes: bool, json: bool) -> None:
    """Remove runs, after all of them were checked."""
    from model.experiments.runs.store import find_run, remove_run, require_removable

    if not names or json:
        raise UsageError("rm takes the names of the runs to remove, and no --json; `python -m model runs` lists them")
    folders = list(dict.fromkeys(find_run(name, runs) for name in names))
    for folder in folders:
        require_removable(folder)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"rm would remove {len(folders)} runs for good ({folders[0].name}); add --yes")
        say(*(folder.name for folder in folders), sep="\n")
        if input("Remove these runs for good? [y/N] ").strip().lower() not in ("y", "yes"):
            raise PipelineError("nothing was removed")
    for folder in folders:
        remove_run(folder)
        say(f"Removed {folder}.")


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    execute(app, argv)


if __name__ == "__main__":
    run(app)
