"""Creates small copies of frames to embed in a page."""

import base64
import weakref
from pathlib import Path

from dataset.errors import PipelineError
from dataset.pictures.pool import shared_pool
from dataset.pictures.protocol import UnreadablePicture
from dataset.schema import Image
from dataset.shards.references import PictureFiles
from dataset.tables import read_table

_SIZE_PX = (280, 190)


class Thumbnails:
    """Small WebP copies of frames as data URLs.

    Args:
        raw: the raw folder with `images.parquet` and the pictures; None if there is none.
    """

    def __init__(self, raw: Path | None) -> None:
        self._places: dict[str, tuple[str, str]] = {}
        self._made: dict[str, str | None] = {}
        if raw is not None and (raw / "images.parquet").is_file():
            images = read_table(raw / "images.parquet", Image)
            rows = images.select("frame_id", "path", "image_sha256").iter_rows()
            self._places = {frame_id: (path, sha256) for frame_id, path, sha256 in rows}
        self._files = PictureFiles(raw or Path())
        weakref.finalize(self, self._files.close)  # shards stay open, because pictures come one at a time

    def __bool__(self) -> bool:
        return bool(self._places)

    def has(self, frame_id: str) -> bool:
        """Return whether the frame has a picture file (which may still be unreadable)."""
        return frame_id in self._places

    def of(self, frame_id: str) -> str | None:
        """Return the thumbnail of a frame as a `data:` URL, None if its picture is missing or unreadable."""
        if frame_id not in self._made:
            self._made[frame_id] = self._make(frame_id)
        return self._made[frame_id]

    def _make(self, frame_id: str) -> str | None:
        place = self._places.get(frame_id)
        if place is None:
            return None
        try:
            small = shared_pool().thumbnail(self._files.find(*place), _SIZE_PX)
        except (UnreadablePicture, PipelineError):
            return None
        return "data:image/webp;base64," + base64.b64encode(small).decode()
