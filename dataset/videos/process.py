"""A video decoder process: as `dataset.pictures.process`, with the operations on videos and more memory.

It also ends when its parent ends in the middle of a video, which may take minutes to decode.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import av.logging

from dataset.pictures import process
from dataset.videos.operations import OPERATIONS
from dataset.videos.protocol import MAX_MEMORY_BYTES


def main(argv: Sequence[str] = (), operations: Mapping[str, Callable[..., bytes]] = OPERATIONS) -> None:
    """Answer requests until stdin or the parent ends, see `dataset.pictures.process.main`."""
    av.logging.set_level(None)
    threading.Thread(target=_end_without, args=[os.getppid()], daemon=True).start()
    process.main(argv, operations, MAX_MEMORY_BYTES)


def _end_without(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        main(sys.argv[1:])
