"""The Python interface, as the README's example calls them."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from dataset.errors import UsageError
from dataset.snapshots.snapshot import Snapshot
from model import api as dk
from model import train
from model.data.tables import Tables
from model.models.registry import MODELS

Publish = Callable[[Tables], Snapshot]
FAST = {"learning_rate": 0.02, "batch_size": 32, "epochs": 10}


def test_the_example_opens_a_snapshot_trains_judges_and_recommends_without_a_word(
    publish_tables: Publish, tables: Tables, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    path = str(publish_tables(tables).path)
    with caplog.at_level(logging.WARNING):
        snapshot = dk.open_snapshot(path)
        data = dk.load(snapshot)
        run = dk.train("jifr", data, seed=0, settings=FAST)
        metrics = dk.evaluate(run, data, "test").metrics
        recommended = dk.recommend(run, data, n=5)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    ndcg = metrics.filter(pl.col("task").cast(pl.String) == "item", metric="full_ndcg", k=15)["value"].item()
    guess = dk.evaluate(dk.train("random", data), data, "test").metrics
    assert ndcg > guess.filter(pl.col("task").cast(pl.String) == "item", metric="full_ndcg", k=15)["value"].item()
    assert recommended.group_by("user_id").len()["len"].to_list() == [5] * 30
    watched = tables.interactions.filter(split="train")
    assert recommended.join(watched, on=["user_id", "movie_id"]).is_empty()
    assert recommended["key_frame_id"].null_count() == 0
    assert run.training["epoch"].to_list() == list(range(1, 11))


def test_a_run_of_the_command_line_opens_with_its_data_and_is_the_one_trained_here(
    publish_tables: Publish, tables: Tables, tmp_path: Path
) -> None:
    snapshot = publish_tables(tables)
    options = [text for key, value in FAST.items() for text in ("--set", f"{key}={value}")]
    train.main(["--model", "bpr", "--snapshot", str(snapshot.path), "--runs", str(tmp_path), *options])
    opened, data = dk.open_run(tmp_path / "bpr")
    here = dk.train("bpr", dk.load(snapshot), settings=FAST)
    assert dk.recommend(opened, data).equals(dk.recommend(here, data))
    assert opened.training.drop("seconds").equals(here.training.drop("seconds"))


def test_users_are_chosen_by_id_and_unknown_names_are_refused(publish_tables: Publish, tables: Tables) -> None:
    data = dk.load(publish_tables(replace(tables, frame_features=None)))
    run = dk.train("popular", data)
    assert dk.recommend(run, data, n=2, users=["u03", "u01", "u03"])["user_id"].to_list() == ["u03"] * 2 + ["u01"] * 2
    with pytest.raises(UsageError, match="user 'nobody' is not in toy v0001"):
        dk.recommend(run, data, users=["nobody"])
    with pytest.raises(UsageError, match="model 'best' is unknown; choose one of jifr"):
        dk.train("best", data)
    with pytest.raises(UsageError, match="setting 'depth' is unknown"):
        dk.train("bpr", data, settings={"depth": 3})
    assert tuple(MODELS) == dk.MODEL_NAMES
