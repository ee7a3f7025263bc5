import io
import os
import shutil
import stat
import subprocess
import sys
import unicodedata
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from dataset.errors import TooLittleDataError
from dataset.formats.importing import import_ratings
from dataset.formats.picture_files import Found, Items, distinct_ids
from dataset.formats.pictures import import_pictures
from dataset.formats.ratings import RatingsFormat
from dataset.pictures.pool import PicturePool
from dataset.placeholders.fingerprints import read_fingerprints

UNREADABLE = "not a readable picture"
NO_ITEM = "picture of an item without a rating"


def picture(colour: object = "red", kind: str = "JPEG") -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (8, 6), colour).save(content, kind)
    return content.getvalue()


def folder_of(root: Path, files: dict[str, bytes]) -> Path:
    """Write files, whose names may have folders; return the folder."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    root.mkdir(exist_ok=True)
    return root


def imported(folder: Path, *items: str, to: Path | None = None) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Return the frames as {frame_id: movie_id}, and the quarantine as (reason, detail)."""
    raw = to or folder.parent / "raw"
    found = import_pictures(folder, set(items), raw)
    frames, images, lost = found.frames, found.images, found.quarantine
    fingerprints = read_fingerprints(raw)
    assert frames["frame_id"].sort().equals(images["frame_id"].sort())
    assert set(fingerprints["image_sha256"]) == set(images["image_sha256"])
    return dict(frames.select("frame_id", "movie_id").iter_rows()), sorted(lost.select("reason", "detail").iter_rows())


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "a.jpg",
        "a.JPG",
        "a.jpeg",
        "a.jpg_large",
        "a.jpg:large",
        "a.jpg?size=large",
        "a.jpg?v=1.2",
        "a?size=large",
        "a.jpg.1",
        "a.jpg!600x600",
        "a.jpg@webp",
        "a.jpg (1)",
        "a.png",
        "a.dat",
        "a.html",
        "a.heic",
        "a.jpg.png",
    ],
)
def test_a_picture_under_any_name_is_one_of_its_item(name: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "pictures", {name: picture(), f"b/{name}": picture("blue")})
    frames, lost = imported(folder, "a", "b")
    assert sorted(frames.values()) == ["a", "b"]
    assert lost == []


@pytest.mark.parametrize(
    ("name", "items", "expected"),
    [
        ("v1.5.jpg", {"v1", "v1.5"}, ("v1.5", "v1.5")),
        ("v1.5.jpg", {"v1"}, None),  # a version is no extension
        ("v1.5", {"v1", "v1.5"}, ("v1.5", "v1.5")),
        ("v1.5", {"v1"}, None),
        ("a.jpg", {"a", "a.jpg"}, ("a.jpg", "a.jpg")),  # ratings may name files
        ("a.jpg.png", {"a"}, ("a", "a")),
        ("a.cover.jpg", {"a"}, None),
        ("a/b.jpg", {"a"}, ("a", "a/b")),
        ("a/b.jpg", {"b"}, None),
        ("a/b.jpg", {"a", "a/b"}, ("a/b", "a/b")),
        ("a/b/c.jpg", {"a", "a/b"}, ("a/b", "a/b/c")),
        ("a.jpg/b.jpg", {"a.jpg"}, ("a.jpg", "a.jpg/b")),
        ("a.jpg/b.jpg", {"a"}, None),
        ("a\nb.jpg", {"a\nb"}, ("a\nb", "a\nb")),
        ("[1]*?.jpg", {"[1]*?"}, ("[1]*?", "[1]*?")),
        (".hidden.jpg", {".hidden"}, (".hidden", ".hidden")),
        (".jpg", {".jpg"}, (".jpg", ".jpg")),
        (" a .jpg", {"a"}, None),
        (" a .jpg", {" a "}, (" a ", " a ")),
        ("A.jpg", {"a"}, None),
    ],
)
def test_the_item_ids_decide_what_a_name_says(name: str, items: set[str], expected: tuple[str, str] | None) -> None:
    assert Items(items).of(Found(Path(name), name)) == expected


@pytest.mark.parametrize(("named", "rated"), [("NFD", "NFC"), ("NFC", "NFD"), ("NFD", "NFD")])
@pytest.mark.parametrize("place", ["{}.jpg", "{}/one.jpg"])
def test_composed_and_decomposed_names_are_the_same(named: str, rated: str, place: str, tmp_path: Path) -> None:
    name, item = unicodedata.normalize(named, "café ド"), unicodedata.normalize(rated, "café ド")
    frames, lost = imported(folder_of(tmp_path / "p", {place.format(name): picture()}), item)
    assert (list(frames.values()), lost) == ([item], [])
    assert [unicodedata.is_normalized("NFC", frame_id) for frame_id in frames] == [True]


