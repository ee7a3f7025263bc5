"""Children are real processes here: what they print, how they end, and that none outlives its parent."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows import children
from flows.children import StageError, run_stage, start, stop

CHILD = "import signal, sys, time; signal.signal(signal.SIGTERM, {}); print('up', flush=True); time.sleep(60)"
LISTENS, DEAF = CHILD.format("lambda *_: sys.exit(7)"), CHILD.format("signal.SIG_IGN")


@contextmanager
def started(code: str) -> Iterator["subprocess.Popen[str]"]:
    with start([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "up\n"
        yield child


def test_a_stage_that_fails_is_named_with_its_last_line() -> None:
    with pytest.raises(StageError, match=r"`python -m dataset build` ended with exit status 1: .*nowhere"):
        run_stage(["dataset", "build", "--raw", "nowhere"])


def test_what_a_stage_writes_on_stderr_is_said_as_it_comes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "talks.py").write_text(
        "import os, sys, time\nprint('pages: 5 of 9', file=sys.stderr, flush=True)\n"
        f"while not os.path.exists({str(tmp_path / 'heard')!r}): time.sleep(0.01)\nprint('done')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def hear(*words: str, **_: object) -> None:
        print(*words)
        (tmp_path / "heard").touch()

    monkeypatch.setattr(children, "say", hear)
    assert children.run_stage(["talks"]) == "done"
    assert capsys.readouterr().out == "pages: 5 of 9\n"


def test_an_error_is_raised_and_not_said_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StageError):
        run_stage(["dataset", "build", "--raw", "nowhere"])
    assert capsys.readouterr().err == ""


def test_a_child_that_listens_ends_in_its_own_way() -> None:
    with started(LISTENS) as child:
        stop(child)
    assert child.returncode == 7


def test_a_second_ctrl_c_kills_a_child_that_does_not_listen() -> None:
    with started(DEAF) as child:
        signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(KeyboardInterrupt):
            stop(child)
    assert child.returncode == -signal.SIGKILL


def test_ctrl_c_in_the_terminal_does_not_reach_the_child_twice() -> None:
    with started(LISTENS) as child:
        assert os.getpgid(child.pid) != os.getpgrp()
        stop(child)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent is gone")
def test_no_child_outlives_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import sys; from flows.children import start\n"
            f"child = start([sys.executable, '-c', {LISTENS!r}])\n"
            "print(child.pid, flush=True); child.wait()",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    words = {parent.stdout.readline().strip(), parent.stdout.readline().strip()}
    (pid,) = (int(word) for word in words if word != "up")
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and "(zombie)" not in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
