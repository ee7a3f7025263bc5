"""Each parser accepts only pages of its own kind: every fixture and page of the sandbox is given to every other parser.

So are pages of which the crawler has no kind: books, music, profiles, searches, lists of wishes, people's pages.
"""

import json
from functools import reduce
from pathlib import Path

import pytest

from crawler.kinds import KINDS
from crawler.kinds.html import HtmlKind
from crawler.page import Answer, NotUnderstood, PageGone
from crawler.sandbox.pages import Pages
from crawler.sandbox.world import WorldConfig, generate_world
from crawler.sites import Site

MOVIE, WWW = "https://movie.douban.com", "https://www.douban.com"
URLS = {
    "movie": f"{MOVIE}/subject/35000001/",
    "comments": f"{MOVIE}/subject/35000001/comments?start=0&limit=20&sort=time&status=P",
    "photos": f"{MOVIE}/subject/35000001/photos?type=S&start=0&sortby=time&size=a&subtype=a",
    "photo": f"{MOVIE}/photos/photo/90000001/?type=like&start=0",
    "collection": f"{MOVIE}/people/lantern/collect?start=0&sort=time&rating=all&filter=all&mode=grid",
    "user_likes": f"{WWW}/people/lantern/likes/photo/?start=0",
}
FIXTURES = {
    folder.name: folder.name.split("-")[0]
    for folder in sorted((Path(__file__).parent / "pages").iterdir())
    if "raises" not in json.loads((folder / "output.json").read_text(encoding="utf-8"))
}


def test_every_kind_of_html_is_here():
    assert set(URLS) == {kind.name for kind in KINDS.values() if isinstance(kind, HtmlKind)}


def require_not_understood(kind, html):
    with pytest.raises((NotUnderstood, PageGone)):
        KINDS[kind].parse(Answer(200, URLS[kind], html if isinstance(html, bytes) else html.encode()))


@pytest.mark.parametrize("kind", URLS)
@pytest.mark.parametrize("folder", FIXTURES)
def test_a_page_of_another_kind_is_not_understood(folder, kind):
    if FIXTURES[folder] != kind:
        require_not_understood(kind, (Path(__file__).parent / "pages" / folder / "input.html").read_bytes())


@pytest.fixture(scope="module")
def sandbox_pages():
    world = generate_world(WorldConfig(3, 30, 20))
    pages, contents = Pages(world, Site()), world.contents
    movies = [movie for movie in contents.movies.values() if movie.movie_id in contents.frames_of]
    movie = max(movies, key=lambda one: len(contents.frames_of[one.movie_id]))
    none = min(movies, key=lambda one: len(contents.comments_of[one.movie_id]))
    frame = max(contents.frames.values(), key=lambda one: len(contents.likers_of[one.frame_id]))
    users = [user for user in contents.users.values() if not user.closing]
    user = max(users, key=lambda one: len(contents.likes_of[one.user_id]))
    return {"35000001": movie.movie_id, "90000001": frame.frame_id, "lantern": user.uid}, {
        "movie": [pages.movie(movie)],
        "comments": [pages.comments(movie, {}), pages.comments(none, {"start": "900"})],
        "photos": [pages.photos(movie, {"type": "S"}), pages.photos(none, {"type": "W"})],
        "photo": [pages.photo(frame, {"type": "like"})],
        "collection": [pages.collection(user, {}), pages.collection(user, {"start": "900"})],
        "user_likes": [pages.likes(user, {}), pages.likes(user, {"start": "900"})],
        "": [pages.home(), pages.person(user), pages.message("x", "y")],
    }


@pytest.mark.parametrize("kind", URLS)
def test_a_page_of_the_sandbox_is_read_by_its_own_parser_only(sandbox_pages, kind):
    ids, of_kind = sandbox_pages
    url = reduce(lambda text, pair: text.replace(*pair), ids.items(), URLS[kind])
    for other, pages in of_kind.items():
        for html in pages:
            if other == kind:
                KINDS[kind].parse(Answer(200, url, html.encode()))
            else:
                require_not_understood(kind, html)


def _page(title, body, head="", nav=""):
    return (
        f"<!DOCTYPE html><html><head><title>{title}</title>{head}</head><body>{nav}"
        f'<div id="wrapper"><div id="content">{body}</div></div></body></html>'
    )


