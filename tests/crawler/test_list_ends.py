"""Lists that end before the total that they claim: throttles, hidden items, and totals that claim too much.

The sites of this file show a person's collection, 15 films a page; each answer has a time that the test sets.
"""

import random
from datetime import date

import pytest

from crawler.kinds import KINDS, PERSONAL_KINDS
from crawler.kinds.collection import RATINGS_PER_PAGE, CollectionPage, RatingRow
from crawler.kinds.kind import CrawlContext
from crawler.kinds.photo import LikerRow, PhotoLikersPage
from crawler.kinds.photos import FrameRow, PhotoListPage
from crawler.ledger import reports
from crawler.ledger.ledger import Ledger
from crawler.page import Answer, Key, Person
from crawler.process import ParsedAnswer, settle
from crawler.scope import Scope, Source
from crawler.sites import Site

ANN = Person("71", "ann")
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
N = RATINGS_PER_PAGE


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(tmp_path, Source("sandbox", {}), PERSONAL_KINDS) as opened:
        yield opened


class Collection:
    """A person's films, some of them hidden; `claims` overrides the total; `throttle` changes an answer.

    Before each refresh the person changes all `stars`; otherwise it would end at the first page, whose films are known.
    """

    def __init__(self, n, hidden=(), claims=None):
        self.films = [str(number) for number in range(n)]
        self.hidden, self.claims, self.stars = set(hidden), claims, 4
        self.throttle = lambda start, shown, following: (shown, following)

    @property
    def visible(self):
        return set(self.films) - self.hidden

    def page(self, start):
        total = len(self.films) if self.claims is None else self.claims
        shown = [film for film in self.films[start : start + N] if film not in self.hidden]
        following = f"?start={start + N}" if start + N < len(self.films) else None
        shown, following = self.throttle(start, shown, following)
        return CollectionPage(
            ANN, tuple(RatingRow(film, self.stars, date(2024, 1, 1)) for film in shown), total, following
        )


def empty(*starts, with_link=False):
    """Return a throttle that empties pages."""
    return lambda start, shown, following: (
        ([], following if with_link else None) if start in starts else (shown, following)
    )


def without_link(*starts):
    """Return a throttle that leaves out links to the next page."""
    return lambda start, shown, following: (shown, None if start in starts else following)


def run(ledger, collection, at, attempts=5, refresh=False):
    """Read what is left of a collection, as a run of the crawl does; return the offsets read."""
    ledger.add_pages([Key("collection", "ann")])
    ledger.revive(["collection"])
    if refresh:
        collection.stars = 9 - collection.stars
        ledger.reopen("collection", at)
    offsets, failures = [], {}
    while pages := [page for page in ledger.pending(["collection"], 0, 9) if failures.get(page.key, 0) < attempts]:
        page = pages[0]
        at += 10
        offsets.append(page.key.start)
        answer = Answer(200, KINDS["collection"].address(Site(), page.key), b"", at=at)
        content = collection.page(page.key.start)
        outcome = settle(page, ParsedAnswer(answer, content), CrawlContext(ledger, Site(), Scope()))
        if outcome.may_recover:
            failures[page.key] = failures.get(page.key, 0) + 1
            if failures[page.key] < attempts:
                ledger.postpone(page, outcome.cause, at)
    return offsets


def films(ledger):
    return {row[0] for row in ledger.execute("SELECT movie_id FROM ratings")}


def not_shown(ledger):
    return reports.n_not_shown(ledger)["ratings"]


def failed(ledger):
    return {row[0]: row[1] for row in ledger.execute("SELECT start, cause FROM pages WHERE state = 'failed'")}


THROTTLES = {
    "an empty page without a link": empty(15),
    "an empty page with a link": empty(15, with_link=True),
    "an empty first page": empty(0),
    "an empty last page": empty(45),
    "a page without a link": without_link(15),
    "a first page without a link": without_link(0),
    "all pages empty": empty(0, 15, 30, 45),
}


@pytest.mark.parametrize("name", THROTTLES)
def test_a_refresh_under_a_throttle_deletes_nothing(ledger, name):
    collection = Collection(58)
    run(ledger, collection, 0)
    known = set(collection.visible)
    collection.films.insert(0, "new")
    collection.throttle = THROTTLES[name]
    run(ledger, collection, DAY_S, refresh=True)
    assert films(ledger) >= known
    assert failed(ledger) or name == "an empty last page"  # all items of that may be hidden
    assert not_shown(ledger) > 0 or name == "a first page without a link"
    collection.throttle = Collection(0).throttle
    run(ledger, collection, 1.1 * DAY_S, refresh=name == "an empty last page")
    assert films(ledger) == collection.visible
    assert not failed(ledger)
    assert not_shown(ledger) == 0


