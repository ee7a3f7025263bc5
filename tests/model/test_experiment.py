"""The experiment and its report: every number asked again, missing parts said, killed runs gone on with."""

import itertools
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PillowImage

from dataset.errors import PipelineError, TrainingError, UsageError
from dataset.files import sha256_of_file
from dataset.report.numbers import NumberSource
from dataset.schema import Image
from dataset.snapshots.snapshot import Snapshot
from dataset.tables import read_table, write_table
from model.data.tables import Tables
from model.experiment import main
from model.experiments import experiment as experiment_module
from model.experiments import runner, workers
from model.experiments.config import ExperimentConfig
from model.experiments.experiment import run_experiment
from model.experiments.runner import Reporter
from model.report import page as page_module
from model.report.curves import metric_curves, moved_apart
from model.report.page import PAPER_GAINS
from model.schema import Case, CaseFrame, Comparison, Cost, Metric, Recommendation, UserMetric
from model.training.config import TrainingConfig

Publish = Callable[[Tables], Snapshot]
AskAgain = Callable[..., int]
SHORT = TrainingConfig(epochs=3)


def pictures_of(tables: Tables, raw: Path) -> Path:
    """Write a raw folder with one small picture for every frame."""
    raw.mkdir()
    PillowImage.new("RGB", (32, 20), "teal").save(raw / "p.png")
    columns = {
        "frame_id": tables.frames["frame_id"],
        "image_sha256": sha256_of_file(raw / "p.png"),
        "format": "png",
        "width_px": 32,
        "height_px": 20,
        "size_bytes": (raw / "p.png").stat().st_size,
        "path": "p.png",
    }
    types = {name: column.dtype for name, column in Image.columns().items()}
    write_table(pl.DataFrame(columns).cast(types), Image, raw / "images.parquet")
    return raw


def with_more_frames(tables: Tables) -> Tables:
    """Give every movie two more frames, so that choosing among them is hard enough for the gallery."""
    parts, features = [tables.frames], [tables.frame_features]
    for more in ("x", "y"):
        renamed = pl.concat_str(pl.col("frame_id"), pl.lit(more)).alias("frame_id")
        ends = pl.col("frame_id").str.ends_with("f1")
        parts.append(tables.frames.filter(ends).with_columns(renamed))
        assert tables.frame_features is not None
        features.append(tables.frame_features.filter(ends).with_columns(renamed))
    return replace(tables, frames=pl.concat(parts), frame_features=pl.concat(features))


def experiment(
    snapshot: Snapshot, folder: Path, *models: str, raw: Path | None = None, seeds: tuple[int, ...] = (0,)
) -> tuple[str, Path]:
    config = ExperimentConfig(models, seeds, SHORT, jobs=1, threads=1)
    report = run_experiment(snapshot, config, folder / "experiment", folder / "runs", raw)
    return report.read_text(encoding="utf-8"), report.parent


def asked(ask_again: AskAgain, page: str, snapshot: Snapshot, folder: Path) -> int:
    return ask_again(page, folder, snapshot.path, documents={"paper.json": PAPER_GAINS})


@pytest.fixture(scope="module")
def finished(
    publish_below: Callable[[Path, Tables], Snapshot], tables: Tables, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path, Snapshot]:
    """An experiment with pictures, two seeds and all kinds of models: the page, its folder and the snapshot."""
    folder, tables = tmp_path_factory.mktemp("finished"), with_more_frames(tables)
    snapshot, raw = publish_below(folder, tables), pictures_of(tables, folder / "raw")
    models = ("jifr", "jifr_visual", "jifr_rating", "jifr_na", "bpr", "popular", "random")
    page, experiment_folder = experiment(snapshot, folder, *models, raw=raw, seeds=(0, 1))
    return page, experiment_folder, snapshot


def test_every_number_of_the_report_is_found_again_in_the_tables(
    finished: tuple[str, Path, Snapshot], ask_again: AskAgain
) -> None:
    page, folder, snapshot = finished
    assert asked(ask_again, page, snapshot, folder) > 400
    assert read_table(folder / "metrics.parquet", Metric).select("model", "seed").n_unique() == 14
    assert read_table(folder / "costs.parquet", Cost)["n_epochs"].max() == 3
    assert read_table(folder / "comparisons.parquet", Comparison).height
    assert read_table(folder / "recommendations.parquet", Recommendation)["user_id"].n_unique() == 30
    with pytest.raises(AssertionError, match="the page shows"):
        asked(ask_again, re.sub(r">0\.\d{3}</data>", ">0.999</data>", page, count=1), snapshot, folder)
    sources = re.findall(r'(?:src|href)="(.*?)"', page)
    assert all(source.startswith(("data:", "#", "tables/", "charts/")) for source in sources)
    assert "Random weights." in page
    assert "; pictures: none" in page
    assert "does <strong>not</strong> beat" in page or page.count("more than chance</b>")


