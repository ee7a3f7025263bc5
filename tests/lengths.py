"""`make check`: no function is longer than 60 lines, no Python file longer than 400; what is can be split."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

MOST_LINES = {"function": 60, "file": 400}


def lengths(path: Path) -> Iterator[tuple[str, int, str]]:
    """Yield what a file and each function in it is, how many lines it has, and where it is."""
    text = path.read_text(encoding="utf-8")
    yield "file", len(text.splitlines()), str(path)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield "function", node.end_lineno - node.lineno + 1, f"{path}:{node.lineno} {node.name}"


def main() -> None:
    listed = subprocess.run(["git", "ls-files", "*.py"], capture_output=True, text=True, check=True).stdout.split()
    found = [one for name in listed if Path(name).exists() for one in lengths(Path(name))]
    for what, most in MOST_LINES.items():
        of_kind = [(n, where) for kind, n, where in found if kind == what]
        n, where = max(of_kind)
        print(f"The longest {what} of {len(of_kind):,} has {n} lines, {most} are allowed: {where}")
    too_long = [f"{where}: {n} lines; split it" for what, n, where in found if n > MOST_LINES[what]]
    sys.exit("\n".join(too_long) or 0)


if __name__ == "__main__":
    main()
