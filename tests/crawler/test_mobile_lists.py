"""Lists in the mobile JSON: where they end, pages that fail as a whole, forgotten people, and replays."""

import json
from collections import Counter
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest

from crawler.archive.records import Origin
from crawler.archive.warc import Archive, read_archive
from crawler.forget import forget
from crawler.kinds import KINDS, PERSONAL_KINDS, address
from crawler.kinds.kind import CrawlContext
from crawler.kinds.mobile.paging import READINGS
from crawler.ledger.ledger import Ledger
from crawler.page import Answer, Key
from crawler.plan import phases_of, plan_phase
from crawler.process import process
from crawler.replay import reparse
from crawler.scope import HTML_ONLY, Scope, Source
from crawler.sites import Site

SOURCE = Source("sandbox", {"seed": 1})
SITE = Site()
SCOPE = Scope(movie_ids=("1",), uids=("ann",), via=dict.fromkeys(HTML_ONLY, ("json",)), k=0)
MOST_REQUESTS = 500


def _mark(n):
    return {"id": n, "status": "done", "create_time": f"2031-01-01 00:00:{n % 60:02}", "rating": {"value": 4, "max": 5},
            "subject": {"id": str(1000 + n), "title": f"片{n}", "type": "movie"}}  # fmt: skip


def _photo(n):
    return {
        "id": str(2000 + n),
        "likers_count": n,
        "image": None,
        "position": n,
        "author": _user(n),
        "description": "她拍的照片很好看",
    }


def _user(n):
    return {"id": str(700000000 + n), "uid": f"person-{n}", "name": f"示例用户{n}", "type": "user", "loc": None,
            "url": f"https://www.douban.com/people/person-{n}/"}  # fmt: skip


def _interest(n):
    return {"id": n, "status": "done", "comment": f"我觉得第{n}部很好看", "rating": None, "user": _user(n)}


class Host:
    """Answers from lists of items; `None` is an item that is hidden, `bad` items break each page that has them."""

    def __init__(self, marks=(), photos=(), people=(), total=None, bad=(), throttled=0, seen=None):
        self.lists = {"user": list(marks), "photos": list(photos), "interests": list(people)}
        self.total, self.bad, self.throttled = total, set(bad), throttled
        self.asked = seen if seen is not None else []

    def answer(self, key):
        url = address(SITE, key)
        self.asked.append(key)
        parts, query = urlsplit(url), parse_qs(urlsplit(url).query)
        if "start" not in query:
            return self._json(url, 404, {"code": 2215, "msg": "subject_not_found"})
        which = "user" if "/user/" in parts.path else parts.path.rpartition("/")[2]
        items, start, count = self.lists[which], int(query["start"][0]), int(query["count"][0])
        shown = items[start : start + count]
        if any(id(item) in self.bad for item in shown):
            return self._json(url, 500, {"code": 9, "msg": "internal"})
        name = "photos" if which == "photos" else "interests"
        if start and self.throttled:
            self.throttled -= 1
            shown = []
        shown = [item for item in shown if item is not None]
        total = len(items) if self.total is None else self.total
        return self._json(url, 200, {"start": start, "count": len(shown), "total": total, name: shown})

    def _json(self, url, status, content):
        body = json.dumps(content, ensure_ascii=False).encode()
        return Answer(status, url, body, None, "application/json", datetime.now(UTC).timestamp())


def _crawl(folder, host, kinds, scope=SCOPE):
    """Read all pages of some kinds, with at most `READINGS` attempts each; return the states."""
    with (
        Ledger.open(folder, SOURCE, PERSONAL_KINDS) as ledger,
        Archive(folder, Origin(SOURCE, SITE, scope)) as archive,
    ):
        context = CrawlContext(ledger, SITE, scope)
        ledger.add_pages([Key("photos_json", "1", "still")] if "photos_json" in kinds else [])
        for phase in phases_of("ratings", scope):
            plan_phase(context, phase)
        for _ in range(MOST_REQUESTS):
            batch = ledger.pending(kinds, 0, 1)
            if not batch:
                break
            page = batch[0]
            outcome = process(page, host.answer(page.key), context, archive)
            if outcome.may_recover and page.attempts + 1 < READINGS + 1:
                ledger.postpone(page, outcome.cause, 0.0)
        return ledger.counts()


