"""Who likes which picture, imported: names of frames, rows that cannot be used, and pictures that people posted."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from dataset.__main__ import main
from dataset.errors import PipelineError, UsageError

RATINGS = "user,item\n" + "\n".join(f"u{user},m{item}" for user in range(6) for item in range(6))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Ratings, and three pictures for each of six items."""
    (tmp_path / "ratings.csv").write_text(RATINGS)
    rng = np.random.default_rng(0)
    for item in range(6):
        (tmp_path / "pictures" / f"m{item}").mkdir(parents=True)
        for number in range(3):
            pixels = np.kron(rng.integers(0, 255, (9, 9, 3)), np.ones((8, 8, 1))).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / f"m{item}" / f"{number}.jpg")
    return tmp_path


def imported(home: Path, likes: str, *options: str, name: str = "likes.csv") -> pl.DataFrame:
    (home / name).write_text(likes)
    places = ["--pictures", str(home / "pictures"), "--to", str(home / "raw"), "--replace"]
    main(["import", str(home / "ratings.csv"), *places, "--frame-likes", str(home / name), *options])
    return pl.read_parquet(home / "raw" / "frame_likes.parquet")


@pytest.mark.parametrize("name", ["m1/2", "m1/2.jpg", "./m1/2.jpg"])
def test_a_frame_is_named_by_its_id_or_by_the_path_of_its_file(home: Path, name: str) -> None:
    assert imported(home, f"user,frame\nu0,{name}\n").row(0) == ("u0", "m1/2", None, "import")


def test_other_columns_times_and_separators_are_read_as_in_ratings(home: Path) -> None:
    likes = "when\tshot\twho\n2020-01-31 10:00:00\tm1/2\tu0\n2019-05-01 00:00:00\tm1/2\tu0\n"
    options = ["--frame-likes-user-column", "who", "--frame-likes-frame-column", "shot"]
    table = imported(home, likes, *options, "--frame-likes-time-column", "when", name="likes.tsv")
    assert table["liked_on"].dt.to_string().to_list() == ["2019-05-01"]
    quarantine = pl.read_parquet(home / "raw" / "quarantine.parquet").filter(table="frame_likes")
    assert quarantine["reason"].to_list() == ["the user and the frame again"]


def test_rows_that_name_no_frame_or_nobody_are_in_the_quarantine_and_counted(home: Path, capsys) -> None:
    table = imported(home, "user,frame\nu0,m1/2\nu1,m9/9\n,m1/1\nu2,\nu3,m0/0\n")
    assert table.height == 2
    quarantine = pl.read_parquet(home / "raw" / "quarantine.parquet").filter(table="frame_likes")
    assert sorted(quarantine["reason"]) == ["no such frame was imported", "no user or no frame", "no user or no frame"]
    assert "m9/9" in quarantine["detail"].to_list()
    assert "likes.csv: 2 likes of 2 frames; 3 rows dropped" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("likes", "options", "words"),
    [
        ("user,frame\nu0,x\n", [], "none of its 1 rows names a frame that was imported, for example 'x'"),
        ("user,shot\nu0,m1/2\n", [], "--frame-likes-frame-column"),
        ("who,frame\nu0,m1/2\n", [], "--frame-likes-user-column"),
        ("user,frame\nu0,m1/2\n", ["--frame-likes-time-column", "when"], "--frame-likes-time-column"),
        ("user,frame\n", [], "likes.csv"),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error_with_the_remedy(home: Path, likes: str, options, words: str) -> None:
    with pytest.raises(PipelineError, match=words.replace("[", "\\[")) as told:
        imported(home, likes, *options)
    assert "\n" not in str(told.value)


def test_options_of_a_file_that_is_not_given_are_refused(home: Path) -> None:
    with pytest.raises((UsageError, SystemExit)):
        main(["import", str(home / "ratings.csv"), "--to", str(home / "raw"), "--frame-likes-are", "click"])


def test_likes_follow_their_pairs_into_the_splits(home: Path) -> None:
    rows = "\n".join(f"u{user},m{item}/0" for user in range(6) for item in range(6))
    imported(home, f"user,frame\n{rows}\n", "--frame-likes-are", "click")
    main(["build", "--raw", str(home / "raw"), "--to", str(home / "dataset"), "--k-user", "2", "--k-item", "2"])
    likes = pl.read_parquet(home / "dataset" / "frame_likes.parquet")
    pairs = pl.read_parquet(home / "dataset" / "interactions.parquet")
    held_out = pairs.filter(pl.col("split").cast(pl.String) != "train")
    assert likes.height == held_out.height
    assert likes.join(held_out, on=["user_id", "movie_id"], how="semi").height == likes.height


def test_posted_pictures_of_held_out_pairs_are_marked_and_no_others(home: Path) -> None:
    rows = "\n".join(f"u{user},m{item}/{user % 3}" for user in range(6) for item in range(6))
    build = ["build", "--raw", str(home / "raw"), "--to", str(home / "dataset"), "--k-user", "2", "--k-item", "2"]
    for kind in ("like", "post"):
        imported(home, f"user,frame\n{rows}\n", "--frame-likes-are", kind)
        main(build)
        frames = pl.read_parquet(home / "dataset" / "frames.parquet")
        if kind == "like":
            assert frames["is_held_out"].null_count() == frames.height
    likes = pl.read_parquet(home / "dataset" / "frame_likes.parquet")
    assert set(frames.filter("is_held_out")["frame_id"]) == set(likes["frame_id"])
    assert frames["is_held_out"].null_count() == 0


def test_copies_of_a_picture_are_said_to_be_copies(home: Path) -> None:
    with Image.open(home / "pictures" / "m1" / "0.jpg") as picture:
        picture.save(home / "pictures" / "m1" / "again.png")
    imported(home, "user,frame\nu0,m1/0\n")
    main(["build", "--raw", str(home / "raw"), "--to", str(home / "dataset"), "--k-user", "2", "--k-item", "2"])
    frames = pl.read_parquet(home / "dataset" / "frames.parquet").filter(pl.col("duplicate_of").is_not_null())
    assert frames.select("frame_id", "duplicate_of").rows() in ([("m1/again", "m1/0")], [("m1/0", "m1/again")])
