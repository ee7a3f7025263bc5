"""The benchmarks that most machines cannot run in earnest run here at toy sizes, every line of them."""

import ast
import importlib
import json
import os
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from crawler.worlds.presets import PRESETS

ROOT = Path(__file__).resolve().parents[1]
DATA = ("GOWALLA_DATA", "POSTERS_DATA")


def _bench(*names: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "tests/bench/run.py", *names], cwd=ROOT, capture_output=True, text=True, timeout=280,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_a_gpu_its_benchmark_says_so_and_ends_well() -> None:
    assert "no CUDA GPU" in _bench("gpu")


def test_the_gpu_benchmark_has_rows_for_every_model_evaluation_and_agreement() -> None:
    # `tests/features/test_gpu_benchmark.py` runs the rows of extraction.
    said = _bench("gpu", BENCH_GPU_DEVICE="cpu", BENCH_GPU_TINY="1", GPU_PARTS="training,agreement")
    for row in (
        "jifr, batches of",
        "acf, batches of",
        "bpr, batches of",
        "the paper's protocol",
        "jifr, NDCG@15 on",
        "kfr, NDCG@15 on",
    ):
        assert row in said


def test_the_benchmark_of_threads_has_a_row_for_each_number_of_threads() -> None:
    said = _bench("threads", BENCH_THREADS_TINY="1")
    assert said.count("1 threads") == 3


@pytest.mark.parametrize(("only", "needs_peers"), [("gpu", False), ("threads", False), ("kcore", True), ("", True)])
def test_benchmarks_without_peers_do_not_install_them(only: str, needs_peers: bool) -> None:
    planned = subprocess.run(
        ["make", "--dry-run", "--always-make", "bench", f"ONLY={only}"], cwd=ROOT, capture_output=True, text=True,
        timeout=60, check=True,
    )  # fmt: skip
    assert ("peers.txt" in planned.stdout) == needs_peers


def test_benchmarks_on_data_that_are_not_here_say_what_to_set_and_end_well() -> None:
    said = _bench("gowalla", "gowalla_long", "posters", **dict.fromkeys(DATA, ""))
    assert [said.count(f"left out; set {name} to the folder") for name in DATA] == [2, 1]


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_row_of_gowalla_is_kept_and_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At toy size: choose the penalty on the held-out part, train on all, evaluate; then the row is read."""
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "bench"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GOWALLA_DATA", str(tmp_path))
    gowalla = importlib.import_module("gowalla")
    pairs = [(user, item, (user + item) % 4 == 0) for user in range(30) for item in range(24) if (user * item) % 3]
    for name, is_test in (("train", False), ("test", True)):
        rows = [(user, item) for user, item, held_out in pairs if held_out == is_test]
        schema = {"user": pl.Int32, "item": pl.Int32}
        pl.DataFrame(rows, schema, orient="row").write_parquet(tmp_path / f"{name}.parquet")
        monkeypatch.setattr(gowalla, f"N_{name.upper()}", len(rows))
    row = gowalla.Row("bpr", (0.2, 0.1), "others", [{"l2": 0.1}, {"l2": 0.01}], epochs=10)
    subset = gowalla.Row("ease", (0.2, 0.1), "others", [{"l2": 1.0}], subset=12)
    first = [(result.what, result.ours) for result in gowalla.measure_rows([row, subset])]
    assert len(first) == 4
    assert all(0 < value <= 100 for _, value in first)
    monkeypatch.setattr(gowalla, "run_command", None)
    assert [(result.what, result.ours) for result in gowalla.measure_rows([row, subset])] == first
    kept = [json.loads(line) for line in Path("data/bench/gowalla/rows.jsonl").read_text().splitlines()]
    assert {"machine", "date", "seed", "seconds", "settings"} <= kept[0].keys()
    assert "epochs" in kept[0]["settings"]
    assert "epochs" not in kept[1]["settings"]  # a closed form has none


def test_the_readme_lists_every_row_and_every_peer_that_a_benchmark_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that are faster than this project."""
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "bench"))
    printed = importlib.import_module("printed_rows").table()
    readme = (ROOT / "tests" / "bench" / "README.md").read_text("utf-8")
    assert "\n".join(printed) in readme, (
        "write what `python tests/bench/printed_rows.py` prints into tests/bench/README.md"
    )
    for peer in ("DuckDB", "RecBole", "implicit (compiled)", "Cornac (compiled)", "Elliot's loop, restated"):
        assert any(line.endswith(f"| {peer} |") for line in printed)


def test_quick_reaches_the_settings_of_every_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "bench"))
    names, quick = importlib.import_module("printed_rows").names(), importlib.import_module("quick")
    assert sorted(quick.QUICK) == names
    for name in names:
        tree = ast.parse((ROOT / "tests" / "bench" / f"bench_{name}.py").read_text("utf-8"))
        targets = [target for one in tree.body if isinstance(one, ast.Assign) for target in one.targets]
        known = {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}
        assert set(quick.QUICK[name] or ()) <= known
    module = types.ModuleType("bench_kcore")
    monkeypatch.setenv("BENCH_QUICK", "")
    assert not hasattr(quick.make_quick(module), "SIZES")
    monkeypatch.setenv("BENCH_QUICK", "1")
    assert quick.QUICK["kcore"]["SIZES"] == quick.make_quick(module).SIZES


