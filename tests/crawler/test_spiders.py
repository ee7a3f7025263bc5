"""The parts of the spider that need no network: the queue, the plan, and what a page leaves behind."""

import itertools
from datetime import date

import pytest

from crawler.archive.pictures import Picture
from crawler.kinds import KINDS, PERSONAL_KINDS, address
from crawler.kinds.collection import CollectionPage, RatingRow
from crawler.kinds.comments import CommentsPage
from crawler.kinds.estimates import surviving
from crawler.kinds.kind import CrawlContext
from crawler.kinds.movie import MoviePage
from crawler.kinds.movie_row import MovieRow
from crawler.kinds.next_page import next_key
from crawler.kinds.photo import LikerRow, PhotoLikersPage
from crawler.kinds.photos import FrameRow, PhotoListPage
from crawler.kinds.user_likes import UserLikeRow, UserLikesPage
from crawler.ledger.ledger import Ledger
from crawler.page import Answer, Key, NotUnderstood, Person
from crawler.process import ParsedAnswer, settle
from crawler.scope import Scope, Source
from crawler.sites import Site
from crawler.spiders.queue import PageQueue

SANDBOX = Source("sandbox", {"seed": 1})

SITE = Site()
ANN = Person("71", "ann")


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(tmp_path, SANDBOX, PERSONAL_KINDS) as opened:
        yield opened


clock = itertools.count(1.0)


def _settle(ledger, key, content, scope=Scope(), at=None):  # noqa: B008
    """Settle a page that holds some content; return the outcome."""
    ledger.add_pages([key])
    answer = Answer(200, KINDS[key.kind].address(SITE, key), b"", at=at or next(clock))
    return settle(ledger.page(key), ParsedAnswer(answer, content), CrawlContext(ledger, SITE, scope))


def _record(ledger, key, content, scope=Scope()):  # noqa: B008
    """Settle a page that is understood; return the page of its list to read next."""
    outcome = _settle(ledger, key, content, scope)
    assert outcome.state == "done"
    return outcome.following


def _rows(ledger, query):
    return ledger.execute(query).fetchall()


# --- the queue -----------------------------------------------------------------------------


def test_the_queue_hands_out_at_most_its_window_and_each_page_once(ledger):
    ledger.add_pages(Key("movie", str(n)) for n in range(600))
    queue = PageQueue(ledger, ["movie"], window=2)
    first, second = queue.take(0), queue.take(0)
    assert queue.take(0) is None
    seen = [first, second]
    while seen[-1] is not None:
        queue.finish(seen[-2])
        seen.append(queue.take(0))
    assert [page.key.subject for page in seen[:-1]] == [str(n) for n in range(600)]


def test_a_failed_page_is_handed_out_again_when_it_is_due_and_not_before(ledger):
    ledger.add_pages([Key("movie", "1"), Key("movie", "2")])
    queue = PageQueue(ledger, ["movie"], window=5)
    first = queue.take(0)
    queue.retry(ledger.postpone(first, "HTTP 503", next_try_at=7.0), due=100.0)
    assert queue.take(99).key.subject == "2"
    assert queue.take(99) is None
    assert queue.next_retry_at() == 100.0
    again = queue.take(100)
    assert (again.key.subject, again.attempts) == ("1", 1)


def test_a_list_that_has_begun_is_finished_first_and_no_page_comes_twice(ledger):
    ledger.add_pages([Key("collection", "ann"), Key("collection", "bob")])
    queue = PageQueue(ledger, ["collection"], window=1)
    page = queue.take(0)
    following = page.key._replace(start=15)
    ledger.add_pages([following])
    ledger.mark_done(page, 1.0)
    queue.finish(page, ledger.page(following))
    order = []
    while page := queue.take(0):
        order.append(page.key[1::2])
        ledger.mark_done(page, 1.0)
        queue.finish(page)
    assert order == [("ann", 15), ("bob", 0)]


def test_pages_found_while_reading_are_read_in_the_same_run(ledger):
    queue = PageQueue(ledger, ["movie"], window=1)
    assert queue.take(0) is None
    ledger.add_pages([Key("movie", "1")])
    assert queue.take(0).key.subject == "1"


# --- the plan ------------------------------------------------------------------------------


