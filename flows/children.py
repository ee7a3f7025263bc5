"""Child processes of a flow: start one, pass it options, stop it; no child outlives its parent.

A child runs in its own process group, so Ctrl-C in a terminal reaches only the parent. The parent then
stops the child: the crawler finishes its current page and says how to continue. A second Ctrl-C kills the child. On
Linux a child also ends when its parent is killed (`PR_SET_PDEATHSIG`). On other systems the orphan of a killed
flow finishes its stage, and the next run waits for it.
"""

import contextvars
import ctypes
import functools
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dataset.cli import is_quiet, say
from dataset.errors import PipelineError

_STOP_TIMEOUT_S = 60  # a page in flight may take this long
_PR_SET_PDEATHSIG = 1
_LOGINS = ("PREFECT_API_AUTH_STRING", "PREFECT_API_KEY", "PREFECT_SERVER_API_AUTH_STRING")
_RUN = "PREFECT__FLOW_RUN_ID"  # marks the process that carries out a run (`flows.server.killed`)


class StageError(PipelineError):
    """A stage that ran as a child process has failed; the last line of its output says why.

    Attributes:
        exit_status: the child's.
    """

    def __init__(self, message: str, exit_status: int = 1) -> None:
        super().__init__(message)
        self.exit_status = exit_status


def run_stage(arguments: list[str], hear: Callable[[str], None] | None = None) -> str:
    """Run `python -m <arguments>` and return what it printed, without its hint about the next command.

    If our stderr is a terminal, the child shows its progress there. Otherwise its lines go through `say` as they come,
    so they are in Prefect's log, and `hear` gets each of them.

    Raises:
        StageError: the child failed; the message has its exit status and the last line of its output.
    """
    command, last_line = [sys.executable, "-m", *arguments], "its message is above"
    if sys.stderr.isatty():
        child, output = _run(command, None)
    else:
        with _retold(hear) as (stderr, lines):
            child, output = _run(command, stderr)
        last_line = next(reversed(lines), "")
    if child.returncode:
        raise StageError(
            f"`python -m {' '.join(arguments[:2])}` ended with exit status {child.returncode}: {last_line}",
            child.returncode,
        )
    return str(output).partition("\nNext:")[0].strip()


def _run(command: list[str], stderr: int | None) -> tuple["subprocess.Popen[Any]", Any]:
    """Run a command to its end; return its process, and what it printed."""
    with start(
        [*command, *(["--quiet"] if is_quiet() else [])], stdout=subprocess.PIPE, stderr=stderr, text=True
    ) as child:
        try:
            return child, _output(child)
        except BaseException:
            stop(child)
            raise


@contextmanager
def _retold(hear: Callable[[str], None] | None) -> Iterator[tuple[int, "deque[str]"]]:
    """Yield a file descriptor to write to, and the last line that was written; say each line, but not an error's."""
    reads, writes = os.pipe()
    last: deque[str] = deque(maxlen=1)

    def retell() -> None:
        with os.fdopen(reads, encoding="utf-8", errors="replace") as lines:
            for line in filter(None, map(str.strip, lines)):
                last.append(line)
                if not line.startswith("python -m "):  # an error, which the caller raises
                    say(line, file=sys.stderr)
                if hear is not None:
                    hear(line)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(retell,), daemon=True)
    thread.start()
    try:
        yield writes, last
    finally:
        os.close(writes)
        thread.join(_STOP_TIMEOUT_S)


def options_from(**values: Any) -> list[str]:
    """Return command-line options for these values: `max_users=5` becomes `--max-users=5`.

    True becomes a flag, a tuple is joined by commas, and None, False and an empty tuple are left out.
    """
    options = []
    for name, value in values.items():
        if value is None or value is False or value == ():
            continue
        text = ",".join(value) if isinstance(value, tuple) else str(value)
        options.append(f"--{name.replace('_', '-')}" + ("" if value is True else f"={text}"))
    return options


def start(command: list[str], **options: Any) -> "subprocess.Popen[Any]":
    """Start a child process; `options` are those of `subprocess.Popen`. By default it gets no login to Prefect."""
    options.setdefault("env", {name: value for name, value in os.environ.items() if name not in (*_LOGINS, _RUN)})
    return subprocess.Popen(command, process_group=0, preexec_fn=_end_with_parent(), **options)


def stop(child: "subprocess.Popen[Any]") -> None:
    """Ask a child process to end and wait for it; kill it after a minute or at a second Ctrl-C."""
    child.terminate()
    try:
        child.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        child.kill()
    except BaseException:
        child.kill()
        raise
    finally:
        child.wait()


def _output(child: "subprocess.Popen[Any]") -> Any:
    """Read all that a child prints on stdout.

    It wakes up every second, because Prefect cancels a run by raising an exception in this thread.
    """
    while True:
        try:
            return child.communicate(timeout=1)[0]
        except subprocess.TimeoutExpired:
            continue


@functools.cache
def _end_with_parent() -> Any:
    """Return the `preexec_fn` that makes a child end with its parent, or None where the system cannot do this."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
