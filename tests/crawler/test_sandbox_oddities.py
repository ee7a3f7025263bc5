"""The oddities of a world: permanent, chosen by seed and rate, and known to the truth."""

from collections import Counter
from dataclasses import fields, replace

import polars as pl
import pytest
from parsel import Selector

from crawler.sandbox.answers import Answer, Answers, Request
from crawler.sandbox.oddities import Oddities, with_oddities
from crawler.sandbox.truth import HTML, PRESET_VIA, crawl_truth, guest_truth, truth, users_truth
from crawler.sandbox.world import World, WorldConfig, generate_world
from crawler.sites import Site
from dataset.errors import UsageError
from dataset.schema import RAW_TABLES
from dataset.tables import validate

SITE = Site("http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3", "http://127.0.0.1:4")
ALL = Oddities(**{field.name: 0.06 for field in fields(Oddities)})
JSON = {"movie": "json", "photos": "json", "collection": "json", "people": "json"}


@pytest.fixture(scope="module")
def plain() -> World:
    return generate_world(WorldConfig(seed=4, n_users=60, n_movies=40, mean_ratings=10))


@pytest.fixture(scope="module")
def odd(plain: World) -> World:
    return with_oddities(plain, ALL)


def page(world: World, target: str) -> Answer:
    return Answers(world, SITE)(Request("movie", "GET", target))


def marks(world: World) -> dict[str, object]:
    return {one.comment_id: one for ratings in world.contents.ratings_of.values() for one in ratings}


def test_without_a_rate_the_world_is_the_same(plain: World) -> None:
    assert with_oddities(plain, Oddities()).contents == plain.contents


def test_equal_rates_give_equal_worlds_and_the_plain_world_stays(plain: World, odd: World) -> None:
    assert with_oddities(plain, ALL).contents == odd.contents
    assert plain.contents == generate_world(plain.config).contents
    other = with_oddities(generate_world(replace(plain.config, seed=5)), ALL)
    assert other.contents.merged != odd.contents.merged


@pytest.mark.parametrize("name", [field.name for field in fields(Oddities)])
def test_each_oddity_occurs_even_at_a_tiny_rate(plain: World, name: str) -> None:
    world = with_oddities(plain, Oddities(**{name: 0.0001}))
    assert world.contents != plain.contents
    assert world.seed_movie_ids == plain.seed_movie_ids


@pytest.mark.parametrize("rate", [-0.1, 1.1])
def test_a_rate_out_of_range_is_named(rate: float) -> None:
    with pytest.raises(UsageError, match=r"merged is .*from 0 to 1"):
        Oddities(merged=rate)


def test_the_movies_where_a_crawl_starts_can_be_read(odd: World) -> None:
    assert {odd.contents.movies[movie_id].state for movie_id in odd.seed_movie_ids} == {"open"}


@pytest.mark.parametrize(
    ("state", "status", "body"),
    [("login_only", 404, b""), ("censored", 204, b""), ("removed", 404, "条目不存在".encode())],
)
def test_a_closed_movie_answers_in_its_way_on_all_its_pages(odd: World, state: str, status: int, body: bytes) -> None:
    closed = [movie.movie_id for movie in odd.contents.movies.values() if movie.state == state]
    assert closed
    for movie_id in closed:
        for part in ("", "comments", "photos?type=S"):
            answer = page(odd, f"/subject/{movie_id}/{part}")
            assert answer.status == status
            assert body in answer.body
            assert bool(answer.body) == bool(body)
        assert movie_id not in {frame.movie_id for frame in odd.contents.frames.values()}


def test_a_merged_movie_redirects_to_the_same_page_of_the_other(odd: World) -> None:
    assert odd.contents.merged
    for old, into in odd.contents.merged.items():
        for part in ("", "comments?start=20", "photos?type=S"):
            answer = page(odd, f"/subject/{old}/{part}")
            assert (answer.status, answer.headers) == (301, (("Location", f"{SITE.movie}/subject/{into}/{part}"),))
        assert page(odd, f"/subject/{into}/").status == 200


