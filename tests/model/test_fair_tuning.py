"""Fair tuning: equal budgets or a word that they are not, optima at an edge, and what each search did."""

from pathlib import Path

import polars as pl
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from dataset.errors import UsageError
from model.experiments.studies.fairness import (
    best_so_far,
    edge_of,
    edge_warnings,
    searched_settings,
    words_of,
)
from model.experiments.studies.study_file import read_study
from model.schema import Tuning

BPR, JIFR = "[models.bpr]\ntry = {{ l2 = {} }}\n{}\n", "[models.jifr]\ntry = {{ l2 = {} }}\n{}\n"
RANGE = '"0.001..0.1"'


def study_of(tmp_path: Path, text: str):
    path = tmp_path / "study.toml"
    path.write_text(text)
    return read_study(path)[0]


@pytest.mark.parametrize(
    ("text", "listed"),
    [
        (BPR.format(RANGE, "trials = 3") + JIFR.format(RANGE, "trials = 4"), "bpr 3, jifr 4"),
        (BPR.format("[0.1]", "") + JIFR.format("[0.1, 0.2]", ""), "bpr 1, jifr 2"),
        (BPR.format("[0.1, 0.2]", "") + JIFR.format(RANGE, "trials = 4"), "bpr 2, jifr 4"),
        ("[models.bpr]\n" + JIFR.format(RANGE, "trials = 4"), "bpr 0, jifr 4"),
        ("[models.ease]\nl2 = 3\n" + JIFR.format(RANGE, "trials = 4") + "[models.popular]\n", "ease 0, jifr 4"),
    ],
)
def test_unequal_budgets_are_refused_unless_the_study_says_so(tmp_path: Path, text: str, listed: str) -> None:
    with pytest.raises(UsageError, match=rf"study.toml: the budgets are unequal \(trials: {listed}\).*unequal = true"):
        study_of(tmp_path, text)
    assert study_of(tmp_path, f"unequal = true\n{text}").unequal


@pytest.mark.parametrize(
    "text",
    [
        BPR.format(RANGE, "trials = 4") + JIFR.format(RANGE, "trials = 4"),
        BPR.format("[0.1, 0.2]", "") + JIFR.format(RANGE, "trials = 2"),
        BPR.format("[0.1]", "") + "[models.popular]\n[models.random]\n[models.first_frame]\n[models.mean_frame]\n",
        "[models.bpr]\n[models.jifr]\nl2 = 3\n",
    ],
)
def test_equal_budgets_pass_and_models_without_anything_to_tune_do_not_count(tmp_path: Path, text: str) -> None:
    assert not study_of(tmp_path, text).unequal


def test_unequal_takes_true_or_false_alone(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unequal: Input should be a valid boolean"):
        study_of(tmp_path, "unequal = 'yes'\n[models.bpr]")


LOG, LINEAR, WHOLE = FloatDistribution(1e-4, 1e-1, log=True), FloatDistribution(0, 1), IntDistribution(1, 100)
DIMS, NAMES = CategoricalDistribution([16, 64, 32]), CategoricalDistribution(["a", "b"])


@pytest.mark.parametrize(
    ("kind", "value", "edge"),
    [
        (LOG, 1e-4, "low"),
        (LOG, 1.3e-4, "low"),
        (LOG, 2e-4, None),
        (LOG, 5e-2, None),
        (LOG, 9e-2, "high"),
        (LINEAR, 0.01, None),  # 0 is no edge: nothing lies beyond
        (LINEAR, 0.5, None),
        (LINEAR, 0.97, "high"),
        (WHOLE, 1, "low"),
        (WHOLE, 50, None),
        (WHOLE, 100, "high"),
        (DIMS, 16, "low"),
        (DIMS, 32, None),
        (DIMS, 64, "high"),
        (CategoricalDistribution([0, 1, 2]), 0, None),
        (CategoricalDistribution([16]), 16, None),
        (NAMES, "a", None),
        (CategoricalDistribution([True, False]), True, None),
        (CategoricalDistribution([None, 1.0]), 1.0, None),
    ],
)
def test_an_optimum_at_the_edge_of_what_was_tried_is_found(kind, value, edge) -> None:
    assert edge_of(kind, value) == edge


def trials() -> pl.DataFrame:
    found = [0.3, None, 0.9, 0.2, 0.5]
    rows = {
        "model": "bpr",
        "seed": 0,
        "trial": [0, 1, 2, 3, 4],
        "settings": "{}",
        "validation_ndcg": found,
        "pruned": [False, False, True, False, False],
        "best_epoch": 1,
        "epochs": 2,
        "seconds": [1.0, 2.0, 3.0, 4.0, 5.0],
        "error": [None, "not finite", None, None, None],
    }
    return pl.DataFrame(rows).cast({name: column.dtype for name, column in Tuning.columns().items()})


def test_the_best_so_far_counts_neither_failed_trials_nor_those_that_ended_early() -> None:
    curve = best_so_far(trials())
    assert curve["number"].to_list() == [1, 2, 3, 4, 5]
    assert curve["best"].to_list() == [0.3, 0.3, 0.3, 0.3, 0.5]
    assert curve["seconds"].to_list() == [1, 3, 6, 10, 15]


def test_a_search_is_described_by_what_it_tried_chose_and_cost() -> None:
    space = {"l2": LOG, "dim,visual_dim": DIMS, "loss": NAMES}
    table = searched_settings("bpr", space, {"l2": 1e-4, "dim": 32, "visual_dim": 32, "loss": "a"}, trials())
    l2, dim, loss = table.iter_rows(named=True)
    assert (l2["tried"], l2["low"], l2["high"], l2["best_value"], l2["edge"]) == (
        "0.0001 to 0.1 (log)",
        1e-4,
        0.1,
        1e-4,
        "low",
    )
    assert (dim["tried"], dim["low"], dim["high"], dim["best"], dim["edge"]) == ("16, 64, 32", 16, 64, "32", None)
    assert (loss["low"], loss["best"], loss["best_value"]) == (None, '"a"', None)
    assert {(one["n_trials"], one["n_pruned"], one["n_failed"], one["seconds"]) for one in (l2, dim)} == {(5, 1, 1, 15)}
    assert table["validation_ndcg"].to_list() == [0.5] * 3
    (warning,) = edge_warnings(table)
    assert warning.startswith("bpr: the best l2 is 0.0001, at the low edge of what was tried (0.0001 to 0.1 (log))")


def test_whole_numbers_and_choices_are_said_as_they_were_written() -> None:
    assert [words_of(one) for one in (WHOLE, DIMS, LINEAR)] == ["1 to 100", "16, 64, 32", "0 to 1"]
