"""The commands and examples of all READMEs, with sizes that take seconds; long tests run them as printed.

A printed command that is neither run here nor excused by name fails the first test.
"""

import contextlib
import io
import os
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from unittest import mock

import numpy as np
import polars as pl
import pytest
import requests
from moto.server import ThreadedMotoServer
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
READMES = [
    ROOT / name for name in subprocess.check_output(["git", "ls-files", "*README.md"], cwd=ROOT).decode().split()
]
DEMO = "python -m flows.demo"
PICTURES = "--extractor mobilenet_v3_small --weights random:0"  # small, and nothing is downloaded

# A printed command, and what is added to it here.
RUN = {
    "python -m crawler sandbox": "--users 40 --movies 12 --port 0",
    "python -m crawler plan": "",
    "python -m crawler ratings": "",
    "python -m crawler frames": "",
    "python -m crawler likes": "",
    "python -m crawler status": "",
    "python -m crawler export": "",
    "python -m dataset build": "",
    "python -m features extract --weights random:0": "--extractor mobilenet_v3_small",
    "python -m dataset publish": "",
    "python -m dataset report": "",
    "python -m model.train": "--epochs 1",
    "python -m model.experiment": "--models jifr,popular --set epochs=1 --jobs 1 --threads 1",
    "python -m dataset import ratings.csv --user-column userId --item-column movieId --rating-column rating "
    "--time-column timestamp --pictures posters/ --to data/mine/raw": "",
    "python -m dataset build --raw data/mine/raw --to data/mine/dataset": "",
    "python -m features extract --raw data/mine/raw --dataset data/mine/dataset": PICTURES,
    "python -m dataset publish --dataset data/mine/dataset --name mine": "",
    "python -m features import clip.npy --ids items.txt --extractor clip-vit-b32 --dataset data/mine/dataset": "",
    "python -m model.train --model vbpr": "--epochs 1",
    "python -m dataset import interactions.csv --split-column x_label --to data/mine/raw": "--replace",
    "python -m dataset import u1.base --format movielens-100k --test u1.test --to data/ml/raw": "",
    "python -m dataset import train.txt --test test.txt --format lightgcn --to data/gowalla/raw": "",
    "python -m dataset build --raw data/gowalla/raw --to data/gowalla/dataset --split given --k-user 0 --k-item 0": "",
    "python -m dataset export data/mine/dataset --to data/mine/recbole --format recbole": "",
    "python -m dataset list": "",
    "python -m dataset show data/snapshots/mine/v0001": "",
    "python -m dataset verify data/snapshots/mine/v0001": "",
    "python -m dataset risk data/mine/dataset": "",
    "python -m dataset risk data/snapshots/mine/v0001 --json": "",
    "python -m dataset publish --dataset data/mine/dataset --name mine --licence CC-BY-4.0 "
    '--publisher "Lab of Examples" --contact data@example.org': "",
    "python -m dataset publish --dataset data/mine/dataset --name mine --root s3://bucket/datasets "
    "--licence CC-BY-4.0": "",
    "python -m dataset diff s3://bucket/datasets/mine/v0001 s3://bucket/datasets/mine/v0002": "",
    "python -m dataset pull s3://bucket/datasets/mine": "",
    "python -m model.tune --model jifr": "--trials 2 --set epochs=1 --try collaborative_dim,visual_dim=4,8 --threads 1",
    "python -m model.evaluate --run data/runs/<run>": "",
    "python -m model.compare --runs data/runs/<A> data/runs/<B>": "",
    "python -m model.recommend --run data/runs/<run>": "--k 2",
    DEMO: "--users 40 --movies 12 --extractor mobilenet_v3_small --epochs 1 --port <port>",
}
NOT_RUN = {
    "python -m dataset import BX-Book-Ratings.csv --user-column User-ID --item-column ISBN --rating-column Book-Rating "
    "--max-rating 10 --zero-is interaction --encoding latin-1 --to data/books/raw": "test_import_files.py runs it",
    "python -m dataset import ratings_Toys.csv --no-header --user-column 1 --item-column 2 --rating-column 3 "
    "--time-column 4 --to data/toys/raw": "test_import_files.py runs it",
    "make demo": "its recipe, `python -m flows.demo`, is run",
    "python -m flows.serve": "the fixture `served` of test_serve.py runs it",
    "prefect deployment run build-dataset/sandbox --watch": "test_serve.py runs it with sizes",
    "python -m dataset push data/snapshots/mine/v0001 hf://me/mine": "test_push.py runs it with a fake Hub",
    "python -m crawler sandbox --faults dateless,empty-pages=0.05,refuse-after=100,refuse-with=ip_limit": (
        "test_sandbox_guest_faults.py crawls with such faults"
    ),
    "python -m crawler sandbox --preset 2026": "test_preset_2026.py crawls it",
    "python -m crawler sandbox --preset 2026 --faults challenge=20,rate-limit=0.05": "test_preset_2026.py crawls it",
    "pip install '.[open_clip]'": "downloads; a test below checks the extras",
    **{
        f"python -m features extract --raw data/mine/raw --dataset data/mine/dataset --extractor {name}": (
            f"downloads; {test} computes it with random weights"
        )
        for name, test in (
            ("timm:vit_small_patch14_dinov2.lvd142m", "test_timm.py"),
            ("open_clip:ViT-B-16-SigLIP/webli", "test_open_clip.py"),
            ("open_clip:ViT-B-32/openai", "test_open_clip.py"),
        )
    },
    "make test": "runs this test",
    "make test ONLY=dataset": "runs tests",
    "make test-long": "runs tests",
    "make check": "runs beside the tests",
    "make format": "changes files",
    "make bench": "takes long",
    "make bench ONLY=kcore": "takes long",
    "pip install .": "downloads; a test below checks the extras",
    "pip install '.[train]'": "downloads; a test below checks the extras",
    "pip install '.[all]'": "downloads; a test below checks the extras",
    "python -m crawler ratings --site douban --contact you@example.org --movies 1292052 --crawl data/douban/crawl": (
        "asks the real site"
    ),
}


