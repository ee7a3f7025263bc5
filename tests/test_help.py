"""Every command answers `--help` without the libraries that take long to load, so it answers at once."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SLOW = ("torch", "torchvision", "prefect", "scrapy", "twisted", "dask", "distributed", "optuna", "scipy", "altair")
SLOW += ("vl_convert", "clevercsv", "huggingface_hub", "httpx", "loky", "av", "timm", "open_clip")
PROGRAM = """
import contextlib, importlib, io, sys
from dataset.cli import execute
for package in ("model", "features", "dataset", "crawler", "flows"):
    app = importlib.import_module(package + ".__main__").app
    for name in (None, *(name for name in app if not name.startswith("-"))):
        with contextlib.redirect_stdout(io.StringIO()) as told:
            execute(app, [*filter(None, [name]), "--help"])
        assert "Usage: " in told.getvalue(), (package, name)
        loaded = sorted(set(sys.argv[1:]) & set(sys.modules))
        assert not loaded, f"{package} {name} --help imports {', '.join(loaded)}"
"""


def test_no_commands_help_imports_a_slow_library() -> None:
    python = os.pathsep.join(map(str, [ROOT, ROOT / "flows" / "public"]))
    command = [sys.executable, "-c", PROGRAM, *SLOW]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": python})
    assert done.returncode == 0, done.stderr[-500:]
