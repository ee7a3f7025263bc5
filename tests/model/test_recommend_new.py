"""`model.recommend` for people, movies and pictures that were not in training."""

import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from dataset.snapshots.snapshot import Snapshot
from dataset.tables import read_table
from model import api, recommend, train
from model.data.tables import Tables
from model.schema import Recommendation

FAST = ["--set", "learning_rate=0.02", "--set", "batch_size=32", "--set", "epochs=15"]
HISTORY = [("amy", 0), ("amy", 9), ("amy", 21), ("bob", 1), ("bob", 10)]


@pytest.fixture(scope="module")
def home(
    publish_below: Callable[[Path, Tables], Snapshot], tables: Tables, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with a snapshot and four runs, for all tests, which only read them."""
    home = tmp_path_factory.mktemp("home")
    snapshot = publish_below(home, tables)
    for name in ("ease", "bpr", "vbpr", "first_frame"):
        fast = FAST if name in ("bpr", "vbpr") else []
        train.main(["--model", name, "--snapshot", str(snapshot.path), "--runs", str(home / "runs"), *fast])
    return home


def run_of(home: Path, name: str) -> Path:
    (folder,) = (home / "runs").glob(f"{name}-toy-*")
    return folder


@pytest.fixture
def command(
    run_command: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: Path
) -> Callable[..., tuple[int, str, str]]:
    """Recommend with a run by its model's name, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda name, *options: run_command(recommend.app, run_of(home, name), *options, "--to", "out.parquet")


def table(pairs: list[tuple[str, int]] = HISTORY, users: str = "user_id", items: str = "movie_id") -> pl.DataFrame:
    return pl.DataFrame([(user, f"m{movie:02d}") for user, movie in pairs], schema=[users, items], orient="row")


def written(path: str, content: pl.DataFrame) -> list[str]:
    """Write a file of interactions as its name says; return the options that read it."""
    if path.endswith(".parquet"):
        content.write_parquet(path)
    else:
        content.write_csv(path, separator="\t" if ".tsv" in path else ",")
    return ["--interactions", path]


@pytest.mark.parametrize("path", ["new.parquet", "new.csv", "new.tsv", "user and item.csv", "named.csv"])
def test_a_file_of_any_kind_that_an_import_reads_gives_the_same_list(
    path: str, command: Callable[..., tuple[int, str, str]]
) -> None:
    assert command("ease", *written("usual.parquet", table()), "--k", "3")[0] == 0
    usual = read_table(Path("out.parquet"), Recommendation)
    names = {"user and item.csv": ("user", "item"), "named.csv": ("who", "what")}.get(path, ("user_id", "movie_id"))
    options = ["--user-column", "who", "--item-column", "what"] if path == "named.csv" else []
    status, out, err = command("ease", *written(path, table(HISTORY[::-1] + HISTORY, *names)), *options, "--k", "3")
    assert (status, err) == (0, "")
    assert "2 people with 5 interactions with known movies." in out
    assert "6 recommendations for 2 users: out.parquet" in out
    assert read_table(Path("out.parquet"), Recommendation).equals(usual)


@pytest.mark.parametrize("name", ["ease", "bpr", "vbpr"])
def test_nobody_is_recommended_what_they_have_watched(
    name: str, command: Callable[..., tuple[int, str, str]], home: Path
) -> None:
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    status, _, err = command(name, *written("new.csv", table()), "--k", "24")
    assert (status, err) == (0, "")
    found = read_table(Path("out.parquet"), Recommendation)
    assert found.join(table(), on=["user_id", "movie_id"]).is_empty()
    assert dict(found.group_by("user_id").len().iter_rows()) == {"amy": 21, "bob": 22}
    first = found.filter(rank=1).sort("user_id")["movie_id"].str.tail(2).cast(pl.Int64) % 3
    assert first.to_list() == [0, 1]  # the group that each of them watches
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before


def test_without_a_name_of_a_file_the_list_is_beside_the_run(
    run_command: Callable[..., tuple[int, str, str]], home: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(run_of(home, "ease"), tmp_path / "run")
    table().write_csv(tmp_path / "new.csv")
    status, out, _ = run_command(recommend.app, "--run", run, "--interactions", tmp_path / "new.csv")
    assert status == 0
    assert f"{run / 'new_people.parquet'}" in out
    assert (run / "new_people.parquet").is_file()
    assert not (run / "recommendations.parquet").exists()


def test_what_a_file_has_beside_known_movies_is_counted(command: Callable[..., tuple[int, str, str]]) -> None:
    rows = pl.concat(
        [table(), pl.DataFrame({"user_id": ["amy", "cas", "", "u03"], "movie_id": ["x", "y", "m00", "m01"]})]
    )
    status, out, _ = command("ease", *written("new.csv", rows))
    assert status == 0
    assert "1 of them are in the snapshot; their train interactions there count too." in out
    assert "2 of 8 interactions were left out: 2 movies are not in the snapshot, for example 'x'." in out
    assert "1 people were left out, for example 'cas': the snapshot has none of their movies" in out
    assert "1 rows were left out: no user or no item." in out


REFUSED = {
    "none known": (["ease"], pl.DataFrame({"user_id": ["a"], "movie_id": ["x"]}), "none of 1 is with an item of toy"),
    "no ids": (["ease"], pl.DataFrame({"user_id": [""], "movie_id": [""]}), "no row has both a user and an item"),
    "columns": (["ease"], pl.DataFrame({"who": ["a"], "movie_id": ["m00"]}), "--user-column"),
    "frames only": (["first_frame"], table(), "cannot recommend to people who were not in training"),
    "all watched": (["bpr"], table([("amy", movie) for movie in range(24)]), "have interacted with all of the 24"),
    "two choices": (["ease", "--user", "u03"], table(), "use one of them"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_gives_no_list_is_refused_in_one_line(case: str, command: Callable[..., tuple[int, str, str]]) -> None:
    (name, *options), content, words = REFUSED[case]
    status, _, err = command(name, *written("new.csv", content), *options)
    assert status in (1, 2)
    assert err.count("\n") == 1
    assert words in err
    assert not Path("out.parquet").exists()


def test_a_missing_file_is_named(command: Callable[..., tuple[int, str, str]]) -> None:
    status, _, err = command("ease", "--interactions", "nowhere.csv")
    assert (status, err.count("\n")) == (1, 1)
    assert "nowhere.csv" in err


def new_frames(tables: Tables, *frames: tuple[str, int]) -> pl.DataFrame:
    """Return frames of movies, each with the mean picture of a group."""
    every = tables.frame_features.join(tables.frames, on="frame_id").filter(pl.col("frame_id").str.ends_with("f0"))
    shown = every["feature"].to_numpy().astype("float32").reshape(8, 3, -1).mean(0)
    return pl.DataFrame(
        {
            "frame_id": [f"new-{number}" for number in range(len(frames))],
            "movie_id": [movie for movie, _ in frames],
            "feature": [(2 * shown[group]).astype("float16") for _, group in frames],
        },
        schema={"frame_id": pl.String, "movie_id": pl.String, "feature": tables.frame_features.schema["feature"]},
    )


def test_a_new_movie_is_scored_by_its_pictures_and_known_movies_keep_their_scores(
    command: Callable[..., tuple[int, str, str]], tables: Tables
) -> None:
    assert command("vbpr", "--k", "24")[0] == 0
    before = read_table(Path("out.parquet"), Recommendation)
    new_frames(tables, ("a-new-film", 0), ("m07-new", 1), ("zz", 2)).write_parquet("frames.parquet")
    status, out, err = command("vbpr", "--k", "27", "--frames", "frames.parquet")
    assert (status, err) == (0, "")
    assert "3 new movies were scored by their pictures alone; 90 recommendations are of them." in out
    after = read_table(Path("out.parquet"), Recommendation)
    both = before.join(after, on=["user_id", "movie_id"], suffix="_after", validate="1:1")
    assert both.height == before.height
    assert (both["score"] - both["score_after"]).abs().max() < 1e-4
    new = after.filter(pl.col("movie_id").is_in(["a-new-film", "m07-new", "zz"]))
    mean = new.group_by("movie_id", pl.col("user_id").str.tail(2).cast(pl.Int64) % 3).agg(pl.col("score").mean())
    best = mean.sort("score").group_by("movie_id", maintain_order=True).last().sort("movie_id")
    assert best["user_id"].to_list() == [0, 1, 2]  # the people of the group that the pictures show


def test_new_people_are_recommended_new_movies(command: Callable[..., tuple[int, str, str]], tables: Tables) -> None:
    new_frames(tables, ("a-new-film", 0)).write_parquet("frames.parquet")
    interactions = pl.concat([table(), pl.DataFrame({"user_id": ["bob"], "movie_id": ["a-new-film"]})])
    status, out, _ = command("vbpr", *written("new.csv", interactions), "--frames", "frames.parquet", "--k", "25")
    assert status == 0
    assert "not in the snapshot" not in out
    found = read_table(Path("out.parquet"), Recommendation).filter(movie_id="a-new-film")
    assert found["user_id"].to_list() == ["amy"]


@pytest.mark.parametrize("name", ["ease", "bpr"])
def test_a_model_that_reads_no_pictures_has_no_score_for_a_new_movie(
    name: str, command: Callable[..., tuple[int, str, str]], tables: Tables
) -> None:
    new_frames(tables, ("m00", 0), ("a-new-film", 0)).write_parquet("frames.parquet")
    status, _, err = command(name, "--frames", "frames.parquet")
    assert (status, err.count("\n")) == (2, 1)
    assert f"{name} has no score for an item by its pictures alone: 1 items of the new frames" in err
    assert "'a-new-film'; leave them out, or use a run of jifr, " in err


def test_python_recommends_to_new_people_too(publish_tables: Callable[[Tables], Snapshot], tables: Tables) -> None:
    data = api.load(publish_tables(tables))
    found = api.recommend_to_new(api.train("ease", data), data, table(), n=2)
    assert found["user_id"].to_list() == ["amy", "amy", "bob", "bob"]
