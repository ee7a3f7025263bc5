from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from crawler.sandbox.taste_tables import taste_tables
from crawler.sandbox.tastes import FloatArray, looks, utilities
from crawler.sandbox.truth import crawl_truth, truth
from crawler.sandbox.world import COMMENTS_REACH, World, WorldConfig, discoverable_users, generate_world
from crawler.sites import Site
from dataset.building.kcore import k_core
from dataset.errors import UsageError
from dataset.schema import RAW_TABLES
from dataset.tables import require_references, validate

SMALL = WorldConfig(seed=3, n_users=60, n_movies=40, mean_ratings=8)


@pytest.fixture(scope="module")
def world() -> World:
    return generate_world(WorldConfig())


@pytest.fixture(scope="module")
def facts(world: World) -> dict[str, pl.DataFrame]:
    return truth(world, picture_size=None)


def test_equal_configurations_give_equal_worlds() -> None:
    one, other = generate_world(SMALL), generate_world(SMALL)
    assert one.contents == other.contents
    assert one.seed_movie_ids == other.seed_movie_ids
    tables = truth(other, picture_size=None)
    for name, table in truth(one, picture_size=None).items():
        assert table.equals(tables[name]), name


def test_another_seed_gives_another_world() -> None:
    one, other = generate_world(SMALL), generate_world(replace(SMALL, seed=4))
    assert not set(one.contents.users) & set(other.contents.users)
    assert one.contents.movies != other.contents.movies