def test_a_benchmark_at_work_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "bench"))
    monkeypatch.setattr("dataset.progress.LINE_EVERY_S", 0.05)
    run, peers = importlib.import_module("run"), importlib.import_module("peers")

    def measure() -> Iterator[Any]:
        peers.running.append("the peer kcore")
        time.sleep(0.5)
        peers.running.pop()
        yield run.Result("a row", 1.0, "limit", 1.0, "s")

    module = types.ModuleType("bench_made")
    module.measure = measure  # type: ignore[attr-defined]
    assert [row.what for row in run._at_work("bench_made", module)] == ["a row"]
    assert "Measuring made: " in (said := capsys.readouterr().err)
    assert "the peer kcore is at work" in said


def _in_this_process(module: str, *arguments: object) -> None:
    name = f"{module}.__main__" if module in ("crawler", "dataset", "features") else module
    importlib.import_module(name).main(list(map(str, arguments)))


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_papers_tables_come_out_at_toy_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two small worlds: their snapshots, a model with its attentions and arms, a ranker; then the rows are kept."""
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "bench"))
    monkeypatch.chdir(tmp_path)
    asked = {"PRESET": "demo", "NETWORK": "drawn", "SEEDS": "5,6", "ARMS": "jifr_na", "EPOCHS": "1"}
    asked["MODELS"] = "jifr,jifr_visual,jifr_rating,jifr_na,bpr,random"
    for name, value in asked.items():
        monkeypatch.setenv(f"PAPER_{name}", value)
    for name in ("paper_worlds", "paper_table", "bench_paper"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    few = {"n_users": 90, "n_movies": 40, "mean_watched": 10, "likes_per_pair": 1.0}
    monkeypatch.setitem(PRESETS, "demo", replace(PRESETS["demo"], **few))
    monkeypatch.setattr("model.experiments.experiment.write_report", lambda folder, snapshot, raw: folder)
    bench, worlds = importlib.import_module("bench_paper"), importlib.import_module("paper_worlds")
    for module in (bench, worlds):
        monkeypatch.setattr(module, "run_command", _in_this_process)
    results = [(result.what, result.peer, result.ours) for result in bench.measure()]
    assert [(what, peer) for what, peer, _ in results] == [("jifr, NDCG@15", "bpr"), ("jifr, frames NDCG@3", "random")]
    table = (tmp_path / "data/bench/paper/table.md").read_text(encoding="utf-8")
    assert table.startswith("demo, version 1, generator 1; features: drawn\n")
    assert [table.count(f"seed {seed}, digest ") for seed in (5, 6)] == [1, 1]
    assert [table.count(f"\n| {model} |") for model in ("bpr", "jifr_visual", "jifr_na", "random")] == [1, 2, 3, 1]
    monkeypatch.setattr(bench, "run_command", None)
    assert [(result.what, result.peer, result.ours) for result in bench.measure()] == results


def test_a_bank_of_pictures_is_painted_and_projected_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "bench"))
    worlds = importlib.import_module("paper_worlds")
    features = np.random.default_rng(0).standard_normal((50, 3)) @ np.diag([5.0, 2.0, 0.0]) + 7
    reduced, share = worlds.principal(features.astype(np.float32), 2)
    centred = features - features.mean(0)
    assert share == pytest.approx(1)
    assert np.allclose(reduced @ reduced.T, centred @ centred.T, atol=1e-2)
    crops = worlds._painted(2, 3)
    assert crops.shape == (2, 224, 224, 3)
    assert (crops[0] != crops[1]).any()


def test_people_of_several_worlds_are_compared_as_those_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The two worlds have people of the same names; frames are judged for one model less."""
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "bench"))
    table = importlib.import_module("paper_table")
    rng = np.random.default_rng(0)
    better = {"jifr": 0.3, "jifr_visual": 0.2, "jifr_rating": 0.1, "jifr_na": 0.0, "bpr": 0.0}
    for world in (7, 8):
        rows = [
            {"model": model, "seed": world, "task": task, "metric": metric, "k": k, "user_id": f"u{user}",
             "movie_id": "m" if task == "frame" else "", "value": 0.4 + more + 0.1 * rng.random()}
            for model, more in better.items()
            for task, metric, k in (*table.COLUMNS.values(), ("item", "full_ndcg", 15), ("item", "ndcg", 5))
            for user in range(20)
            if task == "item" or model != "bpr"
        ]  # fmt: skip
        arm = [row | {"model": "jifr_na features=shuffled", "value": 0.1} for row in rows if row["model"] == "jifr_na"]
        (tmp_path / str(world)).mkdir()
        pl.DataFrame(rows + arm).cast({"k": pl.UInt32}).write_parquet(tmp_path / str(world) / "user_metrics.parquet")
    people = table.pooled({world: tmp_path / str(world) for world in (7, 8)})
    assert people["user_id"].n_unique() == 40
    assert len(people) == 40 * (4 * 6 - 2)
    models = people.filter(~pl.col("model").str.contains(" "))
    lines = table.main_table(models)
    order = [line.split(" | ")[0].strip("| ") for line in lines if line.startswith("| j")]
    assert order == ["jifr", "jifr_visual", "jifr_rating", "jifr_na"]
    assert next(line for line in lines if line.startswith("| bpr ")).count("p < 0.001; 0 of 2") == 2
    assert [line.count("%") for line in table.attention_table(models)[4:]] == [0, 2, 2, 2]
    (gain,) = table.pictures_table(people)[4:]
    assert gain.startswith("| jifr_na | +0.3")
    assert gain.count("p < 0.001") == 4