@pytest.mark.parametrize("name", THROTTLES)
def test_a_first_reading_under_a_throttle_is_not_complete_until_the_page_is_read(ledger, name):
    collection = Collection(60)
    collection.throttle = THROTTLES[name]
    run(ledger, collection, 0, attempts=2)
    assert failed(ledger)
    assert ledger.value("SELECT is_complete FROM pages WHERE start = 0") in (0, None)
    assert "claims" in next(iter(failed(ledger).values()))
    collection.throttle = Collection(0).throttle
    run(ledger, collection, 100)
    assert films(ledger) == collection.visible
    assert ledger.value("SELECT is_complete FROM pages WHERE start = 0") == 1


def test_what_a_page_without_a_link_shows_is_kept_and_read_again_without_a_restart(ledger):
    collection = Collection(60)
    collection.throttle = without_link(15)
    assert run(ledger, collection, 0, attempts=3) == [0, 15, 15, 15]
    assert len(films(ledger)) == 30
    collection.throttle = Collection(0).throttle
    assert run(ledger, collection, 100) == [15, 30, 45]
    assert len(films(ledger)) == 60


@pytest.mark.parametrize("hidden", [(), (3,), range(16, 29), (59,), range(45, 60)])
def test_hidden_items_take_up_places_and_a_list_with_them_is_complete(ledger, hidden):
    collection = Collection(60, map(str, hidden))
    run(ledger, collection, 0)
    assert not failed(ledger)
    assert films(ledger) == collection.visible
    assert ledger.execute("SELECT is_complete, unseen FROM pages WHERE start = 0").fetchone() == (1, len(hidden))


def test_a_list_that_claims_too_much_is_believed_after_the_same_answers_for_20_hours(ledger):
    collection = Collection(60, claims=100)  # start 45 leads nowhere
    run(ledger, collection, 0)
    assert list(failed(ledger)) == [45]
    run(ledger, collection, 19 * HOUR_S)
    assert list(failed(ledger)) == [45]
    run(ledger, collection, 21 * HOUR_S)
    assert not failed(ledger)
    assert ledger.execute("SELECT is_complete, unseen FROM pages WHERE start = 0").fetchone() == (1, 40)
    run(ledger, collection, 9 * DAY_S, refresh=True)
    assert not failed(ledger)


def test_an_answer_that_differs_starts_the_20_hours_again(ledger):
    collection = Collection(60, claims=100)
    run(ledger, collection, 0)
    collection.claims = 101
    run(ledger, collection, 15 * HOUR_S)
    run(ledger, collection, 21 * HOUR_S)
    assert list(failed(ledger)) == [45]
    run(ledger, collection, 36 * HOUR_S)
    assert not failed(ledger)


def test_a_page_of_hidden_items_only_is_believed_after_20_hours_and_its_link_is_followed(ledger):
    collection = Collection(60, map(str, range(15, 30)))
    run(ledger, collection, 0)
    assert list(failed(ledger)) == [15]
    run(ledger, collection, DAY_S)
    assert not failed(ledger)
    assert films(ledger) == collection.visible


def test_rows_are_deleted_by_a_reading_that_reaches_the_total(ledger):
    collection = Collection(60)
    run(ledger, collection, 0)
    collection.films = collection.films[:20] + collection.films[25:]
    run(ledger, collection, DAY_S, refresh=True)
    assert films(ledger) == collection.visible


def test_rows_are_deleted_by_two_readings_20_hours_apart_that_come_out_the_same(ledger):
    collection = Collection(60)
    run(ledger, collection, 0)
    collection.films, collection.claims = collection.films[:45], 60  # the total lags behind
    run(ledger, collection, DAY_S, refresh=True)
    assert (len(films(ledger)), not_shown(ledger)) == (60, 15)
    run(ledger, collection, DAY_S + 19 * HOUR_S, refresh=True)
    assert (len(films(ledger)), not_shown(ledger)) == (60, 15)
    run(ledger, collection, 2 * DAY_S, refresh=True)
    assert (len(films(ledger)), not_shown(ledger)) == (45, 0)


def test_readings_that_show_nothing_of_a_list_that_claims_something_delete_nothing(ledger):
    collection = Collection(60)
    run(ledger, collection, 0)
    collection.throttle = empty(0, 15, 30, 45)
    for day in (1, 2, 3, 4):
        run(ledger, collection, day * DAY_S, refresh=True)
    assert films(ledger) == collection.visible


