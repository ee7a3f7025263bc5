"""Every sign of a refusal, one test per sign, and the same words where they mean nothing."""

import pytest

from crawler.kinds.movie import MOVIE
from crawler.kinds import refusal
from crawler.page import Answer, Merged, NotUnderstood, PageGone, Refused, Unavailable

URL = "https://movie.douban.com/subject/35000001/"
SORRY = "https://www.douban.com/misc/sorry?original-url=https%3A%2F%2Fmovie.douban.com%2F"
LOGIN = "https://accounts.douban.com/passport/login?redir=https%3A%2F%2Fmovie.douban.com%2F"


def page(body: str, title: str = "豆瓣") -> bytes:
    return f"<html><head><title>{title}</title></head><body>{body}</body></html>".encode()


def classify(status: int, url: str, body: bytes, content_type: str | None, location: str | None) -> None:
    refusal.classify(Answer(status, url, body, location, content_type))


REDIRECTS = {
    "https://sec.douban.com/b?r=https%3A%2F%2Fmovie.douban.com%2F": "proof of work",
    "https://sec.douban.com/c?r=https%3A%2F%2Fmovie.douban.com%2F": "proof of work",
    "/b?r=https%3A%2F%2Fmovie.douban.com%2F": "proof of work",
    SORRY: "misc/sorry",
    "/misc/sorry?original-url=x": "misc/sorry",
    LOGIN: "login wall",
    "//accounts.douban.com/passport/login": "login wall",
}


@pytest.mark.parametrize(("location", "sign"), REDIRECTS.items())
def test_redirect_to_a_refusing_address_is_refused(location: str, sign: str) -> None:
    with pytest.raises(Refused, match=sign):
        classify(302, URL, b"", None, location)


@pytest.mark.parametrize(("url", "sign"), REDIRECTS.items())
def test_answer_from_a_refusing_address_is_refused_whatever_it_says(url: str, sign: str) -> None:
    if url.startswith("https"):
        with pytest.raises(Refused, match=sign):
            classify(200, url, page('<span property="v:itemreviewed">x</span>'), "text/html", None)


@pytest.mark.parametrize("status", [200, 403])
def test_sorry_page_is_refused_by_its_words(status: int) -> None:
    body = page("<p>检测到有异常请求从你的 IP 发出，请 <a href='/'>登录</a> 使用豆瓣。</p>")
    with pytest.raises(Refused, match="异常请求"):
        classify(status, URL, body, "text/html; charset=utf-8", None)


def test_proof_of_work_is_refused_by_its_form() -> None:
    with pytest.raises(Refused, match="form#sec"):
        classify(200, URL, page('<form id="sec" action="/c" method="POST"></form>'), "text/html", None)


def test_banned_address_is_refused_by_its_code() -> None:
    with pytest.raises(Refused, match="banned"):
        classify(403, URL, b"error code: 004", "text/plain", None)


@pytest.mark.parametrize("title", ["登录豆瓣", "\n  登录豆瓣\n", "禁止访问"])
def test_login_wall_is_refused_by_its_title(title: str) -> None:
    with pytest.raises(Refused, match=title.strip()):
        classify(200, URL, page("", title), "text/html", None)


@pytest.mark.parametrize("status", [403, 418, 429])
def test_refusing_status_is_refused_without_any_words(status: int) -> None:
    with pytest.raises(Refused, match=str(status)):
        classify(status, URL, b"I am a teapot", "image/jpeg", None)


def test_rate_limit_is_refused_by_its_words() -> None:
    with pytest.raises(Refused, match="rate limit"):
        classify(200, URL, page('<div id="content"><p>搜索访问太频繁。</p></div>'), "text/html", None)


@pytest.mark.parametrize("status", [404, 410])
def test_missing_page_is_gone_by_its_status(status: int) -> None:
    with pytest.raises(PageGone, match=str(status)):
        classify(status, URL, b"", None, None)


GONE = [
    "你想访问的页面不存在",
    "条目不存在",
    "呃... 你想访问的条目豆瓣不收录。",
    "根据相关法律法规，当前条目正在等待审核。",
    "此帐号已被永久停用",
    "该用户已经主动注销帐号",
    "该用户已被永久禁言",
]


@pytest.mark.parametrize("words", GONE)
def test_page_is_gone_by_its_words(words: str) -> None:
    with pytest.raises(PageGone, match=words[-4:]):
        classify(200, URL, page(f'<div id="content"><div class="article"><p> {words} </p></div></div>'), None, None)


def test_closed_account_is_gone_although_its_profile_exists() -> None:
    profile = '<div id="db-usr-profile"><div class="info"><h1>[已注销]看过的影视(0)</h1></div></div>'
    with pytest.raises(PageGone, match="永久停用"):
        classify(200, URL, page(f"{profile}<p>此帐号已被永久停用</p>"), None, None)


WORDS = [*GONE, "检测到有异常请求从你的 IP 发出", "搜索访问太频繁", "登录豆瓣", "error code: 004"]
CONTENT = {
    "film title": '<h1><span property="v:itemreviewed">{}</span></h1>',
    "comment": '<div class="comment-item" data-cid="1"><p>{}</p></div>',
    "watched film": '<div class="item"><em>{}</em></div>',
    "name of a user": '<div id="db-usr-profile"><div class="info"><h1>{}看过的影视(3)</h1></div></div>',
    "signature": '<div id="db-usr-profile"><h1>X看过的影视(3)</h1></div><p>{}</p>',
    "caption of a photo": '<ul class="poster-col3"><li><div class="name">{}</div></li></ul>',
    "script": "<script>var words = '{}';</script>",
    "link": '<a href="/">{}</a>',
    "attribute": '<p title="{}"></p>',
    "long text": "<p>" + "有一部电影里说过很多话。" * 8 + "{}</p>",
}


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("place", CONTENT.values(), ids=CONTENT.keys())
def test_words_inside_content_mean_nothing(words: str, place: str) -> None:
    classify(200, URL, page(place.format(words), title=f"{words} (豆瓣)"), "text/html; charset=utf-8", None)


def test_words_in_what_is_not_text_mean_nothing() -> None:
    classify(200, URL, page("<p>页面不存在</p>"), "image/jpeg", None)


@pytest.mark.parametrize("status", [204, 301, 400, 500, 503])
def test_other_status_is_not_understood(status: int) -> None:
    with pytest.raises(NotUnderstood, match=f"movie page: field 'status' is {status}"):
        MOVIE.parse(Answer(status, URL, b"", location="/subject/2/"))