def test_the_gallery_shows_what_the_tables_say(finished: tuple[str, Path, Snapshot]) -> None:
    page, folder, _ = finished
    cases, frames = read_table(folder / "cases.parquet", Case), read_table(folder / "case_frames.parquet", CaseFrame)
    assert page.count('class="case"') == cases.height >= 2
    assert set(frames["model"]) == {"jifr", "jifr_visual", "jifr_rating", "jifr_na"}  # guessing shows no taste
    assert frames.filter(model="jifr").group_by("case").agg(pl.col("attention").sum())["attention"].to_list() == (
        pytest.approx([1.0] * cases.height, abs=1e-5)
    )
    judged = read_table(folder / "user_metrics.parquet", UserMetric).filter(
        pl.col("task").cast(pl.String) == "frame", metric="hr", k=1, model="jifr", seed=0
    )
    for case in cases.iter_rows(named=True):
        key = frames.filter(case=case["case"], model="jifr", rank=1)
        right = judged.filter(user_id=case["user_id"], movie_id=case["movie_id"])["value"][0] == 1
        assert key["is_liked"].item() == right
        assert case["n_alike"] <= case["n_pairs"] == judged.height


def test_a_browser_finds_charts_and_pictures_and_nothing_to_complain_of(
    finished: tuple[str, Path, Snapshot], look_at: Callable[[Path], dict[str, Any]]
) -> None:
    _, folder, _ = finished
    found = look_at(folder / "report.html")
    assert found.pop("charts") == 1 + 2 * (3 + 3)
    assert found.pop("images") > 20
    assert found == {
        "emptyCharts": 0,
        "namelessCharts": 0,
        "brokenImages": 0,
        "lazyImages": 0,
        "namelessImages": 0,
        "overlaps": [],
        "clipped": [],
        "outside": [],
        "silentTables": [],
        "complaints": [],
        "requests": [],
        "sideways": 0,
    }


@pytest.mark.parametrize(
    ("missing", "models", "words"),
    [
        ("likes", ("jifr", "bpr"), ["Key frames were not evaluated"]),
        ("features", ("jifr", "bpr"), ["Key frames were not evaluated"]),
        ("pictures and models", ("jifr",), ["picture not on disk", "Only one model was evaluated"]),
        ("validation", ("bpr", "random"), ["No model was validated"]),
        ("many frames", ("jifr", "bpr"), ["No gallery: ", "at least four frames, at most half of them liked"]),
    ],
)
def test_a_missing_part_is_said_and_does_not_stop_the_report(
    missing: str,
    models: tuple[str, ...],
    words: list[str],
    publish_tables: Publish,
    tables: Tables,
    ask_again: AskAgain,
    tmp_path: Path,
) -> None:
    tables = tables if missing == "many frames" else with_more_frames(tables)
    if missing in ("likes", "features"):
        tables = replace(tables, frame_likes=tables.frame_likes.head(0))
    if missing == "features":
        tables = replace(tables, frame_features=None)
    if missing == "validation":
        kept = pl.col("split").cast(pl.String) != "validation"
        likes = tables.frame_likes.filter(kept)
        tables = replace(tables, interactions=tables.interactions.filter(kept), frame_likes=likes)
    snapshot = publish_tables(tables)
    page, folder = experiment(snapshot, tmp_path, *models)
    assert all(said in page for said in words)
    assert asked(ask_again, page, snapshot, folder) > 40
    assert ("JIFR" in page.split('id="models"')[1].split("</table>")[0]) == ("jifr" in models and missing != "features")


def test_the_page_lists_the_models_that_were_left_out(publish_tables: Publish, tables: Tables, tmp_path: Path) -> None:
    page, _ = experiment(publish_tables(replace(tables, frame_features=None)), tmp_path, "bpr", "jifr", "vbpr")
    assert re.search(r"Left out, because the snapshot has no frame features: JIFR, VBPR\.", page)


def test_a_column_that_would_repeat_another_is_left_out(finished: tuple[str, Path, Snapshot]) -> None:
    page, folder, _ = finished
    judged = read_table(folder / "metrics.parquet", Metric).filter(pl.col("task").cast(pl.String) == "item", k=15)
    same, full = (judged.filter(metric=name).sort("model", "seed")["value"] for name in ("ndcg", "full_ndcg"))
    assert same.to_list() == pytest.approx(full.to_list(), rel=1e-9)  # there are fewer movies than negatives
    assert "among all movies</th>" not in page
    assert "so the numbers are also those among all movies" in page


