"""A decoder process: reads requests from stdin and writes answers to stdout.

It is a separate process because a decoder in C can crash, hang or use up memory on a broken picture,
which must not affect anything else. It ends when its parent ends (stdin is closed).

The messages are described in `dataset.pictures.protocol`.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from PIL import AvifImagePlugin

from dataset.pictures.operations import OPERATIONS
from dataset.pictures.protocol import ANSWER, READY, REQUEST, UnreadablePicture

_MAX_MEMORY_BYTES = 2 << 30


def main(
    argv: Sequence[str] = (),
    operations: Mapping[str, Callable[..., bytes]] = OPERATIONS,
    max_memory_bytes: int = _MAX_MEMORY_BYTES,
) -> None:
    """Answer requests until stdin ends. `argv` may hold a number of seconds that no request may take longer than."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    _limit_resources(max_memory_bytes)
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # one picture, one core: other processes use the others
    limit_s = int(argv[0]) if argv else 0
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # output of libraries must not mix with the answers
    answers.write(READY)
    while header := sys.stdin.buffer.read(REQUEST.size):
        n_fields, n_content = REQUEST.unpack(header)
        fields = json.loads(sys.stdin.buffer.read(n_fields))
        content = sys.stdin.buffer.read(n_content)
        signal.alarm(limit_s)  # ends this process, should the parent no longer be there to do it
        try:
            path = fields.pop("path", None)
            answer = operations[fields.pop("operation")](content if path is None else Path(path), **fields)
            message = ANSWER.pack(len(answer)) + answer
        except (UnreadablePicture, MemoryError) as error:
            reason = "it needs too much memory" if isinstance(error, MemoryError) else str(error)
            words = reason.encode(errors="backslashreplace")
            message = ANSWER.pack(-len(words)) + words
        signal.alarm(0)
        unsent = memoryview(message)
        while unsent:
            unsent = unsent[answers.write(unsent) :]


def _limit_resources(max_memory_bytes: int) -> None:
    """Limit the memory, and leave no core dump of a crash."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (max_memory_bytes, max_memory_bytes))


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        main(sys.argv[1:])
