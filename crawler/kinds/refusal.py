"""Detects answers that are not the requested page: refusals, and pages that are gone or not shown.

The address is checked first, then the form of a proof of work. What shows content of the site is no refusal, because a
comment, a name or a film's title may contain any words. Otherwise the title is checked, then where scripts lead, then a
few words, and last the HTTP status. An answer without any of these signs is left to the parser of its kind.

A 404 alone does not say that something does not exist: the site answers so for films that only members may see.
`PageGone` needs the site's own words, except where the host has none (`has_words=False`).

The signs come from public spider code; no saved page of a refusal is known.
"""

import re
from collections.abc import Collection, Iterator
from urllib.parse import SplitResult, parse_qs, urljoin, urlsplit

from lxml import etree

from crawler.kinds.document import DELETED_NAME
from crawler.kinds.tree import one_line, select, text_of, title_of, tree_of
from crawler.page import Answer, Merged, PageGone, Refused, Unavailable
from crawler.sites import host_key

REFUSING_STATUSES = {
    403: "access is forbidden (403)",
    418: "treated as a robot (418); the image host answers this without the site's Referer",
    429: "rate limit (429)",
}
GONE_STATUSES = (404, 410)
REFUSING_TITLES = {
    "登录豆瓣": "login wall (登录豆瓣)",
    "豆瓣 - 登录跳转页": "login wall (登录跳转页)",
    "禁止访问": "blocked (禁止访问)",
}
# Compared without white space, because the site writes "IP" with and without it.
REFUSING_WORDS = {
    "检测到有异常请求": "blocked (检测到有异常请求)",
    "有异常请求从你的IP发出": "blocked (有异常请求从你的 IP 发出)",
    "像机器人程序": "blocked: we look like a robot (像机器人程序)",
    "证明你是人类": "blocked: a proof of being human is demanded (证明你是人类)",
    "搜索访问太频繁": "rate limit (搜索访问太频繁)",
    "访问过于频繁": "rate limit (访问过于频繁)",
}
GONE_WORDS = (
    "页面不存在",
    "条目不存在",
    "你想访问的条目豆瓣不收录",
    "当前条目正在等待审核",
    "已被永久停用",
    "已经主动注销",
    "已被永久禁言",
)
LONGEST_NOTICE = 80  # characters; the known notices have up to 40
LITTLE_BYTES = 16 << 10  # a page of the site is larger than this, one that only leads elsewhere is smaller

_ERROR_CODE = re.compile(r"errorcode[:：]?(\d{3})(?!\d)", re.IGNORECASE)
_BANNED = "004"
_ANY_WORDS = tuple(
    words.encode()
    for words in (
        *(title.removeprefix("豆瓣 - ") for title in REFUSING_TITLES),
        *(words.partition("IP")[0] for words in REFUSING_WORDS),
        *GONE_WORDS,
        "rror code",
        "rror Code",
    )
)
_FORM = re.compile(rb"<[fF][oO][rR][mM]\b[^<]{0,2000}")
_ANY_FORM = re.compile(rb"""(?:\bid|\baction)\s{0,9}=\s{0,9}["']?\s{0,9}(?:sec|/c)\b""", re.IGNORECASE)
_ANY_REDIRECT = (b"location", b"efresh")
_PROOF_OF_WORK = 'form#sec, form[action="/c"]'
_CONTENT = ", ".join(
    (
        '[property="v:itemreviewed"], #info, #mainpic',  # movie
        ".comment-item, #comments",
        'ul[class*="poster-col"], .mainphoto, .fav-list, .topic-fav-list',  # photos and likes
        "div.item, li.item",  # collection
    )
)
_COLLECTION_TITLE = re.compile(r"看过的(?:影视|电影)")
_TEXTS = etree.XPath(
    "//body//text()[not(ancestor::script or ancestor::style or ancestor::template or ancestor::a)]"
    "[not(ancestor::h1[ancestor::*[@id='db-usr-profile']])]"
)
_BLOCKS = frozenset(("body", "div", "p", "li", "td", "h1", "h2", "h3", "h4", "form", "section", "center", "pre"))
_SLASH = re.compile(r"\\(?:/|u002f|x2f)", re.IGNORECASE)
_STRING = re.compile(r"""(["'`])([^"'`\s]{1,2000})\1""")
_REFRESH = re.compile(r"""url\s*=\s*["']?\s*([^"'\s]+)""", re.IGNORECASE)
_MOVIE_PATH = re.compile(r"/subject/([0-9]{1,20})(/.*)?")
_PERMANENT = (301, 308)


def classify(answer: Answer, has_words: bool = True) -> None:
    """Raise if an answer shows a refusal, or that the page is gone or not shown.

    Args:
        answer: what the host answered; only text is searched for words.
        has_words: whether the host says in words that something does not exist (the image host does not).

    Raises:
        Refused: we are blocked or banned, or met a login wall or a rate limit.
        PageGone: the movie, photo or person does not exist (any more).
        Unavailable: the site shows no such page, and does not say why.
        Merged: the movie of the page was merged into another one.
    """
    status, body = answer.status, answer.body
    for address in filter(None, (answer.url, answer.location)):
        if sign := _sign_of_address(answer.url, address):
            raise Refused(sign)
    if _is_text(answer) and _has_a_sign(body):  # most pages have no sign and need not be parsed twice
        classify_page(answer, may_be_read=status == 200)
    if status in REFUSING_STATUSES:
        raise Refused(REFUSING_STATUSES[status])
    if status == 503 and answer.retry_after:
        raise Refused("the host asks us to come back later (503, Retry-After)")
    if status in GONE_STATUSES:
        raise Unavailable(f"not shown to guests ({status})") if has_words else PageGone(f"no such file ({status})")
    if status == 204:
        raise Unavailable("nothing is shown (204)")
    if status in _PERMANENT and (into_id := _merged_into(answer)):
        raise Merged(into_id)


