"""Opens pictures in processes that may die or hang without harm. POSIX only.

Decoders are programs in C that read files from strangers: each picture has a time limit, a memory limit, and a
process whose end costs nothing but this picture.
"""

import atexit
import json
import os
import selectors
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import astuple
from functools import cache
from pathlib import Path
from queue import LifoQueue
from typing import IO, Any, TypeVar, cast

from dataset.errors import PipelineError
from dataset.pictures.memory import Region, SharedMemory, whole_pages
from dataset.pictures.protocol import (
    ANSWER,
    CROPS,
    MAX_ANSWER_BYTES,
    MAX_FILE_BYTES,
    MAX_JPEG_BYTES,
    PICTURE_TIMEOUT_S,
    READY,
    REQUEST,
    Checked,
    Cropped,
    Geometry,
    UnreadablePicture,
)

_START_TIMEOUT_S = 120.0
_EXIT_TIMEOUT_S = 1.0
_GRACE_S = 5
"""A decoder ends itself so long after the time limit, if this process could not end it."""

# The processes run in the folder of our packages, so that no folder of the user's hides one of these.
DECODER = [sys.executable, "-m", "dataset.pictures.process"]
_PACKAGES = Path(__file__).resolve().parents[2]

T = TypeVar("T")
R = TypeVar("R")


