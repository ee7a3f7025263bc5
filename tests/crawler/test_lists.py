"""Lists that change while they are read, or between two crawls."""

import itertools
from datetime import date

import pytest

from crawler.kinds import KINDS, PERSONAL_KINDS
from crawler.kinds.collection import CollectionPage, RatingRow
from crawler.kinds.comments import CommentsPage
from crawler.kinds.kind import CrawlContext
from crawler.kinds.photo import LikerRow, PhotoLikersPage
from crawler.kinds.user_likes import UserLikeRow, UserLikesPage
from crawler.ledger.ledger import Ledger
from crawler.ledger.lists import MAX_RESTARTS
from crawler.page import Answer, Key, Person
from crawler.process import ParsedAnswer, settle
from crawler.scope import Scope, Source
from crawler.sites import Site

ANN = Person("71", "ann")
clock = itertools.count(1.0)


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(tmp_path, Source("sandbox", {}), PERSONAL_KINDS) as opened:
        yield opened


class Shelf:
    """A collection of which three fit on a page; `hidden` of them are counted, not shown."""

    def __init__(self, *movies, hidden=0):
        self.movies, self.hidden = list(movies), hidden

    def page(self, start):
        shown = self.movies[start : start + 3]
        following = f"?start={start + 3}" if start + 3 < len(self.movies) else None
        rows = tuple(RatingRow(movie, 5, date(2024, 1, 1)) for movie in shown)
        return CollectionPage(ANN, rows, len(self.movies) + self.hidden, following)


def _settle(ledger, page, content):
    answer = Answer(200, KINDS[page.key.kind].address(Site(), page.key), b"", at=next(clock))
    outcome = settle(page, ParsedAnswer(answer, content), CrawlContext(ledger, Site(), Scope()))
    assert outcome.state == "done"
    return outcome


def _read(ledger, shelf, changes=()):
    """Read a collection as the crawl does; `changes` are made after the 1st, 2nd, … page. Return the offsets read."""
    ledger.add_pages([Key("collection", "ann")])
    changes, offsets = list(changes), []
    while pages := ledger.pending(["collection"], 0, 9):
        (page,) = pages
        offsets.append(page.key.start)
        _settle(ledger, page, shelf.page(page.key.start))
        if changes:
            changes.pop(0)()
    return offsets


def _movies(ledger):
    return "".join(row[0] for row in ledger.execute("SELECT movie_id FROM ratings ORDER BY movie_id"))


def _first(ledger, column):
    return ledger.value(f"SELECT {column} FROM pages WHERE start = 0")


def test_a_list_that_grows_is_read_again_from_its_start(ledger):
    shelf = Shelf(*"abcdefg")
    offsets = _read(ledger, shelf, [lambda: None, lambda: shelf.movies.insert(0, "z")])
    assert offsets == [0, 3, 6, 0, 3, 6]
    assert _movies(ledger) == "abcdefgz"


def test_a_list_that_shrinks_loses_no_item(ledger):
    shelf = Shelf(*"abcdefgh")
    offsets = _read(ledger, shelf, [lambda: shelf.movies.remove("b")])
    assert offsets == [0, 3, 0, 3, 6]
    assert _movies(ledger) == "abcdefgh"  # b was there when the reading began
    assert _first(ledger, "unseen") == -1


def test_one_item_added_and_one_removed_between_two_pages_is_detected_by_the_repeat(ledger):
    shelf = Shelf(*"abcdefg")

    def change():
        shelf.movies.insert(0, "z")
        shelf.movies.remove("g")

    assert _read(ledger, shelf, [change]) == [0, 3, 0, 3, 6]
    assert _movies(ledger) == "abcdefz"  # g was never shown


def test_a_list_that_never_stops_changing_is_read_to_its_end_and_marked_as_unsteady(ledger):
    shelf = Shelf(*"abcd")
    names = iter("nopqrstuvwxyz")
    offsets = _read(ledger, shelf, [lambda: shelf.movies.insert(0, next(names))] * 9)
    assert offsets.count(0) == 1 + MAX_RESTARTS
    assert offsets.count(3) == 1 + MAX_RESTARTS
    assert set("abcd") <= set(_movies(ledger))
    assert _first(ledger, "is_unsteady") == 1