def test_people_marked_a_merged_movie_under_either_id_or_under_both(plain: World) -> None:
    world = with_oddities(plain, Oddities(merged=0.5))
    ways: Counter[tuple[bool, bool]] = Counter()
    for ratings in world.contents.ratings_of.values():
        ids = {one.movie_id for one in ratings}
        for old, into in world.contents.merged.items():
            ways[old in ids, into in ids] += 1
        dates = [one.rated_on for one in ratings]
        assert dates == sorted(dates, reverse=True)
    assert min(ways[True, False], ways[False, True], ways[True, True]) > 0


def test_a_person_counts_once_for_a_merged_movie_with_the_later_mark(plain: World) -> None:
    world = with_oddities(plain, Oddities(merged=0.5))
    ratings = crawl_truth(world, k=0, picture_size=None)["ratings"]
    assert not ratings.select("user_id", "movie_id").is_duplicated().any()
    assert not set(ratings["movie_id"]) & set(world.contents.merged)
    pairs = {(user, movie): (stars, day) for user, movie, stars, day in ratings.select(ratings.columns[:4]).rows()}
    n_twice = 0
    for user_id, own in world.contents.ratings_of.items():
        shown = {one.movie_id: one for one in own if not one.is_hidden}
        for old, into in world.contents.merged.items():
            if old in shown and into in shown and (user_id, into) in pairs:
                n_twice += 1
                assert pairs[user_id, into] == (shown[into].stars, shown[into].rated_on)
                assert shown[into].rated_on > shown[old].rated_on
    assert n_twice


def test_a_merger_is_known_only_if_the_old_id_was_asked_for(plain: World) -> None:
    world = with_oddities(plain, Oddities(merged=0.5))
    n_left = {}
    for k in (0, 4, 8):
        tables = crawl_truth(world, k=k, picture_size=None)
        left = set(tables["ratings"]["movie_id"]) & set(world.contents.merged)
        assert not left & set(tables["movies"]["movie_id"])
        n_left[k] = len(left)
    assert 0 == n_left[0] < n_left[4] < n_left[8]


def test_a_dateless_mark_is_an_item_without_a_date(plain: World) -> None:
    world = with_oddities(plain, Oddities(dateless=0.3))
    user_id = max(world.contents.ratings_of, key=lambda one: len(world.contents.ratings_of[one]))
    items = Selector(page(world, f"/people/{user_id}/collect").body.decode()).css("div.item")
    shown = [one for one in world.contents.ratings_of[user_id][:15] if not one.is_hidden]
    assert [item.css(".date::text").get() for item in items] == [one.rated_on and str(one.rated_on) for one in shown]
    assert None in [one.rated_on for one in shown]
    assert {item.css("span[class^=rating]").get() is None for item in items} == {one.stars is None for one in shown}


def test_a_deleted_movie_reads_unknown_and_has_neither_date_nor_stars(plain: World) -> None:
    world = with_oddities(plain, Oddities(deleted=0.1))
    n = 0
    for user_id in world.contents.ratings_of:
        for item in Selector(page(world, f"/people/{user_id}/collect").body.decode()).css("div.item"):
            if item.css("em::text").get() == "未知电影":
                n += 1
                assert not item.css(".date, span[class^=rating]")
    assert n
    rows = truth(world, picture_size=None)["ratings"].filter(pl.col("rated_on").is_null())
    assert rows["stars"].null_count() == rows.height > 0
    assert not set(rows["movie_id"]) & set(truth(world, via=JSON, picture_size=None)["ratings"]["movie_id"])


@pytest.mark.parametrize("mode", ["grid", "list"])
def test_an_autolinked_item_has_two_movies_and_its_title_comes_first(plain: World, mode: str) -> None:
    world = with_oddities(plain, Oddities(autolinks=0.5))
    user_id = max(world.contents.ratings_of, key=lambda one: len(world.contents.ratings_of[one]))
    items = Selector(page(world, f"/people/{user_id}/collect?mode={mode}").body.decode()).css(".item")
    shown = [one for one in world.contents.ratings_of[user_id][: 15 if mode == "grid" else 30] if not one.is_hidden]
    for item, rating in zip(items, shown, strict=True):
        assert item.css(".title a::attr(href)").re(r"/subject/(\d+)/") == [rating.movie_id]
        second = world.contents.links_of.get(rating.comment_id)
        assert item.css(".comment a::attr(href)").re(r"/subject/(\d+)/") == ([second] if second else [])
    assert any(one.comment_id in world.contents.links_of for one in shown)


