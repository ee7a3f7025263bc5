"""Picture files become the extractor's input, for any picture the world has."""

from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

MAX_PIXELS = 100_000_000
"""A picture of more pixels is refused before it is decoded; the largest posters have about 40 million."""


class UnreadablePicture(Exception):  # noqa: N818 - an outcome that is recorded, not an error
    """A file cannot be decoded as a picture. The message is the reason, in words."""


def read_picture(path: Path) -> Image.Image:
    """Decode a picture file in full as RGB: upright (EXIF), transparency on white, first frame of many.

    Raises:
        UnreadablePicture: the file is missing, empty, truncated, too large or not a picture.
    """
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise UnreadablePicture(f"too large: {picture.width} x {picture.height} pixels")
            picture.load()
            return _as_rgb(ImageOps.exif_transpose(picture))
    except FileNotFoundError:
        raise UnreadablePicture("the file is missing") from None
    except UnidentifiedImageError:
        raise UnreadablePicture("not a picture that Pillow knows") from None
    except Image.DecompressionBombError as error:
        raise UnreadablePicture(f"too large: {error}") from None
    except (OSError, ValueError, SyntaxError, EOFError, IndexError) as error:  # what Pillow's decoders raise
        raise UnreadablePicture(f"cannot be decoded: {error}") from None


def _as_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I;16") or picture.mode == "I":
        picture = picture.point(lambda level: level / 256).convert("L")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        picture = Image.alpha_composite(white, picture)
    return picture.convert("RGB")
