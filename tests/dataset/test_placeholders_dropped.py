"""Placeholders on their way into a dataset: counted, said, and left out if that is asked for, never silently."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

import dataset.placeholders.fingerprints as fingerprints_module
from dataset.__main__ import main
from dataset.errors import MissingInputError, UsageError
from dataset.placeholders.fingerprints import FILE_NAME, read_fingerprints
from dataset.snapshots.snapshot import open_snapshot

REASONS = {
    "placeholder: picture blank": 4,
    "placeholder: picture smaller than 32 pixels": 2,
    "placeholder: picture shared by 3 items or more": 3,
}


def picture(seed: int, size: tuple[int, int] = (120, 90)) -> bytes:
    levels = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return encoded(Image.fromarray(levels).resize(size, Image.Resampling.BICUBIC))


def encoded(drawn: Image.Image, kind: str = "PNG") -> bytes:
    content = io.BytesIO()
    drawn.save(content, kind)
    return content.getvalue()


BLACK, DOT = encoded(Image.new("RGB", (100, 80)), "JPEG"), encoded(Image.new("P", (1, 1)), "GIF")


@pytest.fixture
def raw(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Import 12 people who rate 8 items: 4 have a black picture too, 2 a dot, and 3 share one; m7 has only these."""
    rows = [f"u{user},m{item},{1 + (user + item) % 5}" for user in range(12) for item in range(8)]
    (tmp_path / "ratings.csv").write_text("\n".join(["user,item,rating", *rows]) + "\n")
    folder = tmp_path / "pictures"
    for item in range(8):
        (folder / f"m{item}").mkdir(parents=True)
        if item != 7:
            (folder / f"m{item}/real.png").write_bytes(picture(item))
        if item in (0, 1, 2, 7):
            (folder / f"m{item}/black.jpg").write_bytes(BLACK)
        if item in (3, 7):
            (folder / f"m{item}/dot.gif").write_bytes(DOT)
        if item in (4, 5, 7):
            (folder / f"m{item}/shared.png").write_bytes(picture(99, (120 + item, 90)))
    (folder / "m0/broken.png").write_bytes(picture(1)[:200])
    options = ["--user-column", "user", "--item-column", "item", "--rating-column", "rating"]
    main(["import", str(tmp_path / "ratings.csv"), *options, "--pictures", str(folder), "--to", str(tmp_path / "raw")])
    assert "6 of 16 pictures say nothing about their item: 2 smaller than 32 pixels, 4 blank" in capsys.readouterr().out
    return tmp_path / "raw"


def built(raw: Path, *options: str) -> Path:
    main(["build", "--raw", str(raw), "--to", str(raw.parent / "dataset"), *options])
    return raw.parent / "dataset"


