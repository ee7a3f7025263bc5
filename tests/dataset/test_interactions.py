from datetime import date

import polars as pl

from dataset.interactions import FeedbackConfig, to_implicit_feedback

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
    for config in (FeedbackConfig(), FeedbackConfig(min_stars=3), FeedbackConfig(include_unrated=False)):
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
