"""How many users a few of their points single out: against brute force, planted shares, and every kind of table."""

import json
import sys
import time
from collections.abc import Callable
from datetime import date, timedelta
from itertools import combinations
from pathlib import Path
from typing import Any
from unittest import mock

import dataframely as dy
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset import schema
from dataset.__main__ import app
from dataset.building.build import DatasetConfig, build
from dataset.cli import run
from dataset.dates import coarsen
from dataset.risk import uniqueness, words
from dataset.risk.figures import POINTS, RiskConfig, personal_tables, risk_figures
from dataset.risk.uniqueness import Points
from dataset.schema import SnapshotInteraction
from dataset.snapshots.publication import PublicationConfig
from dataset.snapshots.publish import publish

Rows = list[tuple[int, int]]
MOST_DRAWS = 50_000


@pytest.fixture(autouse=True)
def all_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take as many draws as the product does; the other tests take fewer."""
    monkeypatch.setattr(uniqueness, "MOST_DRAWS", MOST_DRAWS)


def by_brute_force(rows: Rows, n_points: int) -> float:
    """Return the mean, over users, of the share of their subsets that nobody else has."""
    of: dict[int, set[int]] = {}
    for user, point in rows:
        of.setdefault(user, set()).add(point)
    shares = []
    for user, own in of.items():
        subsets = list(combinations(sorted(own), min(n_points, len(own))))
        alone = [not any(other != user and set(known) <= has for other, has in of.items()) for known in subsets]
        shares.append(sum(alone) / len(alone))
    return sum(shares) / len(shares)


def points_of(rows: Rows) -> Points:
    users, points = np.array(rows, dtype=np.int64).T
    return Points(users, points)


def shares(rows: pl.DataFrame, table: str = "interactions", **options: Any) -> dict[tuple[str, int, str], float]:
    figures = risk_figures({table: rows.lazy()}, options.pop("dates", ("day",)), RiskConfig(**options))
    return {(one.known, one.points, one.chosen): one.share for one in figures}


def ratings(rows: list[tuple[str, str, date | None]]) -> pl.DataFrame:
    table = pl.DataFrame(rows, schema={"user_id": pl.String, "movie_id": pl.String, "rated_on": pl.Date}, orient="row")
    stars, rated_at = pl.lit(None, pl.Float32), pl.lit(None, pl.Datetime("us", "UTC"))
    return table.with_columns(stars=stars, rated_at=rated_at, split=pl.lit("train"))


DAY = date(2024, 1, 1)


# --- the share ---------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 7)), min_size=1, max_size=40))
def test_the_random_share_is_that_of_all_subsets(rows: Rows) -> None:
    points = points_of(rows)
    for n_points in POINTS:
        found = points.random(n_points, 1500, np.random.default_rng(0))
        assert found.share == pytest.approx(by_brute_force(rows, n_points), abs=0.04)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 7)), min_size=1, max_size=40))
def test_of_all_points_the_random_and_the_rarest_share_are_exact(rows: Rows) -> None:
    points, exact = points_of(rows), by_brute_force(rows, 8)
    for found in (points.random(8, 3, np.random.default_rng(0)), points.rarest(8, np.random.default_rng(0))):
        assert found.share == pytest.approx(exact)


def test_the_rarest_points_are_those_of_the_fewest_users() -> None:
    rows = [(user, 0) for user in range(9)] + [(user, 1) for user in range(9)] + [(0, 2), (1, 2), (2, 2)]
    points = points_of(rows)
    assert points.rarest(1, np.random.default_rng(0)).share == 0
    assert points_of([*rows, (0, 3)]).rarest(1, np.random.default_rng(0)).share == pytest.approx(1 / 9)


def test_the_users_of_a_popular_point_are_all_looked_up() -> None:
    """The only other user with both points comes last in a long list."""
    crowd = 5000
    rows = [(user, 0) for user in range(crowd)] + [(0, 1), (crowd - 1, 1)] + [(user, 2 + user) for user in (0, 1)]
    rows += [(user, 1) for user in range(crowd, 2 * crowd)]
    assert points_of(rows)._share(np.array([0]), np.array([[0, 1]])) == 0
    alone = [row for row in rows if row != (crowd - 1, 1)]
    assert points_of(alone)._share(np.array([0]), np.array([[0, 1]])) == 1


@pytest.mark.parametrize("planted", [0.0, 0.13, 0.5, 0.97, 1.0])
def test_planted_uniqueness_is_recovered_within_a_percent(planted: float) -> None:
    """Of 3,000 users some have rows of their own; the others share theirs with a twin."""
    n_users, n_rows = 3000, 12
    rng, n_alone = np.random.default_rng(1), round(planted * 3000)
    rows = []
    for user in range(n_users):
        owner = user if user < n_alone else n_alone + (user - n_alone) // 2 * 2
        choice = (
            np.random.default_rng(owner).integers(0, 400, n_rows) if user >= n_alone else rng.integers(0, 400, n_rows)
        )
        mine = [(f"u{user}", f"m{movie}", DAY + timedelta(days=int(movie) * 7 % 900)) for movie in set(choice.tolist())]
        rows += [(who, f"{movie}-{user}" if user < n_alone else movie, day) for who, movie, day in mine]
    found = shares(ratings(rows))
    for (known, n_points, chosen), share in found.items():
        if known in ("movie", "movie and day"):
            n_twins = (n_users - n_alone) // 2 * 2
            assert share == pytest.approx(1 - n_twins / n_users, abs=0.01), (known, n_points, chosen)


@pytest.mark.parametrize(("own", "common"), [(3, 7), (1, 9), (6, 2)])
def test_planted_points_of_ones_own_are_recovered_within_a_percent(own: int, common: int) -> None:
    """Each of 500 users has some points of their own among those of everybody, so the share is combinatorics."""
    rows = [(user, 10_000 + 10 * user + number) for user in range(500) for number in range(own)]
    points = points_of(rows + [(user, number) for user in range(500) for number in range(common)])
    for n_points in POINTS:
        drawn = list(combinations(range(own + common), n_points))
        exact = sum(min(places) < own for places in drawn) / len(drawn)
        found = points.random(n_points, RiskConfig().draws, np.random.default_rng(0))
        assert found.share == pytest.approx(exact, abs=0.01)
        assert abs(found.share - exact) <= max(3 * found.margin, 1e-9)


def test_the_dates_make_the_difference_that_is_planted() -> None:
    """Everybody has seen the same movies; on days of their own, in the same months, in the same order."""
    rows = [(f"u{user:02}", f"m{movie}", date(2024, movie, 1 + user)) for user in range(20) for movie in range(1, 9)]
    found = shares(ratings(rows), dates=("day", "month", "order"))
    by_known = {known: {share for (k, *_), share in found.items() if k == known} for known, *_ in found}
    plain = {known: values for known, values in by_known.items() if "stars" not in known}
    assert plain == {"movie and day": {1.0}, "movie and month": {0.0}, "movie and order": {0.0}, "movie": {0.0}}


def test_stars_are_known_too() -> None:
    rows = ratings([(f"u{user}", f"m{movie}", DAY) for user in range(5) for movie in range(6)])
    rows = rows.with_columns(stars=pl.col("user_id").str.slice(1).cast(pl.Float32) + 0.5)
    found = shares(rows)
    assert {known: share for (known, n, how), share in found.items() if (n, how) == (2, "random")} == {
        "movie and day": 0,
        "movie, day and stars": 1,
        "movie": 0,
        "movie and stars": 1,
    }


def test_a_point_that_a_user_has_twice_counts_once() -> None:
    assert points_of([(0, 1), (0, 1), (1, 1), (1, 2)]).random(2, 10, np.random.default_rng(0)).share == 0.5


def test_equal_rows_and_seeds_give_equal_figures() -> None:
    rng = np.random.default_rng(0)
    rows = ratings([(f"u{rng.integers(40)}", f"m{rng.integers(30)}", DAY) for _ in range(400)]).unique(
        ["user_id", "movie_id"]
    )
    before = shares(rows)
    assert shares(rows) == before
    random = {key: share for key, share in shares(rows, seed=1).items() if key[2] == "random"}
    assert random != {key: before[key] for key in random}
    assert all(share == pytest.approx(before[key], abs=0.01) for key, share in random.items())


# --- bounds ------------------------------------------------------------------------------------


def test_draws_are_per_user_and_bounded_for_all_users_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uniqueness, "MOST_DRAWS", 100)
    few, many = points_of([(user, user % 3) for user in range(7)]), points_of([(user, user % 3) for user in range(250)])
    assert few.random(2, 5, np.random.default_rng(0)).draws == 35
    assert few.random(2, 1000, np.random.default_rng(0)).draws == 98
    sampled = many.random(2, 1000, np.random.default_rng(0))
    assert (sampled.users, sampled.draws) == (100, 100)
    assert many.rarest(2, np.random.default_rng(0)).users == 100


def test_a_sample_of_users_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uniqueness, "MOST_DRAWS", 100)
    rows = ratings([(f"u{user}", f"m{user % 7}", DAY) for user in range(300)])
    said = words.how([figure.to_json() for figure in risk_figures({"interactions": rows.lazy()}, ("day",))])
    assert "a random sample of 100 of 300 users of interactions" in said
    assert "300 of 300 users of interactions" in said  # have fewer than 4 points


def test_20000_users_with_400000_ratings_take_seconds() -> None:
    rng = np.random.default_rng(0)
    weights = 1 / np.arange(1, 5001) ** 0.9
    users, movies = rng.integers(0, 20_000, 400_000), rng.choice(5000, 400_000, p=weights / weights.sum())
    days = rng.integers(15_000, 18_000, 400_000)
    table = pl.DataFrame({"user": users, "movie": movies, "day": days}).unique(["user", "movie"], keep="first")
    rows = table.select(
        user_id=pl.format("u{}", "user"),
        movie_id=pl.format("m{}", "movie"),
        stars=pl.lit(None, pl.Float32),
        rated_on=pl.col("day").cast(pl.Int32).cast(pl.Date),
    )
    start = time.process_time()
    found = shares(rows)
    assert time.process_time() - start < 30  # about 3 s
    assert 0.1 < found["movie", 2, "random"] < found["movie", 4, "random"] < found["movie and day", 2, "random"]


# --- any table ---------------------------------------------------------------------------------


class Profile(dy.Schema):
    """One row per user."""

    user_id = dy.String(primary_key=True)
    city = dy.String(nullable=True)
    joined_on = dy.Date(nullable=True)
    interests = dy.List(dy.String(), nullable=True)


class Wish(dy.Schema):
    """One row per user and movie that they want to see; its key is the source's own number."""

    wish_id = dy.String(primary_key=True)
    user_id = dy.String()
    movie_id = dy.String()
    wished_on = dy.Date(nullable=True)


