"""A decoder process: reads requests from stdin and writes answers to stdout.

It is a separate process because a decoder in C can crash, hang or use up memory on a broken picture,
which must not affect anything else. It ends when its parent ends (stdin is closed).

The messages are described in `dataset.pictures.protocol`.
"""

import ctypes
import json
import mmap
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import AvifImagePlugin

from dataset.files import path_below
from dataset.pictures.operations import OPERATIONS, crop_or_jpeg
from dataset.pictures.protocol import ANSWER, CROPS, OUTSIDE, READY, REQUEST, UnreadablePicture

_MAX_MEMORY_BYTES = 2 << 30
_KEPT_MEMORY_BYTES = 64 << 20
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h


def main(
    argv: Sequence[str] = (),
    operations: Mapping[str, Callable[..., bytes]] = OPERATIONS,
    max_memory_bytes: int = _MAX_MEMORY_BYTES,
) -> None:
    """Answer requests until stdin ends.

    Args:
        argv: how many seconds a request may take, and the file descriptor of the shared memory; both may be missing.
        operations: what can be asked for.
        max_memory_bytes: the memory that this process may use.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    _limit_resources(max_memory_bytes)
    _keep_freed_memory()
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # one picture, one core: other processes use the others
    limit_s, memory_file = (*(int(number) for number in argv), 0, 0)[:2]
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # output of libraries must not mix with the answers
    answers.write(READY)
    while header := sys.stdin.buffer.read(REQUEST.size):
        n_fields, n_content = REQUEST.unpack(header)
        fields = json.loads(sys.stdin.buffer.read(n_fields))
        content = sys.stdin.buffer.read(n_content)
        signal.alarm(limit_s)  # ends this process, should the parent no longer be there to do it
        try:
            operation, path = fields.pop("operation"), fields.pop("path", None)
            if operation == CROPS:
                answer = _write_crops(memory_file, content, **fields)
            else:
                answer = operations[operation](content if path is None else Path(path), **fields)
            message = ANSWER.pack(len(answer)) + answer
        except (UnreadablePicture, MemoryError) as error:
            words = _reason(error)
            message = ANSWER.pack(-len(words)) + words
        signal.alarm(0)
        unsent = memoryview(message)
        while unsent:
            unsent = unsent[answers.write(unsent) :]


def _write_crops(
    memory_file: int,
    content: bytes,
    offset: int,
    size: int,
    folder: str,
    pictures: Sequence[tuple[str, str | int]],
    limit_s: float,
    **how: Any,
) -> bytes:
    """Write what becomes of pictures (see `crop_or_jpeg`) into shared memory, without gaps; return the answer.

    Args:
        memory_file: the file descriptor of the memory.
        content: the bytes of those pictures that are no files, without gaps.
        offset: where the memory for these pictures begins.
        size: the bytes of this memory.
        folder: the folder that the paths are relative to.
        pictures: SHA-256 and paths, or the numbers of bytes.
        limit_s: seconds after which a picture ends this process; 0: the limit for the request counts.
        how: the other arguments of `crop_or_jpeg`.
    """
    answer, end, n_read = [], 0, 0
    with mmap.mmap(memory_file, size, offset=offset) as memory:
        for image_sha256, place in pictures:
            if limit_s:
                signal.setitimer(signal.ITIMER_REAL, limit_s)
            source: Path | bytes | None
            if isinstance(place, int):
                source, n_read = content[n_read : n_read + place], n_read + place
            else:
                source = path_below(Path(folder), place)
            try:
                if source is None:
                    raise UnreadablePicture(OUTSIDE)
                is_jpeg, found = crop_or_jpeg(source, image_sha256, **how)
            except (UnreadablePicture, MemoryError) as error:
                answer.append((False, 0, _reason(error).decode()))
                continue
            start, end = end, end + len(found)
            memory[start:end] = found
            answer.append((is_jpeg, len(found), ""))
    return json.dumps(answer).encode()


def _reason(error: UnreadablePicture | MemoryError) -> bytes:
    reason = "it needs too much memory" if isinstance(error, MemoryError) else str(error)
    return reason.encode(errors="backslashreplace")


def _keep_freed_memory() -> None:
    """Let glibc keep the memory of a picture for the next one: to ask for it again takes a fifth longer."""
    with suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter in (_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD):
            mallopt(parameter, _KEPT_MEMORY_BYTES)


def _limit_resources(max_memory_bytes: int) -> None:
    """Limit the memory, and leave no core dump of a crash."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (max_memory_bytes, max_memory_bytes))


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        main(sys.argv[1:])