def _rows(folder, table, columns="*"):
    with Ledger.read(folder) as ledger:
        return sorted(ledger.execute(f"SELECT {columns} FROM {table}").fetchall())


@pytest.mark.parametrize(
    ("n_items", "hidden", "total"),
    [
        (0, (), None), (1, (), None), (50, (), None), (51, (), None), (120, (), None),
        (120, (3, 49, 50, 119), None),  # pages are short
        (120, (), 90),  # a total that lags behind
        (100, (), 100),
    ],
)  # fmt: skip
def test_a_persons_marks_are_read_to_their_end_by_position(tmp_path, n_items, hidden, total):
    items = [None if n in hidden else _mark(n) for n in range(n_items)]
    states = _crawl(tmp_path, Host(marks=items, total=total), ["marks_json"])
    assert len(_rows(tmp_path, "ratings")) == n_items - len(hidden)
    assert {state for kind, state in states if kind == "marks_json"} == {"done"}


def test_pages_advance_by_the_count_asked_and_a_full_list_ends_with_an_empty_page(tmp_path):
    host = Host(marks=[_mark(n) for n in range(100)])
    _crawl(tmp_path, host, ["marks_json"])
    assert [key.start for key in host.asked] == [0, 50, 100]


def test_a_throttled_empty_page_is_read_again_and_nothing_is_lost(tmp_path):
    host = Host(marks=[_mark(n) for n in range(120)], photos=[_photo(n) for n in range(70)], throttled=2)
    _crawl(tmp_path, host, ["marks_json"])
    assert len(_rows(tmp_path, "ratings")) == 120
    host.throttled = READINGS - 1
    _crawl(tmp_path, host, ["photos_json"])
    assert len(_rows(tmp_path, "frames")) == 70


def test_a_list_of_photos_whose_total_is_that_of_all_kinds_ends_where_it_stays_empty(tmp_path):
    host = Host(photos=[_photo(n) for n in range(40)], total=2016)
    states = _crawl(tmp_path, host, ["photos_json"])
    assert [key.start for key in host.asked] == [0, 30] + [60] * READINGS
    assert (len(_rows(tmp_path, "frames")), states[("photos_json", "done")]) == (40, 3)


def test_a_list_that_repeats_its_photos_ends(tmp_path):
    class Repeating(Host):
        def answer(self, key):
            given = super().answer(key._replace(start=min(key.start, 30)))
            self.asked[-1] = key
            return given

    host = Repeating(photos=[_photo(n) for n in range(60)], total=2016)
    states = _crawl(tmp_path, host, ["photos_json"])
    assert [key.start for key in host.asked] == [0, 30, 60]
    assert (len(_rows(tmp_path, "frames")), states[("photos_json", "done")]) == (60, 3)


def test_a_frame_keeps_its_place_and_its_count_of_likes(tmp_path):
    _crawl(tmp_path, Host(photos=[_photo(n) for n in range(3)]), ["photos_json"])
    columns = "frame_id, movie_id, kind, like_count, position, width_px"
    assert _rows(tmp_path, "frames", columns) == [(str(2000 + n), "1", "still", n, n, None) for n in range(3)]


@pytest.mark.parametrize("bad", [(0,), (49,), (7, 60), (50, 51), (119,)])
def test_an_item_that_breaks_its_page_is_left_out_and_counted(tmp_path, bad):
    items = [_mark(n) for n in range(120)]
    host = Host(marks=items, bad=[id(items[n]) for n in bad])
    states = _crawl(tmp_path, host, ["marks_json"])
    assert {row[1] for row in _rows(tmp_path, "ratings")} == {str(1000 + n) for n in range(120) if n not in bad}
    assert {state for kind, state in states if kind == "marks_json"} == {"done"}
    assert _rows(tmp_path, "pages WHERE left_out > 0", "left_out_reasons") == [
        ('{"the site fails on it (500)": 1}',) for _ in bad
    ]
    before = _dump(tmp_path)
    reparse(tmp_path)
    assert _dump(tmp_path) == before


def test_a_host_that_fails_on_every_item_is_not_asked_for_all_of_them(tmp_path):
    items = [_mark(n) for n in range(120)]
    host = Host(marks=items, bad=map(id, items))
    states = _crawl(tmp_path, host, ["marks_json"])
    assert states[("marks_json", "failed")] == 1
    assert len(host.asked) < 40


