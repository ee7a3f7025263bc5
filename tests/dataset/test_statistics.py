import polars as pl

from dataset.building.statistics import compare_with_paper, long_tail, statistics
from dataset.schema import Frame, FrameLike, Interaction
from dataset.tables import empty


def filled(rows: list[tuple[object, ...]], columns: list[str], schema: type) -> pl.DataFrame:
    whole = empty(schema)
    table = pl.DataFrame(rows, schema=columns, orient="row")
    missing = [pl.lit(None, whole.schema[name]).alias(name) for name in whole.columns if name not in columns]
    return table.with_columns(missing).select(whole.columns).cast(dict(whole.schema))


INTERACTIONS = filled(
    [("a", "m1", "train"), ("a", "m2", "validation"), ("b", "m1", "train"), ("b", "m3", "test"), ("c", "m1", "test")],
    ["user_id", "movie_id", "split"],
    Interaction,
)
FRAMES = filled([("f1", "m1"), ("f2", "m1"), ("f3", "m2")], ["frame_id", "movie_id"], Frame)
LIKES = filled(
    [("a", "m2", "f3", "validation"), ("c", "m1", "f1", "test"), ("c", "m1", "f2", "test")],
    ["user_id", "movie_id", "frame_id", "split"],
    FrameLike,
)


def test_every_number_is_what_counting_by_hand_gives() -> None:
    found = statistics(INTERACTIONS, FRAMES, LIKES, pl.Series(["f1", "f3"]))
    expected = {
        "n_users": 3,
        "n_movies": 3,
        "n_interactions": 5,
        "n_train_interactions": 2,
        "n_validation_interactions": 1,
        "n_test_interactions": 2,
        "n_cold_users": 1,  # c
        "n_cold_movies": 2,  # m2, m3
        "n_cold_interactions": 3,
        "density": 5 / 9,
        "interactions_per_user_max": 2,
        "interactions_per_movie_mean": 5 / 3,
        "share_of_most_popular_tenth_of_movies": 3 / 5,
        "n_frames": 3,
        "n_frames_without_picture": 1,
        "frames_per_movie_mean": 1.5,
        "n_movies_without_frame": 1,
        "n_validation_frame_likes": 1,
        "n_test_frame_likes": 2,
        "n_user_movie_pairs_with_likes": 2,
        "n_users_with_likes": 2,
        "likes_per_user_with_likes_max": 2,
    }
    assert {name: found[name] for name in expected} == expected


def test_the_long_tail_rises_from_nothing_to_all() -> None:
    assert long_tail(INTERACTIONS).tolist() == [0, 3 / 5, 4 / 5, 1]


def test_a_dataset_without_pictures_or_likes_has_zeros() -> None:
    found = statistics(INTERACTIONS, FRAMES.clear(), LIKES.clear(), pl.Series([], dtype=pl.String))
    assert (found["n_frames"], found["frames_per_movie_mean"], found["n_users_with_likes"]) == (0, 0, 0)
    assert found["n_movies_without_frame"] == 3


def test_the_paper_s_numbers_stand_beside_ours() -> None:
    lines = compare_with_paper(statistics(INTERACTIONS, FRAMES, LIKES, pl.Series(["f1"])))
    assert any("users" in line and " 3 " in line and "(paper: 16,166)" in line for line in lines)
