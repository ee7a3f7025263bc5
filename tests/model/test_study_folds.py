"""Studies of folds, devices and the recommendations of other tools."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from studies import SMALL, Command, require_refusal, write_study

from dataset.tables import read_table
from model import experiment
from model.data.folds import fold_pairs
from model.data.tables import Tables
from model.experiments.run_folder import open_run
from model.schema import Comparison, FoldMetric, FoldPair, HeldOutRank, Metric, Tuning, UserMetric


@pytest.fixture
def command(study_command: Command) -> Command:
    return study_command


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
    study = write_study(FOLDS, "folds.toml")
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
        study = write_study(FOLDS.replace('["cpu", "cpu"]', devices), f"on{devices.count('cpu')}.toml")
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
    status, _, err = command(experiment, write_study(text), "--jobs", "1", "--threads", "1")
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
    require_refusal(text, words, tmp_path)


def test_a_file_of_lists_that_is_missing_is_said_before_anything_is_trained(command) -> None:
    study = write_study("[lists.theirs]\nfiles = ['none.tsv']\n[models.bpr]\n")
    status, _, err = command(experiment, study, "--jobs", "1", "--threads", "1")
    assert (status, err.count("\n"), "none.tsv" in err) == (1, 1, True), err
    assert not Path("data/runs").exists()
