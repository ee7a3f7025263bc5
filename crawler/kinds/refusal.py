"""Detects answers that are not the requested page: refusals, and pages that are gone.

The address is checked first, then the title, then the form of a proof of work, then a few words (only
in a page without content, because a comment or a film's title may contain the same words), and last
the HTTP status. An answer without any of these signs is left to the parser of its kind.

The signs come from public spider code; no saved page of a refusal is known.
"""

import re
from urllib.parse import SplitResult, parse_qs, urljoin, urlsplit

from lxml import etree

from crawler.kinds.document import DELETED_NAME
from crawler.kinds.tree import select, text_of, title_of, tree_of
from crawler.page import PageGone, Refused

REFUSING_STATUSES = {
    403: "access is forbidden (403)",
    418: "treated as a robot (418); the image host answers this without the site's Referer",
    429: "rate limit (429)",
}
GONE_STATUSES = (404, 410)
REFUSING_TITLES = {"登录豆瓣": "login wall (登录豆瓣)", "禁止访问": "blocked (禁止访问)"}
REFUSING_WORDS = {
    "检测到有异常请求": "blocked (检测到有异常请求)",
    "搜索访问太频繁": "rate limit (搜索访问太频繁)",
    "error code: 004": "the IP address is banned (error code: 004)",
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

_ANY_WORDS = tuple(words.encode() for words in (*REFUSING_TITLES, *REFUSING_WORDS, *GONE_WORDS))
_ANY_FORM = re.compile(rb"""(?:\bid|\baction)\s{0,9}=\s{0,9}["']?\s{0,9}(?:sec|/c)\b""", re.IGNORECASE)
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
_MESSAGES = etree.XPath(
    "//body//text()[not(ancestor::script or ancestor::style or ancestor::template or ancestor::a)]"
    "[not(ancestor::h1[ancestor::*[@id='db-usr-profile']])]",
    smart_strings=False,
)


def classify(status: int, url: str, body: bytes, content_type: str | None, location: str | None) -> None:
    """Raise if the answer shows a refusal, or that the page is gone.

    Args:
        status: the HTTP status.
        url: the address that answered.
        body: the answer's bytes.
        content_type: the header of that name; only text is searched for words.
        location: the header of that name, the target of a redirect (it is not followed).

    Raises:
        Refused: we are blocked or banned, or met a login wall or a rate limit.
        PageGone: the movie, photo or person does not exist (any more).
    """
    for address in filter(None, (url, location)):
        if sign := _sign_of_address(url, address):
            raise Refused(sign)
    is_text = not content_type or content_type.strip().lower().startswith(("text/", "application/xhtml"))
    if is_text and _has_a_sign(body):  # most pages have no sign and need not be parsed twice
        _classify_page(tree_of(body.decode("utf-8", "replace")))
    if status in REFUSING_STATUSES:
        raise Refused(REFUSING_STATUSES[status])
    if status in GONE_STATUSES:
        raise PageGone(f"no such page ({status})")


def _has_a_sign(body: bytes) -> bool:
    return any(words in body for words in _ANY_WORDS) or bool(_ANY_FORM.search(body))


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


def _classify_page(page: etree._Element) -> None:
    title = title_of(page)
    if title in REFUSING_TITLES:
        raise Refused(REFUSING_TITLES[title])
    if select(page, _PROOF_OF_WORK):
        raise Refused("blocked: a proof of work is demanded (form#sec)")
    if _shows_content(page):
        return
    if title in GONE_WORDS:
        raise PageGone(title)
    for message in _MESSAGES(page):
        words = " ".join(message.split())
        if len(words) > LONGEST_NOTICE:
            continue
        for sign, meaning in REFUSING_WORDS.items():
            if sign in words:
                raise Refused(meaning)
        if any(sign in words for sign in GONE_WORDS):
            raise PageGone(words)


def _shows_content(page: etree._Element) -> bool:
    """Return whether the page has content of the site, so that its texts may be written by users."""
    header = text_of(select(page, "#db-usr-profile h1"))
    if header.startswith(DELETED_NAME):
        return bool(select(page, "div.item, li.item"))
    return bool(select(page, _CONTENT)) or bool(_COLLECTION_TITLE.search(header))
