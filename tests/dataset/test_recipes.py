"""Recipes: each imports an invented file of its data set's shape, and refuses another in one line."""

import gzip
import json
import os
import pickle
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from recipe_shapes import COMMA, SHAPES, TABULAR, written

from dataset.__main__ import app
from dataset.recipes.recipe import known_recipes


@pytest.fixture
def command(run_command: Callable[..., Any]) -> Callable[..., Any]:
    """A function that runs `python -m dataset` with these arguments, in this process."""
    return partial(run_command, app)


MINE = """
title = "Mine"
about = "pairs"
item = "song"
page = "here"
citation = "me"
source = "me"
was_run = true
[ratings]
files = ["songs.csv"]
columns = ["who", "song"]
options = { user_column = "who", item_column = "song", has_header = true }
"""


def rows_of(raw: Path) -> set[tuple[str, str, float | None, str | None]]:
    rows = pl.read_parquet(raw / "ratings.parquet").with_columns(pl.col("rated_on").cast(pl.String))
    return set(rows.select("user_id", "movie_id", "stars", "rated_on").iter_rows())


def test_each_recipe_has_an_invented_data_set_of_its_shape() -> None:
    assert set(SHAPES) == set(TABULAR)


@pytest.mark.parametrize("name", TABULAR)
def test_a_data_set_is_imported_as_its_documentation_describes_it(
    name: str, command: Callable[..., Any], tmp_path: Path
) -> None:
    shape = SHAPES[name]
    folder = written(shape, tmp_path / "given")
    done = command("import", folder, "--recipe", name, "--to", tmp_path / "raw")
    assert done.returncode == 0, done.stderr
    assert rows_of(tmp_path / "raw") == shape.rows
    movies = pl.read_parquet(tmp_path / "raw" / "movies.parquet")
    titles = dict(movies.select("movie_id", "title").iter_rows())
    assert {item: titles[item] for item in shape.titles} == shape.titles
    assert pl.read_parquet(tmp_path / "raw" / "quarantine.parquet").is_empty()
    recipe = known_recipes()[name]
    told = json.loads((tmp_path / "raw" / "provenance.json").read_text("utf-8"))["recipe"]
    assert (told["name"], told["citation"]) == (name, recipe.citation)
    for number in (recipe.expected.ratings, recipe.expected.users) if recipe.expected else ():
        assert number is None or f"the published data set has {number:,} " in done.stdout
    assert "Next: python -m dataset build --raw" in done.stdout


@pytest.mark.parametrize("name", TABULAR)
def test_the_file_of_the_ratings_can_be_given_itself(name: str, command: Callable[..., Any], tmp_path: Path) -> None:
    folder = written(SHAPES[name], tmp_path / "given")
    file = folder / next(iter(SHAPES[name].files))
    assert command("import", file, "--recipe", name, "--to", tmp_path / "raw").returncode == 0
    assert rows_of(tmp_path / "raw") == SHAPES[name].rows


@pytest.mark.parametrize("name", TABULAR)
def test_another_file_is_refused_in_one_line_that_says_what_was_expected(
    name: str, command: Callable[..., Any], tmp_path: Path
) -> None:
    folder = written(SHAPES[name], tmp_path / "given")
    (folder / next(iter(SHAPES[name].files))).write_text(SHAPES[name].wrong)
    done = command("import", folder, "--recipe", name, "--to", tmp_path / "raw")
    assert (done.returncode != 0, done.stderr.count("\n")) == (True, 1)
    assert f"the recipe {name} expects " in done.stderr
    for column in known_recipes()[name].ratings.columns:
        assert column in done.stderr
    assert not (tmp_path / "raw" / "ratings.parquet").exists()


@pytest.mark.parametrize("name", TABULAR)
def test_a_folder_without_the_file_is_refused_with_what_it_has(
    name: str, command: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "notes.md").write_text("hello")
    done = command("import", tmp_path / "given", "--recipe", name, "--to", tmp_path / "raw")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert known_recipes()[name].ratings.files[0] in done.stderr
    assert "it has 'notes.md'" in done.stderr or "it has notes.md" in done.stderr


