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

from dataset.errors import UsageError
from dataset.snapshots.publish import publish
from dataset.snapshots.snapshot import Snapshot
from dataset.tables import read_table
from model import experiment, train, tune
from model.data.folds import fold_pairs
from model.data.tables import Tables
from model.experiments import experiment as experiments
from model.experiments import runner
from model.experiments.run_folder import open_run
from model.experiments.studies import searching
from model.experiments.studies.study import Shard
from model.experiments.studies.study_file import read_study
from model.schema import Comparison, FoldMetric, FoldPair, HeldOutRank, Metric, Training, Tuning, UserMetric

ROOT = Path(__file__).resolve().parents[2]
SMALL = """
seeds = [0, 1]
unequal = true

[training]
epochs = 3
batch_size = 64

[evaluation]
item_ks = [10, 5]
frame_ks = [2]

[statistics]
n_bootstrap = 100
baseline = "bpr"
metrics = ["ndcg", "full_recall"]

[models.bpr]
dim = 8

[models.jifr]
try = { "collaborative_dim,visual_dim" = [4, 8], l2 = "0.0001..0.1" }
trials = 2

[models.small]
model = "bpr"
dim = 4

[models.popular]
"""


def _no_report(folder: Path, *_: Any) -> Path:
    (folder / "report.html").touch()
    return folder / "report.html"


@pytest.fixture
def command(
    run_command: Callable[..., tuple[int, str, str]],
    snapshots: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    request: pytest.FixtureRequest,
):
    """Run a module's command in a folder with a snapshot; return exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("data/snapshots").symlink_to(snapshots)
    if not any(words in request.node.name for words in ("says_what_it_chose", "a_row_of_every_table")):
        monkeypatch.setattr(experiments, "write_report", _no_report)
    return lambda module, *arguments: run_command(module.app, *arguments)


def _study(text: str, name: str = "small.toml") -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


def test_a_study_tunes_on_validation_judges_on_test_and_says_what_it_chose(
    command, ask_again: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = _study(SMALL)
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
    assert command(experiment, _study(text), *options, "--to", "whole/report")[0] == 0
    run_trial, number = searching.run_trial, iter(range(10))

    def stop_in_the_second(*arguments: Any) -> Any:
        if next(number) == 1:
            raise KeyboardInterrupt
        return run_trial(*arguments)

    options = ["--jobs", "1", "--threads", "1", "--runs", "stopped/runs", "--searches", "stopped/searches"]
    monkeypatch.setattr(searching, "run_trial", stop_in_the_second)
    assert command(experiment, _study(text), *options, "--to", "stopped/report")[0] == 130
    assert not Path("stopped/runs").exists()
    monkeypatch.setattr(searching, "run_trial", run_trial)
    assert command(experiment, _study(text), *options, "--to", "stopped/report")[0] == 0
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
    read, _ = read_study(Path(_study(study + pasted)))
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
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as told:
        read_study(path)
    assert str(told.value).startswith(f"{path}: ")
    assert words in str(told.value)
    assert "\n" not in str(told.value).split("not a TOML file")[0]


def test_what_cannot_run_is_refused_before_anything_runs(command) -> None:
    wrong = [
        (["none.toml"], 1, "none.toml: cannot be read (No such file or directory)"),
        ([_study("[models.bpr]\n"), "--models", "bpr"], 2, "--models does not go with a study file; write it into"),
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
    one = _study(f"snapshots = ['{places[0]}']\n[models.popular]\n", "one.toml")
    assert command(experiment, one, *options, "--to", "report")[0] == 0
    before = Path("report/report.html").read_bytes()
    other = _study("[models.random]\n", "other.toml")
    status, _, err = command(experiment, other, *options, "--to", "report")
    assert (status, "report: holds the report of the study one.toml; choose another folder with --to" in err) == (
        2,
        True,
    )
    assert Path("report/report.html").read_bytes() == before
    status, _, err = command(experiment, _study(f"snapshots = {places}\n[models.popular]\n"), *options)
    assert (status, "two of the snapshots are called toy-v0001; give each a study of its own" in err) == (2, True)
    publish(Path("more/dataset"), "other", Path("more"))
    places[1] = "more/other/v0001"
    assert command(experiment, _study(f"snapshots = {places}\n[models.popular]\n"), *options)[0] == 0
    assert {path.parent.name for path in Path("data/experiments/small").glob("*/report.html")} == {
        "toy-v0001", "other-v0001",
    }  # fmt: skip


@pytest.mark.long
@pytest.mark.timeout(900)
def test_parts_of_a_study_at_the_same_time_give_the_same_numbers_as_without(command) -> None:
    text = SMALL.replace("seeds = [0, 1]", "seeds = [0, 1, 2]")
    study, options = _study(text), ["--jobs", "1", "--threads", "1"]
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


FOLDS = """
devices = ["cpu", "cpu"]
unequal = true