def test_only_the_offset_is_taken_from_a_link_to_the_next_page():
    key = Key("collection", "ann", start=15)
    assert next_key(address(SITE, key), key, "?start=30&sort=time&rating=all", 15).start == 30
    assert next_key(address(SITE, key), key, "/people/ann/collect?start=30&evil=1", 15) == key._replace(start=30)
    assert next_key(address(SITE, key), key, None, 15) is None


@pytest.mark.parametrize(
    "url",
    [
        "https://www.douban.com/hnypt/variformcyst.py",
        "https://elsewhere.example/people/ann/collect?start=30",
        "/people/bob/collect?start=30",
        "/people/ann/collect?start=15",
        "/people/ann/collect?start=0",
        "/people/ann/collect?start=-30",
        "/people/ann/collect",
    ],
)
def test_a_next_link_that_leads_elsewhere_is_never_followed(url):
    with pytest.raises(NotUnderstood, match="next_url"):
        next_key(address(SITE, Key("collection", "ann", start=15)), Key("collection", "ann", start=15), url, 15)


def test_a_short_or_empty_page_ends_a_list_only_after_its_claimed_total():
    key = Key("collection", "ann", start=15)
    assert next_key(address(SITE, key), key, "?start=30", seen=3, claimed=20) is not None
    assert next_key(address(SITE, key), key, "?start=30", seen=0, claimed=40) is not None
    assert next_key(address(SITE, key), key, "?start=30", seen=0, claimed=15) is None
    assert next_key(address(SITE, key), key, "?start=30", seen=0) is None


def _fill_ratings(ledger):
    """Six users who all saw six movies, and one who saw one more; movie m6 is the most-rated."""
    pairs = [(f"u{u}", f"m{m}") for u in range(6) for m in range(6)] + [("lone", "m5"), ("lone", "m9")]
    ledger.executemany("INSERT INTO ratings VALUES (?, ?, NULL, NULL, 0, NULL)", pairs)


def test_only_the_core_of_the_ratings_gets_movie_pages_frames_and_likes(ledger):
    _fill_ratings(ledger)
    core = surviving(ledger, Scope())
    assert (core.movie_ids, core.user_ids) == (
        ("m0", "m1", "m2", "m3", "m4", "m5"),
        ("u0", "u1", "u2", "u3", "u4", "u5"),
    )
    everything = surviving(ledger, Scope(k=0))
    assert everything.movie_ids == ("m5", "m0", "m1", "m2", "m3", "m4", "m9")
    assert surviving(ledger, Scope(k=0, max_movies=2)).movie_ids == ("m5", "m0")


def test_a_movie_that_is_gone_gets_no_frames(ledger):
    _fill_ratings(ledger)
    ledger.add_pages([Key("movie", "m3")])
    ledger.mark(ledger.page(Key("movie", "m3")), "gone", "HTTP 404")
    assert "m3" not in surviving(ledger, Scope()).movie_ids


def test_an_empty_crawl_has_an_empty_core(ledger):
    assert surviving(ledger, Scope()).movie_ids == ()


def test_every_kind_of_page_has_an_address_on_its_host():
    for kind in KINDS.values():
        variant = {"photos": "still", "photos_json": "still", "picture": "m"}.get(kind.name, "")
        url = address(SITE, Key(kind.name, "77", variant))
        assert "77" in url
        assert url.startswith(f"{SITE.hosts[kind.host]}/")


# --- what a page leaves behind -------------------------------------------------------------


def test_comments_lead_to_each_person_once_up_to_max_users(ledger):
    page = CommentsPage((ANN, Person("72", "72"), Person("71", "71"), Person("73", "cat")), "?start=20")
    following = _record(ledger, Key("comments", "m1"), page, Scope(max_users=2))
    assert following == Key("comments", "m1", start=20)
    assert [page.key.subject for page in ledger.pending(["collection"], 0, 9)] == ["ann", "72"]
    assert ledger.page(following) is not None


def test_comments_that_a_logged_out_reader_does_not_see_are_not_requested(ledger):
    assert _record(ledger, Key("comments", "m1", start=180), CommentsPage((ANN,), "?start=200")) is None


def test_an_item_that_repeats_is_one_row_and_the_newest_wins(ledger):
    old = RatingRow("m1", 3, date(2020, 1, 1))
    new = RatingRow("m1", None, date(2021, 1, 1))
    _record(ledger, Key("collection", "ann"), CollectionPage(ANN, (old, new), 2, None))
    assert _rows(ledger, "SELECT user_id, movie_id, stars, rated_on FROM ratings") == [("71", "m1", None, "2021-01-01")]
    assert _rows(ledger, "SELECT claimed, seen, state FROM pages") == [(2, 2, "done")]


