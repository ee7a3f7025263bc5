"""What every command shares: how it ends, and how it shows progress.

A command ends in one line and a non-zero exit status for anything a user can cause.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from dataset.errors import PipelineError


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows the defaults that say something."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        says_nothing = action.default is None or action.default is False or action.default in ([], ())
        return action.help if says_nothing else super()._get_help_string(action)


class ArgumentParser(argparse.ArgumentParser):
    """An `argparse.ArgumentParser` whose errors are one line (exit status 2), with defaults in `--help`."""

    def __init__(self, **options: object) -> None:
        options.setdefault("formatter_class", _HelpFormatter)
        super().__init__(**options)  # type: ignore[arg-type]

    def error(self, message: str) -> None:  # type: ignore[override]
        """Print one line that names the remedy, and exit with status 2."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def whole_number(least: int = 1, most: int = 2**63 - 2) -> Callable[[str], int]:
    """Return what reads an option's whole number in these bounds, for `add_argument(type=…)`.

    The usual `most` is what a table's column and torch's generators can hold.
    """
    bounds = f"from {least}" if most >= 2**63 - 2 else f"from {least} to {most}"

    def read(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r}: give a whole number {bounds}")
        return int(text)

    return read


def run(main: Callable[[Sequence[str]], None], program: str) -> None:
    """Run a command's `main(argv)` and exit; a `PipelineError` becomes one line on stderr."""
    try:
        main(sys.argv[1:])
    except PipelineError as error:
        one_line = " ".join(str(error).split())
        print(f"{program}: {one_line}", file=sys.stderr)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        print(f"{program}: stopped; run the same command again to go on", file=sys.stderr)
        sys.exit(130)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        print(f"{program}: out of memory; close other programs, or ask for less at a time", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:  # the reader of our output went away (`| head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


def _is_out_of_memory(error: Exception) -> bool:
    """Return whether it is one: torch raises a RuntimeError, of another kind for each device."""
    words = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in words or "can't allocate memory" in words


def progress(unit: str) -> Progress:
    """Return a progress bar on stderr that counts `unit` (for example "frames") and shows the time left.

    A task's field `note` is free text at the end of its line:
    `bar.update(task, advance=1, note="loss 0.31")`.
    """
    console = Console(stderr=True)
    is_wide = console.width >= 100
    return Progress(
        TextColumn("{task.description:<20}"),
        BarColumn(bar_width=24 if is_wide else 8),
        MofNCompleteColumn(),
        TextColumn(unit),
        *([TimeElapsedColumn()] if is_wide else []),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        refresh_per_second=4,
        disable=not console.is_terminal,  # in a log it would be one line at the end, which says nothing more
    )
