"""Whose turn it is to ask a host: one lock and one clock per host and user account.

Every crawl and every `probe` of an account takes the host's turn before it sends a request, and keeps it until the
request has ended. The turn is a locked file in the account's home (not in the crawl folder, so that two crawls share
it), which also holds the times of the last requests. If a process dies, the system releases its lock.

Two bounds hold together: a delay, from the end of a request to the start of the next, and a number of requests per
minute, a minute being any 60 s (on the sandbox less: it scales with the delay).
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from dataset.errors import PipelineError

try:
    import fcntl
    import pwd
except ImportError:  # Windows: the ledger's lock says that a crawl needs POSIX
    fcntl = pwd = None  # type: ignore[assignment]

MAX_TIMES = 32  # more than a minute of requests to a host
_MARGIN = 1e-4  # of a minute, so that the first and the last of eleven requests are more than a minute apart
_POLL_S = 0.25  # how often a process asks again while another one has the turn
_KEPT_S = 86_400.0
_CLOSED_KEPT_S = 8 * _KEPT_S
CLOSED = ".closed"  # the suffix of the files of `closed.py`
_FILE_BYTES = 2048
_FOLDER = Path(".local/state/douban-keyframes/hosts")


class Minute(NamedTuple):
    """How many requests a host gets in any minute, at most `MAX_TIMES`, and how long a minute is."""

    most: int
    seconds: float = 60.0


class HostClock:
    """The turns of one host.

    Args:
        path: the host's file; None for a host that needs no turns (the sandbox without a delay).
        minute: the bound of requests per minute; None: only the delay counts.
        now: gives the time, in Unix time.
        sleep: waits for some seconds.
    """

    def __init__(
        self,
        path: Path | None,
        minute: Minute | None = None,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._path = path
        self._minute = minute
        self._now = now
        self._sleep = sleep
        self._file: int | None = None  # the locked file's descriptor, while this process has the turn
        self._times: list[tuple[float, float]] = []  # start and end of the last requests, in Unix time

    def begin(self, delay_s: float) -> float:
        """Take the turn if nobody has it, the last request ended `delay_s` ago or longer, and the minute has room.

        Returns:
            0 if a request may be sent now, otherwise how many seconds to wait before the next try.

        Raises:
            PipelineError: the file cannot be written.
        """
        if self._path is None:
            return 0.0
        file = self._lock(self._path)
        if file is None:
            return min(_POLL_S, delay_s / 5)
        now = self._now()
        self._times = _read(file, now)
        wait_s = max(self._delay_left(delay_s, now), self._minute_left(now))
        if wait_s > 0:
            os.close(file)
            return wait_s
        self._file = file
        self._times = [*self._times, (now, now)][-MAX_TIMES:]
        _write(file, self._times)  # if this process is killed, the delay counts from here
        return 0.0

    def end(self) -> None:
        """Give the turn back, because the request has ended."""
        if self._file is not None:
            self._times[-1] = (self._times[-1][0], max(self._times[-1][0], self._now()))
            self._release()

    def withdraw(self) -> None:
        """Give the turn back, because no request was sent."""
        if self._file is not None:
            del self._times[-1]
            self._release()

    @contextmanager
    def turn(self, delay_s: float) -> Iterator[None]:
        """Wait for the turn, and keep it inside this context."""
        while wait_s := self.begin(delay_s):
            self._sleep(wait_s)
        try:
            yield
        finally:
            self.end()

    def _delay_left(self, delay_s: float, now: float) -> float:
        return self._times[-1][1] + delay_s - now if self._times else 0.0

    def _minute_left(self, now: float) -> float:
        """Return how long the minute is full; it counts from the end of a request, which is after the host got it."""
        if self._minute is None or len(self._times) < self._minute.most:
            return 0.0
        left_s = self._times[-self._minute.most][1] + self._minute.seconds - now
        return left_s + _MARGIN * self._minute.seconds if left_s >= 0 else 0.0

    def _release(self) -> None:
        if self._file is not None:
            _write(self._file, self._times)
            os.close(self._file)
            self._file = None

    def _lock(self, path: Path) -> int | None:
        """Return the locked file, None if another process has it."""
        while True:
            try:
                file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
            except OSError as error:
                raise PipelineError(
                    f"{path}: cannot be written ({error.strerror}), but crawls share it to stay polite; "
                    "make it writable for this account"
                ) from error
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                return None
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file), path.stat()):
                    return file
            os.close(file)  # `_remove_old` was faster


def host_clock(key: str, minute: Minute) -> HostClock:
    """Return the clock that this account shares for a host.

    Raises:
        PipelineError: the account has no folder of its own to keep it in.
    """
    folder = account_folder()
    _remove_old(folder)
    return HostClock(folder / key, minute)


def account_folder() -> Path:
    """Return the folder of what the account's crawls share. No variable of the environment moves it.

    Raises:
        PipelineError: the account has no folder of its own.
    """
    account = os.getuid()
    folders = [Path("/var/tmp") / f"douban-keyframes-{account}" / "hosts"]
    with suppress(KeyError):
        folders.insert(0, Path(pwd.getpwuid(account).pw_dir) / _FOLDER)
    for folder in folders:
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            status = folder.stat()
            if status.st_uid == account and not status.st_mode & 0o022 and os.access(folder, os.W_OK):
                return folder
    raise PipelineError(
        f"{folders[0]}: cannot be used, but crawls of one account share this folder to stay polite; "
        "make it writable for this account, and for no other"
    )


def _remove_old(folder: Path) -> None:
    """Remove the files of hosts that were not asked for a day, and what hosts asked for long ago."""
    for path in folder.iterdir():
        kept_s = _CLOSED_KEPT_S if path.suffix == CLOSED else _KEPT_S
        with suppress(OSError), path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if time.time() - os.fstat(file.fileno()).st_mtime > kept_s:
                path.unlink()


def _read(file: int, now: float) -> list[tuple[float, float]]:
    """Return the times in a file. A time in the future (a clock was set back) and nonsense count as now."""
    fields = os.read(file, _FILE_BYTES).split()
    if not fields:
        return []
    times = [(now, now)] * MAX_TIMES
    with suppress(ValueError):
        numbers = [min(float(field), now) for field in fields]
        found = list(zip(numbers[::2], numbers[1::2], strict=True))
        times = found if all(start <= end <= now for start, end in found) else times
    if times[-1][1] == now:
        _write(file, times)
    return times


def _write(file: int, times: list[tuple[float, float]]) -> None:
    """Replace the times by one write of a fixed size, so that a killed process leaves the old or the new ones."""
    text = "\n".join(f"{start:.6f} {end:.6f}" for start, end in times)
    os.pwrite(file, text.ljust(_FILE_BYTES).encode(), 0)