def test_a_table_with_one_row_per_user_is_known_by_its_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(schema.SNAPSHOT_TABLES, "users", Profile)
    rows = pl.DataFrame(
        {
            "user_id": ["a", "b", "c", "d"],
            "city": ["Hamburg", "Hamburg", "Bonn", "Bonn"],
            "joined_on": [date(2020, 1, 1), date(2020, 1, 2), date(2020, 1, 1), date(2020, 1, 1)],
            "interests": [["x"], ["x"], ["x", "y"], ["x", "y"]],
        }
    )
    found = shares(rows, "users", dates=("day", "month"))
    assert found["value of a column and day", 3, "rarest"] == 0.5  # a and b differ by the day
    assert {share for (known, *_), share in found.items() if known == "value of a column"} == {0.0}
    assert {share for (known, *_), share in found.items() if known == "value of a column and month"} == {0.0}


def test_a_table_with_a_key_of_its_own_is_known_by_what_its_rows_are_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(schema.SNAPSHOT_TABLES, "wishes", Wish)
    rows = pl.DataFrame(
        [(f"{user}-{movie}", user, movie, DAY) for user in "abc" for movie in "xyz"],
        schema={"wish_id": pl.String, "user_id": pl.String, "movie_id": pl.String, "wished_on": pl.Date},
        orient="row",
    )
    found = shares(rows, "wishes")
    assert {known for known, *_ in found} == {"movie and day", "movie"}
    assert set(found.values()) == {0.0}


