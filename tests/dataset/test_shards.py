"""Pictures in tar, zip, Parquet and Arrow files give what the same pictures give as files of a folder."""

import gzip
import io
import json
import os
import tarfile
import unicodedata
import zipfile
from contextlib import suppress
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shard_files import (
    BAD,
    GOOD,
    ITEMS,
    WRITERS,
    imported,
    losses,
    names_in,
    owners,
    picture,
    write_folder,
    write_parquet,
    write_tar,
    write_zip,
)

from dataset.errors import InvalidTableError, PipelineError, TooLittleDataError, UsageError
from dataset.formats.pictures import NO_ITEM, NOT_TEXT, UNREADABLE, import_pictures
from dataset.placeholders.fingerprints import read_fingerprints
from dataset.shards.members import REPEATED
from dataset.shards.opening import open_shard
from dataset.shards.references import PictureFiles

pytestmark = pytest.mark.usefixtures("one_pool")


@pytest.mark.parametrize("name", WRITERS)
def test_a_shard_gives_what_the_same_files_give_in_a_folder(name: str, tmp_path: Path) -> None:
    files = {**GOOD, **BAD}
    folder = imported(write_folder(tmp_path / "folder", files), ITEMS, tmp_path / "raw-folder")
    shard = imported(WRITERS[name](tmp_path / name, files), ITEMS, tmp_path / "raw")
    assert owners(shard) == owners(folder)
    assert shard.images.drop("path").sort("frame_id").equals(folder.images.drop("path").sort("frame_id"))
    assert losses(shard) == [(reason, f"{name}/{detail}") for reason, detail in losses(folder)]
    looks = [read_fingerprints(tmp_path / raw).sort("image_sha256") for raw in ("raw", "raw-folder")]
    assert looks[0].equals(looks[1])
    assert names_in(tmp_path / "raw") == ["fingerprints.parquet", "shards.json"]  # no picture is unpacked
    assert shard.n_files == len(files)
    with PictureFiles(tmp_path / "raw") as opened:
        rows = list(shard.images.select("path", "image_sha256", "size_bytes").iter_rows())
        for path, sha256, size_bytes in [*rows, *rows[::-1]]:  # also backwards
            assert len(opened.read(path, sha256)) == size_bytes


def test_rows_without_paths_belong_to_the_items_of_a_column(tmp_path: Path) -> None:
    found = imported(write_parquet(tmp_path / "a.parquet", GOOD, is_struct=False), ITEMS, tmp_path / "raw")
    assert owners(found) == {"a": "a", "b": "b", "a.parquet/2": "c", "a.parquet/3": "c"}


def test_several_shards_and_files_lie_in_one_folder(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "all", {"b.jpg": picture(1), "notes.txt": b"mine", "a.zip": picture(2)})
    (folder / "train").mkdir()
    write_tar(folder / "train" / "000.tar", {"1.jpg": picture(3), "1.json": b"{}"})
    write_tar(folder / "train" / "001.tar", {"2.jpg": picture(3), "1.jpg": picture(4)})
    pq.write_table(pa.table({"key": ["1"], "caption": ["of img2dataset"]}), folder / "train" / "000.parquet")
    found = imported(folder, {"1", "2", "a", "b"}, tmp_path / "raw")
    assert owners(found) == {
        "a": "a", "b": "b", "2": "2", "train/000.tar/1.jpg": "1", "train/001.tar/1.jpg": "1"
    }  # fmt: skip
    assert [detail.split(":")[0] for _, detail in losses(found)] == ["notes.txt", "train/000.parquet"]
    assert (len(found.shards), found.n_beside) == (2, 1)


