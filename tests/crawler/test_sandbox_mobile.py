"""The JSON of the mobile host has the shapes, null rules, error bodies and statuses that public clients describe."""

import json
from collections.abc import Callable
from dataclasses import replace
from urllib.robotparser import RobotFileParser

import pytest

from crawler.sandbox.answers import Answer, Answers, Request
from crawler.sandbox.faults import shown_as
from crawler.sandbox.oddities import Oddities, with_oddities
from crawler.sandbox.world import World, WorldConfig, generate_world
from crawler.sites import Site

API = "/rexxar/api/v2"
REFERER = {"referer": "https://m.douban.com/"}
SITE = Site("http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3", "http://127.0.0.1:4")

Get = Callable[..., tuple[int, dict]]


@pytest.fixture(scope="module")
def world() -> World:
    return generate_world(WorldConfig())


@pytest.fixture(scope="module")
def answers(world: World) -> Answers:
    return Answers(world, SITE)


@pytest.fixture(scope="module")
def get(answers: Answers) -> Get:
    return lambda path, of=answers, fault=None: _get(of, path, fault)


def _ask(answers: Answers, path: str, fault=None) -> Answer:  # type: ignore[no-untyped-def]
    request = Request("mobile", "GET", f"{API}{path}", REFERER)
    return fault(request, answers) if fault else answers(request)


def _get(answers: Answers, path: str, fault=None) -> tuple[int, dict]:  # type: ignore[no-untyped-def]
    answer = _ask(answers, path, fault)
    assert not answer.body or answer.content_type.startswith("application/json")
    return int(answer.status), json.loads(answer.body or b"{}")


def _movie(world: World, **traits: object) -> str:
    return next(
        movie.movie_id
        for movie in world.contents.movies.values()
        if all(getattr(movie, name) == value for name, value in {"state": "open", **traits}.items())
    )


@pytest.mark.parametrize("headers", [{}, {"referer": "https://elsewhere.example/"}, {"referer": "http://m.douban.com"}])
@pytest.mark.parametrize("path", ["/movie/1", "/movie/1/photos?start=0", "/user/x/interests"])
def test_without_the_sites_referer_nothing_is_answered(answers: Answers, path: str, headers: dict[str, str]) -> None:
    answer = answers(Request("mobile", "GET", f"{API}{path}", headers))
    assert answer.status == 400
    assert json.loads(answer.body) == {
        "msg": "invalid_request_1284",
        "code": 1287,
        "request": f"GET /rexxar/v2{path.partition('?')[0]}",
        "localized_message": "",
    }


@pytest.mark.parametrize(
    "referer",
    ["https://m.douban.com/movie/", "https://movie.douban.com/subject/1/", f"{SITE.mobile}/", f"{SITE.movie}/"],
)
def test_any_referer_of_the_site_is_enough(answers: Answers, world: World, referer: str) -> None:
    target = f"{API}/movie/{_movie(world, kind='movie')}"
    assert answers(Request("mobile", "GET", target, {"referer": referer})).status == 200


def test_robots_txt_disallows_only_what_the_site_is_known_to_disallow(answers: Answers) -> None:
    robots = RobotFileParser()
    robots.parse(answers(Request("mobile", "GET", "/robots.txt")).body.decode().splitlines())
    assert robots.can_fetch("*", f"{API}/movie/1/photos")
    assert not robots.can_fetch("*", f"{API}/notification_chart")


def test_a_movie_has_the_same_facts_as_its_html(get: Get, world: World) -> None:
    for movie in world.contents.movies.values():
        if movie.state != "open":
            continue
        status, found = get(f"/{movie.kind}/{movie.movie_id}")
        assert status == 200
        assert (found["id"], found["title"], found["year"]) == (movie.movie_id, movie.chinese, str(movie.year))
        assert found["original_title"] == (movie.english or "")
        assert (found["type"], found["is_tv"]) == (movie.kind, movie.kind == "tv")
        assert found["genres"] == list(movie.genres)
        assert [one["name"] for one in found["directors"]] == [one.name for one in movie.directors]
        if movie.rating == "shown":
            assert (found["rating"]["value"], found["rating"]["count"]) == (movie.rating_mean, movie.rating_count)
            assert found["null_rating_reason"] == ""
        else:
            assert (found["rating"]["value"], found["rating"]["count"]) == (0, 0)
            assert found["null_rating_reason"]
        assert "likers_count" not in (found["cover"] or {})