def test_items_that_differ_only_in_composition_keep_their_own_pictures(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    files = {f"{composed}.jpg": picture("red"), f"{decomposed}.jpg": picture("blue")}
    frames, lost = imported(folder_of(tmp_path / "p", files), composed, decomposed)
    assert sorted(frames.values()) == sorted([composed, decomposed])
    assert lost == []


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (["a.jpg", "a.JPG"], ["a.jpg", "a.JPG"]),
        (["a/1.jpg", "a/1.png", "a/2.png"], ["a/1.jpg", "a/1.png", "a/2"]),
        (["a", "a.jpg", "a.jpg_large", "a.jpg?x=1"], ["a", "a.jpg", "a.jpg_large", "a.jpg?x=1"]),
        (["a.jpg", "a.JPG", "a.jpg.png"], ["a.jpg", "a.JPG", "a.jpg.png"]),
    ],
)
def test_files_of_one_stem_get_ids_of_their_own(names: list[str], ids: list[str], tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "p", {name: picture((number, 0, 0)) for number, name in enumerate(names)})
    frames, lost = imported(folder, "a")
    assert set(frames) == set(ids)
    assert set(frames.values()) == {"a"}
    assert lost == []


def test_ids_are_distinct_whatever_the_names_and_their_order() -> None:
    composed, decomposed = (unicodedata.normalize(form, "é.jpg") for form in ("NFC", "NFD"))
    files = [("a", "a.jpg"), ("a", "a.JPG"), ("a.jpg", "a.jpg.png"), ("a.jpg", "a.jpg.gif"), ("é", composed)]
    files += [("é", decomposed), ("b", "b.jpg")]
    wanted = pl.DataFrame(files, ["preferred", "name"], orient="row")
    ids = distinct_ids(*wanted)
    assert ids.to_list() == ["a.jpg", "a.JPG", "a.jpg.png", "a.jpg.gif", composed, decomposed, "b"]
    assert distinct_ids(*wanted.reverse()).equals(ids.reverse())


def test_equal_bytes_are_two_frames_and_one_file(tmp_path: Path) -> None:
    frames, _ = imported(folder_of(tmp_path / "p", {f"a/{number}.jpg": picture() for number in range(40)}), "a")
    assert len(frames) == 40
    assert len([path for path in (tmp_path / "raw" / "pictures").rglob("*") if path.is_file()]) == 1


WRONG = {
    "heic.heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(30),
    "svg.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "zero.jpg": b"",
    "html.jpg": b"<html><body>404</body></html>",
    "text.txt": b"hello",
    "eps.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n{} loop\nshowpage\n%%EOF\n",
    ".DS_Store": b"\0\0\0\1Bud1" + bytes(100),
    "Thumbs.db": b"\xd0\xcf\x11\xe0" + bytes(100),
    "cut.jpg": picture()[:300],
    "a/cut.png": picture(kind="PNG")[:50] + bytes(100),
    "deep/er/none.xml": b"<xml/>",
    "._a.jpg": b"\0\5\x16\7" + bytes(80),
    "animation.mp4": b"\0\0\0\x18ftypisom" + bytes(80),
    "paper.pdf": b"%PDF-1.4",
}


def test_every_other_file_is_in_quarantine_with_its_reason(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "p", WRONG | {"a.jpg": picture(), "other.jpg": picture("blue")})
    frames, lost = imported(folder, "a", "heic", "zero", "html", "eps", "cut")
    assert frames == {"a": "a"}
    assert (NO_ITEM, "other.jpg") in lost
    assert sorted(detail.split(": ")[0] for reason, detail in lost if reason == UNREADABLE) == sorted(WRONG)
    details = dict(detail.split(": ", 1) for reason, detail in lost if reason == UNREADABLE)
    assert details["zero.jpg"] == "the file is empty"
    assert details["eps.jpg"] == "not a JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF picture"


def test_an_unreadable_picture_of_an_item_does_not_end_the_import(tmp_path: Path) -> None:
    frames, lost = imported(folder_of(tmp_path / "p", {"a.jpg": WRONG["eps.jpg"]}), "a")
    assert frames == {}
    assert [reason for reason, _ in lost] == [UNREADABLE]