@pytest.mark.parametrize(
    ("name", "items", "expected"),
    [
        ("images/a.jpg", {"a"}, ("a", "a")),
        ("x/images/a/1.jpg", {"a"}, ("a/1", "a")),
        ("./a.jpg", {"a"}, ("a", "a")),
        ("../../a.jpg", {"a"}, ("a", "a")),
        ("/etc/a.jpg", {"a"}, ("a", "a")),
        ("a\\1.jpg", {"a"}, ("a/1", "a")),
        ("ключ.jpg", {"ключ"}, ("ключ", "ключ")),
        (unicodedata.normalize("NFD", "é.jpg"), {"é"}, ("é", "é")),
        ("a", {"a"}, ("a", "a")),
        ("a.dat", {"a"}, ("a", "a")),
        ("v1.5.jpg", {"v1", "v1.5"}, ("v1.5", "v1.5")),
        ("a/b.jpg", {"a/b", "b"}, ("a/b", "a/b")),
        (f"{'long/' * 60}a.jpg", {"a"}, ("a", "a")),
    ],
)
@pytest.mark.parametrize("kind", ["zip", "parquet"])
def test_a_name_in_a_shard_says_whose_it_is(
    kind: str, name: str, items: set[str], expected: tuple[str, str], tmp_path: Path
) -> None:
    found = imported(WRITERS[f"a.{kind}"](tmp_path / f"a.{kind}", {name: picture()}), items, tmp_path / "raw")
    assert owners(found) == dict([expected])
    assert names_in(tmp_path) == [f"a.{kind}", "raw"]


def test_names_of_other_bytes_and_what_macos_adds_are_told_apart(tmp_path: Path) -> None:
    odd = {"a.jpg": picture(), "\udcff.jpg": picture(), "._a.jpg": b"\0", "__MACOSX/._a.jpg": b"\0", ".DS_Store": b"\0"}
    found = imported(write_tar(tmp_path / "a.tar", odd), {"a"}, tmp_path / "raw")
    assert (owners(found), losses(found)) == ({"a": "a"}, [(NOT_TEXT, "a.tar/\\xff.jpg")])
    assert found.n_beside == 3


def test_of_files_with_one_name_the_first_counts(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"a.jpg": picture(1)})
    with tarfile.open(path, "a") as tar:
        for name, content in (("a.jpg", picture(2)), ("b.jpg", picture(3))):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    found = imported(path, {"a", "b"}, tmp_path / "raw")
    assert owners(found) == {"a": "a", "b": "b"}
    assert losses(found) == [(UNREADABLE, f"a.tar/a.jpg: {REPEATED}")]


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize(("field", "beside"), [("movie", "json"), ("cls", "cls")])
def test_a_field_beside_a_picture_names_its_item(field: str, beside: str, is_first: bool, tmp_path: Path) -> None:
    files = dict[str, bytes]()
    for key, item in (("x/000", "a"), ("x/001", "7"), ("x/002", "unknown")):
        number: object = int(item) if item.isdigit() else item
        about = json.dumps({"movie": number, "size": 3}).encode() if beside == "json" else item.encode()
        pair = {f"{key}.jpg": picture(len(files)), f"{key}.{beside}": about}
        files |= pair if is_first else dict(reversed(pair.items()))
    files |= {"x/003.jpg": picture(9), "x/003.json": b'["\\ud800', "x/004.jpg": picture(8)}
    found = imported(write_tar(tmp_path / "a.tar", files), {"a", "7", "000"}, tmp_path / "raw", picture_item=field)
    assert owners(found) == {"x/000": "a", "x/001": "7"}
    assert [(reason, detail) for reason, detail in losses(found)] == [
        (NO_ITEM, f"a.tar/x/00{number}.jpg") for number in (2, 3, 4)
    ]


def test_columns_can_be_named(tmp_path: Path) -> None:
    table = pa.table({"a": [picture(1), None], "b": [{"bytes": picture(2)}, {"bytes": picture(3)}], "who": [7, 8]})
    pq.write_table(table, tmp_path / "a.parquet")
    names = {"picture_column": "b", "picture_item": "who"}
    assert owners(imported(tmp_path / "a.parquet", {"7", "8"}, tmp_path / "raw", **names)) == {"7": "7", "8": "8"}
    found = imported(tmp_path / "a.parquet", {"7", "8"}, tmp_path / "raw", **names | {"picture_column": "a"})
    assert losses(found) == [(UNREADABLE, "a.parquet/1: no picture in this row")]


