"""Whether the models' order depends on the split: Kendall's τ with its interval, or why it is unknown."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats

from model.data.tables import Tables
from model.evaluation.agreement import order_agreement
from model.evaluation.config import EvaluationConfig
from model.experiment import main
from model.experiments import experiment as experiments
from model.experiments.config import ExperimentConfig
from model.experiments.experiment import run_experiment
from model.experiments.studies.splits import Reported, write_agreements
from model.report.page import write_report
from model.report.splits import why_one_split
from model.training.config import TrainingConfig

MODELS = ["a", "b", "c", "d"]


def judged(means: dict[str, float], n_users: int = 60, noise: float = 0.02, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    parts = [
        pl.DataFrame({"model": model, "seed": 0, "user_id": [f"u{n}" for n in range(n_users)]}).with_columns(
            value=pl.Series(mean + noise * rng.standard_normal(n_users))
        )
        for model, mean in means.items()
    ]
    return pl.concat(parts)


@pytest.mark.parametrize("order", [[1, 2, 3, 4], [4, 3, 2, 1], [1, 2, 4, 3], [2, 2, 3, 4]])
def test_tau_is_that_of_the_means(order: list[int]) -> None:
    one, other = ({m: v / 10 for m, v in zip(MODELS, values, strict=True)} for values in ([1, 2, 3, 4], order))
    found = order_agreement(judged(one, noise=0), judged(other, noise=0), MODELS, 50, 0)
    assert found is not None
    assert found.tau == pytest.approx(stats.kendalltau([1, 2, 3, 4], order).statistic)
    assert found.low == pytest.approx(found.tau)
    assert found.n_users == 60


def test_the_interval_is_wide_where_models_hardly_differ_and_narrow_where_they_do() -> None:
    near = {model: 0.3 + 0.001 * n for n, model in enumerate(MODELS)}
    far = {model: 0.3 + 0.1 * n for n, model in enumerate(MODELS)}
    wide, narrow = (order_agreement(judged(means), judged(means, seed=1), MODELS, 200, 0) for means in (near, far))
    assert wide is not None
    assert narrow is not None
    assert (narrow.low, narrow.high) == (1, 1)
    assert wide.high - wide.low > 0.3
    assert order_agreement(judged(near), judged(near, seed=1), MODELS, 200, 0) == wide


def test_one_model_has_no_order() -> None:
    assert order_agreement(judged({"a": 0.1}), judged({"a": 0.2}), ["a"], 10, 0) is None


def test_users_of_one_split_alone_count_there() -> None:
    means = {model: 0.1 * n for n, model in enumerate(MODELS)}
    found = order_agreement(judged(means, 60), judged(means, 90), MODELS, 20, 0)
    assert found is not None
    assert found.n_users == 90


def _no_report(folder: Path, *_: object) -> Path:
    (folder / "report.html").touch()
    return folder / "report.html"


@pytest.fixture
def dated(tables: Tables) -> Tables:
    return replace(tables, interactions=tables.interactions.with_columns(rated_on=pl.lit(date(2020, 1, 1))))


def test_the_reports_of_a_study_say_whether_the_order_agrees(
    publish_tables, dated: Tables, tmp_path: Path, ask_again, monkeypatch
) -> None:
    snapshot = publish_tables(dated)
    folders = [tmp_path / "random", tmp_path / "temporal"]
    monkeypatch.setattr(experiments, "write_report", _no_report)
    models, training = ("bpr", "popular", "visrank", "random"), TrainingConfig(epochs=1)
    config = ExperimentConfig(models, training=training, jobs=1, threads=1, features=("shuffled",))
    for folder in folders:
        run_experiment(snapshot, config, folder, tmp_path / "runs", None)
    manifest = replace(snapshot.manifest, version=2, config={"split": {"strategy": "temporal"}})
    reported = [Reported(snapshot, folders[0]), Reported(replace(snapshot, manifest=manifest), folders[1])]
    assert write_agreements(reported, EvaluationConfig(n_bootstrap=50)) == reported
    rows = pl.read_parquet(folders[0] / "splits.parquet")
    found = rows.select("task", "other", "other_split", "n_models", "tau").rows()
    others = ("toy v0002", "temporal")
    assert found == [("item", *others, 4, 1.0), ("frame", *others, 2, 1.0)]  # the same results; arms are no contenders
    page = write_report(folders[0], snapshot, None).read_text("utf-8")
    text = " ".join(page.split())
    assert 'The orders <b class="good">agree</b> by more than chance' in text
    assert ask_again(page, folders[0], snapshot.path, documents={"paper.json": {}}) > 20
    assert write_agreements([reported[0], reported[0]], EvaluationConfig(n_bootstrap=50)) == []
    assert not (folders[0] / "splits.parquet").exists()


def test_a_study_on_one_split_says_why_no_order_is_compared(publish_tables, tables: Tables, dated: Tables) -> None:
    without, within = publish_tables(tables), publish_tables(dated)
    assert "have no times" in why_one_split(without.manifest, without.read("interactions"))
    assert "with --split temporal" in why_one_split(within.manifest, within.read("interactions"))


def test_a_study_file_of_two_snapshots_of_one_split_runs_to_its_end(
    publish_tables, tables: Tables, dated: Tables, tmp_path: Path, monkeypatch
) -> None:
    places = [str(publish_tables(one).path) for one in (tables, dated)]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(experiments, "write_report", _no_report)
    (tmp_path / "two.toml").write_text(f"snapshots = {places}\n[models.popular]\n[models.random]\n")
    main(["two.toml", "--jobs", "1", "--threads", "1"])
    assert len(list(tmp_path.glob("data/experiments/two/*/report.html"))) == 2
    assert not list(tmp_path.glob("data/experiments/two/*/splits.parquet"))
