"""Decodes pictures ahead of the extractor, in processes that may die or hang without harm. POSIX only."""

import os
import selectors
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, cast

import numpy as np
import numpy.typing as npt

from dataset.errors import PipelineError
from features.config import PICTURE_TIMEOUT_S
from features.decoder import HEADER, READY
from features.images import Geometry, UnreadablePicture

_START_TIMEOUT_S = 120.0

DECODER = [sys.executable, "-m", "features.decoder"]

Crop = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Decoded:
    """The result for a picture: a crop, (crop_px, crop_px, 3) uint8, or the reason for the failure."""

    image_sha256: str
    path: str
    crop: Crop | None
    reason: str = ""


class DecoderPool:
    """Processes that decode pictures, each fed by one thread; a context manager.

    Args:
        raw: the folder that paths are relative to.
        geometry: how pictures are resized and cropped.
        n_processes: the number of processes.
        timeout_s: seconds after which decoding of a picture is stopped.
    """

    def __init__(self, raw: Path, geometry: Geometry, n_processes: int, timeout_s: float = PICTURE_TIMEOUT_S) -> None:
        self._raw, self._geometry, self._timeout_s = raw.resolve(), geometry, timeout_s
        self._local = threading.local()
        self._decoders: list[_Decoder] = []
        self._threads = ThreadPoolExecutor(n_processes, "decoder")

    def __enter__(self) -> "DecoderPool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for decoder in list(self._decoders):
            decoder.stop()  # stop the processes first, so that threads stop waiting for them
        self._threads.shutdown(cancel_futures=True)
        for decoder in self._decoders:
            decoder.stop()

    def decode(self, pictures: Iterable[tuple[str, str]], fast: bool, ahead: int) -> Iterator[Decoded]:
        """Yield the result for each (image_sha256, path), in order, with at most `ahead` pictures in progress."""
        waiting: deque[Future[Decoded]] = deque()
        for image_sha256, path in pictures:
            waiting.append(self._threads.submit(self._decode, image_sha256, path, fast))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _decode(self, image_sha256: str, path: str, fast: bool) -> Decoded:
        try:
            crop = self._decoder().decode(image_sha256, self._raw / path, fast)
        except UnreadablePicture as reason:
            return Decoded(image_sha256, path, None, str(reason))
        return Decoded(image_sha256, path, crop)

    def _decoder(self) -> "_Decoder":
        """Return this thread's own decoder."""
        if not hasattr(self._local, "decoder"):
            self._local.decoder = _Decoder(self._geometry, self._timeout_s)
            self._decoders.append(self._local.decoder)
        return cast("_Decoder", self._local.decoder)


class _Decoder:
    """One decoder process; it is restarted when it dies."""

    def __init__(self, geometry: Geometry, timeout_s: float) -> None:
        self._geometry, self._timeout_s = geometry, timeout_s
        self._process: subprocess.Popen[bytes] | None = None

    def decode(self, image_sha256: str, path: Path, fast: bool) -> Crop:
        """Return a crop.

        Raises:
            UnreadablePicture: the picture cannot be decoded, takes too long, or has killed the decoder twice.
        """
        name = os.fsencode(path)
        if b"\n" in name:
            raise UnreadablePicture("its path contains a line break")
        request = b"%s %d %s\n" % (image_sha256.encode(), fast, name)
        try:
            return self._ask(request)
        except _DecoderDiedError:  # the picture may not be the cause
            try:
                return self._ask(request)
            except _DecoderDiedError as error:
                raise UnreadablePicture(f"cannot be decoded: {error}") from None

    def stop(self) -> None:
        """Stop the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                cast(IO[bytes], pipe).close()
            self._process = None

    def _ask(self, request: bytes) -> Crop:
        process = self._process or self._start()
        try:
            cast(IO[bytes], process.stdin).write(request)
        except OSError:
            raise self._died() from None
        deadline = time.monotonic() + self._timeout_s
        (length,) = HEADER.unpack(self._read(HEADER.size, deadline))
        content = self._read(abs(length), deadline)
        if length <= 0:
            raise UnreadablePicture(content.decode())
        side = self._geometry.crop_px
        return np.frombuffer(content, np.uint8).reshape(side, side, 3)

    def _start(self) -> "subprocess.Popen[bytes]":
        geometry = self._geometry
        fields = [str(geometry.resize_px), str(geometry.crop_px), geometry.interpolation]
        self._process = subprocess.Popen(
            [*DECODER, *fields],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        try:
            ready = self._read(len(READY), time.monotonic() + _START_TIMEOUT_S)
        except (_DecoderDiedError, UnreadablePicture):
            ready = bytearray()
        if ready != READY:
            raise PipelineError(
                "a decoder process did not start; run `python -m features.decoder 256 224 bilinear` to see why"
            )
        return self._process

    def _read(self, length: int, deadline: float) -> bytearray:
        """Read this many bytes of the process's answer.

        Raises:
            UnreadablePicture: the answer takes too long; the process is stopped.
            _DecoderDiedError: the process has ended.
        """
        process = self._process
        if process is None:  # stopped in the meantime
            raise UnreadablePicture("stopped")
        pipe = cast(IO[bytes], process.stdout)
        content, n_read = bytearray(length), 0
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while n_read < length:
                if not selector.select(deadline - time.monotonic()):
                    self.stop()
                    raise UnreadablePicture(f"took longer than {self._timeout_s:g} s to decode")
                n_new = pipe.readinto(memoryview(content)[n_read:])  # type: ignore[attr-defined]
                if not n_new:
                    raise self._died()
                n_read += n_new
        return content

    def _died(self) -> "_DecoderDiedError":
        process = self._process
        code = None if process is None else process.wait()
        self.stop()
        return _DecoderDiedError(f"the decoder process died (exit status {code})")


class _DecoderDiedError(Exception):
    """A decoder process died while it decoded a picture."""