def test_a_path_without_bytes_is_said(tmp_path: Path) -> None:
    rows = [{"bytes": None, "path": "/home/me/a.jpg"}, {"bytes": picture(), "path": None}, None]
    pq.write_table(pa.table({"image": rows}), tmp_path / "a.parquet")
    with pytest.raises(TooLittleDataError, match="--picture-item"):
        imported(tmp_path / "a.parquet", {"x"}, tmp_path / "raw")
    pq.write_table(pa.table({"image": rows, "movie_id": ["a", "a", "a"]}), tmp_path / "a.parquet")
    found = imported(tmp_path / "a.parquet", {"a"}, tmp_path / "raw")
    assert owners(found) == {"a": "a"}
    assert {detail for _, detail in losses(found)} == {
        "a.parquet//home/me/a.jpg: only the path of a picture in this row, not its bytes",
        "a.parquet/2: no picture in this row",
    }


TABLES: dict[str, tuple[dict[str, list[object]], dict[str, str], str]] = {
    "no picture": ({"x": ["a"]}, {}, "no column holds pictures .* it has x"),
    "two": ({"x": [b"a"], "y": [b"b"]}, {}, r"2 columns hold bytes \(x, y\); name one with --picture-column"),
    "wrong": ({"x": [b"a"]}, {"picture_column": "z"}, "has no column 'z'; it has x"),
    "no bytes": ({"x": [b"a"], "y": [1]}, {"picture_column": "y"}, "column 'y' .* holds int64"),
    "no item": ({"x": [b"a"], "y": [1]}, {}, "no column says whose the pictures are; name one with --picture-item"),
    "wrong item": ({"x": [b"a"]}, {"picture_item": "z"}, "--picture-item: .* has no column 'z'"),
    "number": ({"x": [b"a"], "item_id": [1.5]}, {}, "column 'item_id' holds double"),
}