def test_every_published_table_of_users_has_figures(raw_once: Path, tmp_path: Path) -> None:
    snapshot, _ = publish(build(raw_once, tmp_path / "dataset", DatasetConfig()).path, "toy", tmp_path / "snapshots")
    tables = {name for name in personal_tables() if snapshot.has(name)}
    assert {figure["table"] for figure in snapshot.manifest.risk_figures} == tables >= {"interactions", "frame_likes"}
    assert {figure["known"] for figure in snapshot.manifest.risk_figures if figure["table"] == "frame_likes"} == {
        "frame"
    }


def test_a_table_without_rows_has_no_figures() -> None:
    assert shares(ratings([])) == {}


# --- the command, the card ---------------------------------------------------------------------


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """A function that runs `python -m dataset` in this process and returns status, stdout and stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["dataset", *map(str, arguments)])
        status = 0
        try:
            run(app)
        except SystemExit as stopped:
            status = int(stopped.code or 0)
        return status, *capsys.readouterr()

    return call


@pytest.fixture
def dataset(make_raw: Callable[..., Path], tmp_path: Path) -> Path:
    return build(make_raw(), tmp_path / "dataset", DatasetConfig()).path


def test_of_a_dataset_every_exactness_of_dates_is_compared(dataset: Path, command: Callable[..., Any]) -> None:
    status, printed, errors = command("risk", dataset, "--json", "--seed", "3", "--draws", "20")
    assert (status, errors) == (0, "")
    figures = json.loads(printed)["figures"]
    known = {figure["known"] for figure in figures if figure["table"] == "interactions"}
    assert {"movie and day", "movie and month", "movie and order", "movie"} <= known
    assert {(figure["seed"], figure["draws"]) for figure in figures if figure["chosen"] == "random"} >= {(3, 240)}
    assert "movie and month" in command("risk", dataset)[1]


@pytest.mark.parametrize("dates", ["day", "month", "order"])
def test_the_command_computes_what_the_manifest_and_the_card_say(
    dates: Any, dataset: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    snapshot, _ = publish(dataset, "toy", tmp_path / "snapshots", PublicationConfig(dates=dates))
    computed = json.loads(command("risk", snapshot.path, "--json")[1])
    assert computed["dates"] == dates
    assert computed["figures"] == snapshot.manifest.risk_figures
    card = (snapshot.path / "README.md").read_text("utf-8")
    for row in words.rows(snapshot.manifest.risk_figures):
        assert f"| `{row.table}`: {row.known} | {' | '.join(row.shares)} |" in card
    assert words.in_short(snapshot.manifest.risk_figures) in card
    assert words.in_short(snapshot.manifest.risk_figures) in (snapshot.path / "croissant.json").read_text("utf-8")


def test_a_table_of_users_of_a_later_version_is_said_to_have_no_figures(
    raw_once: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    snapshot, _ = publish(build(raw_once, tmp_path / "dataset", DatasetConfig()).path, "toy", tmp_path / "snapshots")
    with mock.patch.dict(schema.SNAPSHOT_TABLES):  # it restores the order, too
        del schema.SNAPSHOT_TABLES["frame_likes"]
        assert json.loads(command("risk", snapshot.path, "--json")[1])["not_computed"] == ["frame_likes"]
        assert "Not computed for frame_likes" in command("risk", snapshot.path)[1]


def test_the_figures_of_an_order_are_those_of_the_ranks(dataset: Path, tmp_path: Path) -> None:
    snapshot, _ = publish(dataset, "toy", tmp_path / "snapshots", PublicationConfig(dates="order"))
    built = pl.scan_parquet(dataset / "interactions.parquet")
    before = risk_figures({"interactions": coarsen(built, SnapshotInteraction, "order")}, ("order",))
    published = [figure for figure in snapshot.manifest.risk_figures if figure["table"] == "interactions"]
    assert published == [figure.to_json() for figure in before]
    assert next(f["share"] for f in published if (f["known"], f["points"]) == ("movie and order", 4)) > 0.9


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("nowhere",), 1, "not a snapshot"),
        (("--draws", "0"), 2, "--draws '0'"),
        (("--seed", "-1"), 2, "--seed"),
    ],
)
def test_a_wrong_risk_ends_in_one_line(
    arguments: tuple[str, ...], status: int, told: str, command: Callable[..., Any]
) -> None:
    ended, printed, errors = command("risk", *arguments)
    assert (ended, printed, errors.count("\n")) == (status, "", 1)
    assert told in errors


def test_shares_below_one_are_never_shown_as_all() -> None:
    assert (words._percent(0.9999), words._percent(1.0), words._percent(0.5)) == ("99.9 %", "100.0 %", "50.0 %")