def test_a_model_in_grey_is_named_when_it_is_pointed_at_or_reached_with_the_keyboard(
    browser: Any, tmp_path: Path
) -> None:
    names = [f"model{n}" for n in range(12)] + ["<b>&\"'"]
    rows = [(name, 0, "item", "ndcg", k, n / 20 + k / 100, 0.1, 0.9) for n, name in enumerate(names) for k in (5, 15)]
    columns = ["model", "seed", "task", "metric", "k", "value", "ci_low", "ci_high"]
    numbers = NumberSource({"metrics.parquet": pl.DataFrame(rows, schema=columns, orient="row")}, {})
    chart = metric_curves(numbers, "item", "ndcg", "movies", None)
    css = (Path(page_module.__file__).parent / "templates/report.css").read_text(encoding="utf-8")
    (tmp_path / "page.html").write_text(f"<style>{css}</style>{chart.inline_svg()}", encoding="utf-8")
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    tab.goto((tmp_path / "page.html").as_uri())
    assert tab.locator(".model").count() == 13
    grey = tab.locator(".model.grey")
    assert grey.count() == 7
    opacity = "element => getComputedStyle(element.querySelector('text')).opacity"
    assert {grey.nth(n).evaluate(opacity) for n in range(7)} == {"0"}
    grey.nth(3).focus()
    assert grey.nth(3).evaluate(opacity) == "1"
    path = grey.nth(5).locator("path").first
    box = path.bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert grey.nth(5).evaluate(opacity) == "1"
    tab.close()


def test_titles_cannot_break_the_page(publish_tables: Publish, tables: Tables, tmp_path: Path) -> None:
    tables = with_more_frames(tables)
    named = replace(tables, movies=tables.movies.with_columns(title=pl.lit('"><script>alert(1)</script>')))
    page, _ = experiment(publish_tables(named), tmp_path, "jifr", raw=pictures_of(tables, tmp_path / "raw"))
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_what_is_done_is_not_done_again_and_other_settings_are(
    publish_tables: Publish, tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiment_module, "write_report", lambda folder, *_: folder / "experiment.json")
    snapshot = publish_tables(tables)
    _, folder = experiment(snapshot, tmp_path, "bpr", "random")
    before = read_table(folder / "metrics.parquet", Metric)
    did: list[str] = []
    train_and_evaluate = runner.train_and_evaluate
    monkeypatch.setattr(
        runner, "train_and_evaluate", lambda task, *on: (did.append(task.model_name), train_and_evaluate(task, *on))
    )
    experiment(snapshot, tmp_path, "bpr", "random")
    assert did == []
    _, folder = experiment(snapshot, tmp_path, "bpr", "popular", "random")
    assert did == ["popular"]
    assert read_table(folder / "metrics.parquet", Metric).filter(pl.col("model") != "popular").equals(before)
    config = ExperimentConfig(("bpr",), (0,), TrainingConfig(epochs=4), jobs=1, threads=1)
    run_experiment(snapshot, config, tmp_path / "experiment", tmp_path / "runs", None)
    assert did == ["popular", "bpr"]


def test_a_run_that_fails_does_not_take_the_others_with_it(
    publish_tables: Publish, tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_and_evaluate = runner.train_and_evaluate

    def fail(task: Any, *on: Any) -> None:
        if task.model_name == "bpr":
            raise TrainingError("training: the loss of epoch 1 is nan")
        train_and_evaluate(task, *on)

    monkeypatch.setattr(runner, "train_and_evaluate", fail)
    with pytest.raises(PipelineError, match=r"1 of 2 runs failed \(bpr, seed 0\).*the finished runs are kept"):
        experiment(publish_tables(tables), tmp_path, "bpr", "random")
    assert list(tmp_path.glob("runs/random-toy-v0001-0-*/done.json"))


def test_a_run_that_fails_in_its_process_does_not_stop_the_others(
    publish_tables: Publish, tables: Tables, tmp_path: Path
) -> None:
    overflowing = TrainingConfig(epochs=3, learning_rate=1e38)
    config = ExperimentConfig(("bpr", "random"), (0,), overflowing, jobs=2, threads=1)
    with pytest.raises(
        PipelineError, match=r"1 of 2 runs failed \(bpr, seed 0\).*learning_rate.*the finished runs are kept"
    ):
        run_experiment(publish_tables(tables), config, tmp_path / "experiment", tmp_path / "runs", None)
    assert list(tmp_path.glob("runs/random-toy-v0001-0-*/done.json"))
    assert multiprocessing.active_children() == []


class Stop(Reporter):
    """Ends an experiment at its first epoch: by killing the processes of the runs, or by Ctrl-C."""

    def __init__(self, how: str) -> None:
        self.how, self.epochs = how, 0

    def epoch(self, task: Any, epoch: Any) -> None:
        self.epochs += 1
        if self.how == "ctrl-c":
            raise KeyboardInterrupt
        for child in multiprocessing.active_children():
            os.kill(int(child.pid or 0), signal.SIGKILL)


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [("kill", PipelineError, "a run's process was killed.*with fewer --jobs"), ("ctrl-c", KeyboardInterrupt, None)],
)
def test_a_killed_process_and_ctrl_c_end_the_experiment_and_leave_no_process(
    how: str, error: type[BaseException], words: str | None, publish_tables: Publish, tables: Tables, tmp_path: Path
) -> None:
    config = ExperimentConfig(("bpr",), (0, 1), TrainingConfig(epochs=100_000, patience=100_000), jobs=2, threads=1)
    stop = Stop(how)
    with pytest.raises(error, match=words):
        run_experiment(publish_tables(tables), config, tmp_path / "experiment", tmp_path / "runs", None, stop)
    assert stop.epochs >= 1
    assert multiprocessing.active_children() == []


