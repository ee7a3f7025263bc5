"""Whatever a picture's bytes or a folder's names are, an import accounts for every file, in time and without a crash.

`DOUBAN_FUZZ_EXAMPLES` sets the number of cases (a few by default; 10,000 in the bench).
"""

import hashlib
import io
import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from dataset.errors import TooLittleDataError
from dataset.formats.pictures import import_pictures
from dataset.pictures.pool import PicturePool, shared_pool
from dataset.pictures.protocol import EXTENSIONS, Checked, Geometry, UnreadablePicture

EXAMPLES = int(os.environ.get("DOUBAN_FUZZ_EXAMPLES", "60"))
LIMIT_S = 10
RELAXED: dict[str, Any] = {
    "derandomize": True,
    "database": None,
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
}
BREAKERS = [
    bytes(8), bytes(300), b"\xff" * 4, b"\xff\xd8", b"IDAT", b"\xff\xd9", b"\0\0\0\0IEND", b"%!PS", b"\x7f\xff\xff\xff",
]  # fmt: skip


@cache
def pictures() -> list[bytes]:
    """Valid pictures of every allowed format, in several modes and with several options."""
    noise = Image.frombytes("RGB", (40, 30), random.Random(0).randbytes(40 * 30 * 3))
    deep = Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(30, 40) * 50)
    made: list[tuple[Image.Image, str, dict[str, Any]]] = [(noise, kind.upper(), {}) for kind in EXTENSIONS]
    made += [
        (noise, "JPEG", {"progressive": True, "exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"}),
        (noise.convert("CMYK"), "JPEG", {}),
        (noise.convert("P"), "GIF", {"save_all": True, "append_images": [noise.convert("P")]}),
        (noise.convert("P"), "PNG", {"transparency": 3}),
        (noise.convert("LA"), "PNG", {}),
        (noise, "WEBP", {"lossless": True}),
        (deep, "PNG", {}),
        (deep, "TIFF", {"compression": "tiff_lzw"}),
        (Image.fromarray(np.linspace(0, 1, 1200, dtype=np.float32).reshape(30, 40)), "TIFF", {}),
        (noise.convert("1"), "TIFF", {"compression": "group4"}),
        (noise, "TIFF", {"compression": "jpeg"}),
        (noise.convert("L"), "BMP", {}),
    ]
    contents = []
    for picture, kind, options in made:
        content = io.BytesIO()
        picture.save(content, kind, **options)
        contents.append(content.getvalue())
    return contents


@st.composite
def damaged_pictures(draw: st.DrawFn) -> bytes:
    """A picture after up to eight damages."""
    content = bytearray(draw(st.sampled_from(pictures())))
    for _ in range(draw(st.integers(0, 8))):
        a, b = sorted(draw(st.integers(0, len(content))) for _ in range(2))
        match draw(st.sampled_from(("byte", "byte", "byte", "cut", "zero", "break", "double", "end"))):
            case "byte" if a < len(content):
                content[a] = draw(st.integers(0, 255))
            case "cut":
                del content[a : min(b, a + 20)]
            case "zero":
                content[a:b] = bytes(b - a)
            case "break":
                content[a:a] = draw(st.sampled_from(BREAKERS))
            case "double":
                content[a:a] = content[a : min(b, a + 500)]
            case "end":
                del content[b:]
    return bytes(content)


@settings(max_examples=EXAMPLES, **RELAXED)
@given(damaged_pictures() | st.binary(max_size=200))
def test_damaged_bytes_are_a_picture_or_unreadable_with_a_reason(content: bytes) -> None:
    started = time.monotonic()
    outcome = checked(content)
    if isinstance(outcome, Checked):
        assert outcome.format in EXTENSIONS
        assert (outcome.sha256, outcome.size_bytes) == (hashlib.sha256(content).hexdigest(), len(content))
        assert outcome.width_px * outcome.height_px > 0
        assert len(shared_pool().crop(content, outcome.sha256, Geometry(8, 7, "bilinear"), fast=True)) == 7 * 7 * 3
        assert shared_pool().thumbnail(content, (9, 9))
    else:
        assert len(outcome) > 5
        assert "died" not in outcome
    assert time.monotonic() - started < LIMIT_S