[folds]
k = 3

[training]
epochs = 2
batch_size = 64

[statistics]
n_bootstrap = 20
baseline = "theirs"

[evaluation]
item_ks = [5, 10]

[lists.theirs]
files = ["theirs-{fold}.tsv"]
item_column = "product"

[models.bpr]
try = { dim = [4, 8] }

[models.popular]
"""


def _write_lists(tables: Tables, k: int) -> pl.DataFrame:
    """Write ten items for everyone and each fold, those that most people have in the other folds; return the pairs."""
    dealt = fold_pairs(tables, k, 0)
    for fold in range(1, k + 1):
        others = dealt.filter(pl.col("fold") != fold)
        ranked = others["movie_id"].value_counts().sort(["count", "movie_id"], descending=True)["movie_id"].to_list()
        seen = dict(others.group_by("user_id").agg("movie_id").iter_rows())
        rows = [
            (user, item, rank)
            for user in sorted(set(dealt["user_id"]))
            for rank, item in enumerate([one for one in ranked if one not in seen.get(user, [])][:10])
        ]
        table = pl.DataFrame(rows, schema=["user", "product", "rank"], orient="row")
        table.write_csv(f"theirs-{fold}.tsv", separator="\t")
    return dealt


def test_a_study_of_folds_judges_models_and_lists_of_others_on_each_and_never_reads_test(
    command, tables: Tables
) -> None:
    dealt = _write_lists(tables, 3)
    study = _study(FOLDS, "folds.toml")
    status, _, err = command(experiment, study, "--jobs", "1", "--threads", "1")
    assert status == 0, err
    folder = Path("data/experiments/folds/toy-v0001")
    assert read_table(folder / "fold_pairs.parquet", FoldPair).equals(dealt)
    of_folds = read_table(folder / "folds.parquet", FoldMetric)
    assert set(of_folds["fold"]) == {1, 2, 3}
    assert set(of_folds["model"]) == {"bpr", "popular", "theirs"}
    ranks = read_table(folder / "held_out_ranks.parquet", HeldOutRank).filter(task="item", model="bpr")
    assert ranks.select("user_id", "movie_id").sort("*").equals(dealt.select("user_id", "movie_id").sort("*"))
    users = read_table(folder / "user_metrics.parquet", UserMetric)
    where = {"model": "theirs", "metric": "full_ndcg", "k": 10}
    judged = sorted(Path("data/runs").glob("theirs-*/user_metrics.parquet"))
    parts = [read_table(path, UserMetric).filter(**where) for path in judged]
    means = pl.concat(parts).group_by("user_id").agg(pl.col("value").mean()).sort("user_id")
    assert users.filter(**where).sort("user_id").select("user_id", "value").equals(means)
    metric = read_table(folder / "metrics.parquet", Metric).filter(**where).row(0, named=True)
    assert (metric["value"], metric["n_users"]) == (pytest.approx(means["value"].mean()), means.height)
    compared = read_table(folder / "comparisons.parquet", Comparison)
    assert set(zip(compared["model"], compared["other"], strict=True)) == {("bpr", "theirs"), ("popular", "theirs")}
    told = json.loads((folder / "experiment.json").read_text())
    assert told["folds"] == {"k": 3, "seed": 0}
    assert [one["label"] for one in told["chosen"]] == ["bpr fold=1", "bpr fold=2", "bpr fold=3"]
    assert {run["fold"]["number"] for run in told["runs"]} == {1, 2, 3}
    opened, data = open_run(next(path for path in Path("data/runs").iterdir() if "bpr-toy-v0001-fold2of3" in path.name))
    held_out = data.tables.interactions.filter(pl.col("split").cast(pl.String) == "test")
    assert (
        held_out.select("user_id", "movie_id")
        .sort("*")
        .equals(dealt.filter(fold=2).select("user_id", "movie_id").sort("*"))
    )
    assert opened.model_name == "bpr"


@pytest.mark.long
@pytest.mark.timeout(900)
def test_several_devices_give_the_same_numbers_as_one(command, tables: Tables) -> None:
    _write_lists(tables, 3)
    for devices in ('["cpu"]', '["cpu", "cpu"]'):
        study = _study(FOLDS.replace('["cpu", "cpu"]', devices), f"on{devices.count('cpu')}.toml")
        places = [f"--{name}={devices.count('cpu')}/{name}" for name in ("runs", "searches")]
        assert command(experiment, study, "--threads", "1", *places, "--to", f"report{devices.count('cpu')}")[0] == 0
    for table, schema in (("metrics", Metric), ("tuning", Tuning), ("folds", FoldMetric)):
        one, two = (read_table(Path(name) / f"{table}.parquet", schema) for name in ("report1", "report2"))
        assert one.drop("seconds", strict=False).equals(two.drop("seconds", strict=False)), table


def test_lists_of_another_tool_are_a_row_of_every_table_and_of_the_tests(
    command, ask_again: Callable[..., int], tables: Tables
) -> None:
    known = tables.interactions.filter(pl.col("split").cast(pl.String) != "test")
    seen = dict(known.group_by("user_id").agg("movie_id").iter_rows())
    rows = [
        (user, item, rank)
        for user in sorted(set(tables.interactions["user_id"]))
        for rank, item in enumerate([one for one in sorted(tables.movies["movie_id"]) if one not in seen[user]][:6])
    ]
    for seed in (0, 1):
        pl.DataFrame(rows, schema=["user", "item", "rank"], orient="row").write_csv(f"cut-{seed}.csv")
    text = SMALL.replace("[models.bpr]", '[lists.our_lists]\nfiles = ["cut-0.csv", "cut-1.csv"]\n[models.bpr]')
    text = text.replace("frame_ks = [2]", 'frame_ks = [2]\nprotocol = "exact"').replace("[models.popular]", "")
    text = text.replace('[models.small]\nmodel = "bpr"\ndim = 4\n', "").replace('metrics = ["ndcg", "full_recall"]', "")
    text = text.replace('try = { "collaborative_dim,visual_dim" = [4, 8], l2 = "0.0001..0.1" }\ntrials = 2\n', "")
    status, _, err = command(experiment, _study(text), "--jobs", "1", "--threads", "1")
    assert status == 0, err
    folder = Path("data/experiments/small/toy-v0001")
    metrics = read_table(folder / "metrics.parquet", Metric).filter(model="our_lists")
    assert (set(metrics["seed"]), set(metrics["k"]), metrics["metric"].str.starts_with("full_").all()) == (
        {0, 1}, {5}, True,
    )  # fmt: skip
    compared = read_table(folder / "comparisons.parquet", Comparison)
    assert set(compared.filter(metric="full_ndcg", k=5)["other"]) == {"jifr", "our_lists"}
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "recommendations of another tool" in page
    table = (folder / "tables/items.md").read_text(encoding="utf-8")
    assert "our_lists" in table.replace("\\", "")
    methods = (folder / "tables/methods.md").read_text(encoding="utf-8")
    assert "come from another tool" in methods
    assert ask_again(page, folder, Path("data/snapshots/toy/v0001"), documents={"paper.json": {}}) > 40


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[folds]\n[models.bpr]", "folds.k is missing; write the number of folds"),
        ("[folds]\nk = 2\n[models.bpr]", "folds.k: Input should be greater than or equal to 3"),
        ("[folds]\nn = 5\nk = 5\n[models.bpr]", "unknown key 'folds.n'; choose from k, seed"),
        ("devices = []\n[models.bpr]", "devices: List should have at least 1 item"),
        ("devices = ['gpu']\n[models.bpr]", "devices: device 'gpu' is unknown; choose cpu, cuda, or one of several"),
        ("devices = ['cuda:99']\n[models.bpr]", "devices: device 'cuda:99': this machine has"),
        ("[lists.a]\n[models.bpr]", "lists.a.files is missing; write a file per seed, or one"),
        ("[lists.a]\nfile = 'x'\n[models.bpr]", "lists.a.files is missing"),
        ("[lists.a]\nfiles = ['x']\nitem = 'x'\n[models.bpr]", "unknown key 'lists.a.item'; choose from files"),
        ("[lists.bpr]\nfiles = ['x']\n[models.popular]", "lists.bpr: is the name of a model; write another name"),
        ("[lists.'a b']\nfiles = ['x']\n[models.bpr]", "lists.a b: a name has up to 64 letters"),
        (
            "seeds = [0, 1, 2]\n[lists.a]\nfiles = ['x', 'y']\n[models.bpr]",
            "lists.a: has 2 files for 3 seeds; give",
        ),
        ("[lists.a]\nfiles = ['x-{fold}']\n[models.bpr]", "lists.a: 'x-{fold}' has {fold}, and the study no [folds]"),
        ("[folds]\nk = 3\n[lists.a]\nfiles = ['x']\n[models.bpr]", "lists.a: 'x' is one file for all folds; write"),
    ],
)
def test_folds_devices_and_lists_that_are_wrong_are_refused_with_the_remedy(
    text: str, words: str, tmp_path: Path
) -> None:
    test_a_study_that_is_wrong_is_refused_with_file_key_and_remedy(text, words, tmp_path)


def test_a_file_of_lists_that_is_missing_is_said_before_anything_is_trained(command) -> None:
    study = _study("[lists.theirs]\nfiles = ['none.tsv']\n[models.bpr]\n")
    status, _, err = command(experiment, study, "--jobs", "1", "--threads", "1")
    assert (status, err.count("\n"), "none.tsv" in err) == (1, 1, True), err
    assert not Path("data/runs").exists()
