"""Training, evaluation and the gallery's order of movies with dates that are published as months or as an order."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from dataset.snapshots.publication import PublicationConfig
from dataset.snapshots.publish import publish
from dataset.snapshots.snapshot import Snapshot
from model import api as dk
from model.data.tables import Tables
from model.report.gallery_cases import newest_first

Publish = Callable[[Tables], Snapshot]


@pytest.fixture
def dated(tables: Tables) -> Tables:
    days = [date(2024, 1, 1) + timedelta(days=37 * n % 700) for n in range(tables.interactions.height)]
    return replace(tables, interactions=tables.interactions.with_columns(rated_on=pl.Series(days)))


@pytest.mark.parametrize("dates", ["month", "order"])
def test_a_model_learns_the_same_whatever_dates_are_published(
    dates: Any, publish_tables: Publish, dated: Tables, tmp_path: Path
) -> None:
    publish_tables(dated)
    metrics = []
    for chosen in ("day", dates):
        snapshot, _ = publish(tmp_path / "dataset", chosen, tmp_path / "snapshots", PublicationConfig(dates=chosen))
        data = dk.load(snapshot)
        run = dk.train("bpr", data, settings={"epochs": 2, "batch_size": 32})
        metrics.append(dk.evaluate(run, data, "test").metrics)
    assert_frame_equal(*metrics)


def test_the_movies_watched_last_come_first_also_where_only_the_order_is_known(
    publish_tables: Publish, dated: Tables, tmp_path: Path
) -> None:
    publish_tables(dated)
    watched = []
    for dates in ("day", "order"):
        snapshot, _ = publish(tmp_path / "dataset", dates, tmp_path / "snapshots", PublicationConfig(dates=dates))
        rows = dk.load(snapshot).tables.interactions
        watched.append([newest_first(rows.filter(user_id=user))["movie_id"].to_list() for user in ("u00", "u07")])
    assert watched[0] == watched[1]
