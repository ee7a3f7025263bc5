import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest

from dataset.__main__ import app
from dataset.formats.ratings import FORMATS, FormatName


@pytest.fixture
def command(run_command: Callable[..., Any]) -> Callable[..., Any]:
    """A function that runs `python -m dataset` with these arguments, in this process."""
    return partial(run_command, app)


def test_a_process_of_its_own_ends_with_the_status_and_one_line() -> None:
    line = [sys.executable, "-m", "dataset", "verify", "."]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("python -m dataset: .: not a snapshot")


def test_import_build_publish_verify_show_list_in_one_go(
    command: Callable[..., Any], make_raw: Callable[..., Path], tmp_path: Path
) -> None:
    raw, root = make_raw(), tmp_path / "snapshots"
    for arguments, words in (
        (("build", "--raw", raw, "--to", tmp_path / "dataset"), "96 interactions of 12 users with 8 movies"),
        (("publish", "--dataset", tmp_path / "dataset", "--name", "toy", "--root", root), "Published toy v0001"),
        (("publish", "--dataset", tmp_path / "dataset", "--name", "toy", "--root", root), "nothing published"),
        (("verify", "--root", root), "every file is as it was published"),
        (("show", "--root", root), "no visual features"),
        (("list", "--root", root), "12 users, 8 movies, 96 interactions"),
    ):
        done = command(*arguments)
        assert (done.returncode, done.stderr) == (0, ""), arguments
        assert words in done.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("build", "--raw", "nowhere"), 1, "python -m dataset: nowhere: no ratings.parquet there"),
        (("verify", "."), 1, "not a snapshot"),
        (("publish", "--xyzzy"), 2, "Unknown option: --xyzzy; see python -m dataset publish --help"),
        (("show", "a", "b c"), 2, "not understood: 'b c' (several values of one option are separated by commas; quote"),
        (("bild",), 2, 'Did you mean "build"?'),
        (
            ("unheard-of",),
            2,
            "Available commands: import, pictures, build, kcore, export, publish, list, show, ...; see",
        ),
        (("build", "--since", "0"), 2, "--since '0': Input should be a day like 2015-01-31"),
        (("build", "--until", "2015-02-29"), 2, "--until '2015-02-29': Input should be a day like 2015-01-31"),
        (("build", "--k-user", "1.5"), 2, "--k-user '1.5': Input should be a valid integer"),
        (("kcore", "x.parquet", "--to", "y.parquet", "--k-user", "1.5"), 2, "'1.5' is not a whole number"),
        (("build", "--raw", "nowhere", "--test-share", "2"), 2, "leave interactions for training"),
    ],
)
def test_a_wrong_command_ends_in_one_line_with_the_remedy(
    arguments: tuple[str, ...], status: int, words: str, command: Callable[..., Any]
) -> None:
    done = command(*arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_commands_are_listed_in_the_order_of_the_work(command: Callable[..., Any]) -> None:
    done = command()
    assert (done.returncode, done.stderr) == (0, "")
    listed = [done.stdout.index(f"│ {name} ") for name in ("import", "build", "publish", "verify", "pull")]
    assert listed == sorted(listed)


def test_every_known_format_of_ratings_can_be_named() -> None:
    assert get_args(FormatName) == tuple(FORMATS)


def test_titles_come_from_a_file_that_is_named_with_its_columns(command: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("user,item\na,x\na,y\n")
    (tmp_path / "i.csv").write_text("id,name\nx,One\n")
    to = ("import", tmp_path / "r.csv", "--to", tmp_path / "raw", "--items", tmp_path / "i.csv")
    done = command(*to, "--items-id-column", "id", "--title-column", "name")
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 items (1 with a title)" in done.stdout
    done = command(*to)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "name the right one with --items-id-column" in done.stderr