@pytest.mark.parametrize(
    "wrong", [{"seed": -1}, {"n_users": 3}, {"n_movies": 0}, {"mean_ratings": 0.0}, {"n_users": 10**9}]
)
def test_a_number_out_of_range_is_named(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        WorldConfig(**wrong)  # type: ignore[arg-type]


def test_truth_satisfies_the_raw_schemas() -> None:
    tables = truth(generate_world(WorldConfig(n_users=20, n_movies=12, mean_ratings=5)))
    assert list(tables) == list(RAW_TABLES)
    for name, table in tables.items():
        assert table.height > 0, name
        validate(table, RAW_TABLES[name], name)
    require_references(tables["frames"], tables["movies"], ["movie_id"], "frames", "movies")
    require_references(tables["images"], tables["frames"], ["frame_id"], "images", "frames")
    require_references(tables["frame_likes"], tables["frames"], ["frame_id"], "frame_likes", "frames")


def test_truth_can_be_narrowed_to_users_movies_and_kinds(world: World, facts: dict[str, pl.DataFrame]) -> None:
    users = facts["ratings"]["user_id"].unique().sort().head(7).to_list()
    movies = facts["movies"]["movie_id"].sort().head(30).to_list()
    site = Site(images="http://127.0.0.1:9")
    some = truth(world, users, movies, site=site, kinds=["poster"], like_source="user_likes", picture_size=None)
    expected = facts["ratings"].filter(pl.col("user_id").is_in(users), pl.col("movie_id").is_in(movies))
    assert some["ratings"].equals(expected.sort(expected.columns)) or set(some["ratings"].rows()) == set(
        expected.rows()
    )
    assert set(some["movies"]["movie_id"]) == set(movies)
    assert set(some["frames"]["kind"]) == {"poster"}
    assert set(some["frames"]["movie_id"]) <= set(movies)
    assert some["frames"]["image_url"].str.starts_with("http://127.0.0.1:9/view/photo/m/public/p").all()
    assert some["frames"]["like_count"].null_count() == some["frames"].height
    assert set(some["frame_likes"]["user_id"]) <= set(users)
    assert set(some["frame_likes"]["source"]) <= {"user_likes"}


def test_a_crawls_truth_has_all_ratings_but_only_frames_of_the_core(world: World) -> None:
    users = discoverable_users(world, world.seed_movie_ids)
    tables = crawl_truth(world, users, picture_size=None)
    core = k_core(tables["ratings"], 5, 5)
    assert core.height < tables["ratings"].height
    assert set(tables["frames"]["movie_id"]) <= set(core["movie_id"])
    assert set(tables["frame_likes"]["user_id"]) <= set(core["user_id"])
    assert set(tables["movies"]["movie_id"]) <= set(core["movie_id"])


def test_the_5_core_drops_some_users_and_some_movies_and_keeps_most(facts: dict[str, pl.DataFrame]) -> None:
    ratings = facts["ratings"]
    core = k_core(ratings, 5, 5)
    for key in ("user_id", "movie_id"):
        kept, all_of_them = core[key].n_unique(), ratings[key].n_unique()
        assert 0.75 * all_of_them < kept < all_of_them, key


def test_ratings_average_what_the_configuration_says(world: World, facts: dict[str, pl.DataFrame]) -> None:
    assert 14 < facts["ratings"].height / world.config.n_users < 22
    assert 0.04 < facts["ratings"]["stars"].null_count() / facts["ratings"].height < 0.12
    assert facts["ratings"].select("user_id", "movie_id").is_unique().all()


def test_deleted_people_comment_and_have_no_collection(world: World) -> None:
    deleted = {user.user_id for user in world.contents.users.values() if user.closing}
    commenting = {comment.user_id for comments in world.contents.comments_of.values() for comment in comments}
    assert deleted & commenting
    assert not any(world.contents.ratings_of[user_id] or world.contents.likes_of[user_id] for user_id in deleted)


def test_gone_movies_of_every_state_have_ratings_but_no_movie_row(world: World, facts: dict[str, pl.DataFrame]) -> None:
    gone = {movie.movie_id: movie.state for movie in world.contents.movies.values() if movie.state != "open"}
    assert set(gone.values()) == {"removed", "not_listed", "in_review"}
    assert not set(gone) & set(facts["movies"]["movie_id"])
    assert not set(gone) & set(facts["frames"]["movie_id"])
    assert set(gone) & set(facts["ratings"]["movie_id"])


def test_people_without_an_avatar_go_by_their_number(world: World) -> None:
    users = world.contents.users.values()
    assert any(user.slug for user in users)
    assert any(user.avatar_version is None and not user.closing for user in users)
    assert not any(user.slug for user in users if user.avatar_version is None and not user.closing)
    assert not any(user.slug.isdecimal() for user in users if user.slug)


def test_some_collections_are_empty_and_some_hide_items(world: World, facts: dict[str, pl.DataFrame]) -> None:
    living = [user.user_id for user in world.contents.users.values() if not user.closing]
    collections = [world.contents.ratings_of[user_id] for user_id in living]
    assert sum(not collection for collection in collections) > 3
    hidden = {(r.user_id, r.movie_id) for collection in collections for r in collection if r.is_hidden}
    assert hidden
    assert not hidden & set(facts["ratings"].select("user_id", "movie_id").rows())


def test_nearly_every_living_user_is_found_under_the_seed_movies(world: World) -> None:
    living = {user.user_id for user in world.contents.users.values() if not user.closing}
    found = discoverable_users(world, world.seed_movie_ids)
    assert found <= living
    assert 0.96 * len(living) < len(found)
    assert len(world.seed_movie_ids) == 20
    assert all(world.contents.movies[movie_id].state == "open" for movie_id in world.seed_movie_ids)


def test_in_a_large_world_the_seeds_grow_with_the_users() -> None:
    world = generate_world(WorldConfig(n_users=2400, n_movies=100, mean_ratings=6))
    living = sum(user.closing is None for user in world.contents.users.values())
    assert len(world.seed_movie_ids) > 20
    assert len(discoverable_users(world, world.seed_movie_ids)) > 0.95 * living
    assert all(len(world.contents.comments_of[movie_id]) <= COMMENTS_REACH for movie_id in world.seed_movie_ids)


def test_likes_are_of_frames_of_watched_movies(facts: dict[str, pl.DataFrame]) -> None:
    likes = facts["frame_likes"].join(facts["frames"], on="frame_id")
    require_references(likes, facts["ratings"], ["user_id", "movie_id"], "likes", "ratings")


def test_a_third_of_the_frames_shows_a_theme_and_those_are_the_ones_liked(world: World) -> None:
    frames = list(world.contents.frames.values())
    showing = [frame for frame in frames if frame.theme is not None]
    assert 0.3 < len(showing) / len(frames) < 0.45

    def mean_likes(some: list) -> float:  # type: ignore[type-arg]
        return float(np.mean([len(world.contents.likers_of[frame.frame_id]) for frame in some]))

    fillers = [frame for frame in frames if frame.theme is None]
    assert mean_likes(showing) > 5 * mean_likes(fillers) > 0


def test_every_theme_of_a_movie_is_shown_by_a_frame(world: World) -> None:
    names = taste_tables(world)
    shown = names["frames"].drop_nulls().select("movie_id", "theme").unique()
    with_frames = names["movies"].filter(pl.col("movie_id").is_in(names["frames"]["movie_id"].implode()))
    assert with_frames.join(shown, on=["movie_id", "theme"], how="anti").is_empty()


def test_likes_follow_the_personal_visual_taste(world: World, facts: dict[str, pl.DataFrame]) -> None:
    tables = taste_tables(world)
    seen = (
        facts["ratings"]
        .join(tables["frames"].drop_nulls(), on="movie_id")
        .join(tables["users"], on=["user_id", "theme"])
    )
    liked = seen.join(facts["frame_likes"], on=["user_id", "frame_id"], how="semi")
    other = seen.join(facts["frame_likes"], on=["user_id", "frame_id"], how="anti")
    assert liked["taste"].mean() > 0.7 > 0.2 > other["taste"].mean()  # type: ignore[operator]


def test_looks_decide_for_some_and_habit_for_others(world: World) -> None:
    tastes, index = world.tastes, {movie_id: i for i, movie_id in enumerate(world.contents.movies)}
    fit, home = looks(tastes), tastes.user_habits @ tastes.movie_habits.T

    def lift(score: FloatArray, row: int, watched: list[int]) -> float:
        return float((score[row, watched].mean() - score[row].mean()) / score.std())

    lifts: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for row, ratings in enumerate(world.contents.ratings_of.values()):
        watched, weight = [index[rating.movie_id] for rating in ratings], tastes.looks_weights[row]
        if len(watched) >= 5 and not 0.2 < weight < 0.8:
            lifts[bool(weight > 0.5)].append((lift(fit, row, watched), lift(home, row, watched)))
    for_looks, for_habit = np.mean(lifts[True], axis=0), np.mean(lifts[False], axis=0)
    assert for_looks[0] > 0.5 > 0.2 > for_habit[0]
    assert for_habit[1] > 0.5 > 0.2 > for_looks[1]


def test_the_tastes_rank_watched_movies_far_better_than_popularity(world: World) -> None:
    index = {movie_id: i for i, movie_id in enumerate(world.contents.movies)}
    watched = np.zeros((world.config.n_users, world.config.n_movies), bool)
    for row, ratings in enumerate(world.contents.ratings_of.values()):
        watched[row, [index[rating.movie_id] for rating in ratings]] = True

    def auc(score: FloatArray) -> float:
        rows = [(s[w][:, None] > s[~w]).mean() for s, w in zip(score, watched, strict=True) if w.any()]
        return float(np.mean(rows))

    popular = np.broadcast_to(watched.sum(axis=0), watched.shape).astype(float)
    assert auc(utilities(world.tastes)) > auc(popular) + 0.15 > 0.7
