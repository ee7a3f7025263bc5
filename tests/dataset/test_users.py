"""The table of the people who were read: what is published of it names nobody, and older data lack it."""

from dataclasses import replace
from datetime import date, timedelta

import polars as pl
import pytest

from dataset.building.build import DatasetConfig, build
from dataset.building.feedback import FeedbackConfig
from dataset.building.split import SplitConfig
from dataset.building.users import published_users
from dataset.errors import UsageError
from dataset.files import write_json
from dataset.schema import COUNT_BINS, Interaction, Quarantine, RawUser, SnapshotUser
from dataset.snapshots.publish import publish
from dataset.tables import empty, read_table, write_table

SCHEMA = empty(RawUser).schema


def _raw(*rows):
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _interactions(*users):
    return pl.DataFrame({"user_id": users, "movie_id": ["m"] * len(users)})


COUNTS = [0, 9, 10, 29, 30, 99, 100, 299, 300, 999, 1000, 2999, 3000, 50_000]


def test_counts_are_published_as_ranges_and_days_as_months():
    raw = _raw(*((f"u{n}", "comments", date(2026, 9, 17), n, n, True) for n in COUNTS))
    table, _ = published_users(raw, _interactions(*raw["user_id"]))
    assert table["read"].to_list() == [COUNT_BINS[i // 2] for i in range(len(COUNTS))]
    assert table["claimed"].to_list() == table["read"].to_list()
    assert set(table["read_in"]) == {"2026-09"}
    assert table.columns == SnapshotUser.column_names()
    assert not any(dtype.is_numeric() or dtype.is_temporal() for dtype in table.dtypes)


def test_what_is_not_known_is_null_and_users_without_interactions_are_dropped_with_a_reason():
    raw = _raw(("a", None, None, None, 3, False), ("b", "given", date(2026, 1, 2), 4, 4, True))
    table, dropped = published_users(raw, _interactions("a"))
    assert table.rows() == [("a", None, None, None, "0-9", False)]
    assert dropped.select("table", "user_id").rows() == [("users", "b")]


@pytest.fixture
def raw_with_users(make_raw, tmp_path):
    raw = make_raw()
    write_json(raw / "provenance.json", {"source": "crawl", "is_invented": True})
    ratings = pl.read_parquet(raw / "ratings.parquet")
    users = ratings["user_id"].unique().sort()
    rows = [(user, "comments", date(2026, 9, 1), 40, 38, True) for user in users]
    write_table(_raw(*rows), RawUser, raw / "users.parquet")
    return raw


def test_a_snapshot_has_the_users_of_its_interactions_and_says_how_they_were_chosen(raw_with_users, tmp_path):
    build(raw_with_users, tmp_path / "dataset", DatasetConfig(k_user=2, k_item=2))
    users = read_table(tmp_path / "dataset" / "users.parquet", SnapshotUser)
    interactions = read_table(tmp_path / "dataset" / "interactions.parquet", Interaction)
    assert set(users["user_id"]) == set(interactions["user_id"])
    quarantine = read_table(tmp_path / "dataset" / "quarantine.parquet", Quarantine)
    n_raw = pl.read_parquet(raw_with_users / "users.parquet").height
    assert users.height + quarantine.filter(pl.col("table") == "users").height == n_raw
    snapshot, _ = publish(tmp_path / "dataset", "tiny", tmp_path / "snapshots")
    assert snapshot.read("users").equals(users)
    card = (snapshot.path / "README.md").read_text(encoding="utf-8")
    assert "not a random sample" in card
    assert "40" not in card.partition("### users")[2].partition("\n#")[0]


@pytest.mark.parametrize("strategy", ["temporal", "random"])
def test_a_build_can_end_on_the_day_before_the_first_person_was_read(raw_with_users, tmp_path, strategy):
    ratings = pl.read_parquet(raw_with_users / "ratings.parquet")
    days = ratings["rated_on"].drop_nulls().sort()
    first, users = days[len(days) // 2], pl.read_parquet(raw_with_users / "users.parquet")
    read_on = [first, *[date(2026, 9, 1)] * (users.height - 2), None]
    nobody = pl.DataFrame([("nobody", "comments", date(2001, 1, 1), 0, 0, True)], users.schema, orient="row")
    users = pl.concat([users.with_columns(read_on=pl.Series(read_on)), nobody])
    write_table(users, RawUser, raw_with_users / "users.parquet")  # without ratings, "nobody" does not count
    feedback = FeedbackConfig(until="first-read")
    config = DatasetConfig(k_user=0, k_item=0, feedback=feedback, split=SplitConfig(strategy=strategy))
    built = build(raw_with_users, tmp_path / "dataset", config)
    interactions = read_table(built.path / "interactions.parquet", Interaction)
    assert interactions["rated_on"].max() < first
    last = first - timedelta(days=1)
    assert built.description["config"]["feedback"]["until"] == str(last)
    dropped = read_table(built.path / "quarantine.parquet", Quarantine).filter(table="ratings", reason=f"after {last}")
    assert dropped.height > 0
    same = build(raw_with_users, tmp_path / "same", replace(config, feedback=FeedbackConfig(until=last)))
    assert same.description == built.description


def test_without_the_days_on_which_people_were_read_a_build_cannot_end_there(make_raw, raw_with_users, tmp_path):
    config = DatasetConfig(feedback=FeedbackConfig(until="first-read"))
    users = pl.read_parquet(raw_with_users / "users.parquet")
    write_table(users.with_columns(read_on=pl.lit(None, pl.Date)), RawUser, raw_with_users / "users.parquet")
    with pytest.raises(UsageError, match=r"--until first-read: .*users\.parquet.*give a day"):
        build(raw_with_users, tmp_path / "dataset", config)
    (raw_with_users / "users.parquet").unlink()
    with pytest.raises(UsageError, match=r"--until first-read: .*users\.parquet.*give a day"):
        build(raw_with_users, tmp_path / "dataset", config)


def test_raw_tables_without_users_give_a_dataset_without(make_raw, tmp_path):
    build(make_raw(), tmp_path / "dataset", DatasetConfig(k_user=2, k_item=2))
    assert not (tmp_path / "dataset" / "users.parquet").exists()
