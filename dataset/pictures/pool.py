"""Opens pictures in processes that may die or hang without harm (`dataset.pictures.decoders`)."""

import atexit
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple
from functools import cache
from pathlib import Path
from typing import Any

from dataset.pictures.decoders import DecoderPool, Program
from dataset.pictures.memory import Region, SharedMemory, whole_pages
from dataset.pictures.protocol import (
    CROPS,
    MAX_JPEG_BYTES,
    PICTURE_TIMEOUT_S,
    Checked,
    Cropped,
    Geometry,
    UnreadablePicture,
)

DECODER = [sys.executable, "-m", "dataset.pictures.process"]


class PicturePool(DecoderPool):
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
        self._memory = SharedMemory()
        program = Program("dataset.pictures.process", lambda: DECODER)
        super().__init__(program, n_processes, timeout_s, n_threads, self._memory.file)

    def close(self) -> None:
        """Stop the processes, and give the memory back."""
        if not self.is_closed:
            super().close()
            self._memory.close()

    def check(self, picture: Path | bytes) -> Checked:
        """Decode a picture completely and describe it."""
        return Checked(**json.loads(self.ask("check", picture)))

    def identify(self, picture: Path | bytes) -> str:
        """Return a picture's format by its first bytes, without decoding its pixels."""
        return self.ask("identify", picture).decode()

    def crop(self, picture: Path | bytes, image_sha256: str, geometry: Geometry, fast: bool) -> bytearray:
        """Return a picture's crop, (crop_px, crop_px, 3) uint8, after checking its SHA-256."""
        return self.ask("crop", picture, image_sha256=image_sha256, geometry=astuple(geometry), fast=fast)

    def crops(
        self,
        folder: Path,
        chunks: Iterable[Sequence[tuple[str, str | bytes]]],
        chunk_size: int,
        geometry: Geometry,
        fast: bool,
        keeps_jpegs: bool = False,
    ) -> Iterator[list[Cropped]]:
        """Yield the results for each chunk of pictures, in order. They are valid until the next chunk is asked for.

        A process writes the results of a chunk into shared memory, so nothing is copied here. All processes work while
        the results of one chunk are used.

        Args:
            folder: the folder that the pictures' paths are relative to, and must not leave.
            chunks: SHA-256 and the path or the bytes, at most `chunk_size` per chunk.
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

        def work(task: tuple[int, Sequence[tuple[str, str | bytes]]]) -> list[Cropped]:
            number, pictures = task
            # `each` begins a chunk only after the results that were in the same memory have been used.
            return self._crops(pictures, memory.part(number % n_ahead, size), space, how)

        yield from self.each(work, enumerate(chunks), n_ahead)
        self._memory.give_back(memory)

    def thumbnail(self, picture: Path | bytes, max_size_px: tuple[int, int]) -> bytes:
        """Return a small WebP copy of a picture, at most (width, height)."""
        return bytes(self.ask("thumbnail", picture, max_size_px=max_size_px))

    def _crops(
        self, pictures: Sequence[tuple[str, str | bytes]], memory: Region, space: int, how: dict[str, Any]
    ) -> list[Cropped]:
        """Return the results for pictures, each with `space` bytes of memory. If one fails, each is decoded alone."""
        is_alone = len(pictures) == 1
        fields = {
            "pictures": [(name, len(found) if isinstance(found, bytes) else found) for name, found in pictures],
            "limit_s": 0 if is_alone else self.timeout_s,
            "offset": memory.offset,
            "size": len(memory.view),
        }
        header = json.dumps({"operation": CROPS, **fields, **how}).encode()
        content = b"".join(found for _, found in pictures if isinstance(found, bytes))
        try:
            answer = self.send(header, content, self.timeout_s * len(pictures), 2 if is_alone else 1)
            return _cropped(json.loads(answer), memory.view)
        except UnreadablePicture as reason:
            if is_alone:
                return [Cropped(memoryview(b""), reason=str(reason))]
        return [
            self._crops([picture], memory.part(number, space), space, how)[0] for number, picture in enumerate(pictures)
        ]


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
