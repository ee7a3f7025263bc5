"""Opens a video, surveys its packets and decodes frames of it. Only decoder processes import this (it loads PyAV)."""

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from dataset.pictures.protocol import MAX_PIXELS, UnreadablePicture
from dataset.videos.claimed_size import n_missing_bytes
from dataset.videos.protocol import MAX_DURATION_S

# Other formats of FFmpeg are never tried: some are lists of further files or addresses, and some are text.
_FORMATS = "mov,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg"
_WITH_TOTAL = ("mov", "matroska", "avi")
"""The formats whose files say how much they hold; for others, FFmpeg guesses the duration."""
_NOT_MOVING = Disposition.attached_pic | Disposition.still_image | Disposition.timed_thumbnails
_BRANDS_OF_PICTURES = ("avif", "avis", "heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1", "miaf")
_LOST_S, _LOST_SHARE = 0.5, 0.05
"""A file is cut off if it ends before its stated end by more than both: these seconds, and this share."""
_LOST_OF_INDEX = 0.01


@dataclass(frozen=True)
class Survey:
    """When the frames of a video are shown, in the stream's own unit.

    Attributes:
        shown: the timestamps of the frames, sorted.
        keys: the timestamps of the key frames, sorted; decoding can start at each.
        end: when the last frame disappears.
        ticks_per_s: how many units are a second.
    """

    shown: "array[int]"
    keys: "array[int]"
    end: int
    ticks_per_s: float

    def seconds(self, time: int) -> float:
        """Return a timestamp as seconds after the first frame, in whole milliseconds."""
        return round((time - self.shown[0]) / self.ticks_per_s, 3)


class Video:
    """An open video: a container and the stream of it that a player would show. Use `open_video`."""

    def __init__(self, path: Path) -> None:
        if n_missing := n_missing_bytes(path):
            raise UnreadablePicture(f"cut off: at least {n_missing:,} bytes are missing")
        self._path = path
        self._open()

    def _open(self) -> None:
        limits = {"max_pixels": str(MAX_PIXELS)}
        self.container: InputContainer = av.open(
            str(self._path),  # an absolute path is never taken for a protocol
            options=limits,
            container_options={"protocol_whitelist": "file", "format_whitelist": _FORMATS},
            metadata_errors="replace",
        )
        self.stream = _shown_stream(self.container)
        self.stream.codec_context.options = limits
        self.stream.thread_count = 1  # other processes use the other cores

    def close(self) -> None:
        """Close the file."""
        self.container.close()

    def _reopen(self) -> None:
        """Go back to the start."""
        self.close()
        self._open()

    @property
    def pixel_ratio(self) -> float:
        """The width of a pixel divided by its height."""
        return float(self.stream.sample_aspect_ratio or 1)

    def survey(self) -> Survey:
        """Read the whole file without decoding it.

        Raises:
            UnreadablePicture: the video has no frames, is encrypted, cut off or endless.
        """
        shown, keys, end = array("q"), array("q"), 0
        n_packets, last_s, is_incomplete = 0, 0.0, False
        units = {stream.index: float(stream.time_base or 0) for stream in self.container.streams}
        for packet in self.container.demux():
            time = packet.dts if packet.pts is None else packet.pts
            if time is None:  # the end of a stream, or a frame without a time
                continue
            until = time + (packet.duration or 0)
            last_s = max(last_s, until * units[packet.stream_index])
            if packet.stream_index != self.stream.index:
                continue
            if packet.has_sidedata("encryption_info"):
                raise UnreadablePicture("it is encrypted")
            n_packets += 1
            is_incomplete = packet.is_corrupt
            if not packet.is_discard:
                shown.append(time)
                end = max(end, until)
            if packet.is_keyframe:
                keys.append(time)
        if not shown:
            raise UnreadablePicture("it has no frames")
        self._require_whole(n_packets, last_s, is_incomplete)
        unit = units[self.stream.index] or 1.0
        found = Survey(array("q", sorted(shown)), array("q", sorted(keys)), end, 1 / unit)
        _require_sane_duration((found.end - found.shown[0]) * unit)
        return found

    def _require_whole(self, n_packets: int, last_s: float, is_incomplete: bool) -> None:
        """Check what the file claims of itself.

        Args:
            n_packets: how many frames it has.
            last_s: when its last stream ends.
            is_incomplete: whether its last frame is incomplete.
        """
        names = self.container.format.name.split(",")
        if not set(_WITH_TOTAL) & set(names):
            return
        if is_incomplete:
            raise UnreadablePicture("cut off: its last frame is incomplete")
        n_indexed = len(self.stream.index_entries) if "mov" in names else 0
        if n_packets < (1 - _LOST_OF_INDEX) * n_indexed:
            raise UnreadablePicture(f"cut off: it has {n_packets:,} of the {n_indexed:,} frames in its index")
        if self.container.duration is None:
            return
        claimed_s = self.container.duration / av.time_base
        lost_s = (self.container.start_time or 0) / av.time_base + claimed_s - last_s
        if lost_s > max(_LOST_S, _LOST_SHARE * claimed_s):
            raise UnreadablePicture(f"cut off: it ends {lost_s:,.1f} s before the {claimed_s:,.1f} s that it claims")

    def all_frames(self, only_key_frames: bool) -> Iterator[tuple[int, VideoFrame]]:
        """Yield the timestamps and frames that are decoded without an error, in order of time."""
        self._reopen()
        if only_key_frames:
            self.stream.codec_context.skip_frame = "NONKEY"
        yield from ((_time_of(frame), frame) for frame in self._frames())
        self._reopen()

    def frames_at(self, survey: Survey, wanted: list[int]) -> Iterator[tuple[int, VideoFrame]]:
        """Yield a timestamp and a frame for each timestamp that is wanted.

        In place of a damaged frame comes the next whole one; if that one is also wanted, or none is left, no frame
        comes.
        """
        frames: Iterator[VideoFrame] | None = None
        now = 0
        for time in wanted:
            if frames is not None and now >= time:
                continue
            key = survey.keys[max(bisect_right(survey.keys, time) - 1, 0)] if survey.keys else survey.shown[0]
            if frames is None or key > now:
                frames = self._frames_from(key, time)
            for frame in frames:
                now = _time_of(frame)
                if now >= time:
                    yield now, frame
                    break

    def _frames_from(self, key: int, time: int) -> Iterator[VideoFrame]:
        """Return the frames from a key frame on, or from the start where the file cannot be searched."""
        try:
            self.container.seek(key, stream=self.stream)
            frames = self._frames()
            first = next(frames, None)
        except FFmpegError:
            first = None
        if first is None or _time_of(first) > time:
            self._reopen()
            return self._frames()
        return _chained(first, frames)

    def _frames(self) -> Iterator[VideoFrame]:
        """Yield the frames from here on that are decoded without an error, in order of time."""
        for packet in self.container.demux(self.stream):
            try:
                frames = packet.decode()
            except FFmpegError:  # of this packet alone
                continue
            for frame in frames:
                if frame.width * frame.height > MAX_PIXELS:
                    raise UnreadablePicture(f"too large: {frame.width} x {frame.height} pixels")
                if not frame.is_corrupt and (frame.pts, frame.dts) != (None, None):
                    yield frame