def test_a_collection_as_a_list_has_thirty_items_per_page_and_keeps_its_mode(plain: World) -> None:
    user_id = max(plain.contents.ratings_of, key=lambda one: len(plain.contents.ratings_of[one]))
    ratings = [*plain.contents.ratings_of[user_id]] * 3
    world = replace(plain, contents=replace(plain.contents, ratings_of={user_id: ratings}))
    found = Selector(page(world, f"/people/{user_id}/collect?mode=list").body.decode())
    shown = [one for one in ratings[:30] if not one.is_hidden]
    assert found.css("li.item .title a::attr(href)").re(r"/subject/(\d+)/") == [one.movie_id for one in shown]
    assert found.css("li.item .date").re(r"\d{4}-\d\d-\d\d") == [str(one.rated_on) for one in shown]
    assert "mode=list" in found.css(".paginator .next a::attr(href)").get("")
    assert not found.css("div.item")


def test_wrong_data_differ_between_the_html_and_the_json(plain: World) -> None:
    world = with_oddities(plain, Oddities(wrong_data=0.5))
    shown = {via: truth(world, via=of, picture_size=None)["movies"] for via, of in (("html", HTML), ("json", JSON))}
    differ = (
        shown["html"]
        .join(shown["json"], on="movie_id", suffix="_json")
        .filter((pl.col("year") != pl.col("year_json")) | (pl.col("rating_count") != pl.col("rating_count_json")))
    )
    assert set(differ["movie_id"]) == set(world.contents.misreported)
    for movie_id, year, votes in differ.select("movie_id", "year", "rating_count").rows():
        html = Selector(page(world, f"/subject/{movie_id}/").body.decode())
        assert html.css("h1 .year::text").get() == f"({year})"
        assert html.css('[property="v:votes"]::text').get() == (None if votes is None else str(votes))


def test_people_behind_a_login_wall_have_no_ratings_and_are_incomplete(odd: World) -> None:
    for user_id in odd.contents.walled:
        answer = page(odd, f"/people/{user_id}/collect")
        assert (answer.status, "passport/login" in answer.headers[0][1]) == (302, True)
    users = users_truth(odd)
    walled = users.filter(pl.col("user_id").is_in(list(odd.contents.walled)))
    assert walled.height
    assert walled["marks_claimed"].null_count() == walled.height
    assert not walled["is_complete"].any()
    assert not set(truth(odd, picture_size=None)["ratings"]["user_id"]) & odd.contents.walled


@pytest.mark.parametrize("via", [HTML, PRESET_VIA["2026"], JSON], ids=["html", "2026", "json"])
@pytest.mark.parametrize("k", [0, 3])
def test_the_truth_of_an_odd_world_is_valid(odd: World, via: dict[str, str], k: int) -> None:
    tables = crawl_truth(odd, k=k, via=via, site=SITE)
    for name, table in tables.items():
        validate(table, RAW_TABLES[name], name)
        assert table.height, name
    dateless = tables["ratings"]["rated_on"].null_count()
    assert 0 < dateless < tables["ratings"].height


def test_a_movie_that_only_lists_show_has_a_row_with_its_title(odd: World) -> None:
    movies = crawl_truth(odd, k=0, picture_size=None)["movies"]
    names = {movie.movie_id: movie.chinese for movie in odd.contents.movies.values()}
    only_listed = [one for one in odd.contents.movies.values() if one.state in ("login_only", "censored")]
    rows = movies.filter(pl.col("movie_id").is_in([one.movie_id for one in only_listed]))
    assert rows.height
    for row in rows.rows(named=True):
        assert row["title"] == names[row["movie_id"]]
        assert (row["year"], row["kind"], row["genres"], row["rating_count"]) == (None, None, [], None)


def test_a_guest_of_2026_knows_how_many_like_a_frame_but_not_who(odd: World) -> None:
    tables = guest_truth(odd, k=0, picture_size=None)
    assert tables["frame_likes"].is_empty()
    counts = dict(tables["frames"].select("frame_id", "like_count").rows())
    for frame_id, count in counts.items():
        frame = odd.contents.frames[frame_id]
        n = len(odd.contents.likers_of[frame_id]) + frame.n_anonymous
        assert count == (n if frame.has_data_id else None)
    assert not set(counts) & odd.contents.bad_items
    assert set(tables["users"]["found_through"]) == {"interests"}