def test_a_page_whose_next_link_leads_elsewhere_stores_nothing(ledger):
    page = CollectionPage(ANN, (RatingRow("m1", 3, None),), 1, "https://elsewhere.example/?start=15")
    outcome = _settle(ledger, Key("collection", "ann"), page)
    assert (outcome.state, outcome.cause) == ("failed", "collection page: field 'next_url' not understood")
    assert outcome.may_recover
    assert _rows(ledger, "SELECT user_id, movie_id, stars, rated_on FROM ratings") == []
    assert _rows(ledger, "SELECT uid FROM people") == []


def test_a_movie_page_is_stored_completely(ledger):
    row = MovieRow("m1", "盗梦空间", "Inception", 2010, "movie", ("剧情",), (), 9.4, 2_000_000)
    _record(ledger, Key("movie", "m1"), MoviePage(row, 247, 6704))
    assert _rows(ledger, "SELECT title, genres, directors, rating_mean, photo_total FROM movies") == [
        ("盗梦空间", '["剧情"]', "[]", 9.4, 247)
    ]


def test_photos_become_frames_and_their_pictures_are_planned(ledger):
    frames = (FrameRow("p1", 100, 50, "https://img1.doubanio.com/p1.webp"), FrameRow("p2", None, None, "u"))
    _record(ledger, Key("photos", "m1", "poster"), PhotoListPage("m1", frames, 2, None))
    assert _rows(ledger, "SELECT frame_id, movie_id, kind, width_px FROM frames") == [
        ("p1", "m1", "poster", 100),
        ("p2", "m1", "poster", None),
    ]
    assert [page.key for page in ledger.pending(["picture"], 0, 9)] == [
        Key("picture", "p1", "m"),
        Key("picture", "p2", "m"),
    ]
    _record(ledger, Key("picture", "p1", "m"), Picture("0" * 64, "jpeg", 10, 5, 99, "pictures/00/0.jpg"))
    assert _rows(ledger, "SELECT frame_id, format FROM pictures") == [("p1", "jpeg")]


def test_likes_of_both_sources_are_merged_and_what_is_left_out_is_counted(ledger):
    _record(ledger, Key("photos", "m1", "still"), PhotoListPage("m1", (FrameRow("p1", 1, 1, "u"),), 1, None))
    likers = (LikerRow(ANN, date(2024, 5, 1)), LikerRow(Person("72", "72"), None))
    _record(ledger, Key("photo", "p1"), PhotoLikersPage("p1", 5, likers, 3, None))
    likes = (UserLikeRow("p1", None), UserLikeRow("no frame of ours", None))
    _record(ledger, Key("user_likes", "ann"), UserLikesPage("ann", likes, None))
    assert _rows(
        ledger, "SELECT user_id, frame_id, source, liked_on FROM likes ORDER BY source, user_id, frame_id"
    ) == [
        ("71", "p1", "photo_page", "2024-05-01"),
        ("72", "p1", "photo_page", None),
        ("71", "no frame of ours", "user_likes", None),
        ("71", "p1", "user_likes", None),
    ]
    assert _rows(ledger, "SELECT kind, claimed, left_out FROM pages WHERE left_out > 0") == [("photo", 5, 3)]


def test_a_page_of_anonymous_likers_alone_does_not_end_the_list(ledger):
    _record(ledger, Key("photos", "m1", "still"), PhotoListPage("m1", (FrameRow("p1", 1, 1, "u"),), 1, None))
    hidden = PhotoLikersPage("p1", 101, (), 100, "?type=like&start=100")
    assert _record(ledger, Key("photo", "p1"), hidden) == Key("photo", "p1", start=100)
    _record(ledger, Key("photo", "p1", start=100), PhotoLikersPage("p1", 101, (LikerRow(ANN, None),), 0, None))
    assert _rows(ledger, "SELECT user_id FROM likes") == [("71",)]
    assert _rows(ledger, "SELECT start, seen, left_out FROM pages WHERE kind = 'photo'") == [(0, 100, 100), (100, 1, 0)]


def test_a_page_of_comments_by_deleted_people_alone_does_not_end_the_list(ledger):
    page = CommentsPage((), "?start=20")
    assert _record(ledger, Key("comments", "m1"), page) == Key("comments", "m1", start=20)
