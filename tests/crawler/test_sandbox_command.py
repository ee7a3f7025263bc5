import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from crawler.__main__ import main
from crawler.sandbox import command
from crawler.sandbox.world import WorldConfig, generate_world
from crawler.sites import Site
from dataset.errors import PipelineError, UsageError

SMALL = ["--users", "20", "--movies", "12", "--port", "0"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_a_preset_until_told_to_stop_and_removes_its_site_file(
    tmp_path: Path, number: signal.Signals
) -> None:
    site_file = tmp_path / "sandbox" / "site.json"
    options = [*SMALL, "--seed", "9", "--site-file", str(site_file), "--log", str(tmp_path / "log.jsonl")]
    options += ["--preset", "2026", "--faults", "dateless=0.5"]
    with subprocess.Popen(
        [sys.executable, "-m", "crawler", "sandbox", *options], stdout=subprocess.PIPE, text=True
    ) as sandbox:
        try:
            deadline = time.monotonic() + 60
            while not site_file.exists() and time.monotonic() < deadline:
                time.sleep(0.02)
            told = json.loads(site_file.read_text())
            site = Site(told["movie"], told["www"], told["images"], told["mobile"])
            movie = urllib.request.Request(f"{site.mobile}/rexxar/api/v2/subject/{told['seed_movie_ids'][0]}")
            movie.add_header("Referer", "https://m.douban.com/")
            with urllib.request.urlopen(movie, timeout=10) as page:
                assert json.load(page)["id"] == told["seed_movie_ids"][0]
        finally:
            sandbox.send_signal(number)
        said, _ = sandbox.communicate(timeout=20)
    assert sandbox.returncode == 0
    assert not site_file.exists()
    assert told["pid"] == sandbox.pid
    config = WorldConfig(**told["config"])
    assert (config.seed, config.n_users, config.n_movies) == (9, 20, 12)
    assert tuple(told["seed_movie_ids"]) == generate_world(config).seed_movie_ids
    assert f"{site.movie}/" in said
    assert "stopped after 1 requests" in said
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "named"),
    [(["--users", "2"], "n_users"), (["--movies", "9"], "n_movies")],
)
def test_a_world_that_is_too_small_is_refused(options: list[str], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        main(["sandbox", *options])


@pytest.mark.parametrize(
    "options",
    [
        ["--port", "65533"],
        ["--preset", "1999"],
        ["--faults", "growin"],
        ["--faults", "dateless=7"],
        ["--faults", "refuse-with=banned"],
        ["--faults", "errors=0.95", "--preset", "2026"],
        ["--port", "x"],
        ["--users", "-1"],
    ],
)
def test_a_bad_value_is_a_wrong_option(options: list[str]) -> None:
    with pytest.raises(UsageError, match=f"{options[0]}.*; see python -m crawler sandbox --help"):
        main(["sandbox", *options])


def test_a_site_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(PipelineError, match=r"site\.json.*cannot be written"):
        main(["sandbox", *SMALL, "--site-file", str(tmp_path / "file" / "site.json")])
    assert signal.getsignal(signal.SIGTERM) is before


def test_two_sandboxes_do_not_remove_each_others_site_file(tmp_path: Path) -> None:
    site_file = tmp_path / "site.json"
    site_file.write_text(json.dumps({"pid": os.getpid()}))
    command.forget_site(site_file, pid=os.getpid() + 1)
    assert site_file.exists()
    command.forget_site(site_file, pid=os.getpid())
    assert not site_file.exists()
