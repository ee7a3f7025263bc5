"""The commands that crawl, build and train on the sandbox, stage by stage and as the demo."""

import json
import os
import re
import shutil
import subprocess

import pytest
from printed import DEMO, NOT_RUN, READMES, ROOT, RUN, commands


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
    stages = commands(ROOT / "flows" / "README.md")[2:8]
    assert len(stages) == 6
    for command in stages:
        folder.here(command)
    assert list(folder.path.glob("data/experiments/*/report.html"))
    assert list(folder.path.glob("data/reports/*/*.html"))


@pytest.mark.timeout(900)
def test_the_demo(folder, ports):
    folder.run(DEMO, port=ports(4))
    (report,) = folder.path.glob("data/experiments/*/report.html")
    first = report.read_text("utf-8").partition('<ul class="headlines">')[2].partition("</li>")[0]
    assert "with shuffled pictures" in first
    trained = {run["label"] for run in json.loads((report.parent / "experiment.json").read_text("utf-8"))["runs"]}
    assert trained == {"jifr", "jifr features=shuffled", "bpr", "ease", "popular"}


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
        for command in (*crawl, *commands(ROOT / "flows" / "README.md")[2:8]):
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
