"""A complete movie page with one irregularity at a time: each changes the named fields, and nothing else."""

import dataclasses
import json
from pathlib import Path

import pytest

from crawler.kinds.movie import MOVIE
from crawler.page import Answer, NotUnderstood

PAGE = Path(__file__).parent / "pages" / "movie-whole-page-2022"
KNOWN = json.loads((PAGE / "output.json").read_text(encoding="utf-8"))
HTML = (PAGE / "input.html").read_text(encoding="utf-8")
HEADING = "盐湖列车：终章  Salt Lake Train: The Last Stop"
ALT = 'alt="Salt Lake Train: The Last Stop"'
ORIGINAL = "Salt Lake Train: The Last Stop"
DIRECTORS = (
    '<a href="/celebrity/1900001/" rel="v:directedBy">顾砚</a> / '
    '<a href="/celebrity/1900002/" rel="v:directedBy">严晚舟</a>'
)
LINE_OF_DIRECTORS = f"<span ><span class='pl'>导演</span>: <span class='attrs'>{DIRECTORS}</span></span><br/>"
YEAR = '<span class="year">(2019)</span>'
STRONG = '<strong class="ll rating_num" property="v:average">7.9</strong>'


def _read(html, **answer):
    url = answer.pop("url", KNOWN["url"])
    body = answer.pop("body", html.encode())
    page = MOVIE.parse(Answer(200, url, body, **answer))
    told = json.loads(json.dumps(dataclasses.asdict(page)))
    return {**told.pop("movie"), **told}


def _between(start, end):
    """The page's text from `start` up to `end`."""
    begin = HTML.index(start)
    return HTML[begin : HTML.index(end, begin)]


RATING = _between('<div id="interest_sectl">', '            </div>\n            \n\n\n<div id="interest_sect_level"')
RELATED = _between('<div id="related-pic"', '\n\n<style type="text/css">.award')
INFO = _between('<div id="info">', '\n            </div>\n                \n\n\n<div id="interest_sectl">')
LD = _between('<script type="application/ld+json">', "\n    <style")

SAME: dict[str, object] = {}
UNRATED = {"rating_mean": None, "rating_count": None}
TRAPS = {
    "title on one line": (("\n        盐湖列车：终章 (豆瓣)\n", "盐湖列车：终章 (豆瓣)"), SAME),
    "title in wide brackets": (("终章 (豆瓣)", "终章（豆瓣）"), SAME),
    "title with hard spaces": (("\n        盐湖列车：终章 (豆瓣)", "&nbsp;&#12288;盐湖列车：终章&nbsp;(豆瓣)"), SAME),
    "title with invisible signs": (("        盐湖列车：终章 (豆瓣)", "\u200e\ufeff盐湖\u200b列车：终章 (豆瓣)"), SAME),
    "colon of the heading is narrow": ((HEADING, f"盐湖列车: 终章 {ORIGINAL}"), SAME),
    "colon of the title is narrow": (("盐湖列车：终章 (豆瓣)", "盐湖列车:终章 (豆瓣)"), {"title": "盐湖列车:终章"}),
    "colon of the original title is wide": ((HEADING, HEADING.replace("Train: The", "Train：The")), SAME),
    "heading over several lines": ((HEADING, f"\n  盐湖列车：终章\n  {ORIGINAL}\n"), SAME),
    "invisible signs in heading and alt": ((HEADING, f"\u200e盐湖列车：终章 {ORIGINAL}\u200e"), SAME),
    "alt is the Chinese title": ((ALT, 'alt="盐湖列车：终章"'), SAME),
    "alt is both titles": ((ALT, f'alt="{HEADING}"'), SAME),
    "alt is empty": ((ALT, 'alt=""'), SAME),
    "no alt": ((ALT, ""), SAME),
    "alt over several lines": ((ALT, f'alt="{ORIGINAL.replace(" Last", chr(10) + "   Last")}"'), SAME),
    "alt in other case": ((ALT, ALT.lower()), {"original_title": ORIGINAL.lower()}),
    "entities in the original title": (
        (ORIGINAL, "Tom &amp; Anna&#39;s &lt;Caf&eacute;&gt;"),
        {"original_title": "Tom & Anna's <Café>"},
    ),
    "a title alone": ((HEADING, "盐湖列车：终章", ALT, 'alt="盐湖列车：终章"'), {"original_title": None}),
    "a title twice": ((HEADING, "盐湖列车：终章 盐湖列车：终章", ALT, 'alt=""'), {"original_title": None}),
    "svg with a title of its own": (("<title>\n", "<svg><title>图标</title></svg><title>\n"), SAME),
    "attributes in another order": (
        ('<span property="v:itemreviewed">', "<span lang=zh data-x='1' PROPERTY=v:itemreviewed>"),
        SAME,
    ),
    "no JSON-LD": ((LD, ""), SAME),
    "two JSON-LD, the first of something else": (
        (LD, '<script type="application/ld+json">{"@type": "BreadcrumbList"}</script>' + LD),
        SAME,
    ),
    "a series by its JSON-LD": (('"@type": "Movie"', '"@type":"TVSeries"'), {"kind": "tv"}),
    "a series without JSON-LD": ((LD, "", '<span class="pl">片长:', '<span class="pl">集数:'), {"kind": "tv"}),
    "no runtime": ((_between('<span class="pl">片长', '<span class="pl">又名'), ""), SAME),
    "older IMDb label": (
        (
            '<span class="pl">IMDb:</span> tt9900011<br>',
            '<span class="pl">IMDb链接:</span> '
            '<a href="https://www.imdb.com/title/tt9900011" rel="nofollow">tt9900011</a><br>',
        ),
        SAME,
    ),
    "no IMDb": (('<span class="pl">IMDb:</span> tt9900011<br>', ""), SAME),
    "a label nobody knows": (
        ('<span class="pl">语言:', '<span class="pl">气味:</span> 盐<br/><span class="pl">语言:'),
        SAME,
    ),
    "a director twice": ((DIRECTORS, f"{DIRECTORS} / {DIRECTORS}"), SAME),
    "a director by a page of their own": (("/celebrity/1900001/", "https://www.douban.com/personage/27900001/"), SAME),
    "a director who is only searched for": (("/celebrity/1900002/", "/subject_search?search_text=%E4%B8%A5"), SAME),
    "a director without a link": ((DIRECTORS, "顾砚 / <a rel='v:directedBy' href='/celebrity/2/'>严晚舟</a>"), SAME),
    "directors without links": ((DIRECTORS, "\n 顾砚 /\n&nbsp;严晚舟\u200e\n"), SAME),
    "directors beside their label": (
        (LINE_OF_DIRECTORS, f'<span class="pl">导演:</span>\n{DIRECTORS}\n<br>'),
        SAME,
    ),
    "nobody directs": ((LINE_OF_DIRECTORS, ""), {"directors": []}),
    "genres over several lines": (("</span> / <span property=", "</span>\n /\n <span property="), SAME),
    "a genre twice": (('<span property="v:genre">冒险', '<span property="v:genre">剧情'), {"genres": ["剧情", "科幻"]}),
    "wide brackets around the year": (("(2019)", "（ 2019 ）"), {"year": 2019}),
    "no year, not released": (
        (
            YEAR,
            "",
            STRONG,
            STRONG.replace("7.9", ""),
            _between('<span class="pl">上映日期', '<span class="pl">片长'),
            "",
        ),
        {"year": None, **UNRATED},
    ),
    "too few votes": ((STRONG, STRONG.replace("7.9", "\n ")), UNRATED),
    "rating switched off": ((RATING, ""), UNRATED),
    "rating switched off, its frame stands": ((RATING, '<div id="interest_sectl">\n</div>'), UNRATED),
    "no shares of stars": (
        (_between('<div class="ratings-on-weight">', '        <div class="rating_betterthan">'), "</div>"),
        SAME,
    ),
    "no photos": ((RELATED, ""), {"photo_total": None}),
    "nobody has seen it": (
        (_between('<a href="https://movie.douban.com/subject/36000011/comments?status=P">265', "&nbsp;/"), ""),
        {"seen_total": None},
    ),
    "nothing aside": (
        (_between('<div id="subject-others-interests">', '    <div id="dale_movie_subject_inner'), ""),
        {"seen_total": None},
    ),
    "advertisements everywhere": (
        ("<div ", "<!-- ad --><ins class='ad'></ins><div ", "</li>", "<iframe src='//ads.example'></iframe></li>"),
        SAME,
    ),
    "a very long page": (('<div id="footer">', "<p>很长</p>" * 9_000 + '<div id="footer">'), SAME),
    "unclosed tags": (("</a></li>", "</li>", "</dd>", ""), SAME),
    "another encoding is declared": (("text/html; charset=utf-8", "text/html; charset=gb2312"), SAME),
    "no encoding is declared": (('<meta http-equiv="Content-Type" content="text/html; charset=utf-8">', ""), SAME),
}


