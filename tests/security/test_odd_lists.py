"""No rating is lost to an odd row or to a page that a throttled site empties: whole crawls of a small hostile site."""

import re

import pytest

from crawler.ledger.ledger import Ledger

HEAD = '<html><div id="db-usr-profile"><div class="info"><h1>x看过的影视({total})</h1></div></div>'
N_PER_PAGE = 15


def _item(base, number, date='<span class="date">2026-01-01</span>', stars='<span class="rating5-t"></span>', more=""):
    film = f"{base}/subject/{number}/"
    return (
        f'<div class="item comment-item"><div class="pic"><a class="nbg" href="{film}"></a></div><div class="info"><ul>'
        f'<li class="title"><a href="{film}"><em>x</em></a></li><li>{stars} {date}</li>{more}</ul></div></div>'
    )


def _without_title(base, number):
    return _item(base, number).replace('class="title"', "").replace('class="pic"', "")


def _listed(base, number, date="2024-02-29"):
    return (
        f'<li class="item"><div class="item-show"><div class="title"><a href="{base}/subject/{number}/">x</a></div>'
        f'<div class="date"><span class="rating4-t"></span>&nbsp;&nbsp;{date}</div></div>'
        f'<div class="comment">see <a href="{base}/subject/999/">{base}/subject/999/</a></div></li>'
    )


class Person:
    """A person's collection on a site; each of `odd` gives the row of one film in place of an ordinary one."""

    def __init__(self, page, n=60, **odd):
        self.n, self.total, self.odd, self.page = n, n, odd, page
        self.empty, self.without_link = set(), set()
        self.base = ""

    def __call__(self, path):
        if "/collect" not in path:
            return self.page("<html>页面不存在</html>", status=b"404 Not Found")
        start = int(re.search(r"start=([0-9]+)", path)[1])
        numbers = range(start + 1, min(start + N_PER_PAGE, self.n) + 1)
        rows = [self.odd.get(f"of_{number}", _item)(self.base, number) for number in numbers]
        following = start + N_PER_PAGE
        link = f'<div class="paginator"><span class="next"><a href="?start={following}">x</a></span></div>'
        if start in self.empty:
            rows, link = [], ""
        if start in self.without_link or following >= self.total:
            link = ""
        return self.page(HEAD.format(total=self.total) + "".join(rows) + link + "</html>")


@pytest.fixture
def read(site, crawl, tmp_path):
    """Return a function that reads a person's collection; it gives the exit status and what was printed."""

    def read(person, *options):
        if not person.base:
            person.site = site(person)
            person.base = person.site.base
        return crawl(person.site, "--users", "ann", "--attempts", "2", *options)

    return read


def _stored(tmp_path, query="SELECT count(*) FROM ratings"):
    with Ledger.read(tmp_path / "crawl") as ledger:
        return ledger.value(query)


ODD_ROWS = {
    "without a date": lambda base, number: _item(base, number, date=""),
    "with an empty date": lambda base, number: _item(base, number, date='<span class="date"> </span>'),
    "with neither date nor stars": lambda base, number: _item(base, number, date="", stars=""),
    "with a second film in its comment": lambda base, number: _item(
        base, number, more=f'<li><span class="comment">like <a href="{base}/subject/999/">it</a></span></li>'
    ),
    "with a second film before its title": lambda base, number: (
        f'<div class="item"><p class="comment"><a href="{base}/subject/999/">x</a></p>' + _item(base, number)[31:]
    ),
    "with a book in its comment": lambda base, number: _item(
        base, number, more='<li><a href="https://book.douban.com/subject/999/">x</a></li>'
    ),
    "of the list mode": _listed,
    "of the list mode, without a date": lambda base, number: _listed(base, number, ""),
    "without a class at its title": _without_title,
}


@pytest.mark.parametrize("name", ODD_ROWS)
def test_an_odd_row_loses_neither_itself_nor_its_page(read, page, tmp_path, name):
    status, told = read(Person(page, of_4=ODD_ROWS[name]))
    assert status == 0, told
    assert _stored(tmp_path) == 60
    has_date = "date" not in name
    assert _stored(tmp_path, "SELECT rated_on IS NOT NULL FROM ratings WHERE movie_id = '4'") == has_date


def test_a_row_that_cannot_be_read_is_counted_and_the_others_are_stored(read, page, tmp_path):
    status, told = read(Person(page, of_4=lambda base, number: '<div class="item"><ul>x</ul></div>'))
    assert status == 0, told
    assert _stored(tmp_path) == 59
    assert _stored(tmp_path, "SELECT sum(left_out) FROM pages") == 1
    assert _stored(tmp_path, "SELECT unseen FROM pages WHERE kind = 'collection' AND start = 0") == 0


def test_a_page_on_which_most_rows_cannot_be_read_has_failed(read, page, tmp_path):
    odd = {f"of_{number}": lambda base, number: '<div class="item"></div>' for number in range(1, 9)}
    status, told = read(Person(page, **odd))
    assert status == 4
    assert "field 'movie_id' not understood" in told


@pytest.mark.parametrize(
    ("name", "n", "expected"),
    [
        ("without a date", 8, 4),
        ("with neither date nor stars", 15, 4),
        ("with neither date nor stars", 14, 0),  # many deleted films
    ],
)
def test_a_page_on_which_dates_are_missing_as_if_the_markup_had_changed_has_failed(read, page, name, n, expected):
    odd = {f"of_{number}": ODD_ROWS[name] for number in range(1, n + 1)}
    assert read(Person(page, **odd))[0] == expected


def test_an_empty_page_on_a_refresh_deletes_no_rating(read, page, tmp_path):
    person = Person(page)
    assert read(person)[0] == 0
    person.total, person.empty = 61, {15}
    status, told = read(person, "--refresh", "--collection-age-days", "0")
    assert status == 4, told
    assert _stored(tmp_path) == 60
    assert _stored(tmp_path, "SELECT count(*) FROM pages WHERE kind = 'collection' AND state = 'failed'") == 1
    assert "the total that the list claims" in told


def test_a_missing_link_before_the_total_is_a_failure_and_the_next_run_continues_there(read, page, tmp_path):
    person = Person(page)
    person.without_link = {15}
    assert read(person)[0] == 4
    assert _stored(tmp_path) == 30
    person.without_link = set()
    assert read(person)[0] == 0
    assert _stored(tmp_path) == 60
