"""The command lines of all packages: how options are read, how a command ends, how it prints.

Each command is a function. `cyclopts` makes its options and `--help` from the function's signature, its
docstring and the frozen config classes among its parameters. An error that a user can cause ends the
command with one line and a non-zero exit status.
"""

import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Annotated, Any, TextIO

import cyclopts
import pydantic
from cyclopts import App, Parameter

from dataset.errors import PipelineError, UsageError

FLAT = Parameter(name="*")
"""Annotates a config class among a command's parameters: its fields are options of their own."""

LARGEST_SEED = 2**63 - 2
"""The largest seed that a table column and torch's generators can hold."""


_QUIET = "--quiet"
_quiet = ContextVar("_quiet", default=False)
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def _whole_number(_: type, tokens: Sequence[cyclopts.Token]) -> int:
    """Read an integer (`cyclopts` itself would read 1.7 as 2)."""
    text = tokens[0].value
    if not text.isdecimal():
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


Count = Annotated[int, pydantic.Field(ge=1, le=LARGEST_SEED), Parameter(converter=_whole_number)]
"""A whole number, at least 1."""

CountOrZero = Annotated[int, pydantic.Field(ge=0, le=LARGEST_SEED), Parameter(converter=_whole_number)]
"""A whole number, at least 0, for example a seed."""


def _split(values: Iterable[object]) -> list[object]:
    """Split every text at its commas: ("bpr,jifr",) becomes ["bpr", "jifr"]."""
    return [part for value in values for part in (value.split(",") if isinstance(value, str) else [value])]


def _joined(values: Iterable[object]) -> str | None:
    return ",".join(map(str, values)) or None


COMMA_SEPARATED = pydantic.BeforeValidator(_split)
"""Annotates a tuple whose option also takes several values in one argument, separated by commas."""

SHOWN_JOINED = Parameter(show_default=_joined)
"""Annotates the same option; `--help` then shows its default as a user types it."""


def command_line(program: str, description: str = "", commands: Mapping[str, tuple[str, str]] | None = None) -> App:
    """Return a command line.

    Args:
        program: what a user types, for example `python -m dataset`.
        description: one sentence for `--help`; leave it out for a program of one command (`app.default`).
        commands: for each name, the function (`package.module:function`, imported when the command runs) and one
            sentence for `--help`, which lists the commands in this order.
    """
    app = App(
        name=program,
        help=description or None,
        help_epilogue=f"{_QUIET}: show no progress",
        help_format="plaintext",  # other formats drop words in angle brackets
        version=_version,
        # A flag has no --no-flag, and a list no --empty-list.
        default_parameter=Parameter(negative=(), show_default=_shown_default),
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    for position, (name, (function, sentence)) in enumerate((commands or {}).items()):
        app.command(function, name=name, help=sentence, sort_key=position)
    return app


def execute(app: App, argv: Sequence[str]) -> None:
    """Run the command that `argv` names; `--quiet` among its options silences `dataset.progress`.

    Raises:
        UsageError: an option, argument or command is wrong or missing.
    """
    n_options = [*argv, "--"].index("--")
    options = [word for word in argv[:n_options] if word != _QUIET]
    before = _quiet.set(is_quiet() or len(options) < n_options)
    try:
        app([*options, *argv[n_options:]], exit_on_error=False, print_error=False)
    except cyclopts.CycloptsError as error:
        asked = " ".join((app.name[0], *(error.command_chain or ())))
        raise UsageError(f"{_in_words(error)}; see {asked} --help") from None
    finally:
        _quiet.reset(before)


def is_quiet() -> bool:
    """Return whether the running command was asked to show no progress."""
    return _quiet.get()


def run(app: App) -> None:
    """Run the command that this process was started with, and exit with its status.

    A `PipelineError` becomes one line on stderr.
    """
    program = app.name[0]
    try:
        execute(app, sys.argv[1:])
    except PipelineError as error:
        one_line = " ".join(str(error).split())
        say(f"{program}: {one_line}", file=sys.stderr)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        say(f"{program}: stopped; run the same command again to continue", file=sys.stderr)
        sys.exit(130)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        say(f"{program}: out of memory; close other programs, or use smaller settings", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:  # the reader of our output has ended (`| head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


def say(*parts: object, sep: str = " ", file: TextIO | None = None) -> None:
    """Print. Names, titles and ids from data may be among it: a terminal obeys none of them (see `printable`)."""
    print(printable(sep.join(map(str, parts))), file=file, flush=True)


def printable(text: str) -> str:
    """Return a text with escapes for what a terminal would obey, and for signs that reorder a text."""
    return _OBEYED.sub(lambda sign: sign[0].encode("unicode_escape", "surrogatepass").decode(), text)


def _shown_default(value: Any) -> str | None:
    """Return a default as `--help` shows it, None if it is not shown."""
    return None if value is None or isinstance(value, bool) or value in ((), []) else str(value)


def _version() -> str:
    from dataset.version import code_version

    return code_version()


def _in_words(error: cyclopts.CycloptsError) -> str:
    """Return the error as one sentence that starts with the option."""
    cause = error.__cause__
    if isinstance(error, cyclopts.ValidationError) and isinstance(cause, pydantic.ValidationError):
        return "; ".join(
            f"{_option_of(problem['loc'], error.argument)} {problem['input']!r}: "
            + problem["msg"].removeprefix("Value error, ")  # pydantic's prefix for a validator of ours
            for problem in cause.errors()
        )
    if isinstance(error, cyclopts.UnusedCliTokensError):
        unused = " ".join(map(shlex.quote, error.unused_tokens or []))
        return f"not understood: {unused} (several values of one option are separated by commas; quote spaces)"
    words = " ".join(str(error).split())
    return words if words.endswith("...") else words.rstrip(" .,")  # "...": cyclopts lists only some commands


def _option_of(path: tuple[int | str, ...], argument: cyclopts.Argument | None) -> str:
    """Return the option that sets the value at a path in an argument; the path may also point into a list."""
    options = dict(_options(argument)) if argument else {}
    starts = (path[:length] for length in range(len(path), 0, -1))
    by_default = ".".join(map(str, path)) or (argument.name if argument else "")
    return next((options[start] for start in starts if start in options), by_default)


def _options(argument: cyclopts.Argument) -> Iterator[tuple[tuple[int | str, ...], str]]:
    """Yield an argument's options, each with its path in the config class (empty for a plain option)."""
    if not argument.children:
        yield argument.keys, argument.name
    for child in argument.children:
        yield from _options(child)


def _is_out_of_memory(error: Exception) -> bool:
    """Return whether memory ran out; torch raises a RuntimeError, with different words for each device."""
    words = str(error).lower()
    said = ("out of memory", "can't allocate memory", "storage size calculation overflowed")
    return isinstance(error, MemoryError) or any(part in words for part in said)
