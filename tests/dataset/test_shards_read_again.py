"""Pictures in shards are found again after the import, and the command says what became of each file."""

import json
import threading
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shard_files import GOOD, ITEMS, WRITERS, imported, picture, write_folder, write_tar

from dataset.__main__ import main
from dataset.errors import InvalidTableError, MissingInputError, PipelineError
from dataset.formats.pictures import NO_ITEM, UNREADABLE
from dataset.placeholders.fingerprints import complete_fingerprints, fingerprints_of, read_fingerprints
from dataset.report.thumbnails import Thumbnails
from dataset.shards.budget import BytesBudget
from dataset.shards.opening import files_named
from dataset.shards.references import PictureFiles, is_reference, reading_order

pytestmark = pytest.mark.usefixtures("one_pool")


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("{000..002}.tar", ["000.tar", "001.tar", "002.tar"]),
        ("{2..0}.tar", ["2.tar", "1.tar", "0.tar"]),
        ("{a,b}-{0..1}.tar", ["a-0.tar", "a-1.tar", "b-0.tar", "b-1.tar"]),
        ("0?.tar", ["00.tar", "01.tar"]),
        ("x*.tar", ["x1.tar", "x2.tar"]),
        ("{x}.tar", ["{x}.tar"]),
    ],
)
def test_names_with_braces_and_stars_stand_for_several(pattern: str, names: list[str], tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).touch()
    assert files_named(tmp_path / pattern) == [tmp_path / name for name in names]


@pytest.mark.parametrize("pattern", ["{0..1}.tar", "*.zip", "none.tar", "{0..99999999}.tar", "{0..999}{0..999}{0..9}"])
def test_a_name_that_stands_for_nothing_is_an_error(pattern: str, tmp_path: Path) -> None:
    (tmp_path / "0.tar").touch()
    with pytest.raises(MissingInputError):
        files_named(tmp_path / pattern)


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "longer": (lambda path: path.write_bytes(path.read_bytes() + b"\0"), "has changed since the import"),
    "another": (lambda path: path.write_bytes(path.read_bytes()[::-1]), "has changed since the import"),
    "missing": (lambda path: path.unlink(), "is missing; put it back"),
    "empty": (lambda path: path.write_bytes(b""), "has changed since the import"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["pax.tar", "a.tar.gz", "a.zip", "a.parquet", "stream.arrow"])
def test_a_shard_that_has_changed_since_the_import_is_an_error(name: str, change: str, tmp_path: Path) -> None:
    found = imported(WRITERS[name](tmp_path / name, GOOD), ITEMS, tmp_path / "raw")
    CHANGES[change][0](tmp_path / name)
    with pytest.raises(PipelineError, match=CHANGES[change][1]) as error:
        complete_fingerprints(tmp_path / "raw", found.images, fingerprints_of({}))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("name", "mode"), [("a.tar", "w"), ("a.tar.gz", "w:gz")])
def test_fingerprints_and_thumbnails_open_pictures_in_shards(name: str, mode: str, tmp_path: Path) -> None:
    found = imported(write_tar(tmp_path / name, GOOD, mode), ITEMS, tmp_path / "raw")
    made = complete_fingerprints(tmp_path / "raw", found.images, fingerprints_of({}))
    assert made.equals(read_fingerprints(tmp_path / "raw").sort("image_sha256"))
    found.images.write_parquet(tmp_path / "raw" / "images.parquet")
    thumbnails = Thumbnails(tmp_path / "raw")
    assert all((thumbnails.of(frame) or "").startswith("data:image/webp") for frame in found.frames["frame_id"])
    (tmp_path / name).unlink()
    assert Thumbnails(tmp_path / "raw").of("a") is None


@pytest.mark.parametrize(
    "path", ["shard:0:1", "shard:0:1:2:3:4", "shard:x:1:2", "shard:-1:0:5", "shard:1:2:٣", "shard:0:1:2\n", "a.jpg"]
)
def test_other_paths_are_files(path: str) -> None:
    assert not is_reference(path)
    assert reading_order(path) == ()


def test_a_shard_number_that_is_not_known_is_an_error(tmp_path: Path) -> None:
    with PictureFiles(tmp_path) as files, pytest.raises(InvalidTableError, match=r"shards\.json: cannot be read"):
        files.read("shard:0:1:2", "0" * 64)
    (tmp_path / "shards.json").write_text("[]")
    with PictureFiles(tmp_path) as files, pytest.raises(InvalidTableError, match="has no shard 0"):
        files.read("shard:0:1:2", "0" * 64)


def test_pictures_in_progress_stay_within_the_limit() -> None:
    budget, most, used, lock = BytesBudget(10), [0], [0], threading.Lock()

    def work(n_bytes: int) -> None:
        budget.take(n_bytes)
        with lock:
            used[0] += n_bytes
            most[0] = max(most[0], used[0])
        with lock:
            used[0] -= n_bytes
        budget.give_back(n_bytes)

    threads = [threading.Thread(target=work, args=[n_bytes]) for n_bytes in [3, 4, 5, 25, 6, 1] * 5]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] <= 25


@pytest.mark.parametrize("source", ["folder", "a.tar"])
def test_the_import_says_what_became_of_each_file(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"a.jpg": picture(1), "b.jpg": b"no", "nobody.jpg": picture(2)}
    beside = {} if source == "folder" else {"a.json": b"{}"}
    (write_folder if source == "folder" else write_tar)(tmp_path / source, files | beside)
    (tmp_path / "ratings.csv").write_text("user,item\nu,a\nu,b\nv,c\n")
    line = [
        "import",
        str(tmp_path / "ratings.csv"),
        "--pictures",
        str(tmp_path / source),
        "--to",
        str(tmp_path / "raw"),
    ]
    main(line)
    said = capsys.readouterr().out
    packed = "" if source == "folder" else " (they stay in 1 file)"
    more = "" if source == "folder" else "; 1 files beside them, such as .json"
    assert (
        f"files of pictures: 3 = 1 pictures{packed} + 2 dropped (1 {UNREADABLE}, 1 {NO_ITEM}){more}; "
        "2 of 3 items have none\n"
    ) in said
    provenance = json.loads((tmp_path / "raw" / "provenance.json").read_text())
    assert ("pictures_in" in provenance) == (source != "folder")
    if source != "folder":  # the places of another import do not stay
        main([*line[:3], str(write_folder(tmp_path / "other", {"a.jpg": picture(3)})), *line[4:]])
        assert not (tmp_path / "raw" / "shards.json").exists()


def test_several_shards_and_a_column_are_named_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ratings.csv").write_text("user,item\nu,0\nu,1\nv,2\n")
    (tmp_path / "shards").mkdir()
    for number in range(3):
        write_tar(tmp_path / "shards" / f"{number:03d}.tar", {f"{number}.jpg": picture(number)})
    main(["import", "ratings.csv", "--pictures", "shards/{000..002}.tar", "--to", "raw"])
    assert "3 = 3 pictures (they stay in 3 files) + 0 dropped; 0 of 3 items have none" in capsys.readouterr().out
    pq.write_table(pa.table({"image": [{"bytes": picture(7), "path": "x.jpg"}], "asin": ["2"]}), "train.parquet")
    main(["import", "ratings.csv", "--pictures", "train.parquet", "--picture-item", "asin", "--to", "raw"])
    assert pl.read_parquet(tmp_path / "raw" / "frames.parquet")["movie_id"].to_list() == ["2"]
    with pytest.raises(MissingInputError, match=r"shards/003\.tar: no such file"):
        main(["import", "ratings.csv", "--pictures", "shards/{000..003}.tar", "--to", "raw"])
