"""Child processes of a flow: they get one clean stop, a second one kills, and none outlives its parent.

A child runs in a process group of its own, so that Ctrl-C in a terminal reaches the parent alone,
which passes it on once: the crawler finishes the page it is at, and says how to go on. On Linux
a child also ends when its parent is killed (`PR_SET_PDEATHSIG`); elsewhere an orphan of a killed
flow finishes its stage, and the next run has to wait for it.
"""

import ctypes
import functools
import signal
import subprocess
import sys
from typing import Any

from dataset.errors import PipelineError

_STOP_TIMEOUT_S = 60  # a page in flight may take this long
_PR_SET_PDEATHSIG = 1


class StageError(PipelineError):
    """A stage that runs as a child process has failed; its last line says why."""


def run_stage(arguments: list[str]) -> str:
    """Run `python -m <arguments>`, its progress on our stderr where that is a terminal; return what it says it did.

    Raises:
        StageError: with the child's exit status and its last line.
    """
    stderr = None if sys.stderr.isatty() else subprocess.PIPE
    with start([sys.executable, "-m", *arguments], stdout=subprocess.PIPE, stderr=stderr, text=True) as child:
        try:
            said, complained = _communicate(child)
        except BaseException:
            stop(child)
            raise
    if child.returncode:
        last_line = (complained or "its message is above").strip().splitlines()[-1:]
        raise StageError(
            f"`python -m {' '.join(arguments[:2])}` ended with exit status {child.returncode}: {' '.join(last_line)}"
        )
    return str(said).partition("\nNext:")[0].strip()


def start(command: list[str], **options: Any) -> "subprocess.Popen[Any]":
    """Start a child process; `options` are those of `subprocess.Popen`."""
    return subprocess.Popen(command, process_group=0, preexec_fn=_end_with_parent(), **options)


def stop(child: "subprocess.Popen[Any]") -> None:
    """Ask a child process to end, and wait for it; a second Ctrl-C meanwhile, or a minute, kills it."""
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
    """Read all that a child prints, awake once a second: Prefect cancels a run by an exception in its thread."""
    while True:
        try:
            return child.communicate(timeout=1)
        except subprocess.TimeoutExpired:
            continue


@functools.cache
def _end_with_parent() -> Any:
    """Return what a child does before it becomes the command, None where the system has no such thing."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