def test_yambda_is_read_from_parquet_without_its_relative_times(command: Callable[..., Any], tmp_path: Path) -> None:
    # Source: the dataset card of yandex/yambda: uid, timestamp, item_id, is_organic; flat/50m/likes.parquet.
    columns = {"uid": [10, 20], "timestamp": [15_929_455, 18_111_700], "item_id": [6_928_395, 7], "is_organic": [1, 0]}
    (tmp_path / "yambda" / "flat" / "50m").mkdir(parents=True)
    pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.UInt32)).write_parquet(
        tmp_path / "yambda" / "flat" / "50m" / "likes.parquet"
    )
    done = command("import", tmp_path / "yambda", "--recipe", "yambda-50m", "--to", tmp_path / "raw")
    assert done.returncode == 0, done.stderr
    assert rows_of(tmp_path / "raw") == {("10", "6928395", None, None), ("20", "7", None, None)}
    assert "times are seconds since an unknown start" in done.stdout
    pl.DataFrame({"user": [1], "item": [2]}).write_parquet(tmp_path / "other.parquet")
    done = command("import", tmp_path / "other.parquet", "--recipe", "yambda-50m", "--to", tmp_path / "raw2")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "the recipe yambda-50m expects flat/50m/likes.parquet" in done.stderr


def test_covers_beside_the_ratings_become_frames(command: Callable[..., Any], tmp_path: Path) -> None:
    folder = written(SHAPES["microlens-50k"], tmp_path / "given")
    done = command("import", folder, "--recipe", "microlens-50k", "--to", tmp_path / "raw")
    assert "no folder MicroLens-50k_covers there" in done.stdout
    (folder / "MicroLens-50k_covers").mkdir()
    Image.new("RGB", (40, 60), "red").save(folder / "MicroLens-50k_covers" / "9580.jpg")
    assert command("import", folder, "--recipe", "microlens-50k", "--to", tmp_path / "raw").returncode == 0
    assert pl.read_parquet(tmp_path / "raw" / "frames.parquet")["movie_id"].to_list() == ["9580"]


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_covers_may_stay_packed(kind: str, command: Callable[..., Any], tmp_path: Path) -> None:
    folder = written(SHAPES["microlens-50k"], tmp_path / "given")
    (tmp_path / "covers").mkdir()
    Image.new("RGB", (40, 60), "red").save(tmp_path / "covers" / "9580.jpg")
    shutil.make_archive(str(folder / "MicroLens-50k_covers"), kind, tmp_path, "covers")
    done = command("import", folder, "--recipe", "microlens-50k", "--to", tmp_path / "raw")
    assert "files of pictures: 1 = 1 pictures (they stay in 1 file) + 0 dropped" in done.stdout
    assert pl.read_parquet(tmp_path / "raw" / "frames.parquet")["movie_id"].to_list() == ["9580"]


def test_tradesys_compressed_file_and_vectors_are_read(
    command: Callable[..., Any], run_command: Callable[..., Any], tmp_path: Path
) -> None:
    from features.__main__ import app as features

    lists = [
        {"lists": {"bought": [str(n), "9"], "want": [], "selling": [], "sold": []}, "uid": str(n)} for n in range(9)
    ]
    (tmp_path / "tradesy.json.gz").write_bytes(gzip.compress("\n".join(map(str, lists)).encode()))
    vectors = np.random.default_rng(0).random((10, 4096), dtype=np.float32)
    records = (str(item).encode().ljust(10) + vector.tobytes() for item, vector in enumerate(vectors))
    (tmp_path / "image_features_tradesy.b").write_bytes(b"".join(records))
    done = command("import", tmp_path, "--recipe", "tradesy", "--to", tmp_path / "raw")
    assert done.returncode == 0, done.stderr
    following = [line.removeprefix("Next: python -m ").split() for line in done.stdout.splitlines() if "Next:" in line]
    assert [words[:2] for words in following] == [["dataset", "build"], ["features", "import"]]
    following[0][following[0].index("--k-user") + 1] = "0"
    for package, *arguments in following:
        done = run_command(app if package == "dataset" else features, *arguments)
        assert done.returncode == 0, done.stderr
    assert pl.read_parquet(tmp_path / "dataset" / "frame_features.parquet").height == 10


