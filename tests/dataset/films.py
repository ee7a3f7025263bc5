"""Small videos that tests make with PyAV, and ways to break them."""

import random
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Colour = tuple[int, int, int]

UPRIGHT = bytes.fromhex("00010000 00000000 00000000 00000000 00010000 00000000 00000000 00000000 40000000")
QUARTER_TURN = bytes.fromhex("00000000 00010000 00000000 ffff0000 00000000 00000000 00000000 00000000 40000000")


def film(
    path: Path,
    pictures: Sequence[Image.Image],
    codec: str = "mpeg4",
    fps: float = 10,
    times: Sequence[int] | None = None,
    pix_fmt: str = "yuv420p",
    pixel_ratio: Fraction | None = None,
    audio_s: float = 0,
    has_cover: bool = False,
    options: Mapping[str, str] | None = None,
    container: Mapping[str, str] | None = None,
    kind: str | None = None,
) -> Path:
    """Write a video.

    Args:
        path: the file.
        pictures: its frames; without any, it has no video stream.
        codec: the encoder.
        fps: frames per second.
        times: for each frame its time in milliseconds; by default as `fps` says.
        pix_fmt: the pixel format.
        pixel_ratio: the width of a pixel divided by its height.
        audio_s: seconds of a tone beside the pictures.
        has_cover: whether a picture is attached, as to an album.
        options: options of the encoder.
        container: options of the container.
        kind: the container's format, by default as the name says.
    """
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format=kind, options=dict(container or {})) as output:
        tone = output.add_stream("mp2" if path.suffix == ".avi" else "flac", rate=8000) if audio_s else None
        cover: Any = output.add_stream("mjpeg", rate=1) if has_cover else None
        if cover is not None:
            cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
            cover.disposition = 1 << 10  # AV_DISPOSITION_ATTACHED_PIC
        if pictures:
            rate = Fraction(fps).limit_denominator(1001)
            unit = 1 / rate if times is None else Fraction(1, 1000)
            stream: Any = output.add_stream(codec, rate=rate, options=dict(options or {}))
            stream.width, stream.height, stream.pix_fmt = *pictures[0].size, pix_fmt
            stream.codec_context.time_base = unit
            if pixel_ratio is not None:
                stream.codec_context.sample_aspect_ratio = pixel_ratio
            for number, picture in enumerate(pictures):
                frame = av.VideoFrame.from_ndarray(np.asarray(picture), "rgba" if picture.mode == "RGBA" else "rgb24")
                frame.pts = number if times is None else times[number]
                frame.time_base = unit
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        if cover is not None:
            output.mux(cover.encode(av.VideoFrame(64, 48, "yuvj420p")))
            output.mux(cover.encode(None))
        if tone is not None:
            for start in range(0, int(audio_s * 8000), 800):
                wave = np.full((1, 800), 1000, dtype=np.int16)
                sound = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
                sound.rate, sound.pts = 8000, start
                output.mux(tone.encode(sound))
            output.mux(tone.encode(None))
    return path


def scenes(
    *colours: Colour, seconds: float = 1, fps: float = 10, size: tuple[int, int] = (64, 48)
) -> list[Image.Image]:
    """Return the frames of scenes, each of one colour."""
    return [Image.new("RGB", size, colour) for colour in colours for _ in range(round(seconds * fps))]


def ramp(n_frames: int, size: tuple[int, int] = (64, 48)) -> list[Image.Image]:
    """Return frames that become brighter evenly: frame i has the grey level 20 + 200 * i / n_frames."""
    return [Image.new("RGB", size, (20 + 200 * number // n_frames,) * 3) for number in range(n_frames)]


def noise(n_frames: int, seed: int = 0, size: tuple[int, int] = (64, 48)) -> list[Image.Image]:
    """Return frames of random pixels, which no codec makes small."""
    generator = random.Random(seed)
    return [Image.frombytes("RGB", size, generator.randbytes(3 * size[0] * size[1])) for _ in range(n_frames)]
