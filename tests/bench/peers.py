"""Run a peer's side of a comparison: a script of `tests/bench/peers/`, in the peers' own environment.

The peers (RecBole, Cornac, …) need other package versions than we do, so each runs as a child process of
`.venv-peers` (`make bench` sets it up from `peers.txt`) and prints one line of JSON last.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
PYTHON = FOLDER.parents[1] / ".venv-peers" / "bin" / "python"

running: list[str] = []
"""The peers at work."""


def run_peer(script: str, *arguments: object, limit_s: float | None = None) -> Any:
    """Run `tests/bench/peers/<script>.py` with arguments; return its last line, parsed as JSON.

    A peer that has not finished after `limit_s` seconds is stopped, and None is returned.

    Raises:
        SystemExit: the environment is missing, or the script failed (its output is shown).
    """
    if not PYTHON.exists():
        sys.exit("make bench: the peers' environment is missing; run `make bench`, which sets it up")
    command = [str(PYTHON), str(FOLDER / "peers" / f"{script}.py"), *map(str, arguments)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    running.append(f"the peer {script}")
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        return None
    finally:
        running.pop()
    if done.returncode:
        sys.exit(f"make bench: the peer {script} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])
