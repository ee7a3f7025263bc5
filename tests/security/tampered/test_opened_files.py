"""No tampered snapshot makes a command open a file outside, as the system sees it.

Readers in native code open files without any of Python's functions.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

COMMANDS = """
import shlex, sys
from dataset.__main__ import app
from dataset.cli import run

for line in open(sys.argv[1]):
    sys.argv = ["dataset", *shlex.split(line)]
    try:
        run(app)
    except SystemExit:
        pass
"""
TARGETS = ("../../../../outside/canary", "{outside}/canary", "../../../../outside/canary.png", "linked/canary")


def opened(commands: list[str], folder: Path) -> set[str]:
    """Run commands of `dataset` in one process; return the paths that it and its children have opened."""
    (folder / "commands").write_text("\n".join(commands))
    traced = ["strace", "-f", "-qq", "-s", "4096", "-e", "trace=open,openat", "-o", folder / "trace"]
    program = [sys.executable, "-c", COMMANDS, folder / "commands"]
    done = subprocess.run([*traced, *program], capture_output=True, text=True, timeout=250, check=False)
    assert "Traceback" not in done.stderr
    trace = (folder / "trace").read_text(errors="replace")
    return set(re.findall(r'open(?:at)?\([^"]*"([^"]+)"[^"]* = \d+$', trace, re.MULTILINE))


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_no_file_outside_is_opened_for_a_tampered_snapshot(world: Any, tmp_path: Path) -> None:
    outside, report = world.home.parent / "outside", tmp_path / "report"
    named = shutil.copytree(outside, tmp_path / "named")
    commands = [f"show {named}"]  # what the user names is opened, and the trace shows it
    for number, target in enumerate(TARGETS):
        name = target.format(outside=outside)
        for where in ("tables", "files", "name"):
            snapshot = world.home / "snapshots" / "toy" / f"v{number + 2:04}{where}"
            shutil.copytree(world.snapshot, snapshot)
            (snapshot / "linked").symlink_to(outside)
            document = json.loads((snapshot / "manifest.json").read_text())
            if where == "tables":
                document["tables"]["movies"]["files"][0]["name"] = name
            elif where == "files":
                document["files"][name] = "0" * 64
            else:
                document["name"] = name
            (snapshot / "manifest.json").write_bytes(world.signed(document))
            commands += [f"verify {snapshot}", f"show {snapshot}", f"report {snapshot} --raw {world.raw} --to {report}"]
    paths = {Path(path).resolve() for path in opened(commands, tmp_path)}
    assert len([path for path in paths if path.is_relative_to(world.home / "snapshots")]) >= 3 * len(TARGETS)
    assert named / "manifest.json" in paths
    assert [path for path in paths if path.is_relative_to(outside)] == []