@pytest.mark.parametrize(
    "line",
    [
        "__import__('os').system('touch ran')",
        "{'uid': '1', 'lists': {'bought': [__import__('os').system('touch ran')], 'want': []}}",
        "[" * 5000,
        "{'uid': '1', 'lists': []}",
        "{'uid': 1.5, 'lists': {'bought': [], 'want': []}}",
        "{'uid': '\\ud800', 'lists': {'bought': [], 'want': []}}",
        "{'uid': '1', 'lists': {'bought': [" + "1, " * 400_000 + "], 'want': []}}",
        "just text",
    ],
)
def test_a_line_that_is_no_dictionary_of_constants_is_refused_and_runs_no_code(
    line: str, command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tradesy.json").write_text("{'uid': 1, 'lists': {'bought': [2], 'want': []}}\n\n" + line + "\n")
    done = command("import", tmp_path / "tradesy.json", "--recipe", "tradesy", "--to", tmp_path / "raw")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "line 3 is no dictionary of Tradesy's form" in done.stderr
    assert not (tmp_path / "ran").exists()


class Harmful:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return (os.mkdir, ("ran",))


@pytest.mark.parametrize("place", ["TRAIN_DEV", "original_take/TRAIN_DEV", "IMGREST/original_take/TRAIN_DEV"])
def test_a_pickle_is_never_opened_and_the_error_says_how_to_convert_it(
    place: str, command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (place, place.replace("TRAIN_DEV", "TEST")):
        (tmp_path / "gijon" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "gijon" / name).write_bytes(pickle.dumps(Harmful(), protocol=4))
    done = command("import", tmp_path / "gijon", "--recipe", "elvis", "--to", tmp_path / "raw")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "is a Python pickle" in done.stderr
    assert "never opened here" in done.stderr
    assert "pandas.read_pickle(n)" in done.stderr
    assert not (tmp_path / "ran").exists()


def mmrec_pairs(file: Path) -> dict[str, set[tuple[str, str]]]:
    """The pairs of each split that MMRec reads: it drops held-out rows of users without a train row.

    Source: MMRec, `RecDataset.split` in src/utils/dataset.py, with `filter_out_cod_start_users`, on by default.
    """
    rows = pl.read_csv(file, separator="\t", infer_schema=False)
    known = rows.filter(pl.col("x_label") == "0")["userID"].unique().implode()
    rows = rows.filter(pl.col("userID").is_in(known))
    parts = {
        name: rows.filter(pl.col("x_label") == label)
        for name, label in (("train", "0"), ("validation", "1"), ("test", "2"))
    }
    return {name: set(part.select("userID", "itemID").iter_rows()) for name, part in parts.items()}


def test_mmrecs_three_files_give_the_pairs_and_vectors_that_mmrec_reads(
    command: Callable[..., Any], run_command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from features.__main__ import app as features

    rng = np.random.default_rng(0)
    pairs = sorted({(int(u), int(i)) for u, i in rng.integers(0, (30, 12), (200, 2))})
    labels = ["0" if n % 10 < 7 else "1" if n % 10 < 8 else "2" for n in range(len(pairs))]
    labels = ["2" if user in (3, 4) else label for (user, _), label in zip(pairs, labels, strict=True)]  # no train row
    rows = zip(pairs, labels, strict=True)
    lines = [f"{user}\t{item}\t4.0\t{1_370_000_000 + n}\t{label}" for n, ((user, item), label) in enumerate(rows)]
    folder = tmp_path / "baby"
    folder.mkdir()
    (folder / "baby.inter").write_text("userID\titemID\trating\ttimestamp\tx_label\n" + "\n".join(lines) + "\n")
    vectors = {name: rng.random((12, width), dtype=np.float32) for name, width in {"image": 6, "text": 4}.items()}
    for name, matrix in vectors.items():
        np.save(folder / f"{name}_feat.npy", matrix)
    done = command("import", folder, "--recipe", "mmrec-baby", "--to", tmp_path / "raw")
    assert done.returncode == 0, done.stderr
    following = [line.removeprefix("Next: python -m ").split() for line in done.stdout.splitlines() if "Next:" in line]
    assert [words[:2] for words in following] == [["dataset", "build"], ["features", "import"], ["features", "import"]]
    for package, *arguments in following:
        done = run_command(app if package == "dataset" else features, *arguments)
        assert done.returncode == 0, done.stderr
    interactions = pl.read_parquet(tmp_path / "dataset" / "interactions.parquet")
    expected = mmrec_pairs(folder / "baby.inter")
    assert all(user not in {"3", "4"} for user in interactions["user_id"])
    for split, known in expected.items():
        found = interactions.filter(pl.col("split") == split).select("user_id", "movie_id")
        assert set(found.iter_rows()) == known, split
    frames = pl.read_parquet(tmp_path / "dataset" / "frames.parquet").select("frame_id", "movie_id")
    features_of = pl.read_parquet(tmp_path / "dataset" / "frame_features.parquet").join(frames, on="frame_id")
    for item, vector in features_of.select("movie_id", "feature").iter_rows():
        np.testing.assert_allclose(vector, vectors["image"][int(item)], atol=1e-3)


def test_a_recipe_of_ones_own_is_a_file(command: Callable[..., Any], tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(MINE)
    (tmp_path / "songs.csv").write_text("who,song\na,b\n")
    assert command("import", tmp_path, "--recipe", mine, "--to", tmp_path / "raw").returncode == 0
    assert rows_of(tmp_path / "raw") == {("a", "b", None, None)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("title =", "titel ="), "titel"),
        (("[ratings]", "[ratings"), "not TOML"),
        (("user_column", "user_colunm"), "ratings.options: no field 'user_colunm'; there are encoding"),
        (('["songs.csv"]', "[]"), "ratings.files"),
        (("has_header = true", 'has_header = "maybe"'), "has_header"),
        (("was_run = true\n", ""), "was_run"),
        (("was_run = true", 'was_run = true\nthen = ["cat {file}"]'), "braces that are neither {folder} nor {dataset}"),
        (("was_run = true", "was_run = true\nthen = [\"awk '{print'\"]"), "braces that are neither"),
    ],
)
def test_a_wrong_recipe_is_an_error_of_one_line(
    change: tuple[str, str], said: str, command: Callable[..., Any], tmp_path: Path
) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(MINE.replace(*change))
    done = command("import", tmp_path, "--recipe", mine, "--to", tmp_path / "raw")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr
    assert "mine.toml" in done.stderr


def test_the_list_says_where_each_data_set_is_got_and_whom_to_cite(command: Callable[..., Any]) -> None:
    done = command("import", "--recipe", "list")
    assert (done.returncode, done.stderr) == (0, "")
    for name, recipe in known_recipes().items():
        assert f"{name}: {recipe.title}" in done.stdout
        assert recipe.page in done.stdout
        assert recipe.citation in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("x.csv", "--recipe", "movielens", "--to", "raw"), "no such recipe; there are amazon-2023"),
        (("x.csv", "--recipe", "nowhere.toml", "--to", "raw"), "nowhere.toml: cannot be read"),
        (("nowhere.csv", "--recipe", "movielens-25m", "--to", "raw"), "nowhere.csv: no such file"),
        (("--to", "raw"), "name the ratings file"),
        (("x.csv",), "with --to the raw folder"),
        (("x.csv", "--to", "raw", "--drop-cold-users"), "--drop-cold-users needs a published split"),
    ],
)
def test_what_cannot_be_imported_is_one_line(
    arguments: tuple[str, ...], said: str, command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.csv").write_text("user,item\na,b\n")
    done = command("import", *arguments)
    assert (done.returncode != 0, done.stderr.count("\n")) == (True, 1)
    assert said in done.stderr


def test_files_of_several_categories_are_not_guessed_from(command: Callable[..., Any], tmp_path: Path) -> None:
    for name in ("Baby.csv", "Sports.csv"):
        (tmp_path / name).write_text(COMMA + "A,B,5.0,1523092443644\n")
    done = command("import", tmp_path, "--recipe", "amazon-2023", "--to", tmp_path / "raw")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "2 files are named like *.csv, such as Baby.csv and Sports.csv" in done.stderr


def test_an_option_replaces_what_the_recipe_says(command: Callable[..., Any], tmp_path: Path) -> None:
    folder = written(SHAPES["kuairec"], tmp_path / "given")
    arguments = ("--rating-column", "watch_ratio", "--max-rating", "2")
    assert command("import", folder, "--recipe", "kuairec", *arguments, "--to", tmp_path / "raw").returncode == 0
    assert sorted(stars or 0 for _, _, stars, _ in rows_of(tmp_path / "raw")) == pytest.approx([3.1102075, 3.1834924])
