"""Child processes of a flow: start one, pass it options, stop it; no child outlives its parent.

A child runs in its own process group, so Ctrl-C in a terminal reaches only the parent. The parent then
stops the child: the crawler finishes its current page and says how to continue. A second Ctrl-C kills the child. On
Linux a child also ends when its parent is killed (`PR_SET_PDEATHSIG`). On other systems the orphan of a killed
flow finishes its stage, and the next run waits for it.
"""

import ctypes
import functools
import os
import signal
import subprocess
import sys
from typing import Any

from dataset.errors import PipelineError

_STOP_TIMEOUT_S = 60  # a page in flight may take this long
_PR_SET_PDEATHSIG = 1
_LOGINS = ("PREFECT_API_AUTH_STRING", "PREFECT_API_KEY", "PREFECT_SERVER_API_AUTH_STRING")


class StageError(PipelineError):
    """A stage that ran as a child process has failed; the last line of its output says why.

    Attributes:
        exit_status: the child's.
    """

    def __init__(self, message: str, exit_status: int = 1) -> None:
        super().__init__(message)
        self.exit_status = exit_status


def run_stage(arguments: list[str]) -> str:
    """Run `python -m <arguments>` and return what it printed, without its hint about the next command.

    The child shows its progress on our stderr if that is a terminal.

    Raises:
        StageError: the child failed; the message has its exit status and the last line of its output.
    """
    stderr = None if sys.stderr.isatty() else subprocess.PIPE
    with start([sys.executable, "-m", *arguments], stdout=subprocess.PIPE, stderr=stderr, text=True) as child:
        try:
            output, errors = _communicate(child)
        except BaseException:
            stop(child)
            raise
    if child.returncode:
        last_line = (errors or "its message is above").strip().splitlines()[-1:]
        raise StageError(
            f"`python -m {' '.join(arguments[:2])}` ended with exit status {child.returncode}: {' '.join(last_line)}",
            child.returncode,
        )
    return str(output).partition("\nNext:")[0].strip()


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
    options.setdefault("env", {name: value for name, value in os.environ.items() if name not in _LOGINS})
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


def _communicate(child: "subprocess.Popen[Any]") -> tuple[Any, Any]:
    """Read all that a child prints.

    It wakes up every second, because Prefect cancels a run by raising an exception in this thread.
    """
    while True:
        try:
            return child.communicate(timeout=1)
        except subprocess.TimeoutExpired:
            continue


@functools.cache
def _end_with_parent() -> Any:
    """Return the `preexec_fn` that makes a child end with its parent, or None where the system cannot do this."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