def test_a_movie_asked_as_the_other_kind_is_a_redirect_or_a_404(get: Get, answers: Answers, world: World) -> None:
    film, series = _movie(world, kind="movie"), _movie(world, kind="tv")
    assert get(f"/tv/{film}") == (
        404,
        {"request": f"GET /v2/tv/{film}", "msg": "subject_not_found", "code": 2215, "localized_message": ""},
    )
    moved = _ask(answers, f"/movie/{series}?for_mobile=1")
    assert moved.status == 301
    assert moved.headers == (("Location", f"{SITE.mobile}{API}/tv/{series}?for_mobile=1"),)
    assert get(f"/subject/{film}")[1]["type"] == "movie"
    assert get(f"/subject/{series}")[1]["type"] == "tv"


@pytest.mark.parametrize("path", ["/movie/1", "/tv/1/photos", "/user/nobody/interests"])
def test_an_unknown_id_is_a_404_in_the_sites_words(get: Get, path: str) -> None:
    status, found = get(path)
    assert (status, found["msg"], found["code"]) == (404, "traversal_error", 404)
    assert found["localized_message"] == "要访问的内容不存在"


def test_movies_that_guests_cannot_read_answer_in_different_ways(world: World) -> None:
    odd = with_oddities(world, Oddities(login_only=0.02, censored=0.02))
    answers = Answers(odd, SITE)
    expected = {
        "removed": (404, b"traversal_error"),
        "not_listed": (403, b"need_permission"),
        "in_review": (403, b"need_permission"),
        "login_only": (404, b""),
        "censored": (204, b""),
    }
    for state, (status, words) in expected.items():
        for part in ("", "/photos", "/interests"):
            answer = _ask(answers, f"/movie/{_movie(odd, state=state)}{part}")
            assert answer.status == status
            assert words in answer.body
            assert bool(answer.body) == bool(words)


@pytest.fixture(scope="module")
def movie_id(world: World) -> str:
    """Return the movie with the longest album."""
    frames_of = world.contents.frames_of
    return max(frames_of, key=lambda movie_id: len(frames_of[movie_id]))


@pytest.fixture(scope="module")
def user_id(world: World) -> str:
    """Return the person with the most hidden items."""
    ratings_of = world.contents.ratings_of
    return max(ratings_of, key=lambda user_id: (sum(one.is_hidden for one in ratings_of[user_id]), user_id))


class TestPhotos:
    def test_pages_of_any_count_show_each_photo_once_in_the_order_of_the_album(
        self, get: Get, world: World, movie_id: str
    ) -> None:
        true = [frame.frame_id for frame in world.contents.frames_of[movie_id] if frame.kind == "still"]
        for count in (1, 7, 20, 50):
            found = []
            for start in range(0, len(true) + count, count):
                page = get(f"/movie/{movie_id}/photos?type=S&start={start}&count={count}")[1]
                assert (page["start"], page["count"], page["total"]) == (start, count, len(true))
                assert [photo["position"] for photo in page["photos"]] == [*range(start, start + len(page["photos"]))]
                found += [photo["id"] for photo in page["photos"]]
            assert found == true

    def test_the_counts_are_missing_in_some_photos_and_never_null(self, get: Get, world: World) -> None:
        n_without = 0
        for movie_id, frames in world.contents.frames_of.items():
            photos = get(f"/tv/{movie_id}/photos?count=50")[1]["photos"]
            for frame, photo in zip(frames, photos, strict=False):
                n_likes = len(world.contents.likers_of[frame.frame_id]) + frame.n_anonymous
                assert photo.get("likers_count", n_likes) == n_likes
                assert ("likers_count" in photo) == (photo["image"]["large"] is not None)
                n_without += "likers_count" not in photo
        assert n_without

    def test_a_larger_count_than_fifty_is_fifty(self, get: Get, movie_id: str) -> None:
        page = get(f"/movie/{movie_id}/photos?count=100")[1]
        assert page["count"] == 50
        assert len(page["photos"]) <= 50

    def test_the_total_of_a_kind_can_count_all_kinds(self, get: Get, world: World, movie_id: str) -> None:
        page = get(f"/movie/{movie_id}/photos?type=R", fault=shown_as(narrows_total=False))[1]
        assert page["total"] == len(world.contents.frames_of[movie_id])


