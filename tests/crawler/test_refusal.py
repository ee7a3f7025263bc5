"""Every sign of a refusal, one test per sign, and the same words where they mean nothing."""

import json
import re
from pathlib import Path

import pytest

from crawler.kinds import KINDS, refusal
from crawler.kinds.comments import COMMENTS
from crawler.kinds.movie import MOVIE
from crawler.kinds.picture import PICTURE
from crawler.page import Answer, Merged, NotUnderstood, PageGone, Refused, Unavailable

PAGES = Path(__file__).with_name("pages")
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


SHORT_BLOCKS = {
    "<p>有异常请求从你的 IP 发出，请登录。</p>": "异常请求",
    "<p>有异常请求从你的IP发出</p>": "异常请求",
    "<p>有异常请求从你的<b> IP </b>发出</p>": "异常请求",
    "<div>error code: 008, please Login</div>": "error code: 008",
    "error code:  017": "error code: 017",
    "<p>Error code: <b>123</b></p>": "error code: 123",
    "<h1>error code: 004</h1>": "banned",
    "<p>你访问豆瓣的方式有点像机器人程序。</p>": "robot",
    "<p>请向我们证明你是人类</p>": "being human",
    "<p>你的访问过于频繁，请稍后再试</p>": "rate limit",
}


@pytest.mark.parametrize("status", [200, 302, 400, 403, 404, 500])
@pytest.mark.parametrize(("body", "sign"), SHORT_BLOCKS.items())
def test_a_block_is_refused_by_its_words_whatever_its_status_and_title(body: str, sign: str, status: int) -> None:
    with pytest.raises(Refused, match=sign):
        MOVIE.parse(Answer(status, URL, page(body, "请稍候"), content_type="text/html"))


SCRIPTS = [
    '<script>window.location.href="https://sec.douban.com/a?c=3a1&r=x"</script>',
    "<script>window.location.href = 'https://sec.douban.com/a?c=3a1'</script>",
    "<script>window.location=`https://sec.douban.com/a?c=3a1`;</script>",
    '<script>location.replace("https://sec.douban.com/a?c=3a1")</script>',
    "<script>top.location.assign('//sec.douban.com/a?c=3a1')</script>",
    '<script>document["location"]["href"]="https:\\/\\/sec.douban.com\\/a?c=3a1"</script>',
    '<script>location.href="https:\\u002F\\u002Fsec.douban.com\\u002Fa"</script>',
    '<script>var to = "https://www.douban.com/misc/sorry?original-url=x"; location.href = to</script>',
    '<script>location="/misc/sorry?original-url=x"</script>',
    '<script>location="https://accounts.douban.com/passport/login?redir=x"</script>',
    '<meta http-equiv="refresh" content="0; url=https://sec.douban.com/a?c=3a1">',
    "<META HTTP-EQUIV='Refresh' CONTENT='0;URL=&quot;https://sec.douban.com/a&quot;'>",
    "<meta http-equiv=refresh content=0;url=/b?r=x>",
]


@pytest.mark.parametrize("size", [0, 100_000])
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_page_that_only_leads_to_a_refusing_address_is_refused(script: str, size: int) -> None:
    body = f"<html><head>{script}</head><body>{' ' * size}</body></html>".encode()
    with pytest.raises(Refused, match=r"proof of work|misc/sorry|login wall"):
        MOVIE.parse(Answer(200, URL, body, content_type="text/html; charset=utf-8"))


@pytest.mark.parametrize("status", [200, 403])
def test_the_page_that_leads_to_the_log_in_is_refused_by_its_title(status: int) -> None:
    with pytest.raises(Refused, match="登录跳转页"):
        classify(status, URL, page("<p>正在跳转</p>", "豆瓣 - 登录跳转页"), "text/html", None)