def blocks(readme, language=""):
    """Return a README's fenced blocks of a language."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", readme.read_text("utf-8"), re.M | re.S)
    return [text for name, text in found if name == language]


def commands(readme):
    """Return the commands of a README's blocks without a language, without their comments."""
    lines = "".join(blocks(readme)).replace("\\\n", " ").splitlines()
    printed = [" ".join(re.sub(r"\s#.*", "", line).split()) for line in lines]
    return [line for line in printed if re.match(r"(python|prefect|make|pip|uv) ", line)]


OWN_DATA, OWN_VECTORS = commands(ROOT / "README.md")[-8:-3], commands(ROOT / "README.md")[-3:]


class Folder:
    """An empty folder, in which the commands run as in a user's checkout."""

    def __init__(self, path):
        self.path = path
        binaries = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        python = os.pathsep.join(map(str, [ROOT, ROOT / "flows" / "public"]))
        self.environment = {**os.environ, "PATH": binaries, "PYTHONPATH": python, "COLUMNS": "200"}
        self.environment |= {"HF_HOME": str(path / "huggingface"), "HF_HUB_OFFLINE": "1"}

    def run(self, printed, *added, **names):
        """Run a printed command in a process of its own; return what it prints."""
        return self.shell(self.sized(printed, *added, **names))

    def sized(self, printed, *added, **names):
        """Return a printed command with what RUN and the caller add, and with names for its <placeholders>."""
        command = " ".join([printed, RUN[printed], *added])
        return re.sub(r"<(\w+)>", lambda placeholder: str(names[placeholder[1]]), command)

    def shell(self, command):
        """Run any command in a process of its own; return what it prints."""
        started = time.monotonic()
        done = subprocess.run(
            command, shell=True, cwd=self.path, env=self.environment, capture_output=True, text=True, check=False
        )
        print(f"{time.monotonic() - started:5.1f} s  {command}")
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        assert not re.search(r"Traceback|Warning", done.stderr), done.stderr
        return done.stdout

    def here(self, printed, *added, **names):
        """Run a printed `python -m` command in this process, which has PyTorch loaded already."""
        line = self.sized(printed, *added, **names)
        _, _, module, *arguments = shlex.split(line)
        started, told = time.monotonic(), io.StringIO()
        try:
            with (
                contextlib.chdir(self.path),
                contextlib.redirect_stdout(told),
                mock.patch.object(sys, "argv", ["-m", *arguments]),
                warnings.catch_warnings(),
            ):
                warnings.filterwarnings("ignore", ".*found in sys.modules after import of package", RuntimeWarning)
                runpy.run_module(module, run_name="__main__", alter_sys=True)
        except SystemExit as end:
            status = end.code
        else:
            status = 0
        print(f"{time.monotonic() - started:5.1f} s  {line}")
        assert not status, f"{line}: {told.getvalue()}"
        return told.getvalue()

    @contextlib.contextmanager
    def running(self, command, words):
        """Run a command in the background, from the moment it has printed `words`."""
        path = self.path / "background.log"
        with path.open("w") as log:
            command = shlex.split(command.replace("python", sys.executable, 1))
            process = subprocess.Popen(command, cwd=self.path, env=self.environment, stdout=log, stderr=log)
            try:
                deadline = time.monotonic() + 120
                while words not in path.read_text():
                    assert process.poll() is None, path.read_text()
                    assert time.monotonic() < deadline, path.read_text()
                    time.sleep(0.1)
                yield
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(60)


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def bring_ratings(folder):
    """Write ratings of 30 people and 20 movies as `ratings.csv`, and a poster of each movie."""
    rng = np.random.default_rng(0)
    users, movies = (side.ravel() for side in np.meshgrid(np.arange(30), np.arange(20)))
    rated = rng.random(users.size) < 0.7
    pl.DataFrame(
        {
            "userId": users[rated],
            "movieId": movies[rated],
            "rating": rng.integers(1, 11, rated.sum()) / 2,
            "timestamp": rng.integers(1_000_000_000, 1_500_000_000, rated.sum()),
        }
    ).write_csv(folder / "ratings.csv")
    (folder / "posters").mkdir()
    for movie in range(20):
        Image.effect_noise((64, 48), 90).save(folder / "posters" / f"{movie}.jpg")


