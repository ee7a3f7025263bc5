"""The faults that guests meet in 2026: soft throttles, challenges, limits of the rate, opt-outs, and their presets."""

import json
from collections import Counter
from itertools import pairwise

import pytest
from parsel import Selector

from crawler.sandbox.answers import Answer, Answers, Fault, Request
from crawler.sandbox.faults import (
    NEWER_REFUSALS,
    SIGNS,
    Challenge,
    Failures,
    OptOuts,
    RateLimiter,
    Rates,
    Refusal,
    closed_subjects,
    shown_as,
)
from crawler.sandbox.faults.limits import ALLOWANCES
from crawler.sandbox.faults.switches import PRESETS, switched
from crawler.sandbox.oddities import Oddities
from crawler.sandbox.world import World, WorldConfig, generate_world
from crawler.sites import Site

REFERER = {"referer": "https://m.douban.com/"}
ROBOTS = "/robots.txt"


@pytest.fixture(scope="module")
def world() -> World:
    return generate_world(WorldConfig(seed=5, n_users=30, n_movies=60, mean_ratings=30))


@pytest.fixture(scope="module")
def answers(world: World) -> Answers:
    return Answers(world, Site())


def longest(world: World) -> str:
    return max(world.contents.ratings_of, key=lambda user_id: len(world.contents.ratings_of[user_id]))


def html(target: str) -> Request:
    return Request("movie", "GET", target)


def mobile(path: str) -> Request:
    return Request("mobile", "GET", f"/rexxar/api/v2{path}", REFERER)


@pytest.mark.parametrize("start", [0, 15])
def test_a_throttled_collection_keeps_its_heading_and_has_no_items_and_no_next_link(
    world: World, answers: Answers, start: int
) -> None:
    request = html(f"/people/{longest(world)}/collect?start={start}")
    failures = Failures(Rates(empty_list=1.0))
    true = Selector(answers(request).body.decode())
    for _ in range(2):
        page = Selector(failures(request, answers).body.decode())
        assert page.css("h1::text").get() == true.css("h1::text").get()
        assert not page.css("div.item, .next a, link[rel=next]")
    assert failures(request, answers) == answers(request)
    assert failures.counts == {"empty_list": 2}


def test_a_missing_next_link_is_all_that_is_missing(world: World, answers: Answers) -> None:
    request = html(f"/people/{longest(world)}/collect?start=0")
    page = Selector(Failures(Rates(missing_next=1.0))(request, answers).body.decode())
    true = Selector(answers(request).body.decode())
    assert page.css("div.item").getall() == true.css("div.item").getall() != []
    assert true.css(".next a, link[rel=next]")
    assert not page.css(".next a, link[rel=next]")


def test_lists_that_claim_no_total_are_not_throttled(world: World, answers: Answers) -> None:
    failures = Failures(Rates(empty_list=0.5, missing_next=0.5))
    movie_id = world.seed_movie_ids[0]
    for target in (f"/subject/{movie_id}/comments?start=0", f"/subject/{movie_id}/photos?type=S&start=0"):
        assert failures(html(target), answers) == answers(html(target))
    likes = Request("www", "GET", f"/people/{longest(world)}/likes/photo/")
    assert failures(likes, answers) == answers(likes)
    assert not failures.counts


def test_a_throttled_json_list_is_empty_and_claims_its_total_or_none_but_never_none_on_its_first_page(
    world: World, answers: Answers
) -> None:
    totals = set()
    for user_id, ratings in world.contents.ratings_of.items():
        if len(ratings) < 21:
            continue
        for start in (0, 20):
            request = mobile(f"/user/{user_id}/interests?start={start}&count=20")
            page = json.loads(Failures(Rates(empty_list=1.0))(request, answers).body)
            assert (page["interests"], page["start"], page["count"]) == ([], start, 20)
            assert page["total"] in ((len(ratings),) if start == 0 else (0, len(ratings)))
            totals.add((start, page["total"] == 0))
    assert totals == {(0, False), (20, False), (20, True)}


def test_json_errors_hit_only_the_mobile_host(world: World, answers: Answers) -> None:
    failures = Failures(Rates(json_error=1.0))
    page, movie = html(f"/people/{longest(world)}/collect"), mobile(f"/subject/{world.seed_movie_ids[0]}")
    assert failures(page, answers) == answers(page)
    assert [failures(movie, answers).status for _ in range(3)] == [500, 500, 200]


