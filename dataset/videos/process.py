"""A video decoder process: as `dataset.pictures.process`, with the operations on videos and more memory."""

import sys
from contextlib import suppress

import av.logging

from dataset.pictures import process
from dataset.videos.operations import OPERATIONS
from dataset.videos.protocol import MAX_MEMORY_BYTES

if __name__ == "__main__":
    av.logging.set_level(None)
    with suppress(BrokenPipeError):
        process.main(sys.argv[1:], OPERATIONS, MAX_MEMORY_BYTES)