_RATED = (
    '<div id="interest_sectl"><div class="rating_wrap" rel="v:rating"><strong class="ll rating_num" '
    'property="v:average">8.8</strong><span property="v:votes">120</span></div></div>'
)
_HEADING = '<h1><span property="v:itemreviewed">灯塔守则</span></h1><div id="mainpic"><img alt="灯塔守则"></div>'
_BOOK_INFO = '<div id="info"><span class="pl">作者</span>: <a>何远</a><br><span class="pl">出版社:</span> 港<br></div>'
_MUSIC_INFO = (
    '<div id="info"><span class="pl">表演者: <a>何远</a></span><br><span class="pl">流派:</span> 民谣<br></div>'
)
_COMMENT = (
    '<div class="avatar"><a href="https://www.douban.com/people/lantern/"><img src="/icon/u1-1.jpg"></a></div>'
    '<div class="comment"><h3><span class="comment-info"><a href="https://www.douban.com/people/lantern/">灯笼</a></span></h3></div>'
)
_PERSON = (
    '<div id="db-usr-profile"><div class="pic"><a href="https://www.douban.com/people/lantern/"><img></a></div>{}</div>'
)
_ITEM = (
    '<div class="item comment-item"><div class="pic"><a href="https://movie.douban.com/subject/1/"></a></div><ul>'
    '<li class="title"><a href="https://movie.douban.com/subject/1/">x</a></li><li><span class="rating4-t"></span>'
    '<span class="date">2024-01-01</span></li></ul></div>'
)
OTHERS = {
    "a book": _page("灯塔守则 (豆瓣)", _HEADING + _BOOK_INFO + _RATED),
    "a book, by its address": _page(
        "灯塔守则 (豆瓣)",
        f'{_HEADING}<div id="info"></div>{_RATED}',
        '<meta property="og:url" content="https://book.douban.com/subject/1/"><meta property="og:type" content="book">',
    ),
    "a book, by its canonical address": _page(
        "灯塔守则 (豆瓣)",
        f'{_HEADING}<div id="info"><span class="pl">类型:</span> 小说</div>{_RATED}',
        '<link rel="canonical" href="https://book.douban.com/subject/1/">',
    ),
    "a book, by its navigation": _page(
        "灯塔守则 (豆瓣)", f'{_HEADING}<div id="info"></div>{_RATED}', nav='<div id="db-nav-book" class="nav"></div>'
    ),
    "a book without facts": _page("灯塔守则 (豆瓣)", f'{_HEADING}<div id="info"></div>{_RATED}'),
    "an album": _page("灯塔守则 (豆瓣)", _HEADING + _MUSIC_INFO + _RATED),
    "an album, by its navigation": _page(
        "灯塔守则 (豆瓣)", f'{_HEADING}<div id="info"></div>{_RATED}', nav='<div id="db-nav-music"></div>'
    ),
    "comments on a book": _page(
        "灯塔守则 短评",
        f'<h1>灯塔守则 短评</h1><div id="comments"><ul><li class="comment-item">{_COMMENT}</li></ul></div>',
        nav='<div id="db-nav-book"></div>',
    ),
    "comments on an album": _page(
        "灯塔守则 短评",
        f'<h1>灯塔守则 短评</h1><div id="comments"><div class="comment-item">{_COMMENT}</div></div>',
        '<link rel="canonical" href="https://music.douban.com/subject/1/comments">',
    ),
    "reviews of a film": _page(
        "雾港 的影评", '<h1>雾港 的影评</h1><div class="review-list"><div class="main review-item"></div></div>'
    ),
    "a topic of a group": _page(
        "大家好",
        '<div class="topic-content"></div><ul class="topic-reply" id="comments"><li class="comment-item">'
        '<div class="user-face"><a href="https://www.douban.com/people/lantern/"></a></div></li></ul>'
        '<ul class="topic-fav-list"><li><div class="content"><a href="/people/lantern/">x</a></div></li></ul>',
    ),
    "a note with comments": _page(
        "随笔",
        f'<div class="note-container"></div><div id="comments"><div class="comment-item">{"<p>x</p>" * 3}</div></div>',
    ),
    "comments of nothing known": _page("x", '<div id="comments"></div>'),
    "the home page": _page(
        "豆瓣电影", '<div class="screening-bd"><ul class="ui-slide-content"><li class="ui-slide-item"></li></ul></div>'
    ),
    "a search": _page(
        "雾港 - 电影 - 豆瓣搜索", '<div class="item-root"><a href="https://movie.douban.com/subject/1/">雾港</a></div>'
    ),
    "a person's page": _page("灯笼", _PERSON.format("<h1>灯笼</h1>") + '<div id="friend"></div>'),
    "a person's films": _page("灯笼的电影", _PERSON.format("<h1>灯笼的电影</h1>") + f"<h2>看过</h2>{_ITEM}"),
    "a list of wishes": _page("灯笼想看的影视", _PERSON.format("<h1>灯笼想看的影视(3)</h1>") + _ITEM * 3),
    "a list of wishes without heading": _page("灯笼想看的影视", _ITEM * 3),
    "what a person watches": _page("灯笼在看的影视", _PERSON.format("<h1>灯笼在看的影视(3)</h1>") + _ITEM * 3),
    "what a person reads": _page("灯笼读过的书", _PERSON.format("<h1>灯笼读过的书(3)</h1>") + _ITEM * 3),
    "a list with neither heading nor title": _page("", _ITEM * 3),
    "a celebrity": _page(
        "何远", '<h1>何远</h1><div id="headline"></div><div class="mod"><ul class="list-s"></ul></div>'
    ),
    "a celebrity's photos": _page(
        "何远的图片",
        '<h1>何远的图片</h1><ul class="poster-col3 clearfix"><li data-id="7"><div class="cover"><a href="'
        'https://movie.douban.com/celebrity/1/photo/7/"><img src="https://img1.doubanio.com/view/photo/m/public/p7.jpg">'
        "</a></div></li></ul>",
    ),
    "a celebrity's photo": _page(
        "何远的图片",
        '<a class="mainphoto" href="https://movie.douban.com/celebrity/1/photo/8/"><img src="/p7.jpg"></a>',
    ),
    "an album of photos": _page("相册", '<div class="photolst"><div class="photo_wrap"></div></div>'),
    "liked notes": _page(
        "灯笼喜欢的日记",
        '<ul class="fav-list">' + '<li><a href="https://www.douban.com/note/1/">x</a></li>' * 15 + "</ul>",
    ),
}


@pytest.mark.parametrize("kind", URLS)
@pytest.mark.parametrize("name", OTHERS)
def test_a_page_that_is_of_no_kind_is_not_understood(name, kind):
    require_not_understood(kind, OTHERS[name])
