"""Studies: a TOML file that is checked as a whole, searches on validation, and a report of what was chosen."""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from studies import SMALL, Command, require_refusal, write_study

from dataset.errors import UsageError
from dataset.snapshots.publish import publish
from dataset.snapshots.snapshot import Snapshot
from dataset.tables import read_table
from model import experiment, train, tune
from model.data.tables import Tables
from model.experiments import runner
from model.experiments.studies import searching
from model.experiments.studies.study import Shard
from model.experiments.studies.study_file import read_study
from model.schema import Comparison, Metric, Training, Tuning

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def command(study_command: Command) -> Command:
    return study_command


def test_a_study_tunes_on_validation_judges_on_test_and_says_what_it_chose(
    command, ask_again: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = write_study(SMALL)
    status, out, err = command(experiment, study, "--jobs", "1", "--threads", "1")
    assert status == 0, err
    assert "Chosen for jifr on validation, best of 2 trials: " in out
    folder = Path("data/experiments/small/toy-v0001")
    metrics = read_table(folder / "metrics.parquet", Metric)
    assert metrics.select("model", "seed").unique().height == 2 * 4
    assert set(metrics["model"]) == {"bpr", "jifr", "bpr small", "popular"}
    assert set(metrics.filter(pl.col("task").cast(pl.String) == "item")["k"]) == {5, 10}
    pairs = read_table(folder / "comparisons.parquet", Comparison)
    assert set(pairs["metric"]) == {"ndcg", "full_recall"}
    assert {frozenset(pair) for pair in pairs.select("model", "other").rows()} == {
        frozenset({"bpr", other}) for other in ("jifr", "bpr small", "popular")
    }
    described = json.loads((folder / "experiment.json").read_text())
    trials = read_table(folder / "tuning.parquet", Tuning)
    (chosen,) = described["chosen"]
    best = trials.filter(~pl.col("pruned")).sort("validation_ndcg", descending=True).row(0, named=True)
    assert (chosen["label"], chosen["settings"]) == ("jifr", json.loads(best["settings"]))
    ran = [run["config"] | run["training"] for run in described["runs"] if run["label"] == "jifr"]
    assert len(ran) == 2
    assert all(run.items() >= chosen["settings"].items() for run in ran)
    assert (folder / "study.toml").read_text() == described["study"]["text"] == SMALL
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Settings chosen on validation" in page
    assert "The study says that budgets are unequal" in page
    assert "NDCG@10" in page
    snapshot = Path("data/snapshots/toy/v0001")
    assert ask_again(page, folder, snapshot, documents={"paper.json": {}}) > 40
    did: list[str] = []
    monkeypatch.setattr(searching, "run_trial", lambda *_: did.append("trial"))
    monkeypatch.setattr(runner, "train_and_evaluate", lambda task, *on: did.append("run"))
    assert command(experiment, study, "--jobs", "1", "--threads", "1")[0] == 0
    assert did == []


def test_a_study_that_is_stopped_in_its_search_chooses_as_if_it_had_not_been(
    command, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = SMALL.replace("trials = 2", "trials = 3").replace("seeds = [0, 1]", "seeds = [0]")
    options = ["--jobs", "1", "--threads", "1", "--runs", "whole/runs", "--searches", "whole/searches"]
    assert command(experiment, write_study(text), *options, "--to", "whole/report")[0] == 0
    run_trial, number = searching.run_trial, iter(range(10))

    def stop_in_the_second(*arguments: Any) -> Any:
        if next(number) == 1:
            raise KeyboardInterrupt
        return run_trial(*arguments)

    options = ["--jobs", "1", "--threads", "1", "--runs", "stopped/runs", "--searches", "stopped/searches"]
    monkeypatch.setattr(searching, "run_trial", stop_in_the_second)
    assert command(experiment, write_study(text), *options, "--to", "stopped/report")[0] == 130
    assert not Path("stopped/runs").exists()
    monkeypatch.setattr(searching, "run_trial", run_trial)
    assert command(experiment, write_study(text), *options, "--to", "stopped/report")[0] == 0
    for table, schema in (("metrics", Metric), ("tuning", Tuning), ("training", Training)):
        whole, stopped = (
            read_table(Path(name) / "report" / f"{table}.parquet", schema) for name in ("whole", "stopped")
        )
        left_out = [name for name in ("seconds", "trial") if name in whole.columns]
        assert whole.drop(left_out).equals(stopped.drop(left_out)), table


def test_what_tune_has_found_is_what_a_study_takes(command) -> None:
    fast = ["--set", "epochs=2", "--threads", "1"]
    status, out, err = command(tune, "--model", "bpr", *fast, "--try", "dim=4,8", "--to", "found")
    assert status == 0, err
    assert 'In a study: config = "found/best.toml" below [models.bpr]' in out
    best = tomllib.loads(Path("found/best.toml").read_text())
    study = '[models.bpr]\nconfig = "found/best.toml"\n[models.other]\nconfig = "found/best.toml"\npatience = 3\n'
    pasted = "[models.third]\n" + Path("found/best.toml").read_text()
    read, _ = read_study(Path(write_study(study + pasted)))
    assert [model.label for model in read.models] == ["bpr", "bpr other", "bpr third"]
    assert all(model.configs(model.settings)[0].dim == best["dim"] for model in read.models)
    assert command(experiment, "small.toml", "--jobs", "1", "--threads", "1")[0] == 0
    status, out, _ = command(train, "--config", "found/best.toml")
    assert (status, "trained already" in out) == (0, True)  # the study's run


def test_a_search_of_other_values_leaves_the_first_one_and_more_trials_continue_it(command) -> None:
    asked = ["--model", "bpr", "--set", "epochs=1", "--threads", "1", "--try", "dim=4..8"]
    for options in (
        ["--trials", "1"],
        ["--trials", "2"],
        ["--trials", "1", "--prune"],
        ["--trials", "1", "--seed", "1"],
    ):
        assert command(tune, *asked, *options)[0] == 0
    heights = sorted(read_table(path, Tuning).height for path in Path("data/tuning").glob("*/trials.parquet"))
    assert heights == [1, 1, 2]
    assert command(tune, *asked, "--trials", "1")[0] == 0  # of more trials, the first ones count
    heights = sorted(read_table(path, Tuning).height for path in Path("data/tuning").glob("*/trials.parquet"))
    assert heights == [1, 1, 1]


def test_a_trial_that_is_worse_than_the_others_ends_early_and_is_not_chosen(command) -> None:
    tried = ["--try", "learning_rate=0.02,0.01,0.015,0.012,0.0000001", "--set", "batch_size=32", "--set", "epochs=12"]
    assert command(tune, "--model", "bpr", *tried, "--threads", "1", "--prune", "--to", "found")[0] == 0
    table = read_table(Path("found/trials.parquet"), Tuning)
    last = table.row(4, named=True)
    assert (table["pruned"].to_list(), last["epochs"], last["error"]) == ([False] * 4 + [True], 5, None)
    assert 0 < last["validation_ndcg"] < table["validation_ndcg"].max()
    assert command(tune, "--model", "bpr", *tried, "--threads", "1", "--to", "all")[0] == 0
    assert read_table(Path("all/trials.parquet"), Tuning)["epochs"].to_list() == [12] * 5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "models is missing; write at least one model, for example [models.bpr]"),
        ("[models]", "models: Dictionary should have at least 1 item"),
        ("[models.bpr", "not a TOML file"),
        ("seed = 1\n[models.bpr]", "unknown key 'seed'; choose from snapshots, features, seeds, training"),
        (
            "[models.bpr]\n[evaluation]\nprotocl = 'full'",
            "unknown key 'evaluation.protocl'; choose from protocol",
        ),
        ("[models.bpr]\n[statistics]\nalpha = 1", "unknown key 'statistics.alpha'; choose from n_bootstrap"),
        ("[models.bpr]\n[evaluation]\nprotocol = 'best'", "evaluation.protocol: Input should be 'exact', 'sampled' or"),
        ("[models.bpr]\n[evaluation]\nitem_ks = 10", "evaluation.item_ks: Input should be a valid list"),
        ("[models.bpr]\n[evaluation]\nitem_ks = []", "evaluation.item_ks: List should have at least 1 item"),
        (
            "[models.bpr]\n[evaluation]\nitem_ks = [0]",
            "evaluation.item_ks.0: Input should be greater than or equal to 1",
        ),
        ("[models.bpr]\n[evaluation]\nitem_ks = ['5']", "evaluation.item_ks.0: Input should be a valid integer"),
        ("seeds = 3\n[models.bpr]", "seeds: Input should be a valid list"),
        ("seeds = []\n[models.bpr]", "seeds: List should have at least 1 item"),
        ("seeds = [0, 0]\n[models.bpr]", "seeds has 0 twice; remove one of them"),
        ("seeds = [1.0]\n[models.bpr]", "seeds.0: Input should be a valid integer"),
        ("seeds = [true]\n[models.bpr]", "seeds.0: Input should be a valid integer"),
        ("seeds = [-1]\n[models.bpr]", "seeds.0: Input should be greater than or equal to 0"),
        ("snapshots = 'data'\n[models.bpr]", "snapshots: Input should be a valid list"),
        ("features = [1]\n[models.bpr]", "features.0: Input should be a valid string"),
        ("models = 3", "models: Input should be a valid dictionary"),
        ("[models]\nbpr = 3", "models.bpr: Input should be a valid dictionary"),
        ("[models.svd]", "models.svd: model 'svd' is unknown; choose one of jifr"),
        ("[models.mine]\nmodel = 'svd'", "models.mine: model 'svd' is unknown; choose one of jifr"),
        ("[models.'a b']\nmodel = 'bpr'", "models.a b: a name has up to 64 letters"),
        ("[models.bpr]\ndims = 3", "models.bpr: setting 'dims' is unknown; choose from batch_size, dim"),
        ("[models.bpr]\ndim = '64'", "models.bpr: setting dim='64' is invalid: Input should be a valid integer"),
        ("[models.bpr]\ndim = 6.0", "models.bpr: setting dim=6.0 is invalid: Input should be a valid integer"),
        ("[models.bpr]\ndim = true", "models.bpr: setting dim=True is invalid"),
        ("[models.bpr]\nl2 = -1", "models.bpr: setting l2=-1 is invalid: Input should be greater than or equal to 0"),
        ("[models.bpr]\nepochs = 0.5", "models.bpr: setting epochs=0.5 is invalid"),
        ("[training]\nepoch = 3\n[models.bpr]", "models.bpr: setting 'epoch' is unknown"),
        ("[models.bpr]\nconfig = 'none.toml'", "models.bpr: none.toml: no such file"),
        ("[models.bpr]\ntry = {}", "models.bpr: try is empty"),
        ("[models.bpr]\ntry = { dim = [] }", "models.bpr: try.dim = [] has no values to choose from"),
        ("[models.bpr]\ntry = { dim = 3 }", "models.bpr: try.dim = 3 has no values to choose from"),
        ("[models.bpr]\ntry = { dims = [3] }", "models.bpr: setting 'dims' is unknown"),
        ("[models.bpr]\ntry = { dim = ['3'] }", "models.bpr: setting dim='3' is invalid"),
        ("[models.bpr]\ntry = { dim = '8..4' }\ntrials = 2", "models.bpr: try.dim = '8..4' is not a range"),
        ("[models.bpr]\ntry = { dim = '4..8' }", "models.bpr: try has a range, so it has no end; write the number of"),
        ("[models.bpr]\ntry = 'usual'", "models.bpr: try = 'usual'; write a table, or \"default\""),
        ("[models.bpr]\ntry = [3]", "models.bpr.try: Input should be a valid"),
        ("[models.bpr]\ntrials = 3", "models.bpr: trials without try"),
        ("[models.bpr]\ntrials = 0\ntry = 'default'", "models.bpr.trials: Input should be greater than 0"),
        ("[models.bpr]\ndim = 3\ntry = { dim = [3] }", "models.bpr: dim has a value and is in try"),
        ("[models.popular]\ntry = 'default'", "models.popular: model 'popular' learns nothing"),
        (
            "[statistics]\nbaseline = 'ease'\n[models.bpr]",
            "statistics.baseline 'ease' is not among the models; choose one",
        ),
        ("[statistics]\nbaseline = 'bpr'\n[models.bpr]", "statistics.baseline 'bpr' is the only model"),
        ("[statistics]\nmetrics = ['auc']\n[models.bpr]", "statistics.metrics 'auc' is unknown; choose from hr, ndcg"),
        ("[statistics]\nmetrics = ['sampled_hr']\n[models.bpr]", "statistics.metrics 'sampled_hr' is unknown"),
    ],
)
def test_a_study_that_is_wrong_is_refused_with_file_key_and_remedy(text: str, words: str, tmp_path: Path) -> None:
    require_refusal(text, words, tmp_path)


