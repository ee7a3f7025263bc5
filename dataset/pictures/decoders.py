"""Runs processes that decode files and may die or hang without harm. POSIX only.

Decoders are programs in C that read files from strangers. So each file has a time limit and a memory limit. If its
process dies, only this file is lost.
"""

import json
import os
import selectors
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import LifoQueue
from typing import IO, Any, Self, TypeVar, cast

from dataset.errors import PipelineError
from dataset.pictures.protocol import ANSWER, MAX_ANSWER_BYTES, MAX_FILE_BYTES, READY, REQUEST, UnreadablePicture

_START_TIMEOUT_S = 120.0
_EXIT_TIMEOUT_S = 1.0
_GRACE_S = 5
"""Seconds after the time limit; a decoder that this process could not end then ends itself."""

# The processes run in the folder of our packages, so that no folder of the user hides a package.
_PACKAGES = Path(__file__).resolve().parents[2]

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Program:
    """What a decoder process runs: a module, and the command line for it."""

    module: str
    command: Callable[[], list[str]]


class DecoderPool:
    """Processes that decode files; a context manager. Threads share it: each call takes an idle process.

    Args:
        program: what a process runs.
        n_processes: how many files are decoded at the same time.
        timeout_s: seconds after which decoding of a file is stopped.
        n_threads: threads of `each`; None: `n_processes`. More are useful if they also write files.
        memory_file: the descriptor of a file that the processes inherit; None: no file.

    Raises:
        PipelineError: a process does not start; this says nothing about a file.
    """

    def __init__(
        self,
        program: Program,
        n_processes: int,
        timeout_s: float,
        n_threads: int | None = None,
        memory_file: int | None = None,
    ) -> None:
        if os.name != "posix":
            raise PipelineError("pictures: decoder processes need Linux or macOS; on Windows, use WSL")
        self.n_processes, self.timeout_s = n_processes, timeout_s
        self._decoders = [_Decoder(program, timeout_s, memory_file) for _ in range(n_processes)]
        self._idle = LifoQueue[_Decoder]()  # last in, first out: a process starts only if all others are busy
        for decoder in self._decoders:
            self._idle.put(decoder)
        self._threads = ThreadPoolExecutor(n_threads or n_processes, "pictures")
        self.is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the processes."""
        if self.is_closed:
            return
        self.is_closed = True
        for decoder in self._decoders:
            decoder.stop()  # stop the processes first, so that threads stop waiting for them
        self._threads.shutdown(cancel_futures=True)
        for decoder in self._decoders:
            decoder.stop()

    @property
    def process_ids(self) -> list[int]:
        """The running processes."""
        return [decoder.process.pid for decoder in self._decoders if decoder.process is not None]

    def each(self, work: Callable[[T], R], items: Iterable[T], ahead: int) -> Iterator[R]:
        """Yield `work` of each item, in order. It is called in threads, with at most `ahead` items in progress."""
        waiting: deque[Future[R]] = deque()
        for item in items:
            waiting.append(self._threads.submit(work, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def ask(self, operation: str, picture: Path | bytes, **fields: Any) -> bytearray:
        """Return a process's answer on a file or its bytes.

        Raises:
            UnreadablePicture: it cannot be decoded, takes too long, or kills its process.
        """
        content = picture if isinstance(picture, bytes) else b""
        if len(content) > MAX_FILE_BYTES:
            raise UnreadablePicture(f"too large: more than {MAX_FILE_BYTES >> 20} MiB")
        if isinstance(picture, Path):
            fields["path"] = str(picture.absolute())
        header = json.dumps({"operation": operation, **fields}).encode()
        return self.send(header, content, self.timeout_s, 2)

    def send(self, header: bytes, content: bytes, timeout_s: float, n_tries: int) -> bytearray:
        """Return a process's answer to a request of `dataset.pictures.protocol`; raise what `ask` raises."""
        message = REQUEST.pack(len(header), len(content)) + header + content
        decoder = self._idle.get()
        try:
            if self.is_closed:
                raise UnreadablePicture("stopped")
            return decoder.ask(message, timeout_s, n_tries)
        finally:
            self._idle.put(decoder)


