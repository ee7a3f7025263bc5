"""Takes frames from videos in processes that may die or hang without harm."""

import sys
from pathlib import Path

from dataset.extras import require_library
from dataset.pictures.decoders import DecoderPool, Program
from dataset.videos.protocol import VIDEO_TIMEOUT_S, Sampling, Taken

DECODER = [sys.executable, "-m", "dataset.videos.process"]


class VideoPool(DecoderPool):
    """Processes that decode videos; a context manager. Threads share it: each call takes an idle process.

    Each operation raises `UnreadablePicture`, whose message is the reason, if the video cannot be decoded, takes too
    long, or kills its process.

    Args:
        n_processes: how many videos are decoded at the same time; each holds one video in memory.
        timeout_s: seconds after which decoding of a video is stopped.

    Raises:
        MissingExtraError: PyAV is not installed.
        PipelineError: a process does not start; this says nothing about a video.
    """

    def __init__(self, n_processes: int = 1, timeout_s: float = VIDEO_TIMEOUT_S) -> None:
        require_library("av", "reading videos")
        super().__init__(Program("dataset.videos.process", lambda: DECODER), n_processes, timeout_s)

    def identify(self, video: Path) -> str:
        """Return a video's format, without decoding it."""
        return self.ask("identify", video).decode()

    def take(self, video: Path, n_frames: int, sampling: Sampling) -> Taken:
        """Return at most `n_frames` frames of a video."""
        return Taken.unpack(self.ask("take", video, n_frames=n_frames, sampling=sampling))
