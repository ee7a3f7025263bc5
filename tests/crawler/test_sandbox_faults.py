import http.client
import time
from urllib.parse import urlsplit

import pytest
from parsel import Selector

from crawler.sandbox.answers import Answer, Answers, Fault, Request
from crawler.sandbox.faults import (
    REFUSALS,
    ChangingLists,
    DeadPictures,
    Failures,
    Rates,
    Refusal,
    chained,
    older_layout,
    private_likes,
    shown_as,
)
from crawler.sandbox.faults.switches import switched
from crawler.sandbox.server import SandboxServer
from crawler.sandbox.views import View, show
from crawler.sandbox.world import World, WorldConfig, generate_world
from crawler.sites import Site
from dataset.errors import UsageError

REFERER = {"referer": "https://www.douban.com/"}


@pytest.fixture(scope="module")
def world() -> World:
    return generate_world(WorldConfig(seed=5, n_users=40, n_movies=25, mean_ratings=6))


@pytest.fixture(scope="module")
def answers(world: World) -> Answers:
    return Answers(world, Site())


def all_requests(world: World) -> list[Request]:
    pages = [Request("movie", "GET", f"/subject/{movie_id}/") for movie_id in world.contents.movies]
    pages += [Request("movie", "GET", f"/people/{user_id}/collect") for user_id in world.contents.users]
    names = (f"/view/photo/sqxs/public/p{frame_id}.jpg" for frame_id in list(world.contents.frames)[:40])
    return pages + [Request("images", "GET", name, REFERER) for name in names]


def test_failures_come_at_their_rate_and_a_third_try_always_succeeds(world: World, answers: Answers) -> None:
    requests, failures = all_requests(world), Failures(Rates(server_error=0.2, cut_body=0.1, empty_page=0.1))
    rounds = [[failures(request, answers) == answers(request) for request in requests] for _ in range(3)]
    for tries in rounds[:2]:
        assert 0.45 < sum(tries) / len(tries) < 0.75
    assert all(rounds[2])
    assert set(failures.counts) == {"server_error", "cut_body", "empty_page"}


def test_what_fails_does_not_depend_on_the_order_of_requests(world: World, answers: Answers) -> None:
    requests, rates = all_requests(world), Rates(server_error=0.3)
    forth, back, other = Failures(rates), Failures(rates), Failures(rates, seed=1)
    one = [forth(request, answers).status for request in requests]
    assert [back(request, answers).status for request in reversed(requests)] == one[::-1]
    assert [other(request, answers).status for request in requests] != one


def test_only_pictures_are_broken_or_mislabelled(world: World, answers: Answers) -> None:
    failures = Failures(Rates(broken_picture=0.5, mislabelled_picture=0.5))
    for request in all_requests(world):
        true, got = answers(request), failures(request, answers)
        assert (got.body != true.body) == (request.role == "images")
        assert (got.status, got.content_type) == (true.status, true.content_type)
    assert set(failures.counts) == {"broken_picture", "mislabelled_picture"}


def test_a_cut_body_and_a_slow_answer_reach_the_client(world: World) -> None:
    def get(server: SandboxServer) -> bytes:
        connection = http.client.HTTPConnection(urlsplit(server.site.movie).netloc, timeout=10)
        try:
            connection.request("GET", "/")
            return connection.getresponse().read()
        finally:
            connection.close()

    with (
        SandboxServer(world, faults=Failures(Rates(cut_body=1.0))) as server,
        pytest.raises(http.client.IncompleteRead),
    ):
        get(server)
    with SandboxServer(world, faults=Failures(Rates(slow=1.0), slow_s=0.2)) as server:
        started = time.monotonic()
        assert b"sandbox" in get(server)
        assert time.monotonic() - started >= 0.2


@pytest.mark.parametrize("sign", REFUSALS)
def test_a_refusal_starts_after_n_answers_and_ends_when_lifted(world: World, answers: Answers, sign: str) -> None:
    refusal, request = Refusal(sign, after=3), all_requests(world)[0]
    got = [refusal(request, answers) for _ in range(5)]
    assert got == [answers(request)] * 3 + [REFUSALS[sign]] * 2
    assert (refusal.n_answered, refusal.n_refused) == (3, 2)
    other_host = all_requests(world)[-1]
    assert refusal(other_host, answers) == answers(other_host)
    refusal.lift()
    assert refusal(request, answers) == answers(request)


def test_robots_txt_neither_fails_nor_is_refused(answers: Answers) -> None:
    request = Request("movie", "GET", "/robots.txt")
    fault = chained(Failures(Rates(server_error=1.0)), Refusal("banned", after=0))
    assert fault(request, answers) == answers(request)


def test_chained_faults_get_the_request_in_order(answers: Answers) -> None:
    asked = []

    def note(name: str):  # type: ignore[no-untyped-def]
        def fault(request: Request, answer) -> Answer:  # type: ignore[no-untyped-def]
            asked.append(name)
            return answer(request)

        return fault

    request = Request("movie", "GET", "/")
    assert chained(note("first"), note("second"))(request, answers) == answers(request)
    assert asked == ["first", "second"]


def test_the_older_layout_says_the_same_in_older_classes(world: World, answers: Answers) -> None:
    user_id = max(world.contents.ratings_of, key=lambda one: len(world.contents.ratings_of[one]))
    collection = Request("movie", "GET", f"/people/{user_id}/collect")
    new, old = (Selector(answer.body.decode()) for answer in (answers(collection), older_layout(collection, answers)))
    assert not old.css("div.comment-item")
    assert old.css("div.item::attr(data-cid)").getall() == new.css("div.item::attr(data-cid)").getall() != []
    assert "看过的电影(" in old.css("h1::text").get("")
    movie_id = world.seed_movie_ids[0]
    photos = Selector(
        older_layout(Request("movie", "GET", f"/subject/{movie_id}/photos?type=S"), answers).body.decode()
    )
    assert photos.css("ul.poster-col4 > li")
    assert not photos.css("ul.poster-col3")
    picture = all_requests(world)[-1]
    assert older_layout(picture, answers) == answers(picture)