def test_pictures_that_name_no_item_end_the_import_with_an_example(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "p", {"x.jpg": picture(), ".DS_Store": b"x"})
    with pytest.raises(TooLittleDataError, match=r"no picture belongs .* 1 pictures \(for example x.jpg\)"):
        imported(folder, "a")


@pytest.mark.parametrize("name", ["caf\udce9.jpg", "a/caf\udce9.jpg", "caf\udce9/a.jpg", "caf\udce9/\n\x1b.jpg"])
def test_a_name_that_is_not_utf8_is_in_quarantine_and_can_be_printed(name: str, tmp_path: Path) -> None:
    frames, lost = imported(folder_of(tmp_path / "p", {name: picture(), "a.jpg": picture()}), "a", "café")
    assert frames == {"a": "a"}
    ((reason, detail),) = lost
    assert reason == "file name is not UTF-8"
    assert "caf\\xe9" in detail
    assert detail.isprintable()


def test_a_folder_of_names_that_are_not_utf8_is_no_error(tmp_path: Path) -> None:
    frames, lost = imported(folder_of(tmp_path / "p", {"caf\udce9.jpg": picture()}), "café")
    assert (frames, len(lost)) == ({}, 1)


def test_links_to_files_and_folders_are_followed(tmp_path: Path) -> None:
    pool = folder_of(tmp_path / "pool", {"one.jpg": picture("red"), "x/two.jpg": picture("blue")})
    folder = folder_of(tmp_path / "p", {"d.jpg": picture("lime")})
    (folder / "a.jpg").symlink_to("../pool/one.jpg")
    (folder / "b.jpg").symlink_to(pool / "one.jpg")
    (folder / "c").symlink_to(pool, target_is_directory=True)
    (folder / "e").symlink_to("../pool/x")
    frames, lost = imported(folder, "a", "b", "c", "d", "e")
    assert frames == {"a": "a", "b": "b", "c/one": "c", "c/x/two": "c", "d": "d", "e/two": "e"}
    assert lost == []
    for path in (tmp_path / "raw").rglob("*"):
        assert not path.is_symlink()


def test_links_that_lead_back_or_nowhere_are_in_quarantine(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "p", {"a/one.jpg": picture(), "b/two.jpg": picture("blue")})
    for link, target in {
        "a/up": "..",
        "a/self": ".",
        "a/other": "../b",
        "b/other": "../a",
        "root": ".",
        "above": "../..",
        "lost.jpg": "nowhere",
        "loop.jpg": "loop.jpg",
    }.items():
        (folder / link).symlink_to(target)
    frames, lost = imported(folder, "a", "b")
    assert frames == {"a/one": "a", "a/other/two": "a", "b/two": "b", "b/other/one": "b"}
    assert [detail.split(": ")[0] for _, detail in lost] == [
        "a/other/other", "a/self", "a/up", "above", "b/other/other", "b/other/self", "b/other/up",
        "loop.jpg", "lost.jpg", "root",
    ]  # fmt: skip
    assert {reason for reason, _ in lost} == {UNREADABLE}


def test_a_pipe_does_not_block_the_import(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "p", {"a.jpg": picture()})
    os.mkfifo(folder / "b.jpg")
    (folder / "c.jpg").symlink_to("/dev/zero")
    _, lost = imported(folder, "a", "b", "c")
    assert [detail for _, detail in lost] == [f"{name}.jpg: not a file but a pipe, socket or device" for name in "bc"]


def test_what_may_not_be_read_is_in_quarantine(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "p", {"a.jpg": picture(), "b.jpg": picture(), "c/d.jpg": picture()})
    (tmp_path / "ratings.csv").write_text("user,item\n" + "".join(f"u,{item}\n" for item in "abc"))
    for name in ("b.jpg", "c"):
        (folder / name).chmod(0)
    line = [sys.executable, "-m", "dataset", "import", "ratings.csv", "--pictures", "p", "--to", "raw"]
    if os.geteuid() == 0:  # who may read everything, unless without the right to
        if not (setpriv := shutil.which("setpriv")):
            pytest.skip("root needs setpriv to be refused a file")
        line = [setpriv, "--bounding-set", "-dac_override,-dac_read_search", *line]
    try:
        done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    finally:
        (folder / "c").chmod(0o700)
    assert done.returncode == 0, done.stderr
    assert pl.read_parquet(tmp_path / "raw" / "frames.parquet")["frame_id"].to_list() == ["a"]
    assert sorted(pl.read_parquet(tmp_path / "raw" / "quarantine.parquet")["detail"]) == [
        "b.jpg: the file cannot be read (Permission denied)",
        "c: a folder that cannot be read (Permission denied)",
    ]


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that root cannot read either")
def test_a_file_that_fails_while_it_is_read_is_in_quarantine(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "p", {"a.jpg": picture()})
    (folder / "b.jpg").symlink_to("/proc/self/mem")
    _, lost = imported(folder, "a", "b")
    assert lost == [(UNREADABLE, "b.jpg: the file cannot be read (Input/output error)")]


