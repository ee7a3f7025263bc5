"""Imports a folder of pictures as frames of items: `<item>.jpg` or `<item>/<any>.jpg`."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from dataset.errors import MissingInputError, TooLittleDataError
from dataset.files import atomic_path
from dataset.schema import Frame, Image, Quarantine
from dataset.tables import empty, fill_columns, quarantine_rows


def import_pictures(
    folder: Path, items: set[str], destination: Path
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Store the pictures of known items in `destination/pictures`: hard-linked if possible, otherwise copied.

    Returns:
        The `Frame` rows, the `Image` rows, and the unusable pictures as `Quarantine` rows.

    Raises:
        MissingInputError: `folder` is missing.
        TooLittleDataError: no picture belongs to a known item.
    """
    if not folder.is_dir():
        raise MissingInputError(
            f"{folder}: no such folder of pictures; it should hold <item>.jpg or <item>/<any>.jpg (or omit --pictures)"
        )
    frames, images, bad = [], [], []
    for item, path in _pictures_of(folder):
        frame_id = path.relative_to(folder).with_suffix("").as_posix()
        if item not in items:
            bad.append({"reason": "picture of an item without a rating", "movie_id": item, "frame_id": frame_id})
            continue
        try:
            image = _store_picture(path, destination)
        except (UnidentifiedImageError, PillowImage.DecompressionBombError, OSError, ValueError) as error:
            bad.append(
                {"reason": "not a readable picture", "movie_id": item, "frame_id": frame_id, "detail": str(error)}
            )
            continue
        frames.append({"frame_id": frame_id, "movie_id": item, "kind": "still"})
        images.append({"frame_id": frame_id, **image})
    if not frames:
        raise TooLittleDataError(
            f"{folder}: no picture belongs to an item in the ratings; name them <item>.jpg or <item>/<any>.jpg, "
            "with the item ids of the ratings file"
        )
    quarantine = quarantine_rows(pl.DataFrame(bad, infer_schema_length=None), "frames") if bad else empty(Quarantine)
    known = pl.DataFrame(images, schema=empty(Image).schema)
    sizes = known.select("frame_id", "width_px", "height_px")
    found = pl.DataFrame(frames).join(sizes, on="frame_id")
    return fill_columns(found, Frame), known, quarantine


def _pictures_of(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield (item, path) of each picture file, in a fixed order."""
    extensions = PillowImage.registered_extensions()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix.lower() in extensions:
            relative = path.relative_to(folder)
            yield (relative.parts[0] if len(relative.parts) > 1 else path.stem), path


def _store_picture(path: Path, destination: Path) -> dict[str, str | int]:
    """Decode a picture fully, store its bytes under their SHA-256, and return its `Image` columns without the id."""
    content = path.read_bytes()
    with PillowImage.open(path) as picture:
        picture.load()
        width, height, name = picture.width, picture.height, (picture.format or "").lower()
    sha256 = hashlib.sha256(content).hexdigest()
    relative = Path("pictures") / sha256[:2] / f"{sha256}{path.suffix.lower()}"
    target = destination / relative
    if not target.exists():
        with atomic_path(target) as temporary:
            try:
                os.link(path, temporary)
            except OSError:
                shutil.copyfile(path, temporary)
    return {
        "image_sha256": sha256,
        "format": name,
        "width_px": width,
        "height_px": height,
        "size_bytes": len(content),
        "path": relative.as_posix(),
    }
