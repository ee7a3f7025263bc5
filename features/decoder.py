r"""A decoder process: reads names of pictures from stdin and writes their crops to stdout.

It is a separate process because a decoder in C can crash, hang or use up memory on a broken picture,
which must not affect anything else. It ends when its parent ends (stdin is closed).

    → <image_sha256> <1: fast, 0: full> <path>\n
    ← length (int32, little-endian), then the crop of this length; if it is negative, then the reason for the failure

Before the first answer it writes `READY`.
"""

import os
import signal
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from features.images import Geometry, UnreadablePicture, read_crop

READY = b"ready\n"
HEADER = struct.Struct("<i")
_MAX_MEMORY_BYTES = 2 << 30


def main(argv: Sequence[str]) -> None:
    """Answer requests until stdin ends. `argv` holds the three fields of a `Geometry`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    _limit_memory()
    geometry = Geometry(int(argv[0]), int(argv[1]), argv[2])
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # output of libraries must not mix with the answers
    answers.write(READY)
    for line in sys.stdin.buffer:
        image_sha256, fast, path = line[:-1].split(b" ", 2)
        try:
            crop = read_crop(Path(os.fsdecode(path)), image_sha256.decode(), geometry, fast == b"1")
            message = HEADER.pack(len(crop)) + crop
        except UnreadablePicture as reason:
            words = str(reason).encode()
            message = HEADER.pack(-len(words)) + words
        unsent = memoryview(message)
        while unsent:
            unsent = unsent[answers.write(unsent) :]


def _limit_memory() -> None:
    """Limit the memory to 2 GiB if the system supports it (not on Windows)."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY_BYTES, _MAX_MEMORY_BYTES))


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        main(sys.argv[1:])
