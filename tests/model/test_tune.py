"""The search for settings, as a function and as the command."""

import json
import tomllib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import optuna
import polars as pl
import pytest

from dataset.errors import UsageError
from dataset.snapshots.snapshot import Snapshot
from dataset.tables import read_table
from model import train, tune
from model.data.loading import data_from_tables
from model.data.tables import Tables
from model.experiments.search import trials
from model.experiments.search.space import read_space
from model.experiments.search.trials import Search
from model.experiments.search.tuning import best_toml, tuning_table
from model.schema import Tuning

FAST = {"learning_rate": 0.02, "batch_size": 64, "epochs": 2}
SPACE = ["l2=0.0001..0.1", "dim=4,8"]


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def _search(n_trials: int | None, space: list[str], base: dict[str, object] = FAST) -> Search:
    return Search("bpr", base, read_space(space, "bpr"), n_trials, seed=3)


def _tuned(tables: Tables, search: Search, study: optuna.Study | None = None, stop_after: int = 99) -> pl.DataFrame:
    study = study or optuna.create_study(direction="maximize")

    def on_trial(trial: optuna.trial.FrozenTrial) -> None:
        if trials.number_of(search, trial) + 1 == stop_after:
            raise KeyboardInterrupt

    with suppress(KeyboardInterrupt):
        trials.tune(search, data_from_tables(tables, "toy"), study, on_trial=on_trial)
    return tuning_table(search, study).drop("seconds", "trial")


def test_a_grid_tries_every_combination_once(tables: Tables) -> None:
    table = _tuned(tables, _search(None, ["dim=4,8", "l2=0.001,0.1"]))
    tried = [json.loads(text) for text in table["settings"]]
    assert [(one["dim"], one["l2"]) for one in tried] == [(4, 0.001), (4, 0.1), (8, 0.001), (8, 0.1)]
    assert all(one["learning_rate"] == 0.02 for one in tried)
    assert table["validation_ndcg"].is_between(0, 1).all()


@pytest.mark.parametrize(("n_trials", "space"), [(4, SPACE), (None, ["dim=4,8", "l2=0.001,0.1"])])
def test_a_stopped_search_goes_on_as_if_it_had_not_been(tables: Tables, n_trials: int | None, space: list[str]) -> None:
    search, study = _search(n_trials, space), optuna.create_study(direction="maximize")
    assert _tuned(tables, search, study, stop_after=2).height == 2
    assert _tuned(tables, search, study).equals(_tuned(tables, search))


@pytest.mark.parametrize(
    ("n_trials", "space", "prune"),
    [(6, SPACE, False), (6, ["l2=0.0001..0.1"], True), (None, ["dim=4,8", "l2=0.001,0.1"], True)],
)
def test_trials_that_end_in_another_order_are_the_same_ones(
    tables: Tables, n_trials: int | None, space: list[str], prune: bool
) -> None:
    search, data = replace(_search(n_trials, space), prune=prune), data_from_tables(tables, "toy")
    in_order, turned = (optuna.create_study(direction="maximize") for _ in range(2))
    trials.tune(search, data, in_order)
    while batch := trials.proposals(search, turned):
        for proposal in reversed(batch):
            assert trials.run_trial(search, data, turned, proposal) is not None
            assert trials.run_trial(search, data, turned, proposal) is None  # another process has run it
    assert [trial.number for trial in trials.finished_trials(search, turned)] != list(range(search.n_all))
    tables_of = [tuning_table(search, study).drop("seconds") for study in (in_order, turned)]
    assert tables_of[0].equals(tables_of[1])
    assert best_toml(search, in_order) == best_toml(search, turned)


def test_nothing_of_the_test_split_decides(tables: Tables) -> None:
    other = Tables(**{**vars(tables), "interactions": tables.interactions.filter(pl.col("split") != "test")})
    search = _search(None, ["dim=4,8"])
    assert _tuned(tables, search).equals(_tuned(other, search))


