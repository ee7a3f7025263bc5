"""The README's commands, run as printed, in a copy of the checkout's tracked files.

The section for own data runs always. The others crawl, extract VGG-19 features and train every model, which takes ten
minutes, so they run on request: TEST_README=1 pytest tests/flows/test_readme.py
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest
import requests
from moto.server import ThreadedMotoServer
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", (ROOT / "README.md").read_text("utf-8"), re.M | re.S))
N_PICTURES = 30
on_request = pytest.mark.skipif("TEST_README" not in os.environ, reason="set TEST_README=1: takes ten minutes")


def example(section):
    """Return the Python of a section."""
    return re.search(r"^```python\n(.*?)^```$", SECTIONS[section], re.M | re.S)[1]


def commands(section, block):
    """Return the commands of a section's n-th fenced block without a language, without their comments."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", SECTIONS[section], re.M | re.S)
    text = [text for language, text in blocks if not language][block].replace("\\\n", " ")
    return [line for line in (re.sub(r"\s+#.*", "", line).strip() for line in text.splitlines()) if line]


class Checkout:
    """A copy of the project, and a shell in it whose `python` is that of the environment."""

    def __init__(self, folder):
        self.folder = folder
        files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
        for name in filter(None, files.split("\0")):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": path, "PREFECT_HOME": str(folder / "prefect"), "COLUMNS": "200"}
        self.environment |= {"HF_HOME": str(folder / "huggingface"), "HF_HUB_OFFLINE": "1"}

    def run(self, command):
        """Run a command to its end; return what it printed."""
        started = time.monotonic()
        done = subprocess.run(
            command, shell=True, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        print(f"{time.monotonic() - started:5.0f} s  {command}")
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout

    @contextmanager
    def running(self, command, words):
        """Run a command beside others, from the moment that it has printed `words`."""
        path = self.folder / "beside.log"
        with path.open("w") as log:
            process = subprocess.Popen(
                f"exec {command}", shell=True, cwd=self.folder, env=self.environment, stdout=log, stderr=log
            )
            try:
                deadline = time.monotonic() + 120
                while words not in path.read_text():
                    assert process.poll() is None, path.read_text()
                    assert time.monotonic() < deadline, path.read_text()
                    time.sleep(0.2)
                yield
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(60)


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path / "checkout")


def bring_movielens(folder):
    """Write MovieLens-100K (of RecBole's wheel, see the Makefile) as `ratings.csv`, and a picture of some items."""
    source = Path(sys.prefix) / "ml-100k" / "recbole" / "dataset_example" / "ml-100k" / "ml-100k.inter"
    ratings = pl.read_csv(source, separator="\t", new_columns=["userId", "movieId", "rating", "timestamp"])
    ratings.write_csv(folder / "ratings.csv")
    (folder / "posters").mkdir()
    for item in ratings["movieId"].unique().sort()[:N_PICTURES]:
        Image.effect_noise((64, 48), 90).save(folder / "posters" / f"{item}.jpg")


def test_own_data_from_a_file_to_a_snapshot_on_s3_and_back(checkout, s3_environment):
    bring_movielens(checkout.folder)
    to_raw, build, extract, publish, train = commands("I have my own data", 0)
    checkout.run(to_raw)
    checkout.run(build)
    checkout.run(f"{extract} --extractor mobilenet_v3_small --weights random:0")  # no download here
    assert "Published mine v0001" in checkout.run(publish)
    read = example("I only want to read a snapshot").replace("sandbox", "mine")
    (checkout.folder / "read.py").write_text(
        f"{read}print(len(features), len(likes), popular[0][1] > popular[-1][1], len(train))\n"
    )
    n_features, n_likes, is_ranked, n_train = checkout.run("python read.py").split()
    assert (int(n_features), n_likes, is_ranked) == (N_PICTURES, "0", "True")
    assert int(n_train) > 50_000
    checkout.run(f"{train} --model bpr --epochs 2")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    checkout.environment |= s3_environment(f"http://{host}:{port}")
    try:
        assert requests.put(f"http://{host}:{port}/bucket", timeout=30).ok
        publish, diff, pull = commands("I only want to read a snapshot", 0)
        checkout.run(publish)
        checkout.run(f"{build} --seed 1")
        checkout.run(publish)
        assert "split.seed: 0 → 1" in checkout.run(diff)
        assert "mine v0002" in checkout.run(pull)
    finally:
        server.stop()


@on_request
@pytest.mark.timeout(3600)
def test_every_stage_by_hand(checkout):
    sandbox, *others = commands("I want to run the pipeline", 1)
    with checkout.running(sandbox, "http://"):
        for command in others:
            checkout.run(command)
    assert list(checkout.folder.glob("data/experiments/*/report.html"))
    assert list(checkout.folder.glob("data/reports/*/*.html"))


@on_request
@pytest.mark.timeout(3600)
def test_the_served_deployment(checkout):
    serve, run = commands("I want to run the pipeline", 0)
    with checkout.running(serve, "being served"):
        checkout.run(run)
    assert (checkout.folder / "data/snapshots/sandbox/v0001/manifest.json").is_file()


@on_request
@pytest.mark.timeout(3600)
def test_the_demo(checkout):
    checkout.run("python -m flows.demo")
    assert list(checkout.folder.glob("data/experiments/*/report.html"))