def test_every_printed_command_is_run_here_or_excused_by_name():
    printed = {command for readme in READMES for command in commands(readme)}
    assert printed == (RUN.keys() - {DEMO}) | NOT_RUN.keys()
    recipe = re.search(r"^demo:.*\n\t@\$\(BIN\)/(.+)$", (ROOT / "Makefile").read_text("utf-8"), re.M)
    assert recipe[1] == DEMO


def test_the_stages_one_by_one_on_the_sandbox(folder):
    sandbox, *crawl = commands(ROOT / "crawler" / "README.md")[:7]
    with folder.running(folder.sized(sandbox), "http://"):
        for command in crawl:  # Scrapy starts once per process
            run = folder.run if command.split()[-1] in ("ratings", "frames", "likes") else folder.here
            run(command)
    stages = commands(ROOT / "flows" / "README.md")[2:]
    assert len(stages) == 6
    for command in stages:
        folder.here(command)
    assert list(folder.path.glob("data/experiments/*/report.html"))
    assert list(folder.path.glob("data/reports/*/*.html"))


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """The folder after the README's commands for data of one's own: a published snapshot and two trained models."""
    folder = Folder(tmp_path_factory.mktemp("mine"))
    bring_ratings(folder.path)
    *stages, train = OWN_DATA
    told = [folder.here(command) for command in stages]
    assert "Published mine v0001" in told[-1]
    folder.here(train)
    folder.here(train, "--model bpr")
    return folder


def test_vectors_of_ones_own_take_the_place_of_an_extraction_in_three_lines(folder):
    bring_ratings(folder.path)
    np.save(folder.path / "clip.npy", np.random.default_rng(0).standard_normal((20, 512), np.float32))
    (folder.path / "items.txt").write_text("\n".join(map(str, range(20))))
    for command in OWN_DATA[:2]:
        folder.here(command)
    imported, published, _ = [folder.here(command) for command in OWN_VECTORS]
    assert "Imported 20 of 20 vectors" in imported
    assert "Published mine v0001" in published
    assert list(folder.path.glob("data/runs/vbpr-mine-v0001-0/model.pt"))


def test_a_snapshot_is_described_exported_and_read_by_other_libraries(mine):
    printed = [line for line in commands(ROOT / "dataset" / "README.md") if not re.search(" (import|build) ", line)]
    export, listing, show, verify, *others = printed
    for command in (export, show, verify, *(line for line in others if " risk " in line)):
        mine.here(command)
    assert "mine" in mine.here(listing)
    read = blocks(ROOT / "dataset" / "README.md", "python")[0].replace("sandbox", "mine")
    (mine.path / "read.py").write_text(
        f"{read}print(len(features), len(likes), popular[0][1] >= popular[-1][1], len(train))\n"
    )
    n_features, n_likes, is_ranked, n_train = mine.shell("python read.py").split()
    assert (n_features, n_likes, is_ranked) == ("20", "0", "True")
    assert 0.6 < int(n_train) / (30 * 20 * 0.7) < 0.8