def test_a_trial_that_cannot_be_trained_is_kept_with_the_reason(tables: Tables) -> None:
    table = _tuned(tables, _search(None, ["init_std=0.01,1e30"]))
    never = _tuned(tables, _search(None, ["validate_every=3"]))
    assert never["error"].to_list() == ["2 epochs without a validation; lower validate_every"]
    assert table["error"][0] is None
    assert "loss of epoch 1 is" in table["error"][1]
    assert table["validation_ndcg"].to_list()[1] is None


def test_settings_that_go_together_have_one_value() -> None:
    space = read_space(["collaborative_dim,visual_dim=16,64", "l2=0.1"], "jifr")
    search = Search("jifr", {}, space, None, 0)
    config, _ = search.configs({"collaborative_dim,visual_dim": 64, "l2": 0.1})
    assert (config.collaborative_dim, config.visual_dim, config.l2) == (64, 64, 0.1)


@pytest.mark.parametrize(
    ("model", "searched"),
    [
        ("jifr", ["l2", "visual_l2"]),
        ("jifr_plus", ["l2", "visual_l2", "linear_weight"]),
        ("softmax_mf", ["l2", "dim"]),
        ("vbpr", ["l2", "visual_l2"]),
        ("cdl", ["dim", "l2"]),
        ("freedom", ["item_graph_weight", "edge_dropout"]),
        ("lattice", ["l2", "item_graph_weight"]),
    ],
)
def test_by_default_a_search_tries_what_matters_for_the_model_and_few_combinations(
    model: str, searched: list[str]
) -> None:
    space = read_space([], model)
    assert list(space) == searched
    assert Search(model, {}, space, None, 0).n_all <= 15


@pytest.mark.parametrize(
    ("model", "text", "words"),
    [
        ("bpr", "visual_dim=16,32", "setting 'visual_dim' is unknown"),
        ("bpr", "dim", "has no values"),
        ("bpr", "dim=8..4", "is not a range"),
        ("bpr", "dim=a,b", "dim='a' is invalid"),
        ("popular", "dim=4", "learns nothing"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(model: str, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_space([text], model)


def test_the_command_writes_what_train_takes_and_goes_on_where_it_stopped(
    publish_tables: Callable[[Tables], Snapshot],
    tables: Tables,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run_command: Callable[..., tuple[int, str, str]],
) -> None:
    snapshot = str(publish_tables(tables).path)
    monkeypatch.chdir(tmp_path)
    fast = [text for key, value in FAST.items() for text in ("--set", f"{key}={value}")]

    def command(module, *arguments: str) -> tuple[int, str, str]:
        return run_command(module.app, *arguments)

    arguments = ["--model", "bpr", "--snapshot", snapshot, *fast, "--try", "dim=4,8", "--try", "l2=0.0001..0.1"]
    status, _, err = command(tune, *arguments)
    assert (status, err.count("\n")) == (2, 1)
    assert "set the number of trials with --trials" in err
    assert command(tune, *arguments, "--trials", "2")[0] == 0
    status, out, err = command(tune, *arguments, "--trials", "3")
    assert status == 0, err
    (folder,) = tmp_path.glob("data/tuning/bpr-toy-v0001-0-*")
    table = read_table(folder / "trials.parquet", Tuning)
    assert table["trial"].to_list() == [0, 1, 2]
    best = tomllib.loads((folder / "best.toml").read_text())
    assert (folder / "best.toml").read_text() in out
    assert (best["model"], best["epochs"]) == ("bpr", 2)
    assert command(train, "--config", str(folder / "best.toml"), "--snapshot", snapshot)[0] == 0
    config = json.loads(next(tmp_path.glob("data/runs/*/config.json")).read_text())
    assert (config["config"]["dim"], config["config"]["l2"]) == (best["dim"], best["l2"])
    status, _, err = command(tune, *arguments, "--trials", "3", "--set", "patience=3", "--to", str(folder))
    assert (status, "holds a search with another training" in err) == (2, True)