def test_a_strange_page_has_nothing_of_the_site_and_comes_from_any_text_host(world: World, answers: Answers) -> None:
    failures = Failures(Rates(strange_page=1.0))
    for request in (html(f"/subject/{world.seed_movie_ids[0]}/"), mobile("/movie/1")):
        answer = failures(request, answers)
        assert (answer.status, answer.body) == (200, NEWER_REFUSALS["strange"].body)


def test_subject_and_photo_pages_are_closed_and_the_rest_is_not(world: World, answers: Answers) -> None:
    movie_id, frame_id = world.seed_movie_ids[0], next(iter(world.contents.frames))
    for path in (f"/subject/{movie_id}/", f"/subject/{movie_id}/photos", f"/photos/photo/{frame_id}/"):
        answer = closed_subjects(html(path), answers)
        assert (answer.status, answer.headers[0][1][:23]) == (302, "https://sec.douban.com/")
    for request in (html(f"/people/{longest(world)}/collect"), html(ROBOTS), mobile(f"/subject/{movie_id}")):
        assert closed_subjects(request, answers) == answers(request)


def test_collections_are_challenged_after_a_number_of_pages_until_two_requests_were_refused(
    world: World, answers: Answers
) -> None:
    challenge = Challenge(after=3)
    page, other = html(f"/people/{longest(world)}/collect"), html(f"/subject/{world.seed_movie_ids[0]}/")
    statuses = []
    for _ in range(10):
        statuses.append(challenge(page, answers).status)
        assert challenge(other, answers) == answers(other)
        assert challenge(html(ROBOTS), answers) == answers(html(ROBOTS))
    assert statuses == [200, 200, 200, 302, 302, 200, 200, 200, 302, 302]
    assert (challenge.n_answered, challenge.n_refused) == (6, 4)


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("role", "delay_s", "most"), [("movie", 5.0, 10), ("www", 5.0, 10), ("mobile", 6.0, 8)])
@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_the_limiter_refuses_within_the_delay_and_beyond_the_number_per_minute(
    answers: Answers, role: str, delay_s: float, most: int, scale: float
) -> None:
    request = mobile("/subject/1") if role == "mobile" else Request(role, "GET", "/")  # type: ignore[arg-type]

    def bounds(*gaps: float) -> list[str]:
        clock = Clock()
        limiter = RateLimiter(5.0 * scale, slack_s=0.0, clock=clock)
        for gap in (0.0, *gaps):
            clock.now += gap * scale
            limiter(request, answers)
        return [bound for _, bound in limiter.refused]

    assert bounds(*[60.1 / most] * 30) == []
    assert bounds(*[delay_s + 0.1] * (most - 1)) == []
    assert bounds(delay_s - 0.1) == ["within the delay"]
    assert bounds(*[delay_s + 0.1] * most)[:1] == ["too many in a minute"]
    assert bounds(0.1, 30.0, 31.0) == ["within the delay", "too early after a refusal", "too early after a refusal"]
    assert bounds(0.1, 60.1) == ["within the delay"]


def test_the_limiter_answers_in_the_hosts_own_way_and_counts_hosts_apart(answers: Answers) -> None:
    clock = Clock()
    limiter = RateLimiter(5.0, clock=clock)
    for request, status in ((html("/"), 302), (mobile("/subject/1"), 400)):
        assert limiter(request, answers) == answers(request)
        clock.now += 1
        assert limiter(request, answers).status == status
    assert json.loads(limiter(mobile("/subject/1"), answers).body)["code"] == 1309
    assert limiter(html(ROBOTS), answers).status == 200
    assert {allowance.most_per_minute for allowance in ALLOWANCES.values()} == {8, 10}


@pytest.mark.parametrize("sign", SIGNS)
def test_every_sign_refuses_and_can_ask_to_wait(answers: Answers, sign: str) -> None:
    request = mobile("/subject/1") if SIGNS[sign].content_type.startswith("application/json") else html("/")
    refusal = Refusal(sign, after=1, role=request.role, retry_after_s=60)
    assert refusal(request, answers) == answers(request)
    refused = refusal(request, answers)
    assert (refused.status, refused.body) == (SIGNS[sign].status, SIGNS[sign].body)
    assert ("Retry-After", "60") in refused.headers


