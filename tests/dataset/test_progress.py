"""Long work says that it goes on: a line after 30 s without one, on a clock of the test's own."""

import contextvars
import sys
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from dataset.cli import command_line
from dataset.progress import Bars, duration, progress, stage


class Clock:
    """A clock that stands still until it is told to move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Work(NamedTuple):
    """A piece of running work."""

    bars: Bars
    clock: Clock
    written: Callable[[], str]

    def after(self, seconds: float) -> str:
        """What is written once so many more seconds have passed."""
        self.clock.now += seconds
        self.bars.beat()
        return self.written()


@pytest.fixture
def start(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Work]]:
    """A function that starts work. No thread beats: the test does."""
    monkeypatch.setattr(Bars, "_keep_writing", lambda _: None)
    started: list[Bars] = []

    def begin(unit: str, **options: bool) -> Work:
        clock = Clock()
        started.append(progress(unit, **options, clock=clock))
        started[-1].start()
        return Work(started[-1], clock, lambda: capsys.readouterr().err)

    yield begin
    for bars in reversed(started):
        if not bars._ended.is_set():
            bars.stop()


def test_the_first_line_comes_after_30_s_and_says_done_total_rate_time_left_and_metric(start) -> None:
    work = start("pictures")
    task = work.bars.add_task("Extracting features", total=4000)
    work.bars.update(task, completed=1000, note="loss 0.31")
    assert work.after(29.9) == ""
    assert work.after(0.1) == (
        "Extracting features: 1,000 of 4,000 pictures (25 %), 33.3 per second, 2 min left; loss 0.31\n"
    )


def test_a_line_comes_every_30_s_also_if_nothing_has_moved(start) -> None:
    work = start("pictures")
    work.bars.add_task("Extracting features", total=10)
    assert [bool(work.after(10)) for _ in range(9)] == [False, False, True] * 3


def test_slow_work_has_its_seconds_per_piece(start) -> None:
    work = start("epochs")
    task = work.bars.add_task("Training", total=5)
    work.clock.now += 50
    work.bars.advance(task)
    assert work.after(0) == "Training: 1 of 5 epochs (20 %), 50.0 s each, 3 min left\n"


def test_what_was_done_before_does_not_count_for_the_rate(start) -> None:
    work = start("epochs")
    task = work.bars.add_task("Training", total=100, completed=90)
    work.bars.update(task, completed=92)
    assert work.after(100) == "Training: 92 of 100 epochs (92 %), 50.0 s each, 7 min left\n"


@pytest.mark.parametrize(
    ("total", "done", "line"),
    [
        (None, 0, "Reading: 40 s so far"),
        (None, 80, "Reading: 80 files, 2.0 per second"),
        (0, 0, "Reading: 0 of 0 files (100 %), 40 s so far"),
        (80, 0, "Reading: 0 of 80 files (0 %), 40 s so far"),
        (80, 80, "Reading: 80 of 80 files (100 %), 2.0 per second"),
    ],
)
def test_a_line_says_what_is_known(start, total: int | None, done: int, line: str) -> None:
    work = start("files")
    task = work.bars.add_task("Reading", total=total)
    work.bars.update(task, completed=done)
    assert work.after(40) == f"{line}\n"


def test_each_epoch_has_a_line_and_no_further_one_follows_within_30_s(start) -> None:
    work = start("epochs", each=True)
    task = work.bars.add_task("Training", total=3, now=lambda: "epoch 2, step 5 of 9")
    work.clock.now += 2
    work.bars.update(task, completed=1, note="loss 0.700")
    assert work.written() == "Training: 1 of 3 epochs (33 %), 2.0 s each, 4 s left; loss 0.700\n"
    assert work.after(29) == ""
    assert work.after(1).endswith("64 s left; epoch 2, step 5 of 9; loss 0.700\n")


def test_of_work_within_work_only_the_inner_one_is_shown(start) -> None:
    outer, inner = start(""), start("files")
    outer.bars.add_task("Building", total=None)
    inner.bars.add_task("Checking pictures", total=3)
    assert (outer.after(40), inner.after(40)) == ("", "Checking pictures: 0 of 3 files (0 %), 40 s so far\n")
    inner.bars.stop()
    assert outer.after(40) == "Building: 80 s so far\n"


def test_many_short_works_within_one_do_not_stay_silent(start) -> None:
    outer = start("")
    outer.bars.add_task("Building", total=None)
    written = ""
    for number in range(4):
        inner = start("files")
        inner.clock.now = outer.clock.now
        inner.bars.add_task(f"Part {number}", total=None)
        written += inner.after(20)
        outer.clock.now = inner.clock.now
        inner.bars.stop()
        written += outer.after(1)
    assert written == "Part 1: 20 s so far\nPart 3: 20 s so far\n"


def test_work_without_a_task_yet_is_shown_too(start) -> None:
    assert start("epochs").after(31) == "Still at work, 31 s so far\n"


def test_what_reorders_a_terminal_is_escaped(start) -> None:
    work = start("files")
    work.bars.add_task("Reading \x1b[2J", total=None)
    assert work.after(30) == "Reading \\x1b[2J: 30 s so far\n"


def test_the_thread_writes_and_ends_with_the_work(capsys: pytest.CaptureFixture[str]) -> None:
    clock, before = Clock(), threading.active_count()
    with progress("files", clock=clock) as bars:
        bars.add_task("Reading", total=None)
        clock.now += 30
        bars._ended.wait(0)
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
    capsys.readouterr()


def test_lines_are_printed_in_the_context_of_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    run, clock, printed, seen = contextvars.ContextVar("run", default="none"), Clock(), [], threading.Event()

    def log(line: str, **_: object) -> None:  # as Prefect does with what a flow prints
        printed.append((run.get(), line))
        seen.set()

    monkeypatch.setattr("builtins.print", log)
    run.set("a flow")
    bars = progress("files", clock=clock)
    bars.add_task("Reading", total=None)
    clock.now += 30
    with bars:
        assert seen.wait(60)
    assert printed == [("a flow", "Reading: 30 s so far")]


def _long_command() -> None:
    """Work for 20 seconds."""
    clock = Clock()
    with progress("files", each=True, clock=clock) as bars:
        task = bars.add_task("Copying", total=2)
        clock.now += 20
        bars.update(task, completed=1, note="half")
        bars.say("a line of its own")
    print("result")


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ([], "Copying: 1 of 2 files (50 %), 20.0 s each, 20 s left; half\na line of its own\n"),
        (["--quiet"], ""),
    ],
)
def test_quiet_leaves_the_results_only(run_command, options: list[str], shown: str) -> None:
    app = command_line("python -m example")
    app.default(_long_command)
    assert run_command(app, *options) == (0, "result\n", shown)
    assert run_command(app).stderr != ""  # it holds for one command


def test_help_names_quiet(run_command) -> None:
    app = command_line("python -m example")
    app.default(_long_command)
    assert "--quiet: show no progress" in run_command(app, "--help").stdout


def test_a_value_after_two_dashes_is_not_an_option(run_command) -> None:
    app = command_line("python -m example")
    app.default(lambda words, /: print(words))
    assert run_command(app, "--", "--quiet").stdout == "--quiet\n"


class Terminal:
    """A stderr that says it is a terminal, and keeps what is written."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.written = ""

    def write(self, text: str) -> int:
        self.written += text
        return len(text)

    def flush(self) -> None:
        """Do nothing."""

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError


def test_a_terminal_has_a_bar_and_no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress("files", each=True) as bars:
        task = bars.add_task("Copying", total=2)
        with stage("Reading"):
            pass
        bars.update(task, completed=1, note="half")
    assert "━" in terminal.written
    assert "Copying: " not in terminal.written


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (89, "89 s"), (90, "2 min"), (12_000, "3 h 20 min"), (354_240, "4.1 days")]
)
def test_a_time_is_said_in_units_of_its_size(seconds: float, words: str) -> None:
    assert duration(seconds) == words
