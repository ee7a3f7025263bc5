"""What long work shows: a bar on a terminal, and lines on stderr where there is none.

    Training jifr: 3 of 100 epochs (3 %), 12.0 s each, 19 min left; loss 0.310, NDCG 0.120

A line is written when 30 s have passed without one. A thread of its own writes it, so the work never looks at a clock.
With `each`, every new note is written too. Of work within other work, only the inner one is shown. `--quiet` shows
neither bars nor lines. Lines go through `print` in the context of the work, so Prefect's log has them.
"""

import contextvars
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from dataset.cli import is_quiet, printable, say

LINE_EVERY_S = 30.0
_HIDDEN_S = 1.0  # how soon work that is shown again looks at the clock

_running: contextvars.ContextVar["Bars | None"] = contextvars.ContextVar("_running", default=None)


def progress(unit: str, *, each: bool = False, clock: Callable[[], float] = time.monotonic) -> "Bars":
    """Return what shows tasks that count `unit` (a plural, for example "frames"), while it is used as a context.

    Args:
        unit: what is counted; empty for work that is not counted.
        each: write a line for every new note too, for example for every epoch.
        clock: returns the time in seconds.
    """
    return Bars(unit, each, clock)


@contextmanager
def stage(description: str) -> Iterator[None]:
    """Show, as a context or a decorator, that work goes on whose length is not known."""
    with progress("") as bar:
        bar.add_task(description, total=None)
        yield


class Bars(Progress):
    """Shows tasks.

    Fields of a task:

    - `note`: free text at the end of its line, for example the last metric.
    - `now`: a function that returns what the work is at; it is called for a line that no note has caused.
    - `unit`: what the task counts, if it is something else.
    - `first`: what was done before, so that it does not count for the rate.
    """

    def __init__(self, unit: str, each: bool, clock: Callable[[], float]) -> None:
        console = Console(stderr=True)
        has_bars = console.is_terminal and not console.is_dumb_terminal and sys.stderr.isatty()
        super().__init__(
            *_columns(unit, console.width >= 100),
            console=console,
            refresh_per_second=4,
            transient=not unit,
            get_time=clock,
            disable=is_quiet() or not has_bars,
        )
        self._unit, self._each, self._clock = unit, each, clock
        self._writes = not (is_quiet() or has_bars)
        self._begun = self._last_line = clock()
        self._around: Bars | None = None
        self._is_hidden = False
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Show the tasks, instead of those of the work around them."""
        self._around = _running.get()
        if self._around is not None:
            self._around.hide()
            self._last_line = self._around._last_line  # so that many short works within one do not stay silent
        _running.set(self)
        super().start()
        if self._writes:
            context = contextvars.copy_context()
            self._thread = threading.Thread(target=context.run, args=(self._keep_writing,), daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop showing the tasks, and show those of the work around them again."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        super().stop()
        _running.set(self._around)
        if self._around is not None:
            self._around._last_line = self._last_line
            self._around.show()

    def hide(self) -> None:
        """Show nothing while work within this work is shown."""
        self._is_hidden, is_transient = True, self.live.transient
        self.live.transient = True
        super().stop()
        self.live.transient = is_transient

    def show(self) -> None:
        """Show the tasks again."""
        self._is_hidden = False
        super().start()

    def add_task(self, description: str, *args: Any, **fields: Any) -> TaskID:
        """Add a task. Its arguments are those of `rich.progress.Progress.add_task`, and the fields below."""
        fields = {"note": "", "unit": self._unit, "first": fields.get("completed", 0), **fields}
        return super().add_task(description, *args, **fields)

    def update(self, task_id: TaskID, **changes: Any) -> None:
        """Change a task, as `rich.progress.Progress.update` does."""
        super().update(task_id, **changes)
        if self._each and self._writes and "note" in changes:
            self._write(self._tasks[task_id])

    def say(self, text: str) -> None:
        """Write a line of its own, above the bars if there are any."""
        if self._writes:
            say(text, file=sys.stderr)
            self._last_line = self._clock()
        elif not self.disable:
            self.console.print(printable(text), markup=False, highlight=False, soft_wrap=True)

    def beat(self) -> float:
        """Write a line per task if none was written for 30 s, and return for how many seconds none is due."""
        wait_s = self._last_line + LINE_EVERY_S - self._clock()
        if wait_s > 0:
            return wait_s
        if self._is_hidden:
            return _HIDDEN_S
        for task in self.tasks:
            now = task.fields.get("now")
            self._write(task, now() if now else "")
        if not self.tasks:
            say(f"Still at work, {duration(self._clock() - self._begun)} so far", file=sys.stderr)
        self._last_line = self._clock()
        return LINE_EVERY_S

    def _keep_writing(self) -> None:
        while not self._ended.wait(self.beat()):
            pass

    def _write(self, task: Task, at: str = "") -> None:
        self._last_line = self._clock()
        say(_line_of(task, at), file=sys.stderr)


def _line_of(task: Task, at: str) -> str:
    """Return a task as a line: what, done of total, rate, time left, what it is at, and the last metric."""
    facts = []
    done, total, unit = task.completed, task.total, task.fields["unit"]
    if total is not None:
        facts.append(f"{done:,.0f} of {total:,.0f} {unit} ({100 * done / total if total else 100:.0f} %)")
    elif done:
        facts.append(f"{done:,.0f} {unit}")
    if rate := _rate(task):
        facts.append(_rate_in_words(rate))
        if total is not None and done < total:
            facts.append(f"{duration((total - done) / rate)} left")
    else:
        facts.append(f"{duration(task.elapsed or 0)} so far")
    return "; ".join(filter(None, [f"{task.description}: {', '.join(facts)}", at, task.fields["note"]]))


def _rate(task: Task) -> float:
    """Return how many per second were done since the task was added; 0 if that is not known yet."""
    elapsed_s = task.elapsed or 0.0
    n_new = max(0.0, task.completed - task.fields["first"])
    return n_new / elapsed_s if elapsed_s > 0 else 0.0


def _rate_in_words(rate: float) -> str:
    return f"{rate:,.1f} per second" if rate >= 1 else f"{1 / rate:,.1f} s each"


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        rate = _rate(task)
        return Text(_rate_in_words(rate) if rate > 0 else "")


def duration(seconds: float) -> str:
    """Return a time in words: "3 h 20 min", "4.1 days"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
    return f"{seconds / 86400:.1f} days"


def _columns(unit: str, is_wide: bool) -> list[Any]:
    """Return the columns of a bar; work that is not counted has only its name and its time."""
    bar = [TextColumn("{task.description:<20}"), BarColumn(bar_width=24 if is_wide else 8)]
    if not unit:
        return [*bar, TimeElapsedColumn()]
    return [
        *bar,
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        *([_RateColumn(), TimeElapsedColumn()] if is_wide else []),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    ]
