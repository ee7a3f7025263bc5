from datetime import UTC, date, datetime

import polars as pl
import pytest

from dataset.building.feedback import FeedbackConfig, to_implicit_feedback
from dataset.errors import UsageError
from dataset.schema import Rating
from dataset.tables import empty

RATINGS = pl.DataFrame(
    {
        "user_id": ["a", "a", "a", "b", "b"],
        "movie_id": ["x", "x", "y", "x", "gone"],
        "stars": [2.0, 5.0, None, 1.0, 4.0],
        "rated_on": [date(2024, 1, 1), date(2024, 2, 1), None, None, None],
    },
    schema_overrides={"stars": pl.Float32},
)
MOVIES = pl.Series(["x", "y"])


def test_the_newest_of_a_repeated_pair_wins() -> None:
    kept, dropped = to_implicit_feedback(RATINGS, MOVIES, FeedbackConfig())
    assert kept.filter(user_id="a", movie_id="x")["stars"].to_list() == [5.0]
    assert dropped.filter(pl.col("reason").str.contains("newer")).height == 1


def test_every_row_is_kept_or_quarantined_with_a_reason() -> None:
    for config in (
        FeedbackConfig(),
        FeedbackConfig(min_stars=3),
        FeedbackConfig(include_unrated=False),
        FeedbackConfig(since=date(2024, 1, 15)),
    ):
        kept, dropped = to_implicit_feedback(RATINGS, MOVIES, config)
        assert kept.height + dropped.height == RATINGS.height


def test_any_rating_counts_by_default_and_fewer_stars_can_be_left_out() -> None:
    assert to_implicit_feedback(RATINGS, MOVIES, FeedbackConfig())[0].height == 3
    kept, dropped = to_implicit_feedback(RATINGS, MOVIES, FeedbackConfig(min_stars=3, include_unrated=False))
    assert kept.select("user_id", "movie_id").rows() == [("a", "x")]
    assert set(dropped["reason"]) >= {"fewer than 3 stars", "watched but not rated", "movie unknown or deleted"}


def test_the_order_of_rows_does_not_matter() -> None:
    first, _ = to_implicit_feedback(RATINGS, MOVIES, FeedbackConfig())
    second, _ = to_implicit_feedback(RATINGS.reverse(), MOVIES, FeedbackConfig())
    assert first.sort("user_id", "movie_id").equals(second.sort("user_id", "movie_id"))


def test_of_a_repeated_pair_the_newest_between_the_bounds_wins() -> None:
    kept, dropped = to_implicit_feedback(RATINGS, MOVIES, FeedbackConfig(until=date(2024, 1, 15)))
    assert kept.rows() == [("a", "x", 2.0, date(2024, 1, 1), None)]
    assert sorted(dropped["reason"]) == [
        "after 2024-01-15",
        "movie unknown or deleted",
        "no date, but a range of days is set",
        "no date, but a range of days is set",
    ]
    kept, dropped = to_implicit_feedback(RATINGS, MOVIES, FeedbackConfig(since=date(2024, 2, 1)))
    assert kept["stars"].to_list() == [5.0]
    assert "before 2024-02-01" in set(dropped["reason"])


def test_an_older_better_rating_does_not_replace_one_that_is_too_low() -> None:
    ratings = RATINGS[:2].with_columns(stars=pl.Series([5.0, 2.0], dtype=pl.Float32))
    assert to_implicit_feedback(ratings, MOVIES, FeedbackConfig(min_stars=3))[0].is_empty()


def test_bounds_with_no_day_between_them_are_refused() -> None:
    with pytest.raises(UsageError, match="swap them"):
        FeedbackConfig(since=date(2024, 2, 1), until=date(2024, 1, 1))


DAY = date(2024, 5, 1)


def at(hour: int, minute: int = 0, day: date = DAY) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        pytest.param((5.0, DAY, at(9)), (1.0, DAY, at(10)), id="by the time of day"),
        pytest.param((5.0, DAY, at(10)), (1.0, DAY, at(10, 1)), id="by the minute"),
        pytest.param((5.0, DAY, None), (1.0, DAY, at(1)), id="a day alone is its midnight"),
        pytest.param((5.0, DAY, at(23)), (1.0, date(2024, 5, 2), None), id="the next day is newer"),
        pytest.param((5.0, None, None), (1.0, DAY, None), id="no date is oldest"),
        pytest.param((5.0, None, None), (1.0, DAY, at(3)), id="no date is older than a time"),
        pytest.param((1.0, DAY, at(3)), (5.0, DAY, at(3)), id="of one moment, the most stars"),
        pytest.param((None, DAY, at(3)), (1.0, DAY, at(3)), id="of one moment, stars rather than none"),
        pytest.param((3.0, DAY, None), (3.0, DAY, at(0)), id="of equal ratings, the one with a time"),
        pytest.param((5.0, None, at(1)), (1.0, None, at(2)), id="the day follows from the time"),
    ],
)
def test_the_newest_of_a_repeated_pair_is_found_by_time(older: tuple[object, ...], newer: tuple[object, ...]) -> None:
    ratings = pl.DataFrame(
        [("a", "x", *older), ("a", "x", *newer)], schema=empty(Rating).select(COLUMNS).schema, orient="row"
    )
    for rows in (ratings, ratings.reverse()):
        kept, dropped = to_implicit_feedback(rows, MOVIES, FeedbackConfig())
        assert kept.select(COLUMNS).rows() == [("a", "x", *newer)]
        assert dropped.height == 1


COLUMNS = ["user_id", "movie_id", "stars", "rated_on", "rated_at"]


def test_bounds_are_days_in_utc_also_where_the_time_is_known() -> None:
    moments = {"w": at(23, 59, date(2024, 4, 30)), "x": at(0), "y": at(23, 59), "z": at(0, 0, date(2024, 5, 2))}
    ratings = pl.DataFrame(
        [("a", movie, None, moment.date(), moment) for movie, moment in moments.items()],
        schema=empty(Rating).select(COLUMNS).schema,
        orient="row",
    )
    kept, _ = to_implicit_feedback(ratings, pl.Series(list(moments)), FeedbackConfig(since=DAY, until=DAY))
    assert sorted(kept["movie_id"]) == ["x", "y"]