def test_the_error_for_rates_above_one_names_them() -> None:
    with pytest.raises(UsageError, match=r"server_error=0\.9"):
        Rates(server_error=0.9, slow=0.2)


def longest_collection(world: World) -> str:
    return max(world.contents.ratings_of, key=lambda one: len(world.contents.ratings_of[one]))


def items(fault: Fault, answers: Answers, user_id: str, start: int) -> list[str]:
    """Return the movies on a page of a collection."""
    html = fault(Request("movie", "GET", f"/people/{user_id}/collect?start={start}"), answers).body.decode()
    return Selector(html).css("div.item li.title a::attr(href)").re(r"/subject/(\d+)/")


@pytest.fixture(scope="module")
def wide() -> Answers:
    return Answers(generate_world(WorldConfig(seed=5, n_users=20, n_movies=60, mean_ratings=30)), Site())


def test_a_list_grows_once_at_its_front_between_its_first_page_and_the_next(wide: Answers) -> None:
    user_id, changes = longest_collection(wide.world), ChangingLists(grows=True)
    true = [rating.movie_id for rating in wide.world.contents.ratings_of[user_id] if not rating.is_hidden]
    assert len(true) > 17
    assert items(changes, wide, user_id, 0) == items(changes, wide, user_id, 0) == true[2:17]
    assert items(changes, wide, user_id, 15)[:2] == true[15:17]  # shown before
    assert items(changes, wide, user_id, 0) == true[:15]
    assert changes.n_changed == 1


def test_a_list_shrinks_at_its_front_so_that_items_move_back_a_page(wide: Answers) -> None:
    user_id, changes = longest_collection(wide.world), ChangingLists(grows=False)
    true = [rating.movie_id for rating in wide.world.contents.ratings_of[user_id] if not rating.is_hidden]
    assert items(changes, wide, user_id, 0) == true[:15]
    assert items(changes, wide, user_id, 15) == true[17:32]
    assert items(changes, wide, user_id, 0) == true[2:17]


def test_lists_of_one_page_do_not_change_and_no_list_changes_before_it_is_requested(wide: Answers) -> None:
    user_id, changes = longest_collection(wide.world), ChangingLists(grows=False)
    true = [rating.movie_id for rating in wide.world.contents.ratings_of[user_id] if not rating.is_hidden]
    assert items(changes, wide, user_id, 15) == true[15:30]
    assert show(range(16), 0, 15, View(withheld=2)).items == list(range(15))


def test_gaps_are_counted_but_not_shown_and_no_item_is_lost() -> None:
    view = View(gap_every=4)
    pages = [show("abcdefghij", start, 5, view) for start in (0, 5, 10)]
    assert ["".join(page.items) for page in pages] == ["abcd", "efgh", "ij"]
    assert [(page.next_start, page.total) for page in pages] == [(5, 12), (10, 12), (None, 12)]


def test_dead_pictures_are_always_broken_and_no_other_picture_is(world: World, answers: Answers) -> None:
    dead = DeadPictures(0.4)
    requests = [request for request in all_requests(world) if request.role == "images"]
    for request in requests * 3:
        frame_id = request.path.split("/p")[-1].split(".")[0]
        assert (dead(request, answers) != answers(request)) == dead.is_dead(frame_id)
    bodies = [dead(request, answers).body for request in requests]
    assert any(body.startswith(b"<html>") for body in bodies)
    assert 0.2 < sum(body != answers(request).body for body, request in zip(bodies, requests, strict=True)) / 40 < 0.6


def test_widgets_and_lists_of_likers_can_be_missing_and_likes_private(world: World, answers: Answers) -> None:
    frame_id = max(world.contents.likers_of, key=lambda one: len(world.contents.likers_of[one]))
    photo = Request("movie", "GET", f"/photos/photo/{frame_id}/?type=like")
    assert b"sns-bar" in answers(photo).body
    assert b"topic-fav-list" in answers(photo).body
    assert b"sns-bar" not in shown_as(has_like_widget=False)(photo, answers).body
    assert b"topic-fav-list" not in shown_as(lists_likers=False)(photo, answers).body
    likes = Request("www", "GET", f"/people/{next(iter(world.contents.users))}/likes/photo/")
    assert (answers(likes).status, private_likes(likes, answers)) == (200, REFUSALS["login_redirect"])


def test_faults_are_switched_on_by_their_names(world: World, answers: Answers) -> None:
    fault = switched("errors=1,refuse-after=2,refuse-with=banned, older").fault
    request = Request("movie", "GET", f"/subject/{world.seed_movie_ids[0]}/photos?type=S")
    assert [fault(request, answers).status for _ in range(3)] == [503, 503, 403]
    assert b"poster-col4" in switched("older").fault(request, answers).body
    assert b"data-id" not in switched("no-data-ids,growing,dead-pictures=0.1").fault(request, answers).body


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("growin", "growin"),
        ("errors=many", "errors=many"),
        ("errors=0.8,cut=0.8", "at most 1"),
        ("refuse-with=kindly", "kindly"),
        ("older=yes", "older"),
        ("", "''"),
    ],
)
def test_the_error_for_an_unknown_fault_names_it(text: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        switched(text)