def counts(dataset: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((dataset / "dataset.json").read_text())["statistics"]
    return found


def test_an_import_says_which_option_leaves_placeholders_out(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["import", str(raw.parent / "ratings.csv"), "--user-column", "user", "--item-column", "item",
          "--rating-column", "rating", "--pictures", str(raw.parent / "pictures"), "--to", str(raw)])  # fmt: skip
    (note,) = [line for line in capsys.readouterr().out.splitlines() if "say nothing" in line]
    assert "`python -m dataset build --drop-placeholders` leaves them out" in note
    assert f"python -m dataset pictures {raw}" in note


def test_a_build_keeps_placeholders_and_says_so(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = built(raw, "--shared-by", "3")
    out = capsys.readouterr().out
    assert (
        "kept: 9 of 16 pictures say nothing about their item: 2 smaller than 32 pixels, 4 blank, "
        "3 shared by 3 items or more; --drop-placeholders leaves them out"
    ) in out
    assert pl.read_parquet(dataset / "frames.parquet").height == 16
    numbers = counts(dataset)
    assert (numbers["n_blank_frames"], numbers["n_tiny_frames"], numbers["n_shared_frames"]) == (4, 2, 3)
    assert numbers["n_movies_with_the_most_shared_picture"] == 5  # black, and the black dot
    assert numbers["n_movies_with_only_placeholders"] == 1
    assert numbers["n_movies_that_lost_all_frames"] == 0
    assert numbers["n_distinct_pictures"] == 7 + 2  # a black dot is black


def test_frames_that_are_left_out_are_listed_with_the_reason_and_ratings_stay(
    raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_all = pl.read_parquet(built(raw) / "interactions.parquet")
    dataset = built(raw, "--shared-by", "3", "--drop-placeholders")
    out = capsys.readouterr().out
    frames, lost = (pl.read_parquet(dataset / f"{name}.parquet") for name in ("frames", "quarantine"))
    of_frames = lost.filter(pl.col("table") == "frames")
    assert dict(of_frames.group_by("reason").len().iter_rows()) == REASONS
    assert frames.height + of_frames.height == pl.read_parquet(raw / "frames.parquet").height
    assert set(frames["frame_id"]).isdisjoint(of_frames["frame_id"])
    assert all(f"dropped from frames: {n} ({reason})" in out for reason, n in REASONS.items())
    assert "1 item has lost all its frames" in out
    assert pl.read_parquet(dataset / "interactions.parquet").equals(with_all)
    assert pl.read_parquet(dataset / "movies.parquet").height == 8
    assert counts(dataset)["n_movies_that_lost_all_frames"] == 1
    assert counts(dataset)["n_movies_without_frame"] == 1


def test_a_snapshot_states_what_was_left_out(raw: Path) -> None:
    dataset = built(raw, "--shared-by", "3", "--drop-placeholders")
    root = raw.parent / "snapshots"
    main(["publish", "--dataset", str(dataset), "--name", "toy", "--root", str(root)])
    manifest, card = open_snapshot(root / "toy" / "v0001").manifest, (root / "toy" / "v0001" / "README.md").read_text()
    assert {row["reason"]: row["rows"] for row in manifest.quarantined if row["table"] == "frames"} == REASONS
    assert all(f"| frames | {reason} | {n} |" in card for reason, n in REASONS.items())
    assert "| number of placeholder frames | 9 |" in card


def test_thresholds_change_no_content_digest_unless_placeholders_are_left_out(raw: Path) -> None:
    root = raw.parent / "snapshots"
    for options in ([], ["--shared-by", "3"]):
        main(["publish", "--dataset", str(built(raw, *options)), "--name", "toy", "--root", str(root)])
    assert [folder.name for folder in (root / "toy").glob("v*")] == ["v0001"]
    dropped = built(raw, "--drop-placeholders")
    main(["publish", "--dataset", str(dropped), "--name", "toy", "--root", str(root), "--max-loss", "1"])
    assert sorted(folder.name for folder in (root / "toy").glob("v*")) == ["v0001", "v0002"]


def test_likes_of_placeholders_are_dropped_with_the_reason(raw: Path) -> None:
    likes = pl.DataFrame(
        {
            "user_id": [f"u{n}" for n in range(12)],
            "frame_id": ["m7/black"] * 12,
            "liked_on": pl.Series([None] * 12, dtype=pl.Date),
            "source": pl.Series(["import"] * 12, dtype=pl.read_parquet_schema(raw / "frame_likes.parquet")["source"]),
        }
    )
    likes.write_parquet(raw / "frame_likes.parquet")
    lost = pl.read_parquet(built(raw, "--drop-placeholders") / "quarantine.parquet")
    assert lost.filter(pl.col("table") == "frame_likes")["reason"].to_list() == ["frame left out as a placeholder"] * 12


def test_a_raw_folder_without_fingerprints_is_said_and_its_pictures_are_opened_when_needed(
    raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = read_fingerprints(raw).sort("image_sha256")
    (raw / FILE_NAME).unlink()
    built(raw)
    assert "16 pictures are known only by size and SHA-256" in capsys.readouterr().out
    dataset = built(raw, "--shared-by", "3", "--drop-placeholders")
    lost = pl.read_parquet(dataset / "quarantine.parquet").filter(pl.col("table") == "frames")
    assert dict(lost.group_by("reason").len().iter_rows()) == REASONS
    assert not (raw / FILE_NAME).exists()  # a build does not write to its input
    main(["pictures", str(raw)])
    assert read_fingerprints(raw).equals(before)


def test_pictures_are_opened_once(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a picture is opened again")

    monkeypatch.setattr(fingerprints_module, "_open_all", refuse)
    main(["pictures", str(raw)])
    built(raw, "--drop-placeholders")


def test_missing_changed_and_broken_pictures_are_counted_and_kept(
    raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (raw / FILE_NAME).unlink()
    images = pl.read_parquet(raw / "images.parquet").sort("frame_id")
    real = images.filter(pl.col("frame_id").str.ends_with("real"))["path"].to_list()
    (raw / real[0]).unlink()
    (raw / real[1]).write_bytes(picture(1000))
    (raw / real[2]).write_bytes((raw / real[2]).read_bytes()[:100])
    (raw / real[3]).unlink()
    (raw / real[3]).symlink_to("/etc/passwd")
    dataset = built(raw, "--drop-placeholders")
    assert "4 pictures are missing or unreadable" in capsys.readouterr().out
    assert counts(dataset)["n_frames_not_compared"] == 4
    assert pl.read_parquet(dataset / "frames.parquet").height == 16 - 6


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_a_contact_sheet_is_written(suffix: str, raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = raw.parent / f"sheet{suffix}"
    main(["pictures", str(raw), "--to", str(path), "--shared-by", "3"])
    out = capsys.readouterr().out
    assert "9 of 16 pictures say nothing" in out
    assert "one picture in 4 items, for example frame m0/black (blank)" in out
    if suffix == ".svg":
        assert path.read_text().count("<image ") == 3
        assert ">4 items</text>" in path.read_text()
    else:
        with Image.open(path) as sheet:
            assert sheet.format == "PNG"
            assert len(sheet.convert("RGB").getcolors(1 << 24) or []) > 100


def test_a_contact_sheet_of_another_kind_is_refused_before_pictures_are_opened(raw: Path) -> None:
    (raw / "fingerprints.parquet").unlink(missing_ok=True)
    with pytest.raises(UsageError, match=r"sheet\.pdf: a contact sheet is a \.svg or \.png file"):
        main(["pictures", str(raw), "--to", str(raw.parent / "sheet.pdf")])
    assert not (raw / "fingerprints.parquet").exists()


def test_a_contact_sheet_of_nothing_says_so(raw: Path) -> None:
    pl.read_parquet(raw / "images.parquet").clear().write_parquet(raw / "images.parquet")
    main(["pictures", str(raw), "--to", str(raw.parent / "sheet.svg")])
    assert "No picture is shared, tiny or blank." in (raw.parent / "sheet.svg").read_text()
    main(["pictures", str(raw), "--to", str(raw.parent / "sheet.png")])
    with Image.open(raw.parent / "sheet.png") as sheet:  # the words end before the picture does
        assert {sheet.convert("L").getpixel((sheet.width - 1, y)) for y in range(sheet.height)} == {255}


def test_the_next_command_leaves_out_the_pictures_that_were_shown(
    raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["pictures", str(raw), "--shared-by", "3"])
    command = f"build --raw {raw} --shared-by 3 --drop-placeholders leaves these pictures out"
    assert command in capsys.readouterr().out


def test_what_cannot_be_done_is_one_line(raw: Path) -> None:
    with pytest.raises(MissingInputError, match=r"no images\.parquet there"):
        main(["pictures", str(raw.parent)])
    with pytest.raises(UsageError, match=r"a contact sheet is a \.svg or \.png file"):
        main(["pictures", str(raw), "--to", str(raw.parent / "sheet.jpg")])
    with pytest.raises(UsageError, match="--near-bits"):
        main(["pictures", str(raw), "--near-bits", "8"])
    with pytest.raises(UsageError, match="--shared-by"):
        built(raw, "--shared-by", "1")
