r"""A decoder process: reads the names of pictures on stdin, writes their crops on stdout.

It is a process of its own because a decoder in C may crash, hang or eat memory on a broken
picture, and then nothing else must suffer. It ends when its parent does (stdin is closed).

    → <image_sha256> <1: fast, 0: in full> <path>\n
    ← length (int32, little-endian) and so many bytes: the crop; or, negated: the reason why there is none

Before the first answer it says `READY`.
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
    """Serve until stdin ends. `argv`: the three fields of a `Geometry`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's matter
    _limit_memory()
    geometry = Geometry(int(argv[0]), int(argv[1]), argv[2])
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a library prints must not get between the answers
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
    """Make a decoder that asks for more than 2 GiB fail, where the system can (not on Windows)."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY_BYTES, _MAX_MEMORY_BYTES))


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        main(sys.argv[1:])