@pytest.mark.parametrize(("replacements", "changes"), TRAPS.values(), ids=TRAPS.keys())
def test_a_trap_changes_what_it_must_and_nothing_else(replacements, changes):
    html = HTML
    for old, new in zip(replacements[::2], replacements[1::2], strict=True):
        assert old in html
        html = html.replace(old, new)
    want = {**KNOWN["page"]["movie"], **{k: v for k, v in KNOWN["page"].items() if k != "movie"}, **changes}
    assert _read(html) == want


@pytest.mark.parametrize("before", ["\ufeff", "\n\n  ", "\x00"], ids=["byte order mark", "white space", "null"])
def test_text_before_the_page_changes_nothing(before):
    assert _read(before + HTML) == _read(HTML)


@pytest.mark.parametrize("newline", ["\r\n", "\r"])
def test_other_line_ends_change_nothing(newline):
    assert _read(HTML.replace("\n", newline)) == _read(HTML)


def test_a_broken_byte_outside_the_fields_changes_nothing():
    assert _read("", body=HTML.encode().replace("虚构的人".encode(), b"\xe8\x99\xff")) == _read(HTML)


@pytest.mark.parametrize("tail", ["?from=subject-page", "#comments", "?tag=%E7%83%AD%E9%97%A8&from=gaia"])
@pytest.mark.parametrize(
    "address", ["https://movie.douban.com/subject/36000011", "http://movie.douban.com/subject/36000011/"]
)
def test_the_address_may_have_a_tail(address, tail):
    assert _read(HTML, url=address + tail) == _read(HTML)


@pytest.mark.parametrize("content_type", [None, "text/html", "text/html; charset=utf-8", "text/html; charset=GBK"])
def test_the_content_type_changes_nothing(content_type):
    assert _read(HTML, content_type=content_type) == _read(HTML)


def test_titles_of_which_neither_contains_the_other_are_resolved_by_the_poster():
    html = HTML.replace(HEADING, f"盐湖列车3：终章 {ORIGINAL}")
    assert (_read(html)["title"], _read(html)["original_title"]) == ("盐湖列车：终章", ORIGINAL)
    with pytest.raises(NotUnderstood, match="original_title"):
        _read(html.replace(ALT, 'alt=""'))