def test_a_picture_that_hangs_or_kills_its_decoder_is_in_quarantine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
import os, sys, time
import dataset.pictures.process as process
whole = process.OPERATIONS["check"]
def check(source):
    if source.name == "b.jpg": os.kill(os.getpid(), 11)
    if source.name == "c.jpg": time.sleep(60)
    return whole(source)
process.OPERATIONS["check"] = check
process.main(sys.argv[1:])
"""
    monkeypatch.setattr("dataset.pictures.pool.DECODER", [sys.executable, "-c", code])
    monkeypatch.setattr("dataset.formats.pictures.PicturePool", partial(PicturePool, timeout_s=2))
    folder = folder_of(tmp_path / "p", {f"{name}.jpg": picture() for name in "abcd"})
    frames, lost = imported(folder, *"abcd")
    assert frames == {"a": "a", "d": "d"}
    assert [detail for _, detail in lost] == [
        "b.jpg: cannot be decoded: the decoder process died (exit status -11)",
        "c.jpg: took longer than 2 s to decode",
    ]


def test_raw_pictures_are_files_of_their_own_that_can_be_changed(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "p", {"a.jpg": picture("red"), "b.jpg": picture("blue"), "c.jpg": picture("lime")})
    raw = tmp_path / "raw"
    imported(folder, "a", "b", "c", to=raw)
    first, second, third = sorted(path for path in (raw / "pictures").rglob("*") if path.is_file())
    first.unlink()  # as earlier versions left them: links, and permissions of the source
    second.chmod(0o444)
    os.link(third, tmp_path / "hard link")
    first.symlink_to(folder / "a.jpg")
    for path in folder.iterdir():
        path.chmod(0o444)
    imported(folder, "a", "b", "c", to=raw)
    for path in (first, second, third):
        status = path.lstat()
        assert stat.S_ISREG(status.st_mode)
        assert (status.st_nlink, status.st_mode & 0o600) == (1, 0o600)
    assert {path.read_bytes() for path in (first, second, third)} == {path.read_bytes() for path in folder.iterdir()}


def test_nothing_in_a_raw_folder_holds_a_path_of_this_machine(tmp_path: Path) -> None:
    files = WRONG | {"a.jpg": picture(), "other.jpg": picture("blue"), "caf\udce9.jpg": b"", "big.jpg": picture()}
    folder = folder_of(tmp_path / "p", files)
    big = io.BytesIO()
    Image.new("1", (20_000, 6_000)).save(big, "PNG")
    (folder / "big.jpg").write_bytes(big.getvalue())
    (folder / "lost.jpg").symlink_to(tmp_path / "nowhere")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.jpg")
    (tmp_path / "r.csv").write_text("user,item\n1,a\n1,heic\n1,big\n1,lost\n1,cut\n1,zero\n")
    done = import_ratings(tmp_path / "r.csv", RatingsFormat(), folder, tmp_path / "raw")
    assert done.n_pictures + done.n_quarantined == len(files) + 3
    for path in (tmp_path / "raw").rglob("*.*"):
        assert os.fsencode(tmp_path) not in path.read_bytes()
    lost = pl.read_parquet(tmp_path / "raw" / "quarantine.parquet")
    for value in lost.select("reason", "movie_id", "frame_id", "detail").unpivot()["value"].drop_nulls():
        assert str(tmp_path) not in value
        assert "object at 0x" not in value


def test_the_first_picture_of_an_animation_and_odd_levels_are_imported(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "p", {})
    first, second = Image.new("RGB", (8, 6), "red"), Image.new("RGB", (8, 6), "blue")
    for kind in ("gif", "webp", "png", "avif", "tiff"):
        first.save(folder / f"{kind}.{kind}", save_all=True, append_images=[second])
    Image.fromarray(np.full((4, 4), 0.5, np.float32)).save(folder / "float.tif")
    Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(folder / "deep.png")
    Image.new("CMYK", (4, 4)).save(folder / "cmyk.jpg")
    frames, lost = imported(folder, "gif", "webp", "png", "avif", "tiff", "float", "deep", "cmyk")
    assert len(frames) == 8
    assert lost == []