def test_ctrl_c_never_reaches_a_worker_not_even_while_it_starts() -> None:
    with workers.open_workers(1, 1) as opened:
        pool = opened._started()
        with workers._without_ctrl_c():
            held_back = pool.submit(signal.pthread_sigmask, signal.SIG_BLOCK, [])
        assert signal.SIGINT in held_back.result()
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_an_experiment_killed_at_work_goes_on_and_ends_as_if_it_had_not_been(
    publish_tables: Publish, tables: Tables, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    snapshot = publish_tables(tables)
    arguments = ["--models", "random,bpr", "--seeds", "0,1", "--set", "epochs=40", "--set", "patience=40"]
    arguments += ["--threads", "1", "--snapshot", str(snapshot.path)]
    places = ["--to", str(tmp_path / "killed"), "--runs", str(tmp_path / "runs")]
    command = [sys.executable, "-m", "model.experiment", *arguments, "--jobs", "2", *places]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not list((tmp_path / "runs").glob("*/done.json")) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").glob("*/done.json")}
    assert 1 <= len(done) <= 4
    main([*arguments, "--jobs", "1", *places])
    assert len(re.findall(r"\[\d/4\]", capsys.readouterr().err)) == 4 - len(done)
    assert all(path.stat().st_mtime_ns == at for path, at in done.items())
    main([*arguments, "--jobs", "1", "--to", str(tmp_path / "at-once"), "--runs", str(tmp_path / "others")])
    killed, at_once = (read_table(tmp_path / name / "metrics.parquet", Metric) for name in ("killed", "at-once"))
    assert killed.equals(at_once)


def test_an_unknown_model_or_seed_is_refused_before_anything_runs(
    publish_tables: Publish, tables: Tables, tmp_path: Path
) -> None:
    snapshot = publish_tables(tables)
    with pytest.raises(UsageError, match="model 'best' is unknown; choose one of jifr"):
        experiment(snapshot, tmp_path, "popular", "best")
    assert not (tmp_path / "runs").exists()
    for option, value in (("--seeds", "0,one"), ("--jobs", "0"), ("--threads", "-1")):
        with pytest.raises(UsageError, match=rf"{option} .*; see python -m model\.experiment --help"):
            main([option, value, "--snapshot", str(snapshot.path)])
    for devices, told in (("gpu", "device 'gpu' is unknown"), ("cpu,cuda:99", "device 'cuda:99': this machine has")):
        with pytest.raises(UsageError, match=f"^--devices: {told}"):
            main(["--models", "popular", "--devices", devices, "--snapshot", str(snapshot.path)])
    assert not (tmp_path / "runs").exists()


def test_a_closed_form_has_one_epoch_not_one_epochs(
    publish_tables: Publish, tables: Tables, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = ["--to", str(tmp_path / "experiment"), "--runs", str(tmp_path / "runs")]
    main(
        ["--models", "ease", "--jobs", "1", "--threads", "1", "--snapshot", str(publish_tables(tables).path), *folders]
    )
    assert "ease, seed 0: 1 epoch in " in "".join(capsys.readouterr())


def test_models_that_need_features_alone_cannot_run_without_them(
    publish_tables: Publish, tables: Tables, tmp_path: Path
) -> None:
    snapshot = publish_tables(replace(tables, frame_features=None))
    with pytest.raises(UsageError, match=r"no frame features.*add a model that needs none, such as bpr"):
        experiment(snapshot, tmp_path, "jifr")


@given(st.lists(st.floats(0, 300), min_size=1, max_size=12), st.floats(1, 30))
def test_labels_are_moved_apart_and_stay_in_order(places: list[float], gap: float) -> None:
    moved = moved_apart(sorted(places), gap)
    assert len(moved) == len(places)
    assert all(after - before >= gap - 1e-6 for before, after in itertools.pairwise(moved))
    assert sum(moved) == pytest.approx(sum(places), abs=1e-6)