NAMES = ["登录豆瓣", "豆瓣 - 登录跳转页", "有异常请求从你的 IP 发出", "error code: 008", "像机器人程序", "证明你是人类"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "folder",
    [
        "movie-film",
        "comments-current",
        "collection-grid",
        "photos-three-columns",
        "photos-none",
        "user_likes-first-page",
    ],
)
def test_a_page_of_the_site_that_holds_such_words_is_read(folder: str, name: str) -> None:
    kind = KINDS[folder.partition("-")[0]]
    url = json.loads((PAGES / folder / "output.json").read_text(encoding="utf-8"))["url"]
    html = (PAGES / folder / "input.html").read_text(encoding="utf-8")
    heading = re.compile("(<h1>|<h1[^>]*><span[^>]*>|<em>|<title>\\s*|<p[^>]*>)")
    kind.parse(Answer(200, url, html.encode(), content_type="text/html"))
    with_name = heading.sub(lambda found: found[1] + name, html)
    assert name in with_name
    redirect = (
        '<script>function login() { window.location.href = "https://accounts.douban.com/passport/login"; }</script>'
    )
    with_name = with_name.replace("</body>", f"{redirect}</body>")
    kind.parse(Answer(200, url, with_name.encode(), content_type="text/html"))


def test_a_host_that_names_a_time_to_come_back_is_not_asked_before() -> None:
    with pytest.raises(Refused, match="come back later"):
        MOVIE.parse(Answer(503, URL, b"", retry_after="120"))
    with pytest.raises(NotUnderstood):
        MOVIE.parse(Answer(503, URL, b""))


@pytest.mark.parametrize("status", [404, 410])
def test_a_status_alone_does_not_say_that_a_page_is_gone(status: int) -> None:
    with pytest.raises(Unavailable, match=str(status)):
        classify(status, URL, b"", None, None)
    with pytest.raises(PageGone, match="条目不存在"):
        classify(status, URL, page("<p>条目不存在</p>"), None, None)


def test_of_a_picture_file_the_status_is_all_that_the_host_says() -> None:
    with pytest.raises(PageGone, match="404"):
        PICTURE.parse(Answer(404, "https://img1.doubanio.com/view/photo/m/public/p1.jpg", b""))


def test_a_page_in_place_of_a_picture_is_not_understood() -> None:
    url = "https://img1.doubanio.com/view/photo/m/public/p1.jpg"
    with pytest.raises(NotUnderstood, match="content type"):
        PICTURE.parse(Answer(200, url, b"<html>wait</html>", content_type="text/html"))


def test_an_answer_without_content_is_censored_and_settled() -> None:
    with pytest.raises(Unavailable, match="204"):
        MOVIE.parse(Answer(204, URL, b""))


MERGED = [
    ("/subject/2/", "2"),
    ("/subject/2", "2"),
    ("https://movie.douban.com/subject/2/?from=merged", "2"),
    ("http://movie.douban.com/subject/2/", "2"),
    ("//movie.douban.com/subject/2/", "2"),
]
NOT_MERGED = [
    "/subject/35000001",
    "/subject/2/photos",
    "/",
    "https://book.douban.com/subject/2/",
    "https://movie.douban.com.evil.example/subject/2/",
    "https://movie.douban.com:8443@evil.example/subject/2/",
    "javascript:/subject/2/",
    "/subject/x/",
    "http://[/subject/2/",
    "",
]


@pytest.mark.parametrize("status", [301, 308])
@pytest.mark.parametrize(("location", "into_id"), MERGED)
def test_a_permanent_redirect_to_another_film_of_the_same_host_is_a_merger(status, location, into_id) -> None:
    with pytest.raises(Merged) as caught:
        MOVIE.parse(Answer(status, URL, b"", location=location))
    assert caught.value.into_id == into_id


@pytest.mark.parametrize("location", NOT_MERGED)
def test_any_other_redirect_is_none(location: str) -> None:
    with pytest.raises(NotUnderstood, match="status"):
        MOVIE.parse(Answer(301, URL, b"", location=location))
    with pytest.raises(NotUnderstood, match="status"):
        MOVIE.parse(Answer(302, URL, b"", location="/subject/2/"))


def test_the_comments_of_a_merged_film_lead_to_those_of_the_other_one() -> None:
    url = f"{URL}comments?start=0"
    for location in ("/subject/2/comments?start=0&limit=20", "/subject/2/"):
        with pytest.raises(Merged):
            COMMENTS.parse(Answer(301, url, b"", location=location))


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


WORDS = [*GONE, "检测到有异常请求从你的 IP 发出", "搜索访问太频繁", "登录豆瓣", "error code: 004", "证明你是人类"]
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


@pytest.mark.parametrize("status", [302, 400, 500, 503])
def test_other_status_is_not_understood(status: int) -> None:
    with pytest.raises(NotUnderstood, match=f"movie page: field 'status' is {status}"):
        MOVIE.parse(Answer(status, URL, b"", location="/subject/2/"))