def classify_page(answer: Answer, may_be_read: bool = False) -> None:
    """Raise if a page is a refusal, or says that its subject is gone.

    Args:
        answer: what the host answered; only text is searched.
        may_be_read: whether the parser may still understand the page, so that its heading may hold a film's title.

    Raises:
        Refused: we are blocked or banned, or met a login wall or a rate limit.
        PageGone: the movie, photo or person does not exist (any more).
        TooMuch: the page is beyond the bounds of a page.
    """
    if not _is_text(answer):
        return
    page = tree_of(answer.body.decode("utf-8", "replace"))
    if select(page, _PROOF_OF_WORK):
        raise Refused("blocked: a proof of work is demanded (form#sec)")
    if _shows_content(page):
        return
    title = title_of(page)
    if title in REFUSING_TITLES:
        raise Refused(REFUSING_TITLES[title])
    for target in _targets(page):
        if sign := _sign_of_address(answer.url, target):
            raise Refused(sign)
    if title in GONE_WORDS:
        raise PageGone(title)
    for notice in _notices(page, without=("h1",) if may_be_read else ()):
        if sign := _sign_of_notice(notice):
            raise Refused(sign)
        if any(words in notice for words in GONE_WORDS):
            raise PageGone(notice)


def _is_text(answer: Answer) -> bool:
    kind = (answer.content_type or "").strip().lower()
    return not kind or kind.startswith(("text/", "application/xhtml"))


def _has_a_sign(body: bytes) -> bool:
    signs = (*_ANY_WORDS, *_ANY_REDIRECT) if len(body) < LITTLE_BYTES else _ANY_WORDS
    for sign in signs:  # of every page, and `any` would take twice as long
        if sign in body:
            return True
    return any(_ANY_FORM.search(form) for form in _FORM.findall(body))


def _sign_of_address(url: str, address: str) -> str | None:
    """Return which refusal an address stands for, by its host or path; None for any other address."""
    try:
        target: SplitResult = urlsplit(urljoin(url, address))
        host = target.hostname or ""
    except ValueError:
        return None
    path = target.path.rstrip("/")
    if host.startswith("sec.") or (path in ("/b", "/c") and "r" in parse_qs(target.query)):
        return "blocked: a proof of work is demanded (sec.douban.com)"
    if path == "/misc/sorry":
        return "blocked (misc/sorry)"
    if host == "accounts.douban.com" or path.startswith("/passport/login"):
        return "login wall (accounts.douban.com)"
    return None


def _targets(page: etree._Element) -> Iterator[str]:
    """Yield where a page's scripts and its `meta` may lead to by themselves, however they are quoted."""
    for meta in select(page, "meta[http-equiv]"):
        if meta.get("http-equiv", "").strip().lower() == "refresh" and (
            found := _REFRESH.search(meta.get("content", ""))
        ):
            yield found[1]
    for script in select(page, "script::text"):
        if "location" in script:
            yield from (found[2] for found in _STRING.finditer(_SLASH.sub("/", script)))


def _notices(page: etree._Element, without: Collection[str]) -> Iterator[str]:
    """Yield the short texts of a page, without links: each piece of text, and each block of pieces."""
    blocks: dict[etree._Element, list[str]] = {}
    for text in _TEXTS(page):
        element = text.getparent()
        if text.is_tail:
            element = element.getparent()
        while element.tag not in _BLOCKS and element.getparent() is not None:
            element = element.getparent()
        blocks.setdefault(element, []).append(str(text))
    for block, pieces in blocks.items():
        if block.tag in without:
            continue
        for notice in map(one_line, dict.fromkeys((*pieces, "".join(pieces)))):
            if notice and len(notice) <= LONGEST_NOTICE:
                yield notice


def _sign_of_notice(notice: str) -> str | None:
    words = "".join(notice.split())
    if found := _ERROR_CODE.search(words):
        what = "the IP address is banned" if found[1] == _BANNED else "blocked"
        return f"{what} (error code: {found[1]})"
    return next((meaning for sign, meaning in REFUSING_WORDS.items() if sign in words), None)


def _shows_content(page: etree._Element) -> bool:
    """Return whether the page has content of the site, so that its texts may be written by users."""
    header = text_of(select(page, "#db-usr-profile h1"))
    if header.startswith(DELETED_NAME):
        return bool(select(page, "div.item, li.item"))
    return bool(select(page, _CONTENT)) or bool(_COLLECTION_TITLE.search(header))


def _merged_into(answer: Answer) -> str | None:
    """Return the movie to whose page of the same host a movie's page redirects; None for any other redirect."""
    try:
        url, target = urlsplit(answer.url), urlsplit(urljoin(answer.url, answer.location or ""))
        is_same_host = host_key(f"{url.scheme}://{url.netloc}") == host_key(f"{target.scheme}://{target.netloc}")
    except ValueError:
        return None
    one, other = _MOVIE_PATH.fullmatch(url.path), _MOVIE_PATH.fullmatch(target.path)
    if not is_same_host or target.scheme not in ("http", "https") or one is None or other is None:
        return None
    rest, of_other = ((found[2] or "").strip("/") for found in (one, other))
    return other[1] if other[1] != one[1] and of_other in ("", rest) else None
