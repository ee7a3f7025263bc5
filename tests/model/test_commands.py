"""The commands, run as a user runs them but in this process."""

import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import torch

from dataset.snapshots.snapshot import Snapshot, open_snapshot
from dataset.tables import read_table
from model import __main__ as program
from model import evaluate, recommend, train
from model.data.tables import Tables
from model.schema import Metric, Recommendation, Training, UserMetric

Publish = Callable[[Tables], Snapshot]
ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--set", "learning_rate=0.02", "--set", "batch_size=32"]


@pytest.fixture
def command(run_command: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Run a module's main with arguments in an empty working folder; return exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    return lambda module, *arguments: run_command(module.app, *arguments)


def _publish(publish_tables: Publish, tables: Tables, tmp_path: Path) -> Snapshot:
    publish_tables(tables)
    (tmp_path / "data").mkdir()
    (tmp_path / "snapshots").rename(tmp_path / "data" / "snapshots")
    return open_snapshot(tmp_path / "data" / "snapshots" / "toy" / "v0001")


def _only(runs: Path, model: str = "") -> Path:
    """Return the only run, or the only one of a model."""
    (folder,) = runs.glob(f"{model}*")
    return folder


@pytest.fixture(scope="module")
def trained(
    publish_below: Callable[[Path, Tables], Snapshot], tables: Tables, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A working folder with a snapshot and a run of JIFR and of the most popular, once for all tests that read them."""
    home = tmp_path_factory.mktemp("home")
    publish_below(home / "data", tables)
    for arguments in (["--epochs", "20", *SMALL], ["--model", "popular"]):
        snapshot = str(home / "data" / "snapshots" / "toy" / "v0001")
        train.main([*arguments, "--snapshot", snapshot, "--runs", str(home / "data" / "runs")])
    return home


def test_with_no_argument_it_trains_jifr_on_the_newest_snapshot_and_says_what_it_beat(
    command, publish_tables: Publish, tables: Tables, tmp_path: Path
) -> None:
    snapshot = _publish(publish_tables, tables, tmp_path)
    (tmp_path / "fast.toml").write_text("learning_rate = 0.02\nbatch_size = 32\nepochs = 60\n")
    status, out, err = command(train, "--config", "fast.toml", "--epochs", "25")
    assert status == 0, err
    assert "Training jifr on toy v0001: 30 users, 24 movies, 180 train interactions." in out
    assert "items: NDCG@15" in out
    assert out.count("beats random") == 2
    assert "beats most popular" in out
    folder = _only(tmp_path / "data" / "runs")
    config = json.loads((folder / "config.json").read_text())
    assert config["snapshot"]["content_digest"] == snapshot.content_digest
    assert config["provenance"] == {"source": "invented"}  # from a number back to the crawl
    assert config["dataset"]["split"]["seed"] == 0
    assert (config["training"]["epochs"], config["seed"], config["extractor"]["weights"]) == (25, 0, "random:0")
    assert read_table(folder / "training.parquet", Training).height <= 25
    assert set(read_table(folder / "validation_metrics.parquet", Metric)["task"].unique()) == {"item", "frame"}
    assert not (folder / "metrics.parquet").exists()  # test is for evaluate


def test_evaluate_and_recommend_write_their_tables(command, trained: Path, tables: Tables) -> None:
    folder = _only(trained / "data" / "runs", "jifr")
    status, out, err = command(evaluate, "--run", str(folder))
    assert (status, err) == (0, "")
    metrics = read_table(folder / "metrics.parquet", Metric)
    per_user = read_table(folder / "user_metrics.parquet", UserMetric)
    mean = per_user.filter(pl.col("metric") == "ndcg", k=15)["value"].mean()
    shown = metrics.filter(pl.col("metric") == "ndcg", k=15)["value"].item()
    assert shown == pytest.approx(mean)
    assert f"item NDCG@15  {shown:.4f}" in out

    status, out, err = command(recommend, "--run", str(folder), "--k", "4", "--user", "u03")
    assert (status, err) == (0, "")
    table = read_table(folder / "recommendations.parquet", Recommendation)
    assert table["rank"].to_list() == [1, 2, 3, 4]
    seen = tables.interactions.filter(split="train", user_id="u03")["movie_id"]
    assert not set(table["movie_id"]) & set(seen)
    assert table["score"].is_sorted(descending=True)
    frames = dict(tables.frames.select("frame_id", "movie_id").iter_rows())
    assert [frames[frame] for frame in table["key_frame_id"]] == table["movie_id"].to_list()


def test_new_pictures_of_known_movies_are_scored_without_training(command, trained: Path, tables: Tables) -> None:
    """The theme of a group's frames, without their noise, is what the group's users like best."""
    folder = str(_only(trained / "data" / "runs", "jifr"))
    every = tables.frame_features.join(tables.frames, on="frame_id").filter(pl.col("frame_id").str.ends_with("f0"))
    shown = every["feature"].to_numpy().astype("float32").reshape(8, 3, -1).mean(0)  # movie m has group m mod 3
    movies = [f"m{movie:02d}" for movie in range(24)]
    new = pl.DataFrame(
        {
            "frame_id": [f"new-{movie}" for movie in movies],
            "movie_id": movies,
            "feature": [(2 * shown[number % 3]).astype("float16") for number in range(24)],
        },
        schema={"frame_id": pl.String, "movie_id": pl.String, "feature": tables.frame_features.schema["feature"]},
    )
    new.write_parquet("new.parquet")
    status, out, err = command(recommend, "--run", folder, "--k", "1", "--frames", "new.parquet")
    assert (status, err) == (0, "")
    assert "24 new frames were scored; 30 recommendations have one of them as key frame." in out
    table = read_table(Path(folder) / "recommendations.parquet", Recommendation)
    assert (table["key_frame_id"] == "new-" + table["movie_id"]).all()
    for broken, words in (
        (new.with_columns(frame_id="m00f" + pl.int_range(24).cast(pl.String)), "3 of 24 are already in the snapshot"),
        (new.with_columns(feature=new["feature"].arr.head(3).list.to_array(3)), "extract both with the same extractor"),
        (
            new.with_columns(feature=pl.Series([[math.inf] * 16] * 24, dtype=new.schema["feature"])),
            "24 of 24 features are not finite",
        ),
        (new.drop("movie_id"), "new.parquet"),
    ):
        broken.write_parquet("new.parquet")
        status, _, err = command(recommend, "--run", folder, "--frames", "new.parquet")
        assert (status, err.count("\n")) == (1, 1)
        assert words in err


def test_models_without_visual_part_need_no_features_and_jifr_says_so_in_one_line(
    command, publish_tables: Publish, tables: Tables, tmp_path: Path
) -> None:
    _publish(publish_tables, replace(tables, frame_features=None), tmp_path)
    for name in ("bpr", "popular", "random"):
        status, _, err = command(train, "--model", name, "--epochs", "2", *SMALL)
        assert status == 0, err
    status, _, err = command(train)
    assert status == 1
    assert err.count("\n") == 1
    assert "no frame features" in err


@pytest.mark.parametrize(
    ("model", "asked", "said", "written"),
    [
        ("bpr", "auto", "Batches of 256 positives.", 256),
        ("lightgcn", "auto", "Batches of 2,048 positives.", 2048),
        ("bpr", "48", "Training bpr", 48),
        ("popular", "auto", "Without effect, as popular is not trained on pairs: epochs, batch_size", None),
    ],
)
def test_the_batch_size_is_said_and_written_into_the_run(
    model: str, asked: str, said: str, written: int | None, command, publish_tables, tables: Tables, tmp_path: Path
) -> None:
    _publish(publish_tables, tables, tmp_path)
    status, out, err = command(train, "--model", model, "--epochs", "1", "--batch-size", asked)
    assert status == 0, err
    assert said in out
    assert (
        json.loads((_only(tmp_path / "data" / "runs") / "config.json").read_text())["training"]["batch_size"] == written
    )


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--model", "svd"], 2, "model 'svd' is unknown; choose one of jifr, jifr_visual, jifr_rating, jifr_na, acf"),
        (
            ["--set", "visual_dims=3"],
            2,
            "setting 'visual_dims' is unknown; choose from attention_l2, batch_size, collaborative_dim",
        ),
        (["--model", "ease", "--set", "l3=1"], 2, "setting 'l3' is unknown; choose from l2, validation_k"),
        (
            ["--model", "ials", "--set", "l3=1"],
            2,
            "choose from dim, frequency_exponent, init_std, l2, patience, sweeps, unobserved_weight, validate_every",
        ),
        (["--model", "popular", "--set", "l2=1"], 2, "setting 'l2' is unknown; this model has no settings"),
        (["--set", "visual_dim=wide"], 2, "visual_dim='wide' is invalid: Input should be a valid integer"),
        (["--set", "learning_rate=-1"], 2, "Input should be greater than 0"),
        (["--set", "learning_rate=0"], 2, "Input should be greater than 0"),
        (["--set", "learning_rate=inf"], 2, "Input should be a finite number"),
        (["--set", "batch_size=0"], 2, "Input should be greater than or equal to 1"),
        (["--batch-size", "0"], 2, "Input should be greater than or equal to 1"),
        (["--batch-size", "automatic"], 2, "batch_size='automatic' is invalid: Input should be a valid integer"),
        (["--set", "patience=0"], 2, "Input should be greater than or equal to 1"),
        (["--set", f"batch_size={10**30}"], 2, "Input should be less than or equal to 9007199254740992"),
        (["--set", f"visual_dim={10**30}"], 2, "Input should be less than or equal to 9007199254740992"),
        (["--set", "visual_dim=0"], 2, "visual_dim='0' is invalid: Input should be greater than or equal to 1"),
        (["--set", "l2=-1"], 2, "l2='-1' is invalid: Input should be greater than or equal to 0"),
        (["--seed", "-1"], 2, "--seed '-1': Input should be greater than or equal to 0"),
        (["--seed", "9223372036854775807"], 2, "less than or equal to 9223372036854775806"),
        (["--threads", "0"], 2, "--threads '0': Input should be greater than or equal to 1"),
        (["--set", "visual_attention=some"], 2, "Input should be 'att' or 'avg'"),
        (["--set", "visual_dim"], 2, "write it as --set key=value"),
        (["--config", "none.toml"], 1, "none.toml: no such file"),
        (["--colour"], 2, "Unknown option: --colour"),
        (["--device", "tpu"], 2, "choose cpu or cuda"),
        (["--snapshot", "nowhere"], 1, "nowhere: not a snapshot"),
        ([], 1, "data/snapshots: no snapshot; create one with `make demo`"),
    ],
)
def test_wrong_input_ends_in_one_line_with_the_remedy(command, arguments: list[str], status: int, words: str) -> None:
    got, _, err = command(train, *arguments)
    assert got == status
    assert words in err
    assert err.count("\n") == 1


def test_a_run_folder_that_cannot_be_made_and_a_model_that_fits_no_memory_end_in_one_line(
    command, publish_tables: Publish, tables: Tables, tmp_path: Path
) -> None:
    _publish(publish_tables, tables, tmp_path)
    (tmp_path / "file").touch()
    status, _, err = command(train, "--model", "popular", "--runs", str(tmp_path / "file"))
    assert (status, err.count("\n")) == (1, 1)
    assert "file: cannot be written (File exists)" in err
    for too_large in (10**13, 2**53):
        status, _, err = command(train, "--model", "bpr", "--set", f"dim={too_large}")
        assert (status, err) == (
            1,
            "python -m model.train: out of memory; close other programs, or use smaller settings\n",
        )


def test_weights_of_another_version_s_model_are_refused_in_one_line(
    command, publish_tables: Publish, tables: Tables, tmp_path: Path
) -> None:
    _publish(publish_tables, tables, tmp_path)
    run_of_bpr = ("--model", "bpr", "--epochs", "2", *SMALL)
    command(train, *run_of_bpr)
    folder = _only(Path("data/runs"))
    weights = torch.load(folder / "model.pt", weights_only=True)
    digest = {"training_sha256": weights.pop("training_sha256")}
    torch.save({f"old_{name}": value for name, value in weights.items()} | digest, folder / "model.pt")
    status, _, err = command(evaluate, "--run", str(folder))
    assert (status, err.count("\n")) == (1, 1)
    assert "model.pt: does not fit this version's model" in err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"config": {"dim": 64, "tempo": 3}}, "config.json: setting 'tempo' is unknown; choose from dim, init_std, l2"),
        ({"config": {"dim": "wide"}}, "config.json: setting dim='wide' is invalid"),
        ({"model": "svd"}, "model 'svd' is unknown; choose one of jifr"),
        ({"seed": None}, "not a run (no readable config.json there)"),
        ({"snapshot": {}}, "not a run (no readable config.json there)"),
    ],
)
@pytest.mark.parametrize("judge", [evaluate, recommend])
def test_a_run_of_another_versions_settings_is_refused_in_one_line(
    command, judge, change: dict[str, object], words: str, trained: Path, tmp_path: Path
) -> None:
    config = json.loads((_only(trained / "data/runs", "popular") / "config.json").read_text("utf-8"))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.pt").touch()
    (tmp_path / "run" / "config.json").write_text(json.dumps(config | {"model": "bpr"} | change))
    status, _, err = command(judge, "--run", "run")
    assert (status, err.count("\n")) == (1 if "svd" not in words else 2, 1)
    assert words in err


@pytest.mark.parametrize("judge", [evaluate, recommend])
def test_a_device_that_is_not_there_is_refused(command, judge, trained: Path) -> None:
    status, _, err = command(judge, "--run", str(_only(trained / "data/runs", "popular")), "--device", "tpu")
    assert status == 2
    assert "--device 'tpu' is unknown; choose cpu or cuda" in err


def test_a_user_who_is_named_twice_is_recommended_to_once(command, trained: Path, tables: Tables) -> None:
    user = tables.interactions["user_id"][0]
    run = ("--run", str(_only(trained / "data/runs", "popular")))
    status, out, err = command(recommend, *run, "--user", user, "--user", user, "--k", "3")
    assert status == 0, err
    assert "3 recommendations for 1 users" in out


def test_a_run_that_is_not_one_and_an_unknown_user_are_named(command, trained: Path) -> None:
    status, _, err = command(evaluate, "--run", "nowhere")
    assert (status, err) == (
        1,
        "python -m model.evaluate: nowhere: not a run (no readable config.json there); "
        "`python -m model.train` makes one\n",
    )
    status, _, err = command(recommend, "--run", str(_only(trained / "data/runs", "popular")), "--user", "nobody")
    assert status == 2
    assert "user 'nobody' is not in toy v0001 (30 users" in err


def test_the_commands_are_listed_and_run_from_one_program(command, trained: Path) -> None:
    status, out, err = command(program)
    assert (status, err) == (0, "")
    for name in ("train", "evaluate", "recommend", "experiment", "tune", "runs", "compare"):
        assert re.search(rf"\b{name} +\w+", out)
    status, out, err = command(program, "evaluate", "--run", str(_only(trained / "data/runs", "popular")))
    assert (status, err) == (0, "")
    assert "popular on toy v0001, test split:" in out
    status, _, err = command(program, "evaluate", "--nonsense", "x")
    assert (status, err.count("\n")) == (2, 1)
    assert "python -m model evaluate --help" in err


@pytest.mark.parametrize("name", ["model", "model.train", "model.experiment"])
def test_help_is_fast_because_it_imports_no_torch(name: str) -> None:
    code = f"import runpy, sys; sys.argv[1:] = ['--help']; runpy.run_module({name!r}, run_name='__main__')"
    code = f"import atexit, sys; atexit.register(lambda: print('torch' in sys.modules)); {code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.endswith("False\n")