def test_who_marked_a_movie_leads_to_people_up_to_the_reach(tmp_path):
    host = Host(people=[_interest(n) for n in range(620)])
    _crawl(tmp_path, host, ["interests"])
    assert [key.start for key in host.asked] == list(range(0, 500, 20))
    keys = _rows(tmp_path, "pages WHERE kind = 'marks_json' AND subject <> 'ann'", "subject, found_through")
    assert keys == sorted((f"person-{n}", "interests") for n in range(500))


def _dump(folder):
    columns = "kind, subject, variant, start, state, seen, claimed, left_out"
    return _rows(folder, "pages", columns), _rows(folder, "ratings"), _rows(folder, "frames")


# --- forgotten people ----------------------------------------------------------------------------------


@pytest.fixture
def crawled(tmp_path):
    """A crawl of people, of the marks of two, and of photos, one of which belongs to person 3."""
    host = Host(
        marks=[_mark(n) for n in range(3)],
        people=[_interest(n) for n in range(1, 6)],
        photos=[_photo(n) for n in range(1, 6)],
    )
    _crawl(tmp_path, host, ["interests", "marks_json", "photos_json"])
    return tmp_path


@pytest.mark.parametrize("uid", ["person-3", "700000003"])
def test_a_forgotten_person_leaves_the_archived_json_and_everything_else_stays(crawled, uid):
    before = _dump(crawled)
    told = forget(crawled, uid)
    bodies = b"".join(entry.answer.body + entry.answer.url.encode() for entry in read_archive(crawled))
    assert not [trace for trace in ("person-3", "700000003", "示例用户3", "第3部") if trace.encode() in bodies]
    assert told.traces.names == {"示例用户3"}
    pages, ratings, frames = _dump(crawled)
    assert frames == before[2]  # the photo stays, without who uploaded it
    assert ratings == [row for row in before[1] if row[0] != "700000003"]
    assert {row for row in pages if row[0] != "interests"} == {
        row for row in before[0] if row[:2] != ("marks_json", "person-3") and row[0] != "interests"
    }
    for entry in read_archive(crawled):
        if entry.key.kind == "interests":
            people = [one.uid for one in KINDS["interests"].parse(entry.answer).people]
            assert people == ["person-1", "person-2", "person-4", "person-5"]
    reparse(crawled)
    assert _dump(crawled) == (pages, ratings, frames)


def test_a_forgotten_person_is_redacted_before_an_answer_is_stored(crawled):
    forget(crawled, "person-3")
    host = Host(people=[_interest(n) for n in range(1, 6)])
    with (
        Ledger.open(crawled, SOURCE, PERSONAL_KINDS) as ledger,
        Archive(crawled, Origin(SOURCE, SITE, SCOPE)) as archive,
    ):
        ledger.reopen("interests", 1e12)
        page = ledger.pending(["interests"], 0, 1)[0]
        process(page, host.answer(page.key), CrawlContext(ledger, SITE, SCOPE), archive)
        assert ledger.user_id_of("person-3") is None
    assert b"person-3" not in b"".join(entry.answer.body for entry in read_archive(crawled))


def test_an_answer_without_a_forgotten_person_keeps_its_bytes(crawled):
    bodies = [entry.answer.body for entry in read_archive(crawled) if entry.key.kind == "marks_json"]
    forget(crawled, "person-3")
    after = [entry.answer.body for entry in read_archive(crawled) if entry.key.kind == "marks_json"]
    assert after
    assert set(after) <= set(bodies)


def test_an_item_that_fails_twice_and_is_shown_then_is_kept(tmp_path):
    host, failures = Host(marks=[_mark(n) for n in range(60)]), Counter()
    show = host.answer

    def answer(key):
        n = 1 if key.variant == "one" else 50
        if key.start <= 7 < key.start + n and failures[key] < 2:
            failures[key] += 1
            return host._json(address(SITE, key), 500, {"code": 9, "msg": "internal"})
        return show(key)

    host.answer = answer
    _crawl(tmp_path, host, ["marks_json"])
    assert failures == {Key("marks_json", "ann"): 2, Key("marks_json", "ann", "one", 7): 2}
    assert len(_rows(tmp_path, "ratings")) == 60
    assert _rows(tmp_path, "pages", "coalesce(sum(left_out), 0)") == [(0,)]
