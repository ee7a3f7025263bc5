"""Runs the crawler's commands in forks of one process that has imported everything, which saves a second per command.

Each line of standard input is a request in JSON. `["start", argv, output, errors]` (two files) is
answered with the process id, `["wait", pid, flags]` with the exit status, or null if the command
still runs. The fork is the real command: `crawler.__main__` with those arguments.
"""

import json
import os
import sys
from importlib import import_module

from crawler.__main__ import app
from dataset.cli import run

for module in (  # slow to import
    "crawler.commands.crawling",
    "crawler.spiders.run",
    "crawler.spiders.middleware",
    "crawler.spiders.scheduler",
    "crawler.spiders.downloads",
    "scrapy.downloadermiddlewares.httpcompression",
):
    import_module(module)


def start(argv, output, errors):
    pid = os.fork()
    if pid:
        return pid
    for number, path in ((1, output), (2, errors)):
        os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), number)
    sys.argv[1:] = argv
    run(app)
    sys.exit(0)


def wait(pid, flags):
    ended, status = os.waitpid(pid, flags)
    return os.waitstatus_to_exitcode(status) if ended else None


for line in sys.stdin:
    what, *arguments = json.loads(line)
    print(json.dumps({"start": start, "wait": wait}[what](*arguments)), flush=True)
