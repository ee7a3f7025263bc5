from datetime import date

import polars as pl
import pytest

from dataset.building.feedback import FeedbackConfig, to_implicit_feedback
from dataset.errors import UsageError

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
