"""What a decoder process does with a video: say whether it is one, or take frames from it."""

from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

from dataset.pictures.protocol import MAX_ANSWER_BYTES, UnreadablePicture
from dataset.videos.moments import evenly_spaced, scene_starts, thinned
from dataset.videos.protocol import Sampling, Still, Taken
from dataset.videos.stills import Signatures, as_jpeg, as_picture, difference, is_repeat
from dataset.videos.video import Survey, Video, open_video

_CUT_LEVELS = 20.0
"""A frame that differs by at least this much, of 255, from the one before it starts a scene."""
_MAX_COMPARED = 10_000
"""In a video of more frames, only key frames are compared: encoders put them where scenes change."""
_MAX_HEADER_BYTES = 1 << 20


def identify(path: Path) -> bytes:
    """Return the name of a video's format, without decoding it.

    Raises:
        UnreadablePicture: see `open_video`.
    """
    with open_video(path) as video:
        return str(video.container.format.name).encode()


def take(path: Path, n_frames: int, sampling: Sampling) -> bytes:
    """Return at most `n_frames` frames of a video as a packed `Taken`; none repeats the one before it.

    Raises:
        UnreadablePicture: see `open_video`, `Video.survey` and `Video.frames_at`.
    """
    with open_video(path) as video:
        survey = video.survey()
        if sampling == "even":
            wanted = evenly_spaced(survey.shown, survey.end, n_frames)
        else:
            wanted = thinned(_scenes(video, survey), n_frames)
        found = list(_stills(video, survey, wanted))
        n_damaged = len(wanted) - len(found)
        if n_damaged > len(wanted) / 2:
            raise UnreadablePicture(f"damaged: {n_damaged:,} of {len(wanted):,} frames cannot be decoded")
    stills = [still for still in found if still is not None]
    return Taken(stills, len(found) - len(stills), n_damaged).pack()


def _scenes(video: Video, survey: Survey) -> list[int]:
    signatures = Signatures()
    last: Image.Image | None = None
    changes: list[tuple[int, float]] = []
    for time, frame in video.all_frames(only_key_frames=len(survey.shown) > _MAX_COMPARED):
        small = signatures.of(frame)
        changes.append((time, difference(small, last or small)))
        last = small
    if not changes:
        raise UnreadablePicture("no frame of it can be decoded")
    return scene_starts(changes, _CUT_LEVELS, survey.ticks_per_s)


def _stills(video: Video, survey: Survey, wanted: list[int]) -> Iterator[Still | None]:
    """Yield the frames at these timestamps; None in place of one that repeats the frame before it."""
    signatures = Signatures()
    kept: Image.Image | None = None
    n_bytes = 0
    for time, frame in video.frames_at(survey, wanted):
        small = signatures.of(frame)
        if kept is not None and is_repeat(small, kept):
            yield None
            continue
        kept = small
        picture = as_picture(frame, video.pixel_ratio)
        content = as_jpeg(picture)
        n_bytes += len(content)
        if n_bytes > MAX_ANSWER_BYTES - _MAX_HEADER_BYTES:
            raise UnreadablePicture(f"its frames need more than {MAX_ANSWER_BYTES >> 20} MiB: take fewer of each video")
        yield Still(survey.seconds(time), *picture.size, content)


OPERATIONS: dict[str, Callable[..., bytes]] = {"identify": identify, "take": take}