class PicturePool:
    """Processes that open pictures; a context manager. Threads share it: each call takes an idle process.

    A picture is a file or its bytes. Every operation raises `UnreadablePicture`, whose message is the reason, if the
    picture cannot be decoded, takes too long, or kills its process.

    Args:
        n_processes: how many pictures are decoded at the same time.
        timeout_s: seconds after which decoding of a picture is stopped.
        n_threads: threads of `each`; None: `n_processes`. More make sense if they also write files.

    Raises:
        PipelineError: a process does not start; this says nothing about a picture.
    """

    def __init__(
        self, n_processes: int = 1, timeout_s: float = PICTURE_TIMEOUT_S, n_threads: int | None = None
    ) -> None:
        if os.name != "posix":
            raise PipelineError("pictures: decoder processes need Linux or macOS; on Windows, use WSL")
        self.n_processes, self._timeout_s = n_processes, timeout_s
        self._memory = SharedMemory()
        self._decoders = [_Decoder(timeout_s, self._memory.file) for _ in range(n_processes)]
        self._idle = LifoQueue[_Decoder]()  # last in, first out: a process starts only if all others are busy
        for decoder in self._decoders:
            self._idle.put(decoder)
        self._threads = ThreadPoolExecutor(n_threads or n_processes, "pictures")
        self._is_closed = False

    def __enter__(self) -> "PicturePool":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the processes."""
        if self._is_closed:
            return
        self._is_closed = True
        for decoder in self._decoders:
            decoder.stop()  # stop the processes first, so that threads stop waiting for them
        self._threads.shutdown(cancel_futures=True)
        for decoder in self._decoders:
            decoder.stop()
        self._memory.close()

    @property
    def process_ids(self) -> list[int]:
        """The running processes."""
        return [decoder.process.pid for decoder in self._decoders if decoder.process is not None]

    def check(self, picture: Path | bytes) -> Checked:
        """Decode a picture completely and describe it."""
        return Checked(**json.loads(self._ask("check", picture)))

    def identify(self, picture: Path | bytes) -> str:
        """Return a picture's format by its first bytes, without decoding its pixels."""
        return self._ask("identify", picture).decode()

    def crop(self, picture: Path | bytes, image_sha256: str, geometry: Geometry, fast: bool) -> bytearray:
        """Return a picture's crop, (crop_px, crop_px, 3) uint8, after checking its SHA-256."""
        return self._ask("crop", picture, image_sha256=image_sha256, geometry=astuple(geometry), fast=fast)

    def crops(
        self,
        folder: Path,
        chunks: Iterable[Sequence[tuple[str, str]]],
        chunk_size: int,
        geometry: Geometry,
        fast: bool,
        keeps_jpegs: bool = False,
    ) -> Iterator[list[Cropped]]:
        """Yield the results for each chunk of pictures, in order. They are valid until the next chunk is asked for.

        A process writes the results of a chunk into shared memory, so nothing is copied here. All processes work, while
        the results of one chunk are used.

        Args:
            folder: the folder that the pictures' paths are relative to, and must not leave.
            chunks: SHA-256 and paths, at most `chunk_size` per chunk.
            chunk_size: how many pictures a process decodes between two answers.
            geometry: how pictures are cropped.
            fast: decode large JPEGs at a fraction of their size.
            keeps_jpegs: leave a JPEG that a GPU can decode as it is.
        """
        space = whole_pages(max(geometry.crop_bytes, MAX_JPEG_BYTES if keeps_jpegs else 0))
        how = {
            "geometry": astuple(geometry),
            "fast": fast,
            "keeps_jpegs": keeps_jpegs,
            "folder": str(folder.absolute()),
        }
        n_ahead, size = 2 * self.n_processes + 1, space * chunk_size
        memory = self._memory.take(n_ahead * size)

        def work(task: tuple[int, Sequence[tuple[str, str]]]) -> list[Cropped]:
            number, pictures = task
            # `each` begins a chunk when the results of the one with the same memory have been used.
            return self._crops(pictures, memory.part(number % n_ahead, size), space, how)

        yield from self.each(work, enumerate(chunks), n_ahead)
        self._memory.give_back(memory)

    def thumbnail(self, picture: Path | bytes, max_size_px: tuple[int, int]) -> bytes:
        """Return a small WebP copy of a picture, at most (width, height)."""
        return bytes(self._ask("thumbnail", picture, max_size_px=max_size_px))

    def each(self, work: Callable[[T], R], items: Iterable[T], ahead: int) -> Iterator[R]:
        """Yield `work` of each item, in order. It is called in threads, with at most `ahead` items in progress."""
        waiting: deque[Future[R]] = deque()
        for item in items:
            waiting.append(self._threads.submit(work, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _crops(
        self, pictures: Sequence[tuple[str, str]], memory: Region, space: int, how: dict[str, Any]
    ) -> list[Cropped]:
        """Return the results for pictures, each of which has `space` bytes of memory. If one fails, each is alone."""
        is_alone = len(pictures) == 1
        fields = {
            "pictures": pictures,
            "limit_s": 0 if is_alone else self._timeout_s,
            "offset": memory.offset,
            "size": len(memory.view),
        }
        header = json.dumps({"operation": CROPS, **fields, **how}).encode()
        try:
            answer = self._send(_message(header), self._timeout_s * len(pictures), 2 if is_alone else 1)
            return _cropped(json.loads(answer), memory.view)
        except UnreadablePicture as reason:
            if is_alone:
                return [Cropped(memoryview(b""), reason=str(reason))]
        return [
            self._crops([picture], memory.part(number, space), space, how)[0] for number, picture in enumerate(pictures)
        ]

    def _ask(self, operation: str, picture: Path | bytes, **fields: Any) -> bytearray:
        content = picture if isinstance(picture, bytes) else b""
        if len(content) > MAX_FILE_BYTES:
            raise UnreadablePicture(f"too large: more than {MAX_FILE_BYTES >> 20} MiB")
        if isinstance(picture, Path):
            fields["path"] = str(picture.absolute())
        header = json.dumps({"operation": operation, **fields}).encode()
        return self._send(_message(header, content), self._timeout_s, 2)

    def _send(self, message: bytes, timeout_s: float, n_tries: int) -> bytearray:
        decoder = self._idle.get()
        try:
            if self._is_closed:
                raise UnreadablePicture("stopped")
            return decoder.ask(message, timeout_s, n_tries)
        finally:
            self._idle.put(decoder)


def _message(header: bytes, content: bytes = b"") -> bytes:
    return REQUEST.pack(len(header), len(content)) + header + content


def _cropped(answer: Iterable[tuple[bool, int, str]], memory: memoryview) -> list[Cropped]:
    """Return the results that an answer describes, as views of the shared memory, in which they have no gaps."""
    cropped, end = [], 0
    for is_jpeg, n_bytes, reason in answer:
        start, end = end, end + n_bytes
        cropped.append(Cropped(memory[start:end], is_jpeg, reason))
    return cropped


@cache
def shared_pool() -> PicturePool:
    """Return the pool of this process for pictures that come one at a time; it starts when it is first asked."""
    pool = PicturePool()
    atexit.register(pool.close)
    return pool


class _Decoder:
    """One decoder process; it is restarted when it dies."""

    def __init__(self, timeout_s: float, memory_file: int) -> None:
        self._timeout_s, self._memory_file = timeout_s, memory_file
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
        if abs(length) > MAX_ANSWER_BYTES:  # the decoder is not itself any more
            raise self._died()
        content = self._read(abs(length), deadline)
        if length <= 0:
            raise UnreadablePicture(content.decode())
        return content

    def _start(self) -> None:
        self.process = subprocess.Popen(
            [*DECODER, str(int(self._timeout_s) + _GRACE_S), str(self._memory_file)],
            pass_fds=[self._memory_file],
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
            raise PipelineError("a decoder process did not start; run `python -m dataset.pictures.process` to see why")

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
