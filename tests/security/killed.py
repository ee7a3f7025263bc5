"""Runs commands in forks of one process that has imported everything, and kills one at its n-th use of a file.

The arguments are the programs, for example `dataset`. Each line of standard input is JSON: the program, its arguments,
the folder to watch, the moment (0: never; a float: after so many seconds), and a file for the output. The answer is the
exit status, and at how many moments the command could have been killed. The fork is safe because this process has
imported polars and torch but never run them.
"""

import importlib
import json
import os
import signal
import sys
import time
from pathlib import Path

from dataset.cli import run

NEEDED = {
    "dataset": ("dataset.commands.building", "dataset.commands.snapshots"),
    "features": ("features.commands", "features.extract"),
    "flows": ("flows.forget",),
}
APPS = {}
for program in sys.argv[1:]:
    APPS[program] = importlib.import_module(f"{program}.__main__").app
    for name in NEEDED[program]:
        importlib.import_module(name)

EVENTS = ("sqlite3.connect", "open", "os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree")


def watch(folder: str, moment: float, counter: Path) -> None:
    count = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event in EVENTS and str(arguments[0]).startswith(folder) and str(arguments[0]) != str(counter):
            count += 1
            if count == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            os.pwrite(counts, b"%09d" % count, 0)

    counts = os.open(counter, os.O_RDWR | os.O_CREAT)
    sys.addaudithook(hook)


for line in sys.stdin:
    program, arguments, folder, moment, output = json.loads(line)
    counter = Path(output).with_suffix(".count")
    pid = os.fork()
    if not pid:
        os.dup2(os.open(output, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), 1)
        os.dup2(1, 2)
        sys.argv[1:] = arguments
        watch(folder, moment, counter)
        run(APPS[program])
        sys.stdout.flush()
        os._exit(0)
    if isinstance(moment, float):
        time.sleep(moment)
        os.kill(pid, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(json.dumps([status, int(counter.read_bytes() or b"0")]), flush=True)
