"""Ending a child process: asked first, killed if it does not listen."""

import subprocess
from typing import Any

_STOP_TIMEOUT_S = 15


def stop(child: "subprocess.Popen[Any]") -> None:
    """End a child process and wait for its end."""
    child.terminate()
    try:
        child.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