def test_what_cannot_run_is_refused_before_anything_runs(command) -> None:
    wrong = [
        (["none.toml"], 1, "none.toml: cannot be read (No such file or directory)"),
        (
            [write_study("[models.bpr]\n"), "--models", "bpr"],
            2,
            "--models does not go with a study file; write it into",
        ),
        (["small.toml", "--set", "dim=3"], 2, "--set does not go with a study file"),
        (["--models", "bpr,vbpr,popular", "--set", "dim=3"], 2, "--set dim=3: only bpr"),
        (["--models", "bpr", "--set", "dims=3"], 2, "setting 'dims' is unknown"),
    ]
    for arguments, expected, words in wrong:
        status, _, err = command(experiment, *arguments)
        assert (status, err.count("\n"), words in err) == (expected, 1, True), err
    assert (
        "write it below [models.bpr] in a study file"
        in command(experiment, "--models", "bpr,ease", "--set", "dim=3")[2]
    )
    assert not Path("data/runs").exists()


def test_a_setting_that_all_the_models_have_is_taken_from_the_command_line(command) -> None:
    asked = ["--models", "bpr", "--set", "dim=3", "--set", "epochs=1", "--jobs", "1", "--threads", "1"]
    assert command(experiment, *asked)[0] == 0
    (config,) = Path("data/runs").glob("*/config.json")
    assert json.loads(config.read_text())["config"]["dim"] == 3


