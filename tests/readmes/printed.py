"""The commands that the READMEs print, the sizes that the tests add to them, and the folder in which they run.

A printed command that is neither in `RUN` nor excused in `NOT_RUN` fails a test.
"""

import contextlib
import io
import os
import re
import runpy
import shlex
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from unittest import mock

import numpy as np
import polars as pl
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
    "python -m dataset pictures data/mine/raw --to contact-sheet.png": "",
    "python -m dataset build --raw data/mine/raw --to data/mine/dataset --drop-placeholders": "",
    "python -m dataset import --recipe list": "",
    "python -m dataset import ml-latest-small --recipe movielens-latest-small --to data/small/raw": "",
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
    "python -m model.experiment study.toml": "--jobs 1 --threads 1",
    "python -m model runs": "",
    "python -m model.evaluate --run data/runs/<run>": "",
    "python -m model.compare --runs data/runs/<A> data/runs/<B>": "",
    "python -m model.recommend --run data/runs/<run>": "--k 2",
    "python -m model.bundle data/experiments/study/mine-v0001": "",
    "python -m model.verify_results data/bundles/study-mine-v0001.zip": "",
    "python -m model.leaderboard data/bundles": "",
    DEMO: "--users 40 --movies 12 --extractor mobilenet_v3_small --epochs 1 --port <port>",
}
NOT_RUN = {
    "python -m dataset import ratings.csv --pictures posters/ --frame-likes likes.csv --to data/mine/raw": (
        "test_frame_likes.py imports such a file"
    ),
    "python -m dataset build --raw data/mine/raw --to data/mine/loo --split leave-one-out --k-user 3": (
        "test_time_splits.py builds it"
    ),
    "python -m dataset build --raw data/mine/raw --to data/mine/newest --split cut-off --test-from 2015-07-01 "
    "--validation-from 2015-01-01": "test_time_splits.py builds it",
    **{
        f"python -m model.evaluate --recommendations lists.tsv --name X{options}": "test_given_lists.py runs it"
        for options in ("", " --snapshot data/snapshots/mine/v0001")
    },
    "python -m features text --dataset data/mine/dataset": "test_text_encoders.py runs it, if wordllama is installed",
    "python -m dataset import BX-Book-Ratings.csv --user-column User-ID --item-column ISBN --rating-column Book-Rating "
    "--max-rating 10 --zero-is interaction --encoding latin-1 --to data/books/raw": "test_import_files.py runs it",
    "python -m dataset import ratings_Toys.csv --no-header --user-column 1 --item-column 2 --rating-column 3 "
    "--time-column 4 --to data/toys/raw": "test_import_files.py runs it",
    "python -m dataset import ratings.csv --videos trailers/ --video-frames 12 --to data/mine/raw": (
        "test_importing_videos.py runs it"
    ),
    "python -m dataset import ratings.csv --pictures 'shards/{000..099}.tar' --to data/mine/raw": (
        "test_shards.py runs it"
    ),
    "python -m dataset import ratings.csv --pictures train.parquet --picture-item asin --to data/mine/raw": (
        "test_shards.py runs it"
    ),
    "python -m model.train --model my_models:BiasedMF": "test_own_model.py runs it",
    "python -m model.experiment --models my_models:BiasedMF,bpr,popular": "test_own_model.py runs it",
    "python -m model.recommend data/runs/<run> --interactions new.csv": "test_recommend_new.py runs it",
    "python -m model.recommend data/runs/<run> --interactions new.csv --frames new.parquet": (
        "test_recommend_new.py runs it"
    ),
    "make demo": "its recipe, `python -m flows.demo`, is run",
    "python -m flows run build-dataset -p sandbox_users=100": "tests/flows/test_run.py runs a flow so",
    "python -m flows.serve": "the fixture `served` of test_serve.py runs it",
    **dict.fromkeys(
        (
            "prefect work-pool create pool --type process",
            "python -m flows.serve --pool pool --folder /srv/crawl --allow allow.toml",
            "prefect worker start --pool pool",
        ),
        "test_elsewhere.py runs it on machines of its own, if it is root; test_work_pool.py runs it on this one",
    ),
    "prefect deployment run build-dataset/sandbox --watch": "test_serve.py runs it with sizes",
    "python -m dataset push data/snapshots/mine/v0001 hf://me/mine": "test_push.py runs it with a fake Hub",
    "python -m crawler reference small": "test_reference.py runs it",
    'python -m dataset push data/snapshots/mine/v0001 zenodo: --creator "Doe, Jane; Lab of Examples; '
    '0000-0002-1825-0097" --sandbox': "test_zenodo.py runs it with a fake Zenodo",
    "python -m dataset push data/snapshots/mine/v0002 zenodo:1234567 --sandbox": "test_zenodo.py does it",
    "python -m dataset pull zenodo:10.5281/zenodo.1234567": "test_zenodo.py runs it with a fake Zenodo",
    "python -m crawler sandbox --faults dateless,empty-pages=0.05,refuse-after=100,refuse-with=ip_limit": (
        "test_sandbox_guest_faults.py crawls with such faults"
    ),
    "python -m crawler world --preset paper --seed 1 --width 64": "test_worlds.py runs it with another preset",
    "python -m crawler sandbox --world demo": "test_worlds.py compares what it shows with its tables",
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
    "make bench QUICK=1": "takes long",
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
