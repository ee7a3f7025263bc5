"""The commands and examples for data of one's own: import, build, publish, read, train, compare."""

import re

import numpy as np
import pytest
import requests
from moto.server import ThreadedMotoServer
from PIL import Image
from printed import NOT_RUN, OWN_DATA, OWN_VECTORS, ROOT, Folder, blocks, bring_ratings, commands


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """The folder after the README's commands for data of one's own: a published snapshot and two trained models."""
    folder = Folder(tmp_path_factory.mktemp("mine"))
    bring_ratings(folder.path)
    *stages, train = OWN_DATA
    told = [folder.here(command) for command in stages]
    assert "Published mine v0001" in told[-1]
    folder.here(train)
    folder.here(train, "--model bpr")
    return folder


def test_vectors_of_ones_own_take_the_place_of_an_extraction_in_three_lines(folder):
    bring_ratings(folder.path)
    np.save(folder.path / "clip.npy", np.random.default_rng(0).standard_normal((20, 512), np.float32))
    (folder.path / "items.txt").write_text("\n".join(map(str, range(20))))
    for command in OWN_DATA[:2]:
        folder.here(command)
    imported, published, _ = [folder.here(command) for command in OWN_VECTORS]
    assert "Imported 20 of 20 vectors" in imported
    assert "Published mine v0001" in published
    assert list(folder.path.glob("data/runs/vbpr-mine-v0001-0-*/model.pt"))


def test_a_snapshot_is_described_exported_and_read_by_other_libraries(mine):
    making = re.compile(" (import|pictures|build) ")
    printed = [line for line in commands(ROOT / "dataset" / "README.md") if not making.search(line)]
    export, listing, show, verify, *others = printed
    for command in (export, show, verify, *(line for line in others if " risk " in line)):
        mine.here(command)
    assert "mine" in mine.here(listing)
    read = blocks(ROOT / "dataset" / "README.md", "python")[0].replace("sandbox", "mine")
    (mine.path / "read.py").write_text(
        f"{read}print(len(features), len(likes), popular[0][1] >= popular[-1][1], len(train))\n"
    )
    n_features, n_likes, is_ranked, n_train = mine.shell("python read.py").split()
    assert (n_features, n_likes, is_ranked) == ("20", "0", "True")
    assert 0.6 < int(n_train) / (30 * 20 * 0.7) < 0.8


def test_pictures_that_say_nothing_are_shown_and_left_out(folder):
    bring_ratings(folder.path)
    Image.new("RGB", (64, 48)).save(folder.path / "posters" / "3.jpg")
    folder.here(OWN_DATA[0])
    printed = commands(ROOT / "dataset" / "README.md")
    (show,) = (line for line in printed if " pictures " in line)
    (build,) = (line for line in printed if "--drop-placeholders" in line)
    assert "1 of 20 pictures say nothing" in folder.here(show)
    assert (folder.path / "contact-sheet.png").is_file()
    assert "dropped from frames: 1 (placeholder: picture blank)" in folder.here(build)


def test_a_data_set_is_imported_by_its_name(folder):
    (folder.path / "ml-latest-small").mkdir()
    (folder.path / "ml-latest-small" / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,9,5,1147880044\n")
    listed, imported = (line for line in commands(ROOT / "dataset" / "README.md") if "--recipe" in line)
    assert "movielens-latest-small: MovieLens Latest Small" in folder.here(listed)
    assert "the published data set has 610 users, this one 1" in folder.here(imported)


def test_a_published_split_is_imported_and_built(folder):
    pairs = {"train": [(0, 1), (0, 2), (1, 1)], "test": [(0, 3), (1, 2)]}
    rows = [f"{user},{item},{2 * (split == 'test')}" for split in pairs for user, item in pairs[split]]
    (folder.path / "ml-latest-small").mkdir()
    (folder.path / "ml-latest-small" / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\n1,296,0.5,1147880044\n"
    )
    (folder.path / "interactions.csv").write_text("\n".join(["user,item,x_label", *rows]))
    for split, name in (("train", "u1.base"), ("test", "u1.test")):
        lines = [f"{user}\t{item}\t5\t88125094{item}\n" for user, item in pairs[split]]
        (folder.path / name).write_text("".join(lines))
    (folder.path / "train.txt").write_text("0 1 2\n1 1\n")
    (folder.path / "test.txt").write_text("0 3\n1 2\n")
    printed = commands(ROOT / "dataset" / "README.md")
    imports = [line for line in printed if "x_label" in line or " --test " in line]
    (build,) = (line for line in printed if "--split given" in line)
    for command in imports:
        assert "3 train, 2 test" in folder.here(command)
    assert "kept 3 of 3 train, 2 of 2 test pairs" in folder.here(build)


def test_the_python_example(mine, monkeypatch):
    example = blocks(ROOT / "README.md", "python")[0]
    small = example.replace("sandbox/v0001", "mine/v0001").replace("seed=0)", 'seed=0, settings={"epochs": 1})')
    assert small.count("mine") == small.count('"epochs": 1') == 1
    monkeypatch.syspath_prepend(ROOT / "flows" / "public")
    monkeypatch.chdir(mine.path)
    names = {}
    exec(small, names)
    assert set(names["dk"].recommend(names["run"], names["data"], n=2)["rank"]) == {1, 2}


def test_the_models_commands(mine):
    jifr, bpr = (next(mine.path.glob(f"data/runs/{model}*")).name for model in ("jifr", "bpr"))
    printed = [line for line in commands(ROOT / "model" / "README.md") if line not in NOT_RUN]
    train, experiment, study, tune, runs, evaluate, compare, recommend, bundle, verify, leaderboard = printed
    assert {train, experiment} <= {*commands(ROOT / "flows" / "README.md")}  # run there
    (example,) = blocks(ROOT / "model" / "README.md", "toml")
    small = example.replace("trials = 6", "trials = 2").replace("patience = 20", "epochs = 1")
    (mine.path / "study.toml").write_text(small)
    told = mine.here(study)
    for name in ("bpr", "vbpr", "jifr"):
        assert f"Chosen for {name} on validation, best of 2 trials" in told
    assert (mine.path / "data/experiments/study/mine-v0001/report.html").is_file()
    mine.here(bundle)
    assert "confirmed for mine v0001" in mine.here(verify)
    assert "study-mine-v0001.zip: verified" in mine.here(leaderboard)
    mine.here(tune)
    assert jifr in mine.here(runs)
    mine.here(evaluate, run=jifr)
    mine.here(evaluate, run=bpr)
    mine.here(compare, A=jifr, B=bpr)
    mine.here(recommend, run=jifr)
    assert (mine.path / "data/runs" / jifr / "recommendations.parquet").is_file()


def test_snapshots_on_s3(mine, s3_environment, monkeypatch):
    build = OWN_DATA[1]
    printed = commands(ROOT / "dataset" / "README.md")
    publish, diff, pull = (line for line in printed if "s3://" in line)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in s3_environment(f"http://{host}:{port}").items():
        monkeypatch.setenv(name, value)
    try:
        assert requests.put(f"http://{host}:{port}/bucket", timeout=30).ok
        mine.here(publish)
        mine.here(build, "--seed 1")
        mine.here(publish)
        assert "split.seed: 0 → 1" in mine.here(diff)
        assert "mine v0002" in mine.here(pull)
        assert "Published mine v0003" in mine.here(next(line for line in printed if "--publisher" in line))
    finally:
        server.stop()