def test_what_a_list_claims_and_does_not_show_is_stored(ledger):
    assert _read(ledger, Shelf(*"abcd", hidden=2)) == [0, 3]
    assert _first(ledger, "unseen") == 2


def test_a_refresh_stops_at_a_page_of_known_items(ledger):
    shelf = Shelf(*"abcdefghi", hidden=1)
    assert _read(ledger, shelf) == [0, 3, 6]
    assert ledger.reopen("collection", next(clock)) == 1
    assert _read(ledger, shelf) == [0]
    shelf.movies.insert(0, "z")
    ledger.reopen("collection", next(clock))
    assert _read(ledger, shelf) == [0, 3]
    assert _movies(ledger) == "abcdefghiz"


def test_a_refresh_continues_to_the_end_if_an_item_has_left_and_deletes_it(ledger):
    shelf = Shelf(*"abcdefghi", hidden=1)
    _read(ledger, shelf)
    shelf.movies.remove("h")
    ledger.reopen("collection", next(clock))
    assert _read(ledger, shelf) == [0, 3, 6]
    assert _movies(ledger) == "abcdefgi"


def test_a_rating_that_was_changed_is_not_known(ledger):
    shelf = Shelf(*"abcdef")
    _read(ledger, shelf)
    ledger.execute("UPDATE ratings SET stars = 1 WHERE movie_id = 'b'")
    ledger.reopen("collection", next(clock))
    assert _read(ledger, shelf) == [0, 3]
    assert ledger.value("SELECT stars FROM ratings WHERE movie_id = 'b'") == 5


def test_only_pages_that_are_old_enough_are_read_again(ledger):
    _read(ledger, Shelf(*"abc"))
    assert ledger.reopen("collection", 0.5) == 0
    assert ledger.reopen("movie", next(clock)) == 0


def _put(ledger, key, parsed):
    ledger.add_pages([key])
    return _settle(ledger, ledger.page(key), parsed).following


def test_pages_of_a_user_s_likes_overlap_by_one_item_to_detect_changes_without_a_total(ledger):
    likes = [UserLikeRow(f"p{n}", None) for n in range(30)]
    first = Key("user_likes", "ann")
    following = _put(ledger, first, UserLikesPage("ann", tuple(likes[:15]), "?start=15"))
    assert following == first._replace(start=14)
    assert _put(ledger, following, UserLikesPage("ann", tuple(likes[15:29]), None)) == first  # p14 has moved away
    assert _put(ledger, first, UserLikesPage("ann", tuple(likes[:15]), "?start=15")) == following
    assert _put(ledger, following, UserLikesPage("ann", tuple(likes[14:29]), None)) is None
    assert ledger.value("SELECT count(*) FROM likes") == 29


def test_a_full_page_of_comments_overlaps_too(ledger):
    people = [Person(str(n), str(n)) for n in range(100, 140)]
    first = Key("comments", "m1")
    following = _put(ledger, first, CommentsPage(tuple(people[:20]), "?start=20"))
    assert following == first._replace(start=19)
    assert _put(ledger, following, CommentsPage(tuple(people[17:37]), "?start=39")) == first


def test_a_like_that_was_withdrawn_is_deleted_at_the_next_pass(ledger):
    first = Key("photo", "p1")
    both = (LikerRow(ANN, None), LikerRow(Person("72", "bob"), None))
    _put(ledger, first, PhotoLikersPage("p1", 3, both, 1, None))
    assert _first(ledger, "unseen") == 0
    ledger.reopen("photo", next(clock))
    _put(ledger, first, PhotoLikersPage("p1", 2, both[1:], 1, None))
    assert ledger.execute("SELECT user_id FROM likes").fetchall() == [("72",)]
