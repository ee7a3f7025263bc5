"""Collections in the site's two modes, 15 or 30 marks per page: the same rows, whatever the mode of each request."""

import random
import signal
import time
from collections import Counter
from datetime import date
from urllib.parse import parse_qsl, urlsplit

import pytest
from polars.testing import assert_frame_equal

from crawler.forecast import cost_of_source
from crawler.kinds import KINDS, PERSONAL_KINDS, address
from crawler.kinds.collection import PER_PAGE, CollectionPage, RatingRow
from crawler.kinds.kind import CrawlContext
from crawler.ledger import raw_rows, reports
from crawler.ledger.ledger import Ledger
from crawler.page import Answer, Key, NotUnderstood, Person
from crawler.process import ParsedAnswer, settle
from crawler.replay import reparse
from crawler.sandbox.faults.switches import switched
from crawler.scope import HTML_ONLY, Scope, Source
from crawler.sites import Site
from dataset.schema import RAW_TABLES, RawUser
from dataset.tables import canonical, read_table

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
MODES = ("html", "list")
GRID, LIST = (f"people=html,movie=html,photos=html,collection={mode}" for mode in MODES)
WORLD = {"n_users": 20, "n_movies": 120, "mean_ratings": 45.0}  # most lists have more than 30 marks


def test_the_scope_says_in_which_mode_collections_are_requested():
    key = Key("collection", "ann", start=30)
    scopes = {mode: Scope(via={**HTML_ONLY, "collection": (mode,)}) for mode in MODES}
    assert {mode: scope.sources("collection") for mode, scope in scopes.items()} == dict.fromkeys(MODES, ("html",))
    addresses = [address(Site(), key), *(address(Site(), key, scope) for scope in scopes.values())]
    assert [dict(parse_qsl(urlsplit(url).query))["mode"] for url in addresses] == ["grid", "grid", "list"]
    assert len({url.partition("mode=")[0] for url in addresses}) == 1
    assert address(Site(), Key("movie", "1"), scopes["list"]) == address(Site(), Key("movie", "1"))


# --- whole crawls ------------------------------------------------------------------------------------


def _collect(requests):
    """Return (person, first place, mode) of each request for a collection."""
    found = []
    for _, path in requests:
        url = urlsplit(path)
        if url.path.endswith("/collect"):
            query = dict(parse_qsl(url.query))
            found.append((url.path.split("/")[2], int(query["start"]), query["mode"]))
    return found


def _tables(crawl):
    """Return the tables of ratings, by the site's ids, with what is published of people."""
    tables = crawl.tables()
    users = read_table(crawl.folder / "raw" / "users.parquet", RawUser).drop("read_on")
    kept = {
        name: canonical(tables[name].drop("crawled_at", strict=False), RAW_TABLES[name])
        for name in ("ratings", "movies")
    }
    return {**kept, "users": users.sort("user_id")}


