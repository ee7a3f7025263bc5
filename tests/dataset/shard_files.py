"""Pictures in every kind of file that holds several, and what an import makes of them."""

import io
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dataset.formats.pictures import ImportedPictures, import_pictures
from dataset.pictures.pool import PicturePool
from dataset.shards.references import write_shards
from dataset.shards.shard import PictureColumns

Files = Mapping[str, bytes]


def picture(number: int = 0, kind: str = "JPEG") -> bytes:
    content = io.BytesIO()
    Image.linear_gradient("L").resize((48, 40)).rotate(30 * number).convert("RGB").save(content, kind)
    return content.getvalue()


def animation() -> bytes:
    content = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(content, "GIF", save_all=True, append_images=frames[1:])
    return content.getvalue()


def pixels_bomb() -> bytes:
    content = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(content, "PNG", compress_level=1)  # ten times as fast
    return content.getvalue()


GOOD = {"a.jpg": picture(1), "b.png": picture(2, "PNG"), "c/1.jpg": picture(3), "c/2.webp": picture(4, "WEBP")}


BAD = {
    "d.jpg": picture(5)[:200], "e.jpg": b"", "f.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "g.gif": animation(), "h.png": pixels_bomb(), "i.jpg": b"<html>", "nobody.jpg": picture(6),
}  # fmt: skip


ITEMS = set("abcdefghi")


def write_tar(path: Path, files: Files, mode: str = "w", kind: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, mode, format=kind) as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def write_zip(path: Path, files: Files, method: int = zipfile.ZIP_DEFLATED, is_64: bool = False) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            member = zipfile.ZipInfo(name)
            member.compress_type = method
            with archive.open(member, "w", force_zip64=is_64) as file:
                file.write(content)
    return path


def rows_of(files: Files, *, is_struct: bool = True) -> pa.Table:
    """Return a table as `datasets` writes it, or with bytes and a column of items."""
    if is_struct:
        return pa.table({"image": [{"bytes": content, "path": name} for name, content in files.items()]})
    items = [name.split("/")[0].split(".")[0] for name in files]
    return pa.table({"poster": list(files.values()), "item_id": items, "text": ["x"] * len(files)})


def write_parquet(path: Path, files: Files, *, is_struct: bool = True, compression: str = "snappy") -> Path:
    pq.write_table(rows_of(files, is_struct=is_struct), path, row_group_size=3, compression=compression)
    return path


def write_arrow(path: Path, files: Files, *, is_stream: bool = True, is_compressed: bool = False) -> Path:
    table, new = rows_of(files), pa.ipc.new_stream if is_stream else pa.ipc.new_file
    options = pa.ipc.IpcWriteOptions(compression="zstd" if is_compressed else None)
    with pa.OSFile(str(path), "wb") as file, new(file, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=2)
    return path


WRITERS: dict[str, Callable[[Path, Files], Path]] = {
    "pax.tar": write_tar,
    "gnu.tar": partial(write_tar, kind=tarfile.GNU_FORMAT),
    "old.tar": partial(write_tar, kind=tarfile.USTAR_FORMAT),
    "a.tar.gz": partial(write_tar, mode="w:gz"),
    "a.tgz": partial(write_tar, mode="w:gz"),
    "a.zip": write_zip,
    "stored.zip": partial(write_zip, method=zipfile.ZIP_STORED),
    "64.zip": partial(write_zip, is_64=True),
    "a.parquet": write_parquet,
    "zstd.parquet": partial(write_parquet, compression="zstd"),
    "stream.arrow": write_arrow,
    "file.arrow": partial(write_arrow, is_stream=False),
    "zstd.arrow": partial(write_arrow, is_compressed=True),
}


def write_folder(path: Path, files: Files) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


@pytest.fixture(scope="module")
def picture_pool() -> Iterator[PicturePool]:
    with PicturePool(2, n_threads=4) as pool:
        yield pool


@pytest.fixture
def one_pool(picture_pool: PicturePool) -> Iterator[None]:
    """The pool of all tests: starting one takes longer than a test."""

    @contextmanager
    def kept(*_arguments: object, **_options: object) -> Iterator[PicturePool]:
        yield picture_pool

    with (
        patch("dataset.formats.pictures.PicturePool", kept),
        patch("dataset.placeholders.fingerprints.PicturePool", kept),
    ):
        yield


def imported(source: Path, items: set[str], raw: Path, **options: str) -> ImportedPictures:
    found = import_pictures(source, items, raw, columns=PictureColumns(**options))
    write_shards(raw, found.shards)
    return found


def owners(found: ImportedPictures) -> dict[str, str]:
    return dict(found.frames.select("frame_id", "movie_id").iter_rows())


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def losses(found: ImportedPictures) -> list[tuple[str, str]]:
    return sorted(found.quarantine.select("reason", "detail").iter_rows())