class _Decoder:
    """One decoder process; it is restarted when it dies."""

    def __init__(self, program: Program, timeout_s: float, memory_file: int | None) -> None:
        self._program, self._timeout_s, self._memory_file = program, timeout_s, memory_file
        self.process: subprocess.Popen[bytes] | None = None

    def ask(self, message: bytes, timeout_s: float, n_tries: int) -> bytearray:
        """Return the answer to a request.

        Raises:
            UnreadablePicture: the picture cannot be decoded, takes too long, or has killed the decoder at each try.
        """
        try:
            return self._ask(message, timeout_s)
        except _DecoderDiedError as error:
            if n_tries > 1:  # the picture may not be the cause
                return self.ask(message, timeout_s, n_tries - 1)
            raise UnreadablePicture(f"cannot be decoded: {error}") from None

    def stop(self) -> None:
        """Stop the process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                cast(IO[bytes], pipe).close()
            self.process = None

    def _ask(self, message: bytes, timeout_s: float) -> bytearray:
        if self.process is None:
            self._start()
        deadline = time.monotonic() + timeout_s
        self._write(message, deadline)
        (length,) = ANSWER.unpack(self._read(ANSWER.size, deadline))
        if abs(length) > MAX_ANSWER_BYTES:  # what answers is no longer our decoder
            raise self._died()
        content = self._read(abs(length), deadline)
        if length <= 0:
            raise UnreadablePicture(content.decode())
        return content

    def _start(self) -> None:
        files = [] if self._memory_file is None else [self._memory_file]
        self.process = subprocess.Popen(
            [*self._program.command(), str(int(self._timeout_s) + _GRACE_S), *map(str, files)],
            pass_fds=files,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd=_PACKAGES,
        )
        os.set_blocking(cast(IO[bytes], self.process.stdin).fileno(), False)
        try:
            ready = self._read(len(READY), time.monotonic() + _START_TIMEOUT_S)
        except (_DecoderDiedError, UnreadablePicture):
            ready = bytearray()
        if ready != READY:
            raise PipelineError(f"a decoder process did not start; run `python -m {self._program.module}` to see why")

    def _write(self, message: bytes, deadline: float) -> None:
        unsent = memoryview(message)
        while unsent:
            pipe = self._ready_pipe("stdin", selectors.EVENT_WRITE, deadline)
            try:
                unsent = unsent[os.write(pipe.fileno(), unsent) :]
            except OSError:
                raise self._died() from None

    def _read(self, length: int, deadline: float) -> bytearray:
        content, n_read = bytearray(length), 0
        while n_read < length:
            pipe = self._ready_pipe("stdout", selectors.EVENT_READ, deadline)
            n_new = pipe.readinto(memoryview(content)[n_read:])  # type: ignore[attr-defined]
            if not n_new:
                raise self._died()
            n_read += n_new
        return content

    def _ready_pipe(self, name: str, event: int, deadline: float) -> IO[bytes]:
        """Return a pipe of the process when it can be used.

        Raises:
            UnreadablePicture: this takes too long; the process is stopped.
        """
        process = self.process
        if process is None:  # stopped in the meantime
            raise UnreadablePicture("stopped")
        pipe: IO[bytes] = getattr(process, name)
        with selectors.PollSelector() as selector:
            selector.register(pipe, event)
            if not selector.select(max(deadline - time.monotonic(), 0)):
                self.stop()
                raise UnreadablePicture(f"took longer than {self._timeout_s:g} s to decode")
        return pipe

    def _died(self) -> "_DecoderDiedError":
        process = self.process
        with suppress(subprocess.TimeoutExpired):
            if process is not None:
                process.wait(_EXIT_TIMEOUT_S)
        self.stop()
        code = None if process is None else process.returncode
        return _DecoderDiedError(f"the decoder process died (exit status {code})")


class _DecoderDiedError(Exception):
    """A decoder process died while it decoded a picture."""