@contextmanager
def open_video(path: Path) -> Iterator[Video]:
    """Open a video. Any error inside becomes a reason.

    Raises:
        UnreadablePicture: the file is missing, no video of an allowed format, or broken.
    """
    try:
        video = Video(path)
        try:
            yield video
        finally:
            video.close()
    except FileNotFoundError:
        raise UnreadablePicture("the file is missing") from None
    except (av.error.InvalidDataError, av.error.ArgumentError):
        raise UnreadablePicture(_why_invalid(path)) from None
    except av.error.EOFError:
        raise UnreadablePicture("cut off: the file ends too early") from None
    except MemoryError:
        raise UnreadablePicture("cannot be decoded: it needs too much memory") from None
    except UnreadablePicture:
        raise
    except OSError as error:  # also PyAV's
        raise UnreadablePicture(f"the file cannot be read ({error.strerror or 'bad path'})") from None
    except Exception as error:  # PyAV also raises errors of Python
        words = error.strerror if isinstance(error, FFmpegError) else type(error).__name__
        raise UnreadablePicture(f"cannot be decoded: {words}") from None


def _shown_stream(container: InputContainer) -> VideoStream:
    """Return the stream of a container that a player would show.

    Raises:
        UnreadablePicture: there is none, or no decoder for it.
    """
    stream = container.streams.best("video")
    if container.metadata.get("major_brand", "").strip() in _BRANDS_OF_PICTURES:
        raise UnreadablePicture("it is a picture, not a video")
    if not isinstance(stream, VideoStream) or stream.disposition & _NOT_MOVING:
        raise UnreadablePicture("it has no video stream")
    if stream.codec_context is None:
        raise UnreadablePicture("there is no decoder for its codec")
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > MAX_PIXELS:
        raise UnreadablePicture(f"too large: {width} x {height} pixels")
    _require_sane_duration((container.duration or 0) / av.time_base)
    return stream


def _require_sane_duration(seconds: float) -> None:
    if not 0 <= seconds <= MAX_DURATION_S:
        raise UnreadablePicture(f"its timestamps are broken: they span {seconds:,.0f} s")


def _time_of(frame: VideoFrame) -> int:
    time = frame.dts if frame.pts is None else frame.pts
    return 0 if time is None else time


def _chained(first: VideoFrame, others: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    yield first
    yield from others


def _why_invalid(path: Path) -> str:
    is_empty = not path.stat().st_size
    return "the file is empty" if is_empty else "not a video that can be read: damaged, or another format"