@pytest.mark.parametrize("what", TABLES)
def test_a_table_that_does_not_say_is_refused_with_its_columns(what: str, tmp_path: Path) -> None:
    columns, options, message = TABLES[what]
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises((UsageError, InvalidTableError), match=message) as error:
        imported(tmp_path / "a.parquet", {"a"}, tmp_path / "raw", **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", WRITERS)
def test_a_shard_that_is_cut_off_is_an_error_wherever_it_is_cut(name: str, tmp_path: Path) -> None:
    whole = WRITERS[name](tmp_path / name, {f"{number}.jpg": picture(number) for number in range(4)}).read_bytes()
    end = len(whole.rstrip(b"\0")) if name.endswith(".tar") else len(whole)
    assert imported(tmp_path / name, set("0123"), tmp_path / "raw").n_files == 4
    for length in sorted({*range(0, end, max(1, end // 25)), *range(512, end, 512 * 4), end - 1}):
        (tmp_path / name).write_bytes(whole[:length])
        with pytest.raises(PipelineError) as error:
            imported(tmp_path / name, set("0123"), tmp_path / "raw")
        assert "\n" not in str(error.value)


def test_damaged_bytes_are_an_error_or_lost_pictures(tmp_path: Path) -> None:
    for name in ("pax.tar", "a.tar.gz", "a.zip", "a.parquet", "stream.arrow", "file.arrow"):
        whole = WRITERS[name](tmp_path / name, {f"{number}.jpg": picture(number) for number in range(2)}).read_bytes()
        for place in range(0, len(whole), max(1, len(whole) // 12)):
            (tmp_path / name).write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
            with suppress(PipelineError):
                found = imported(tmp_path / name, set("01"), tmp_path / "raw")
                assert found.n_files + found.n_beside <= 2


def with_flags(content: bytes, flags: int) -> bytes:
    """Return a zip whose members have these flags."""
    changed = bytearray(content)
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = changed.find(mark)
        while place >= 0:
            changed[place + offset] |= flags
            place = changed.find(mark, place + 4)
    return bytes(changed)


def test_an_encrypted_member_is_refused_in_one_line(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"a.jpg": picture()}, zipfile.ZIP_STORED)
    path.write_bytes(with_flags(path.read_bytes(), 1))
    with pytest.raises(InvalidTableError, match=r"1 members are encrypted \(for example 'a.jpg'\); unpack it"):
        imported(path, {"a"}, tmp_path / "raw")


def test_a_member_of_another_compression_is_lost_with_its_reason(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.jpg", picture(1), zipfile.ZIP_BZIP2)
        archive.writestr("b.jpg", picture(2))
    found = imported(tmp_path / "a.zip", {"a", "b"}, tmp_path / "raw")
    assert [detail.split(";")[0] for _, detail in losses(found)] == ["a.zip/a.jpg: compressed with bzip2"]


@pytest.mark.parametrize("name", ["pax.tar", "a.tar.gz", "a.zip", "stored.zip", "a.parquet", "stream.arrow"])
def test_a_picture_that_is_too_large_is_not_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("tar", "zip", "rows"):
        monkeypatch.setattr(f"dataset.shards.{module}.MAX_FILE_BYTES", 5000)
    path = WRITERS[name](tmp_path / name, {"a.jpg": bytes(5001), "b.jpg": picture()})
    found = imported(path, {"a", "b"}, tmp_path / "raw")
    assert (owners(found), len(losses(found))) == ({"b": "b"}, 1)
    assert "too large" in losses(found)[0][1]


def test_a_member_that_unpacks_to_more_than_it_says_is_damaged(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"a.jpg": bytes(1 << 20)})
    path.write_bytes(path.read_bytes().replace((1 << 20).to_bytes(4, "little"), (100).to_bytes(4, "little")))
    with pytest.raises(InvalidTableError, match="is damaged or cut off"):
        imported(path, {"a"}, tmp_path / "raw")


def test_members_that_overlap_are_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"a.jpg": picture(), "b.jpg": picture()}, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    second = content.find(b"PK\x01\x02", content.find(b"PK\x01\x02") + 4)
    content[second + 42 : second + 46] = bytes(4)  # the second member begins where the first one does
    path.write_bytes(content)
    with pytest.raises(InvalidTableError, match="is damaged or cut off"):
        imported(path, {"a"}, tmp_path / "raw")


def test_a_header_that_claims_gigabytes_is_refused(tmp_path: Path) -> None:
    member = tarfile.TarInfo("x")
    member.type, member.size = tarfile.XHDTYPE, 1 << 32
    header = member.tobuf(tarfile.USTAR_FORMAT)
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(header + bytes(1 << 20)))
    with pytest.raises(InvalidTableError, match="a header of 4,294,967,296 bytes"):
        imported(tmp_path / "a.tar.gz", {"a"}, tmp_path / "raw")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_in_a_tar_are_never_followed(kind: bytes, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        member = tarfile.TarInfo("a.jpg")
        member.type, member.linkname = kind, "/etc/passwd"
        tar.addfile(member)
    found = imported(tmp_path / "a.tar", {"a"}, tmp_path / "raw")
    assert [reason for reason, _ in losses(found)] == [UNREADABLE]


def test_what_is_no_shard_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(picture())
    os.mkfifo(tmp_path / "pipe")
    for name in ("a.tar", "pipe"):
        with pytest.raises(PipelineError, match="neither a folder nor"):
            imported(tmp_path / name, {"a"}, tmp_path / "raw")


def test_a_tar_of_many_files_does_not_keep_them(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {f"{number}": b"" for number in range(3000)})
    shard = open_shard(path)
    assert sum(1 for _ in shard.entries()) == 3000
    shard.close()


def test_tars_one_behind_the_other_are_refused(tmp_path: Path) -> None:
    both = [write_tar(tmp_path / f"{name}.tar", {f"{name}.jpg": picture()}).read_bytes() for name in "ab"]
    (tmp_path / "both.tar").write_bytes(b"".join(both))
    with pytest.raises(InvalidTableError, match="tar --concatenate"):
        imported(tmp_path / "both.tar", {"a", "b"}, tmp_path / "raw")


def test_ids_of_other_types_are_compared_as_text(tmp_path: Path) -> None:
    table = pa.table({"image": [picture(1), picture(2)], "movieId": pa.array([1, 2], pa.int32())})
    pq.write_table(table, tmp_path / "a.parquet")
    found = import_pictures(tmp_path / "a.parquet", {"1", "2"}, tmp_path / "raw", item_column="movieId")
    assert owners(found) == {"1": "1", "2": "2"}
    coded = table.set_column(1, "movieId", pa.array(["1", "2"]).dictionary_encode())
    pq.write_table(coded, tmp_path / "a.parquet")
    found = import_pictures(tmp_path / "a.parquet", {"1", "2"}, tmp_path / "raw", item_column="movieId")
    assert pl.Series(["1", "2"]).equals(found.frames["movie_id"])