def test_the_report_of_another_study_is_not_overwritten_and_several_snapshots_have_one_each(
    command, publish_below: Callable[[Path, Tables], Snapshot], tables: Tables, tmp_path: Path
) -> None:
    fewer = replace(tables, frame_likes=tables.frame_likes.head(0))
    publish_below(tmp_path / "more", fewer)
    places = ["data/snapshots/toy/v0001", "more/snapshots/toy/v0001"]
    options = ["--jobs", "1", "--threads", "1"]
    one = write_study(f"snapshots = ['{places[0]}']\n[models.popular]\n", "one.toml")
    assert command(experiment, one, *options, "--to", "report")[0] == 0
    before = Path("report/report.html").read_bytes()
    other = write_study("[models.random]\n", "other.toml")
    status, _, err = command(experiment, other, *options, "--to", "report")
    assert (status, "report: holds the report of the study one.toml; choose another folder with --to" in err) == (
        2,
        True,
    )
    assert Path("report/report.html").read_bytes() == before
    status, _, err = command(experiment, write_study(f"snapshots = {places}\n[models.popular]\n"), *options)
    assert (status, "two of the snapshots are called toy-v0001; give each a study of its own" in err) == (2, True)
    publish(Path("more/dataset"), "other", Path("more"))
    places[1] = "more/other/v0001"
    assert command(experiment, write_study(f"snapshots = {places}\n[models.popular]\n"), *options)[0] == 0
    assert {path.parent.name for path in Path("data/experiments/small").glob("*/report.html")} == {
        "toy-v0001", "other-v0001",
    }  # fmt: skip