@pytest.mark.parametrize(
    ("seed", "faults"), [(1, None), (2, None), (3, "gaps,dateless=0.1"), (4, "dateless,deleted,merged")]
)
def test_both_modes_give_the_same_tables_and_the_list_needs_half_the_requests(sandbox, seed, faults):
    switches = switched(faults)
    crawl = sandbox(seed, **WORLD, faults=switches.fault, oddities=switches.oddities)
    crawl.run("ratings", "--via", LIST)
    requests = _collect(crawl.requests())
    crawl.require_truth(["movies", "ratings"])
    assert {mode for *_, mode in requests} == {"list"}
    assert max(Counter(requests).values()) == 1
    with Ledger.read(crawl.folder / "crawl") as ledger:
        claimed = dict(ledger.execute("SELECT subject, claimed FROM pages WHERE kind = 'collection' AND start = 0"))
        seen = raw_rows.claimed_and_seen(ledger)["collection"]
    pages = {mode: sum(max(1, -(-(n or 0) // size)) for n in claimed.values()) for mode, size in PER_PAGE.items()}
    assert len(requests) == pages["list"]
    assert pages["list"] < 0.65 * pages["grid"]  # short lists need a page in any mode
    assert seen["items_claimed"] == sum(n or 0 for n in claimed.values())


def test_a_crawl_killed_at_random_moments_continues_in_either_mode(sandbox, is_long):
    generator, n_kills = random.Random(7), 12 if is_long else 3
    crawl = sandbox(5, **WORLD, faults=switched("gaps").fault)
    for _ in range(n_kills):
        n = len(crawl.requests())
        process = crawl.start("ratings", "--via", generator.choice((GRID, LIST)), "--delay-s", "0.01")
        while len(crawl.requests()) < n + generator.randint(3, 25) and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    crawl.run("ratings", "--via", generator.choice((GRID, LIST)))
    crawl.require_truth(["movies", "ratings"])


def test_another_mode_in_the_middle_of_a_crawl_loses_nothing_and_asks_for_nothing_twice(sandbox):
    crawl = sandbox(6, **WORLD)
    for number in range(40):
        crawl.run("ratings", "--via", (GRID, LIST)[number % 2], "--max-requests", "5")
    crawl.run("ratings", "--via", LIST)
    crawl.require_truth(["movies", "ratings"])
    requests = _collect(crawl.requests())
    assert {mode for *_, mode in requests} == {"grid", "list"}
    places = Counter((uid, place) for uid, start, mode in requests for place in range(start, start + PER_PAGE[mode]))
    assert max(places.values()) == 1
    both = {uid for uid, _, mode in requests if mode == "grid"} & {uid for uid, _, mode in requests if mode == "list"}
    assert both  # some lists were begun in one mode and ended in the other
    before = _tables(crawl)
    reparse(crawl.folder / "crawl")
    for name, table in _tables(crawl).items():
        assert_frame_equal(table, before[name])


@pytest.mark.parametrize(("first", "then"), [(GRID, LIST), (LIST, GRID)])
def test_a_refresh_in_the_other_mode_stops_where_nothing_is_new_and_finds_what_has_changed(sandbox, first, then):
    crawl = sandbox(7, **WORLD)
    crawl.run("ratings", "--via", first)
    n, before = len(crawl.requests()), _tables(crawl)
    crawl.run("ratings", "--via", then, "--refresh", "--collection-age-days", "0")
    again = _collect(crawl.requests()[n:])
    assert {start for _, start, _ in again} == {0}
    for name, table in _tables(crawl).items():
        assert_frame_equal(table, before[name])
    ratings_of = crawl.server.world.contents.ratings_of
    user = max(ratings_of, key=lambda user: len(ratings_of[user]))
    ratings = ratings_of[user]
    ratings_of[user] = [*ratings[:3], *ratings[4:-1]]  # two have left the list
    crawl.server.answers._page.cache_clear()
    try:
        crawl.run("ratings", "--via", then, "--refresh", "--collection-age-days", "0")
        crawl.require_truth(["ratings"])
        with Ledger.read(crawl.folder / "crawl") as ledger:
            assert reports.n_not_shown(ledger)["ratings"] == 0
    finally:
        ratings_of[user] = ratings  # the world is shared with other tests


def test_the_challenge_of_2026_counts_pages_so_the_list_gets_further(sandbox):
    faults = switched("challenge=6")
    crawl = sandbox(8, **WORLD, faults=faults.fault)
    runs = Counter()
    while True:
        n = len(crawl.requests())
        process = crawl.start("ratings", "--via", LIST, "--delay-s", "0.001")
        process.communicate()
        answered = len(_collect(crawl.requests()[n:]))
        assert answered <= 7
        runs[process.returncode] += 1
        if process.returncode == 0:
            break
        assert process.returncode == 3
    crawl.require_truth(["movies", "ratings"])
    n_pages = len(set(_collect(crawl.requests())))
    assert runs[3] >= n_pages // 6


# --- one list, read as the tests say -----------------------------------------------------------------


class Marks:
    """A person's films, some hidden; each page is in the mode that the test chooses; `throttle` changes an answer."""

    def __init__(self, n, hidden=(), claims=None):
        self.films = [str(number) for number in range(n)]
        self.hidden, self.claims, self.stars = set(hidden), claims, 4
        self.throttle = lambda start, shown, following: (shown, following)
        self.broken = set()  # where pages begin that answer 500

    @property
    def visible(self):
        return set(self.films) - self.hidden

    def page(self, start, size):
        total = len(self.films) if self.claims is None else self.claims
        shown = [film for film in self.films[start : start + size] if film not in self.hidden]
        following = f"?start={start + size}" if start + size < len(self.films) else None
        shown, following = self.throttle(start, shown, following)
        rows = tuple(RatingRow(film, self.stars, date(2024, 1, 1)) for film in shown)
        return CollectionPage(Person("71", "ann"), rows, total, following, places=size)


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(tmp_path, Source("sandbox", {}), PERSONAL_KINDS) as opened:
        yield opened


def _run(ledger, marks, at, sizes, attempts=5, refresh=False, most=99, changes_stars=True):
    """Read what is left of a list, as a run does, with pages of the sizes; return the offsets read."""
    ledger.add_pages([Key("collection", "ann")])
    if refresh:
        if changes_stars:  # otherwise a refresh ends at the first page
            marks.stars = 9 - marks.stars
        ledger.reopen("collection", at)
    ledger.revive(["collection"])
    offsets, failures = [], Counter()
    while len(offsets) < most:
        pages = [page for page in ledger.pending(["collection"], 0, 9) if failures[page.key] < attempts]
        if not pages:
            break
        page, at = pages[0], at + 10
        offsets.append(page.key.start)
        answer = Answer(500, KINDS["collection"].address(Site(), page.key), b"", at=at)
        parsed = ParsedAnswer(answer, problem=NotUnderstood("collection", "status", "is 500"))
        if page.key.start not in marks.broken:
            parsed = ParsedAnswer(answer, marks.page(page.key.start, sizes()))
        outcome = settle(page, parsed, CrawlContext(ledger, Site(), Scope()))
        if outcome.may_recover:
            failures[page.key] += 1
            if failures[page.key] < attempts:
                ledger.postpone(page, outcome.cause, at)
    return offsets


def _films(ledger):
    return {row[0] for row in ledger.execute("SELECT movie_id FROM ratings")}


def _always(size):
    return lambda: size


def _claimed_and_seen(ledger):
    found = raw_rows.claimed_and_seen(ledger)["collection"]
    return found["items_claimed"], found["items_seen"]


def test_a_list_begun_in_one_mode_goes_on_in_the_other_from_where_it_is(ledger):
    marks = Marks(100)
    assert _run(ledger, marks, 0, _always(15), most=3) == [0, 15, 30]
    assert _run(ledger, marks, 100, _always(30)) == [45, 75]
    assert _films(ledger) == marks.visible
    assert _claimed_and_seen(ledger) == (100, 100)
    assert ledger.execute("SELECT is_complete, unseen FROM pages WHERE start = 0").fetchone() == (1, 0)


def test_a_refresh_in_the_other_mode_begins_again_although_the_last_reading_was_not_finished(ledger):
    marks = Marks(100)
    _run(ledger, marks, 0, _always(15), most=3)
    assert _run(ledger, marks, DAY_S, _always(30), refresh=True) == [0, 30, 60, 90]
    assert _films(ledger) == marks.visible
    assert ledger.value("SELECT is_unsteady FROM pages WHERE start = 0") == 0
    assert _claimed_and_seen(ledger) == (100, 100)


@pytest.mark.parametrize(("sizes", "offsets"), [((15, 30), [0, 30]), ((30, 15), [0, 15, 30, 45])])
def test_what_the_other_mode_does_not_show_is_missing_only_when_it_has_reached_the_total(ledger, sizes, offsets):
    marks = Marks(60)
    _run(ledger, marks, 0, _always(sizes[0]))
    marks.films.remove("50")
    assert _run(ledger, marks, DAY_S, _always(sizes[1]), refresh=True) == offsets
    assert _films(ledger) == marks.visible
    assert _claimed_and_seen(ledger) == (59, 59)


@pytest.mark.parametrize("claims", [40, 45, 59, 60])
@pytest.mark.parametrize("last", [15, 30])
def test_after_a_page_of_30_a_page_of_15_without_a_link_does_not_reach_a_total_beyond_its_own_places(
    ledger, claims, last
):
    marks = Marks(claims)
    _run(ledger, marks, 0, _always(30), most=1)
    marks.throttle = lambda start, shown, following: (shown, None)
    _run(ledger, marks, 100, _always(last), attempts=1)
    is_reached = claims <= 30 + last
    assert ledger.value("SELECT state FROM pages WHERE start = 30") == ("done" if is_reached else "failed")
    marks.throttle = Marks(0).throttle
    _run(ledger, marks, 200, _always(15))
    assert _films(ledger) == marks.visible


def test_two_readings_in_two_modes_20_hours_apart_that_come_out_the_same_confirm_each_other(ledger):
    marks = Marks(48)
    _run(ledger, marks, 0, _always(15))
    marks.films, marks.claims = marks.films[:40], 48  # 8 are gone, but are still counted
    marks.hidden = {"38", "39"}
    for day, size in ((1, 15), (2, 30)):
        _run(ledger, marks, day * DAY_S, _always(size), refresh=True)
        _run(ledger, marks, day * DAY_S + 21 * HOUR_S, _always(size))
    assert _films(ledger) >= marks.visible
    _run(ledger, marks, 4 * DAY_S, _always(30), refresh=True)
    assert _films(ledger) == marks.visible


def test_a_part_that_was_read_alone_is_not_the_whole_list(ledger):
    marks = Marks(90)
    _run(ledger, marks, 0, _always(15))
    marks.films.insert(0, "new")
    _run(ledger, marks, DAY_S, _always(15), refresh=True, most=2)
    ledger.execute("UPDATE pages SET state = 'pending' WHERE start = 60")  # as if it had been asked for on its own
    ledger.execute("UPDATE pages SET state = 'done' WHERE start = 30")
    _run(ledger, marks, DAY_S + 100, _always(15))
    assert _films(ledger) >= marks.visible


def test_a_page_that_has_failed_and_is_read_after_a_refresh_that_stopped_before_it_loses_no_row(ledger):
    marks = Marks(60)
    _run(ledger, marks, 0, _always(15))
    marks.films.insert(0, "new")
    marks.broken = {30}
    _run(ledger, marks, DAY_S, _always(15), refresh=True)
    assert ledger.value("SELECT state FROM pages WHERE start = 30") == "failed"
    marks.broken = set()
    for day in (2, 3):
        _run(ledger, marks, day * DAY_S, _always(15), refresh=True, changes_stars=False)
        assert _films(ledger) == marks.visible
        _run(ledger, marks, day * DAY_S + HOUR_S, _always(15))
        assert _films(ledger) == marks.visible
    assert not ledger.value("SELECT count(*) FROM pages WHERE state <> 'done'")


def test_a_page_that_has_failed_is_not_read_by_itself_while_its_list_is_read_again_from_its_start(ledger):
    marks = Marks(60)
    marks.broken = {30}
    _run(ledger, marks, 0, _always(15))
    marks.broken = set()
    assert _run(ledger, marks, DAY_S, _always(15), refresh=True) == [0, 15, 30, 45]
    assert _films(ledger) == marks.visible


@pytest.mark.parametrize("seed", range(40))
def test_random_modes_and_throttles_never_lower_what_is_stored_below_what_the_site_shows(ledger, seed):
    chance = random.Random(1000 + seed)
    n = chance.randrange(1, 140)
    marks = Marks(n, hidden=map(str, chance.sample(range(n), n // 12)))
    every_s, rate = chance.choice([(HOUR_S, 0.5), (DAY_S, 0.2)])
    n_broken = chance.choice([0, 1, 2])

    def sizes():
        return chance.choice([15, 30])

    def throttle(start, shown, following):
        if chance.random() >= rate:
            return shown, following
        return chance.choice([([], following), (shown, None), ([], None)])

    _run(ledger, marks, 0, sizes, attempts=99)
    assert _films(ledger) == marks.visible
    for number in range(1, 20):
        if chance.random() < 0.3:
            marks.films.insert(0, f"{number}000")
        if chance.random() < 0.1 and marks.films:
            marks.films.pop(chance.randrange(len(marks.films)))
        before = _films(ledger) & marks.visible
        marks.throttle, marks.broken = throttle, {15 * chance.randrange(10) for _ in range(n_broken)}
        of_run = _always(sizes()) if chance.random() < 0.7 else sizes
        most = chance.choice([99, 99, 2])
        refresh, changes = chance.random() < 0.7, chance.random() < 0.5
        _run(ledger, marks, number * every_s, of_run, 3, refresh, most=most, changes_stars=changes)
        assert _films(ledger) >= before
    marks.throttle, marks.broken = Marks(0).throttle, set()
    for day in (40, 50):  # the first of them may be the end of a reading that was begun before
        _run(ledger, marks, day * DAY_S, _always(30), refresh=True)
    assert _films(ledger) == marks.visible


# --- the cost ----------------------------------------------------------------------------------------


def test_the_plan_knows_the_cost_of_each_mode_from_the_totals_that_lists_claim(ledger):
    for number in range(4):
        key = Key("collection", f"person-{number}")
        ledger.add_pages([key])
        ledger.mark_done(ledger.page(key), 1.0, seen=15, claimed=(10, 100, 150, 0)[number])
    ledger.add_pages(Key("collection", f"unread-{number}") for number in range(100))
    scope = Scope(via={**HTML_ONLY, "collection": ("list", "json")})
    costs = {choice: cost_of_source(ledger, scope, "collection", choice) for choice in ("html", "list", "json")}
    assert {choice: (cost.per_page, cost.requests) for choice, cost in costs.items()} == {
        "html": (15, 475),  # 1, 7, 10 and 1 pages: 4.75 per list
        "list": (30, 275),
        "json": (50, 175),
    }