class TestMarks:
    def test_hidden_items_and_deleted_movies_count_in_the_total_but_are_missing(
        self, get: Get, world: World, user_id: str
    ) -> None:
        ratings, movies = world.contents.ratings_of[user_id], world.contents.movies
        found, shown = [], [one for one in ratings if not one.is_hidden and movies[one.movie_id].is_listed]
        for start in range(0, len(ratings), 10):
            page = get(f"/user/{user_id}/interests?type=movie&status=done&start={start}&count=10")[1]
            assert page["total"] == len(ratings) > len(shown)
            found += page["interests"]
        assert [(one["subject"]["id"], one["create_time"][:10]) for one in found] == [
            (one.movie_id, str(one.rated_on)) for one in shown
        ]
        assert [one["rating"] and one["rating"]["value"] for one in found] == [one.stars for one in shown]
        assert {one["subject"]["type"] for one in found} <= {"movie", "tv"}

    def test_hidden_items_can_be_empty_objects(self, get: Get, world: World, user_id: str) -> None:
        page = get(f"/user/{user_id}/interests?count=50", fault=shown_as(has_blank_items=True))[1]
        assert page["interests"].count({}) == sum(one.is_hidden for one in world.contents.ratings_of[user_id][:50])

    @pytest.mark.parametrize("query", ["status=mark", "status=doing", "type=tv"])
    def test_other_lists_are_empty(self, get: Get, user_id: str, query: str) -> None:
        assert get(f"/user/{user_id}/interests?{query}")[1]["total"] == 0

    def test_one_bad_item_breaks_its_whole_page_and_no_other(self, world: World, user_id: str) -> None:
        bad = world.contents.ratings_of[user_id][3]
        odd = replace(world, contents=replace(world.contents, bad_items=frozenset({bad.comment_id})))
        answers = Answers(odd, SITE)
        assert _ask(answers, f"/user/{user_id}/interests?count=5").status == 500
        statuses = [_ask(answers, f"/user/{user_id}/interests?count=1&start={place}").status for place in range(5)]
        assert statuses == [200, 200, 200, 500, 200]

    def test_a_mark_without_a_date_has_no_time(self, world: World, user_id: str) -> None:
        answers = Answers(with_oddities(world, Oddities(dateless=1.0)), SITE)
        marks = _get(answers, f"/user/{user_id}/interests")[1]["interests"]
        assert marks
        assert {one["create_time"] for one in marks} == {None}


class TestInterests:
    def test_people_are_those_of_the_short_comments(self, get: Get, world: World) -> None:
        for movie_id in world.seed_movie_ids[:5]:
            comments = world.contents.comments_of[movie_id]
            page = get(f"/movie/{movie_id}/interests?status=done&order_by=latest&count=50")[1]
            assert page["total"] == len(comments)
            for comment, one in zip(comments, page["interests"], strict=False):
                user = world.contents.users[comment.user_id]
                assert one["id"] == int(comment.comment_id)
                assert (one["rating"] and one["rating"]["value"]) == comment.stars
                assert one["create_time"] == str(comment.written_at)
                if one["user"] is None:
                    assert user.closing
                else:
                    assert (one["user"]["id"], one["user"]["uid"]) == (user.user_id, user.uid)

    def test_beyond_the_reach_the_list_is_empty_and_claims_nothing(self, get: Get, world: World) -> None:
        page = get(f"/movie/{world.seed_movie_ids[0]}/interests?start=500&count=20")[1]
        assert (page["start"], page["count"], page["total"], page["interests"]) == (500, 20, 0, [])