@pytest.mark.long
@pytest.mark.timeout(900)
def test_parts_of_a_study_at_the_same_time_give_the_same_numbers_as_without(command) -> None:
    text = SMALL.replace("seeds = [0, 1]", "seeds = [0, 1, 2]")
    study, options = write_study(text), ["--jobs", "1", "--threads", "1"]
    places = ["--runs", "parts/runs", "--searches", "parts/searches"]
    children = [_shard(study, f"{number}/5", *options, *places) for number in (1, 2, 3, 4, 5)]
    assert [child.wait() for child in children] == [0] * 5
    status, out, err = command(experiment, study, *options, *places, "--to", "parts/report")
    assert status == 0, err
    assert "12 of 12 runs are already finished" in out
    assert len(list(Path("parts/searches").iterdir())) == 1
    command(experiment, study, *options, "--runs", "whole/runs", "--searches", "whole/searches", "--to", "whole/report")
    for table, schema in (("metrics", Metric), ("tuning", Tuning)):
        parts, whole = (read_table(Path(name) / "report" / f"{table}.parquet", schema) for name in ("parts", "whole"))
        assert parts.drop("seconds", strict=False).equals(whole.drop("seconds", strict=False)), table


def _shard(study: str, shard: str, *options: str) -> subprocess.Popen[bytes]:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "model.experiment", study, "--shard", shard, *options]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("text", ["0/3", "4/3", "2", "a/b", "1/0", "-1/3", ""])
def test_a_part_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no part; write for example 2/8"):
        Shard.parse(text)


def test_the_parts_are_disjoint_and_are_the_whole() -> None:
    for n_things, count in ((0, 3), (2, 5), (7, 3), (9, 3)):
        things = list(range(n_things))
        parts = [Shard(number, count).of(things) for number in range(1, count + 1)]
        assert [thing for part in parts for thing in part] == things