def checked(content: bytes) -> Checked | str:
    """Return what a picture is, or why it is unreadable."""
    try:
        return shared_pool().check(content)
    except UnreadablePicture as reason:
        return str(reason)


LETTERS = st.text("aé\u0301ド .?:*[]#%&\n\t\\'\"-_1\udce9\U0001f600", min_size=1, max_size=8)
ENDINGS = [
    "", ".jpg", ".JPG", ".png", ".jpg_large", ".jpg?size=large", ".html", ".heic", ".tiff", ".DS_Store", ".1", ".v1.5",
]  # fmt: skip
NAMES = st.builds(lambda stem, ending: stem + ending, LETTERS, st.sampled_from(ENDINGS)).filter(lambda n: n.strip("."))
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
CONTENTS = st.one_of(
    st.sampled_from([0, 0, 1, 2, 5]).map(lambda n: pictures()[n]), damaged_pictures(), st.sampled_from([b"", b"<html>"])
)
LINKS = st.sampled_from([".", "..", "../..", "nowhere", "a", "a.jpg", "../a.jpg", "/dev/zero", "/dev/null"])
ITEMS = st.sets(NAMES.map(lambda name: name.split(".")[0] or "a").filter(lambda name: not _has_odd_bytes(name)))


@settings(max_examples=EXAMPLES, **RELAXED)
@given(st.dictionaries(PATHS, CONTENTS | LINKS | st.just(0), max_size=8), ITEMS, st.booleans())
def test_every_file_of_a_folder_is_a_frame_or_a_row_of_the_quarantine(
    entries: dict[str, bytes | str | int], items: set[str], are_own_items: bool
) -> None:
    names = [name for name in entries if not _has_odd_bytes(name)]
    items = {"a"} | items | ({name.split("/")[0].split(".")[0] or "a" for name in names} if are_own_items else set())
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "pictures")
        folder.mkdir()
        made = [name for name, entry in entries.items() if _make(folder / name, entry)]
        leads_to_folder = any((folder / name).is_symlink() and (folder / name).is_dir() for name in made)
        started = time.monotonic()
        outcome = _import(folder, items, Path(place, "raw"))
        assert time.monotonic() - started < LIMIT_S
        shutil.rmtree(os.fsencode(folder))
        if isinstance(outcome, str):
            assert outcome.startswith(f"{folder}: no picture belongs")
            return
        frames, images, lost = outcome.frames, outcome.images, outcome.quarantine
        n_rows = frames.height + lost.height
        assert n_rows >= len(made) if leads_to_folder else n_rows == len(made)
        assert frames["frame_id"].n_unique() == images["frame_id"].n_unique() == frames.height == images.height
        assert set(frames["movie_id"]) <= items
        for path in images["path"]:
            assert Path(place, "raw", path).is_file()
        for reason, detail in lost.select("reason", "detail").iter_rows():
            assert reason
            assert detail.isprintable()
            assert place not in detail


def _import(*arguments: Any) -> Any:
    """Return the tables, or the error's message."""
    with patch("dataset.formats.pictures.PicturePool", lambda *_a, **_k: _kept()):
        try:
            return import_pictures(*arguments)
        except TooLittleDataError as error:
            return str(error)


@cache
def kept_pool() -> PicturePool:
    return PicturePool(2, n_threads=4)


@contextmanager
def _kept() -> Iterator[PicturePool]:
    """The pool of all cases: starting one takes longer than a case."""
    yield kept_pool()


@pytest.fixture(scope="module", autouse=True)
def _closed() -> Iterator[None]:
    yield
    kept_pool().close()


def _make(path: Path, entry: bytes | str | int) -> bool:
    """Write a file (bytes), a link (text) or a pipe (0); return whether this was possible under this name."""
    if any(parent.is_symlink() for parent in path.parents):  # it would lead out of the folder
        return False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(entry, bytes):
            if path.exists() or path.is_symlink():
                return False
            path.write_bytes(entry)
        elif isinstance(entry, str):
            path.symlink_to(entry)
        else:
            os.mkfifo(path)
    except OSError:  # a file where a folder should be, or a name that is there already
        return False
    return True


def _has_odd_bytes(name: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in name)