def test_opt_outs_stay_with_their_path_in_the_header_or_in_the_head(world: World, answers: Answers) -> None:
    opt_outs = OptOuts({"noarchive": 0.2, "noai": 0.2, "noimageai": 0.2, "noindex": 0.2})
    found: Counter[tuple[str | None, str]] = Counter()
    for movie_id in world.contents.movies:
        for request in (html(f"/subject/{movie_id}/"), mobile(f"/subject/{movie_id}")):
            directive, answer = opt_outs.directive(request.role, request.path), opt_outs(request, answers)
            header = dict(answer.headers).get("X-Robots-Tag")
            tag = Selector(answer.body.decode() or "-", type="html").css("meta[name=robots]::attr(content)").get()
            assert {header, tag} == {directive, None}
            found[directive, "header" if header else "tag" if tag else "none"] += 1
            if directive is None:
                assert answer == answers(request)
    assert {way for _, way in found} == {"header", "tag", "none"}
    assert {directive for directive, _ in found} == {None, "noarchive", "noai", "noimageai", "noindex"}
    assert OptOuts({"noai": 1.0})(html(ROBOTS), answers) == answers(html(ROBOTS))


def test_liked_photos_can_be_gone_and_favourites_have_ids_of_their_own(world: World, answers: Answers) -> None:
    likes_of = world.contents.likes_of
    user_id = max(likes_of, key=lambda one: len(likes_of[one]))
    request = Request("www", "GET", f"/people/{user_id}/likes/photo/")
    page = Selector(shown_as(has_gone_likes=True)(request, answers).body.decode())
    shown = [like.frame_id for like in likes_of[user_id]][:12]
    assert page.css(".fav-list > li .pic a::attr(href)").re(r"/photo/(\d+)/") == shown
    assert len(page.css(".fav-list > li")) == 15
    assert not set(page.css(".tag-add::attr(data-id)").getall()) & set(world.contents.frames)


def test_the_number_of_likes_can_be_empty(world: World, answers: Answers) -> None:
    fault = shown_as(has_like_numbers=False)
    n_empty = 0
    for frame in world.contents.frames.values():
        widget = Selector(fault(html(f"/photos/photo/{frame.frame_id}/"), answers).body.decode()).css(".action-react")
        if widget:
            n_empty += 1
            assert widget.css(".react-num::text").get() is None
    assert n_empty


@pytest.mark.parametrize(
    ("text", "oddities"),
    [
        ("dateless", Oddities(dateless=0.05)),
        ("dateless=0.2,merged", Oddities(dateless=0.2, merged=0.05)),
        ("login-walls=0.01", Oddities(login_walls=0.01)),
        ("older", Oddities()),
    ],
)
def test_oddities_are_switched_on_by_name_with_a_rate_or_without(text: str, oddities: Oddities) -> None:
    assert switched(text).oddities == oddities
    assert (switched(text).fault is None) == (text != "older")


def test_names_besides_a_preset_replace_its_values(answers: Answers, world: World) -> None:
    preset = switched("challenge=2,dateless=0.5,empty-pages=0,missing-next=0,gaps", "2026")
    assert preset.oddities.dateless == 0.5
    assert preset.oddities.merged == switched(None, "2026").oddities.merged > 0
    page = html(f"/people/{longest(world)}/collect")
    assert [preset.fault(page, answers).status for _ in range(3)] == [200, 200, 302]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("dateless=2", "dateless"),
        ("merged=x", "merged=x"),
        ("refuse-host=nowhere", "nowhere"),
        ("challenge=", "challenge="),
        ("retry-after=60", "retry-after needs refuse-after"),
        ("refuse-with=banned", "refuse-with needs refuse-after"),
        ("refuse-host=www,errors=0.1", "refuse-host needs refuse-after"),
        ("empty-pages=0.8,missing-next=0.8", "at most 1"),
        ("rate-limit=fast", "rate-limit=fast"),
    ],
)
def test_the_error_for_a_wrong_value_names_it(text: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        switched(text)


@pytest.mark.parametrize("preset", PRESETS)
def test_no_preset_fails_robots_txt(answers: Answers, preset: str) -> None:
    fault: Fault | None = switched(None, preset).fault
    assert fault
    for role in ("movie", "www", "images", "mobile"):
        request = Request(role, "GET", ROBOTS)  # type: ignore[arg-type]
        assert fault(request, answers) == answers(request)


def test_what_is_answered_under_the_preset_does_not_depend_on_the_run(answers: Answers, world: World) -> None:
    requests = [html(f"/people/{user_id}/collect") for user_id in world.contents.users]
    runs: list[list[Answer]] = []
    for _ in range(2):
        fault = switched("challenge=1000", "2026").fault
        runs.append([fault(request, answers) for request in requests])  # type: ignore[misc]
    assert all(one == other for one, other in pairwise(runs))
