"""A list whose next link always leads onward is given up, and recorded as a failure of that kind."""

import itertools
import re

import pytest

from crawler.ledger.ledger import Ledger

HEAD = '<html><div id="db-usr-profile"><div class="info"><h1>x看过的影视{total}</h1></div></div>'
ITEM = (
    '<div class="item"><ul><li class="title"><a href="{base}/subject/{id}/">x</a></li>'
    '<li><span class="rating5-t"></span> <span class="date">2026-01-01</span></li></ul></div>'
)
N_PER_PAGE = 15
fresh_ids = itertools.count(1)


def _fresh(start):
    return [next(fresh_ids) for _ in range(N_PER_PAGE)]


LISTS = {  # what a page at an offset shows, how far on its link leads, the total it claims
    "always new items": (_fresh, 15, ""),
    "always new items, claims a few": (_fresh, 15, "(40)"),
    "always new items, claims billions": (_fresh, 15, "(4000000000)"),
    "the same items": (lambda start: range(1, 16), 15, ""),
    "the same items, claims many": (lambda start: range(1, 16), 15, "(1000)"),
    "two pages in turn": (lambda start: range(1 + start % 30, 16 + start % 30), 15, ""),
    "nothing": (lambda start: (), 15, "(4000000000)"),
    "nothing, one step on": (lambda start: (), 1, "(4000000000)"),
    "a new one, one step on": (lambda start: [next(fresh_ids)], 1, ""),
    "the same page, one step on": (lambda start: range(1 + start, 16 + start), 1, ""),
    "a jump": (_fresh, 10**9, ""),
    "a jump beyond the claim": (_fresh, 10_000, "(100)"),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_collection_that_always_leads_onward_is_not_read_for_ever(site, crawl, page, tmp_path, name):
    items, step, total = LISTS[name]

    def answer(path):
        if "/collect" not in path:
            return page("<html>页面不存在</html>", status=b"404 Not Found")
        start = int(re.search(r"start=([0-9]+)", path)[1])
        shown = "".join(ITEM.format(base=hostile.base, id=id_) for id_ in items(start))
        following = f'<div class="paginator"><span class="next"><a href="?start={start + step}">x</a></span></div>'
        return page(HEAD.format(total=total) + shown + following + "</html>")

    hostile = site(answer)
    status, told = crawl(hostile, "--users", "ann", "--max-list-items", "900", "--attempts", "2", "--max-movies", "1")
    assert status == 4, told
    n_asked = len([path for path in hostile.paths if "/collect" in path])
    assert n_asked <= 130
    with Ledger.read(tmp_path / "crawl") as ledger:
        (cause,) = ledger.execute("SELECT cause FROM pages WHERE kind = 'collection' AND state = 'failed'").fetchone()
        kept = ledger.value("SELECT count(*) FROM ratings")
    assert "the list" in cause or "next_url" in cause
    assert kept >= 15 or n_asked <= 6  # what the earlier pages showed


LIKER = '<li><div class="content"><a href="{base}/people/{id}/">x</a></div></li>'
LIKERS = {
    "always new people": lambda start: [next(fresh_ids) for _ in range(100)],
    "the same people": lambda start: range(1, 101),
    "always anonymous ones": lambda start: [0] * 100,
}


@pytest.mark.parametrize("name", LIKERS)
@pytest.mark.parametrize("claim", ["", "3", "4000000000"])
def test_a_list_of_likers_that_always_leads_onward_is_not_read_for_ever(site, crawl, page, tmp_path, name, claim):
    def answer(path):
        start = int((re.search(r"start=([0-9]+)", path) or [0, "0"])[1])
        people = "".join(
            LIKER.format(base=hostile.base, id=id_) if id_ else '<li><div class="content"><a href="/x">x</a></div></li>'
            for id_ in LIKERS[name](start)
        )
        widget = f'<div class="action-react"><span class="react-num">{claim}</span></div>' if claim else ""
        following = f'<div class="paginator"><p class="next"><a href="?type=like&start={start + 100}">x</a></p></div>'
        return page(
            f'<html><a class="mainphoto"></a>{widget}<ul class="topic-fav-list">{people}</ul>{following}</html>'
        )

    hostile = site(answer)
    crawl_dir = tmp_path / "crawl"
    status, told = crawl(hostile, "--movies", "1", "--max-requests", "1")
    with Ledger.read(crawl_dir) as ledger:
        ledger.execute("INSERT INTO frames VALUES ('7', '1', 'still', 1, 1, 'u', 0, NULL, NULL)")
    status, told = crawl(hostile, "--max-list-items", "3000", "--attempts", "2", stage="likes")
    assert status == 4, told
    assert len([path for path in hostile.paths if "/photos/photo/" in path]) <= 50
    with Ledger.read(crawl_dir) as ledger:
        (cause,) = ledger.execute("SELECT cause FROM pages WHERE kind = 'photo' AND state = 'failed'").fetchone()
    assert "the list" in cause


def test_a_bound_that_is_too_small_for_a_true_list_can_be_raised(site, crawl, page, tmp_path):
    def answer(path):
        if "/collect" not in path:
            return page("<html>页面不存在</html>", status=b"404 Not Found")
        start = int(re.search(r"start=([0-9]+)", path)[1])
        shown = "".join(ITEM.format(base=hostile.base, id=id_) for id_ in range(start + 1, start + 16))
        link = f'<div class="paginator"><span class="next"><a href="?start={start + 15}">x</a></span></div>'
        return page(HEAD.format(total="(60)") + shown + (link if start < 45 else "") + "</html>")

    hostile = site(answer)
    status, told = crawl(hostile, "--users", "ann", "--max-list-items", "20", "--attempts", "1")
    assert status == 4
    assert "--max-list-items" in told
    status, told = crawl(hostile, "--users", "ann", "--max-list-items", "60")
    assert status == 0, told
    with Ledger.read(tmp_path / "crawl") as ledger:
        assert ledger.value("SELECT count(*) FROM ratings") == 60
