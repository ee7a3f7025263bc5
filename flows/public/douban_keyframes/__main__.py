"""The command `douban-keyframes`: `douban-keyframes dataset build` is `python -m dataset build`.

Unlike `python -m`, it does not look for packages in the current folder.
"""

import runpy
import sys

from dataset.cli import say
from dataset.version import code_version

_PACKAGES = {
    "crawler": "crawl the site or the sandbox",
    "dataset": "import, filter, split, publish and read datasets",
    "features": "extract features from pictures",
    "model": "train, evaluate, compare, recommend",
    "flows": "run all stages in order: demo, serve, …",
}


def main() -> None:
    """Run `python -m <package>` with the remaining arguments."""
    package, *arguments = sys.argv[1:] or ["--help"]
    if package == "--version":
        say(code_version())
        return
    if package not in _PACKAGES:
        is_help = package in ("-h", "--help")
        lines = [f"  {name:<9} {what}" for name, what in _PACKAGES.items()]
        usage = "\n".join(["usage: douban-keyframes <package> <command> [options]", "", *lines])
        say(usage, file=sys.stdout if is_help else sys.stderr)
        sys.exit(0 if is_help else 2)
    module = package
    sys.argv = ["-m", *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
