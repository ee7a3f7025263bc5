import base64
import io
from collections.abc import Callable
from pathlib import Path

import polars as pl
from PIL import Image as PillowImage

from dataset.report.thumbnails import Thumbnails


def test_a_thumbnail_is_a_small_picture_and_a_bad_file_has_none(make_raw: Callable[..., Path]) -> None:
    raw = make_raw()
    frames = dict(pl.read_parquet(raw / "images.parquet").select("frame_id", "path").iter_rows())
    good, missing, drawing, text = list(frames)[:4]
    PillowImage.new("RGB", (1000, 500), "red").save(raw / frames[good])
    (raw / frames[missing]).unlink()
    (raw / frames[drawing]).write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n{} loop\n")
    (raw / frames[text]).write_bytes(b"text")
    thumbnails = Thumbnails(raw)
    head, _, content = str(thumbnails.of(good)).partition(",")
    assert head == "data:image/webp;base64"
    with PillowImage.open(io.BytesIO(base64.b64decode(content))) as small:
        assert (small.format, small.size) == ("WEBP", (280, 140))
    assert [thumbnails.of(frame) for frame in (missing, drawing, text, "unknown")] == [None] * 4