def test_a_row_that_is_shown_again_is_no_longer_missing(ledger):
    collection = Collection(60)
    run(ledger, collection, 0)
    collection.throttle = empty(30)
    run(ledger, collection, DAY_S, refresh=True)
    assert not_shown(ledger) == 30
    collection.throttle = Collection(0).throttle
    run(ledger, collection, DAY_S + HOUR_S)
    assert (len(films(ledger)), not_shown(ledger)) == (60, 0)


def test_a_list_that_suddenly_claims_nothing_loses_its_rows_only_when_that_lasts(ledger):
    collection = Collection(30)
    run(ledger, collection, 0)
    collection.films = []
    run(ledger, collection, DAY_S, refresh=True)
    assert (len(films(ledger)), not_shown(ledger)) == (30, 30)
    run(ledger, collection, 3 * DAY_S, refresh=True)
    assert films(ledger) == set()


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("rate", "every_s"), [(0.5, HOUR_S), (0.2, DAY_S)], ids=["for hours", "for weeks"])
def test_random_throttles_never_lower_what_is_stored_below_what_the_site_shows(ledger, seed, rate, every_s):
    chance = random.Random(seed)
    n = chance.randrange(1, 100)
    collection = Collection(n, hidden=map(str, chance.sample(range(n), n // 12)))

    def throttle(start, shown, following):
        if chance.random() >= rate:
            return shown, following
        return chance.choice([([], following), (shown, None), ([], None)])

    run(ledger, collection, 0, attempts=99)
    assert films(ledger) == collection.visible
    for number in range(1, 16):
        if chance.random() < 0.3:
            collection.films.insert(0, f"{number}000")
        before = films(ledger) & collection.visible
        collection.throttle = throttle
        run(ledger, collection, number * every_s, attempts=5, refresh=chance.random() < 0.7)
        assert films(ledger) >= before
    collection.throttle = Collection(0).throttle
    run(ledger, collection, 30 * DAY_S, refresh=True)
    assert films(ledger) == collection.visible


def _put(ledger, key, content, at):
    ledger.add_pages([key])
    page = ledger.page(key, of_any_state=True)
    answer = Answer(200, KINDS[key.kind].address(Site(), key), b"", at=at)
    return settle(page, ParsedAnswer(answer, content), CrawlContext(ledger, Site(), Scope()))


def test_likes_that_a_throttled_list_does_not_show_are_kept(ledger):
    first = Key("photo", "7")
    people = tuple(LikerRow(Person(str(n), str(n)), None) for n in range(150))
    _put(ledger, first, PhotoLikersPage("7", 150, people[:100], 0, "?type=like&start=100"), 1.0)
    second = first._replace(start=100)
    assert _put(ledger, second, PhotoLikersPage("7", 150, people[100:], 0, None), 2.0).state == "done"
    _put(ledger, first, PhotoLikersPage("7", 150, people[:100], 0, "?type=like&start=100"), DAY_S)
    assert _put(ledger, second, PhotoLikersPage("7", 150, (), 0, None), DAY_S + 1).state == "failed"
    assert ledger.value("SELECT count(*) FROM likes") == 150
    assert reports.n_not_shown(ledger)["likes"] == 50


def test_a_list_of_photos_that_is_empty_before_its_total_has_failed(ledger):
    first = Key("photos", "7", "still")
    photos = tuple(FrameRow(str(n), 1, 1, f"https://img1.doubanio.com/p{n}.jpg") for n in range(30))
    outcome = _put(ledger, first, PhotoListPage("7", photos, 70, "?type=S&start=30"), 1.0)
    assert outcome.following.start == 30
    assert _put(ledger, outcome.following, PhotoListPage("7", (), 70, None), 2.0).state == "failed"
    assert ledger.value("SELECT count(*) FROM frames") == 30


def test_pages_of_another_size_reach_the_total_by_their_own_steps(ledger):
    first = Key("photos", "7", "still")
    photos = tuple(FrameRow(str(n), 1, 1, f"https://img1.doubanio.com/p{n}.jpg") for n in range(70))
    outcome = _put(ledger, first, PhotoListPage("7", photos[:40], 78, "?type=S&start=40"), 1.0)
    assert _put(ledger, outcome.following, PhotoListPage("7", photos[40:45], 78, None), 2.0).state == "done"


def test_a_list_without_a_total_keeps_its_rows_until_two_readings_agree(ledger):
    collection = Collection(60)
    run(ledger, collection, 0)
    collection.throttle = without_link(15)
    page = collection.page
    collection.page = lambda start: CollectionPage(**(vars(page(start)) | {"claimed_total": None}))
    run(ledger, collection, DAY_S, refresh=True)
    assert (len(films(ledger)), not_shown(ledger), failed(ledger)) == (60, 30, {})
    run(ledger, collection, 3 * DAY_S, refresh=True)
    assert len(films(ledger)) == 30
