"""Creates small copies of frames to embed in a page."""

import base64
from pathlib import Path

from dataset.files import path_below
from dataset.pictures.pool import shared_pool
from dataset.pictures.protocol import UnreadablePicture
from dataset.schema import Image
from dataset.tables import read_table

_SIZE_PX = (280, 190)


class Thumbnails:
    """Small WebP copies of frames as data URLs.

    Args:
        raw: the raw folder with `images.parquet` and the pictures; None if there is none.
    """

    def __init__(self, raw: Path | None) -> None:
        self._raw = raw
        self._paths: dict[str, str] = {}
        self._made: dict[str, str | None] = {}
        if raw is not None and (raw / "images.parquet").is_file():
            images = read_table(raw / "images.parquet", Image)
            self._paths = dict(images.select("frame_id", "path").iter_rows())

    def __bool__(self) -> bool:
        return bool(self._paths)

    def has(self, frame_id: str) -> bool:
        """Return whether the frame has a picture file (which may still be unreadable)."""
        return frame_id in self._paths

    def of(self, frame_id: str) -> str | None:
        """Return the thumbnail of a frame as a `data:` URL, None if its picture is missing or unreadable."""
        if frame_id not in self._made:
            self._made[frame_id] = self._make(frame_id)
        return self._made[frame_id]

    def _make(self, frame_id: str) -> str | None:
        name = self._paths.get(frame_id)
        path = path_below(self._raw, name) if name is not None and self._raw is not None else None
        if path is None:
            return None
        try:
            small = shared_pool().thumbnail(path, _SIZE_PX)
        except UnreadablePicture:
            return None
        return "data:image/webp;base64," + base64.b64encode(small).decode()
