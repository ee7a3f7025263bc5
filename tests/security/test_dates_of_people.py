"""Nobody's days get out unless the publisher says so."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from dataset.building.build import DatasetConfig, build
from dataset.errors import UsageError
from dataset.files import write_json
from dataset.schema import Rating
from dataset.snapshots.publication import PublicationConfig
from dataset.snapshots.publish import publish
from dataset.snapshots.push import push
from dataset.snapshots.snapshot import Snapshot
from dataset.tables import write_table

REAL = {"source": "crawl", "site": "douban", "is_invented": False}
RARE = datetime(2019, 11, 23, 5, 6, 7, tzinfo=UTC)
"""The moment of one person's rating; nobody else rated anything in that month."""


@pytest.fixture
def dataset(make_raw: Callable[..., Path], tmp_path: Path) -> Path:
    raw = make_raw()
    ratings = pl.read_parquet(raw / "ratings.parquet")
    is_rare = pl.int_range(pl.len()) == pl.arg_where(pl.col("movie_id") == "m1").first()
    moment = pl.lit(RARE).cast(pl.Datetime("us", "UTC"))
    at = pl.when(is_rare).then(moment)
    on = pl.when(is_rare).then(pl.lit(RARE.date())).otherwise("rated_on")
    write_table(ratings.with_columns(rated_at=at, rated_on=on), Rating, raw / "ratings.parquet")
    write_json(raw / "provenance.json", REAL)
    return build(raw, tmp_path / "dataset", DatasetConfig()).path


def moments_in(snapshot: Snapshot) -> set[Any]:
    """Return every date and time in every Parquet file of a snapshot."""
    found: set[Any] = set()
    for path in snapshot.path.rglob("*.parquet"):
        table = pl.read_parquet(path)
        for name in table.columns:
            if table[name].dtype.is_temporal():
                found |= set(table[name].drop_nulls().to_list())
    return found


def test_the_days_of_crawled_people_are_not_published_without_being_asked_for(dataset: Path, tmp_path: Path) -> None:
    snapshot, _ = publish(dataset, "people", tmp_path / "snapshots")
    assert {moment.day for moment in moments_in(snapshot)} == {1}
    assert not any(isinstance(moment, datetime) for moment in moments_in(snapshot))
    days = {str(day) for day in pl.read_parquet(dataset / "interactions.parquet")["rated_on"].drop_nulls().to_list()}
    hidden = {day for day in days if not day.endswith("-01")}
    told = "".join(path.read_text("utf-8") for path in snapshot.path.iterdir() if path.suffix in (".md", ".json"))
    assert "2019-11-23" in hidden
    assert [day for day in hidden if day in told] == []


@pytest.mark.parametrize("earlier", ["day", "time"])
def test_an_earlier_version_with_days_does_not_make_the_next_one_have_them(
    earlier: Any, dataset: Path, tmp_path: Path
) -> None:
    root = tmp_path / "snapshots"
    publish(dataset, "people", root, PublicationConfig(dates=earlier))
    again, is_new = publish(dataset, "people", root)
    assert (again.manifest.dates, is_new) == ("month", True)
    assert {moment.day for moment in moments_in(again)} == {1}


def test_the_order_of_ratings_is_published_without_any_date(dataset: Path, tmp_path: Path) -> None:
    snapshot, _ = publish(dataset, "people", tmp_path / "snapshots", PublicationConfig(dates="order"))
    assert moments_in(snapshot) == set()


@pytest.mark.parametrize("provenance", [{}, {"source": "crawl"}, {"source": "unknown"}, None])
def test_people_of_a_source_that_is_not_recorded_are_not_taken_for_invented(
    provenance: dict[str, Any] | None, make_raw: Callable[..., Path], tmp_path: Path
) -> None:
    raw = make_raw()
    if provenance is None:
        (raw / "provenance.json").unlink()
    else:
        write_json(raw / "provenance.json", provenance)
    dataset = build(raw, tmp_path / "dataset", DatasetConfig()).path
    assert publish(dataset, "people", tmp_path / "snapshots")[0].manifest.dates == "month"


def test_a_flow_that_crawls_a_real_site_does_not_publish_days_by_default() -> None:
    pytest.importorskip("prefect")
    from flows.parameters.config import BuildConfig, PublishConfig

    real = {"source": "douban", "contact": "me@example.org", "movies": ("1",)}
    assert BuildConfig(**real).publication.dates is None
    assert BuildConfig(**real, dates="day").publication.dates == "day"
    assert PublishConfig(dataset=Path("x"), name="x").publication.dates is None


@pytest.mark.parametrize("provenance", [REAL, {"source": "elsewhere"}])
def test_days_that_an_older_version_published_are_not_pushed(
    provenance: dict[str, Any], dataset: Path, tmp_path: Path
) -> None:
    config = PublicationConfig(licence="CC-BY-4.0", dates="day")
    snapshot, _ = publish(dataset, "people", tmp_path / "snapshots", config)
    older = replace(snapshot, manifest=replace(snapshot.manifest, dates=None, provenance=provenance))
    with pytest.raises(UsageError, match="publish the dataset again, with coarser dates or with --dates day"):
        push(older, "hf://me/people")