def test_a_published_split_is_imported_and_built(folder):
    pairs = {"train": [(0, 1), (0, 2), (1, 1)], "test": [(0, 3), (1, 2)]}
    rows = [f"{user},{item},{2 * (split == 'test')}" for split in pairs for user, item in pairs[split]]
    (folder.path / "interactions.csv").write_text("\n".join(["user,item,x_label", *rows]))
    for split, name in (("train", "u1.base"), ("test", "u1.test")):
        lines = [f"{user}\t{item}\t5\t88125094{item}\n" for user, item in pairs[split]]
        (folder.path / name).write_text("".join(lines))
    (folder.path / "train.txt").write_text("0 1 2\n1 1\n")
    (folder.path / "test.txt").write_text("0 3\n1 2\n")
    printed = commands(ROOT / "dataset" / "README.md")
    imports = [line for line in printed if "x_label" in line or " --test " in line]
    (build,) = (line for line in printed if "--split given" in line)
    for command in imports:
        assert "3 train, 2 test" in folder.here(command)
    assert "kept 3 of 3 train, 2 of 2 test pairs" in folder.here(build)


def test_the_python_example(mine, monkeypatch):
    example = blocks(ROOT / "README.md", "python")[0]
    small = example.replace("sandbox/v0001", "mine/v0001").replace("seed=0)", 'seed=0, settings={"epochs": 1})')
    assert small.count("mine") == small.count('"epochs": 1') == 1
    monkeypatch.syspath_prepend(ROOT / "flows" / "public")
    monkeypatch.chdir(mine.path)
    names = {}
    exec(small, names)
    assert set(names["dk"].recommend(names["run"], names["data"], n=2)["rank"]) == {1, 2}


def test_the_models_commands(mine):
    jifr, bpr = (next(mine.path.glob(f"data/runs/{model}*")).name for model in ("jifr", "bpr"))
    train, experiment, tune, evaluate, compare, recommend = commands(ROOT / "model" / "README.md")
    assert {train, experiment} <= {*commands(ROOT / "flows" / "README.md")}  # run there
    mine.here(tune)
    mine.here(evaluate, run=jifr)
    mine.here(evaluate, run=bpr)
    mine.here(compare, A=jifr, B=bpr)
    mine.here(recommend, run=jifr)
    assert (mine.path / "data/runs" / jifr / "recommendations.parquet").is_file()


def test_snapshots_on_s3(mine, s3_environment, monkeypatch):
    build = OWN_DATA[1]
    printed = commands(ROOT / "dataset" / "README.md")
    publish, diff, pull = (line for line in printed if "s3://" in line)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in s3_environment(f"http://{host}:{port}").items():
        monkeypatch.setenv(name, value)
    try:
        assert requests.put(f"http://{host}:{port}/bucket", timeout=30).ok
        mine.here(publish)
        mine.here(build, "--seed 1")
        mine.here(publish)
        assert "split.seed: 0 → 1" in mine.here(diff)
        assert "mine v0002" in mine.here(pull)
        assert "Published mine v0003" in mine.here(next(line for line in printed if "--publisher" in line))
    finally:
        server.stop()


@pytest.mark.timeout(900)
def test_the_demo(folder, ports):
    folder.run(DEMO, port=ports(4))
    assert list(folder.path.glob("data/experiments/*/report.html"))


@pytest.fixture
def checkout(folder):
    """The folder with a copy of the project's tracked files: what a user has cloned."""
    for name in subprocess.check_output(["git", "ls-files"], cwd=ROOT).decode().splitlines():
        (folder.path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder.path / name)
    folder.environment["PYTHONPATH"] = os.pathsep.join([str(folder.path), str(folder.path / "flows" / "public")])
    return folder


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_demo_as_printed(checkout):
    checkout.shell(DEMO)
    assert list(checkout.path.glob("data/experiments/*/report.html"))


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_stages_as_printed(checkout):
    sandbox, *crawl = commands(ROOT / "crawler" / "README.md")[:7]
    with checkout.running(sandbox, "http://"):
        for command in (*crawl, *commands(ROOT / "flows" / "README.md")[2:]):
            checkout.shell(command)
    assert list(checkout.path.glob("data/experiments/*/report.html"))
    assert list(checkout.path.glob("data/reports/*/*.html"))


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_served_deployment_as_printed(checkout):
    serve, run = commands(ROOT / "flows" / "README.md")[:2]
    with checkout.running(serve, "being served"):
        checkout.shell(run)
    assert (checkout.path / "data/snapshots/sandbox/v0001/manifest.json").is_file()
