"""The answers of the sandbox's four hosts to requests."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from http import HTTPStatus
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

from crawler.sandbox.mobile import API, JsonAnswer, Mobile, without_referer
from crawler.sandbox.pages import Pages, Query
from crawler.sandbox.pictures import FORMATS, SIZES_PX, Picture, avatar, encode
from crawler.sandbox.records import Movie
from crawler.sandbox.views import PLAIN, View
from crawler.sandbox.world import World
from crawler.sites import Site

Role = Literal["movie", "www", "images", "mobile"]
ROLES: tuple[Role, ...] = ("movie", "www", "images", "mobile")

HTML = "text/html; charset=utf-8"
JSON = "application/json; charset=utf-8"
TEAPOT_BODY = b"I'm a teapot\n"  # 13 bytes, which the site labels image/jpeg
TRAP_PATH = "/hnypt/variformcyst.py"  # every page has an invisible link to it, as on the site
REAL_REFERERS = ("https://www.douban.com/", "https://movie.douban.com/", "https://m.douban.com/")

_DISALLOWED = (
    "/subject_search", "/amazon_search", "/search", "/group/search", "/event/search", "/celebrities/search",
    "/location/drama/search", "/forum/", "/new_subject", "/service/iframe", "/j/", "/link2/", "/recommend/",
    "/doubanapp/card", "/update/topic/", "/share/",
)  # fmt: skip
ROBOTS = "\n".join(
    ["User-agent: *", *(f"Disallow: {path}" for path in _DISALLOWED), "Allow: /ads.txt", "# Crawl-delay: 5", ""]
)
IMAGES_ROBOTS = "User-agent: *\nDisallow:\n"
MOBILE_ROBOTS = f"User-agent: *\nDisallow: {API}/notification_chart\nDisallow: {API}/market\n"
_CSS = Path(__file__).parent / "templates" / "sandbox.css"
_PAGES_KEPT = 4096


@dataclass(frozen=True)
class Request:
    """A request to the sandbox; `target` is the path with its query.

    `view` says how to show the world; a fault replaces it to show the world differently.
    """

    role: Role
    method: str
    target: str
    headers: dict[str, str] = field(default_factory=dict)
    view: View = PLAIN

    @property
    def path(self) -> str:
        """The path without the query."""
        return urlsplit(self.target).path


@dataclass(frozen=True)
class Answer:
    """An answer. It is sent after `delay_s` seconds; with `cut_at`, only that many bytes of the body are sent."""

    status: int
    body: bytes
    content_type: str = HTML
    headers: tuple[tuple[str, str], ...] = ()
    delay_s: float = 0.0
    cut_at: int | None = None


# A fault may replace an answer: it gets the request and the function that would answer it.
Answerer = Callable[[Request], Answer]
Fault = Callable[[Request, Answerer], Answer]


class Answers:
    """Answers requests to the four hosts; the same request always gets the same answer."""

    def __init__(self, world: World, site: Site) -> None:
        self.world, self.site, self.pages = world, site, Pages(world, site)
        self._referers = (*REAL_REFERERS, *(f"{base}/" for base in site.hosts.values()))
        self._mobile = Mobile(world, site, self.pages)
        self._page = lru_cache(maxsize=_PAGES_KEPT)(self._make_page)
        self._routes: dict[Role, list[tuple[re.Pattern[str], Callable[[str, Query, View], Answer]]]] = {
            "movie": [
                (re.compile(r"/"), lambda *_: _html(self.pages.home())),
                (re.compile(r"/subject/(\d+)/"), partial(self._movie_page, kind="movie")),
                (re.compile(r"/subject/(\d+)/comments"), partial(self._movie_page, kind="comments")),
                (re.compile(r"/subject/(\d+)/photos"), partial(self._movie_page, kind="photos")),
                (re.compile(r"/photos/photo/(\d+)/"), self._photo_page),
                (re.compile(r"/people/([\w.-]+)/"), partial(self._user_page, kind="person")),
                (re.compile(r"/people/([\w.-]+)/collect"), partial(self._user_page, kind="collection")),
                (re.compile(r"/j/\w+"), self._likers_json),
            ],
            "www": [
                (re.compile(r"/"), lambda *_: _html(self.pages.home())),
                (re.compile(r"/people/([\w.-]+)/"), partial(self._user_page, kind="person")),
                (re.compile(r"/people/([\w.-]+)/likes/photo/"), partial(self._user_page, kind="likes")),
                (re.compile(re.escape(TRAP_PATH)), lambda *_: _html(self.pages.message("lucky", "…"))),
                (re.compile(r"/anonymous"), lambda *_: _html(self.pages.message("匿名用户", "…"))),
                (re.compile(r"/j/\w+"), self._likers_json),
            ],
            "images": [],
            "mobile": [],
        }

    def __call__(self, request: Request) -> Answer:
        """Return the answer to a request, 404 for an unknown address."""
        if request.path == "/robots.txt":
            text = {"images": IMAGES_ROBOTS, "mobile": MOBILE_ROBOTS}.get(request.role, ROBOTS)
            return Answer(200, text.encode(), "text/plain")
        if request.path == "/sandbox.css" and request.role == "movie":
            return Answer(200, _CSS.read_bytes(), "text/css")
        is_ours = request.headers.get("referer", "").startswith(self._referers)
        if request.role == "mobile":
            return (
                self._page("mobile", request.target, request.view) if is_ours else _json(without_referer(request.path))
            )
        if request.role != "images":
            return self._page(request.role, request.target, request.view)
        return self._file(request.path) if is_ours else Answer(418, TEAPOT_BODY, "image/jpeg")

    def not_found(self) -> Answer:
        """Return the 404 page."""
        return _html(self.pages.message("页面不存在", "你访问的页面不存在，或者已经被删除。"), 404)

    def _make_page(self, role: Role, target: str, view: View) -> Answer:
        if role == "mobile":
            return _json(self._mobile(target, view))
        url = urlsplit(target)
        for pattern, answer in self._routes[role]:
            if found := pattern.fullmatch(url.path):
                subject = found[found.lastindex or 0]
                if (into := self.world.contents.merged.get(subject)) and url.path.startswith("/subject/"):
                    return _redirect(f"{self.site.movie}{target.replace(subject, into, 1)}")
                return answer(subject, dict(parse_qsl(url.query)), view)
        return self.not_found()

    def _movie_page(self, movie_id: str, query: Query, view: View, kind: str) -> Answer:
        movie = self.world.contents.movies.get(movie_id)
        if movie is None or movie.state != "open":
            return self._gone_movie(movie)
        if kind == "movie":
            return _html(self.pages.movie(movie))
        write = self.pages.comments if kind == "comments" else self.pages.photos
        return _html(write(movie, query, view))

    def _gone_movie(self, movie: Movie | None) -> Answer:
        """Return one of the site's answers for a movie that a guest cannot read."""
        if movie is not None and movie.state == "censored":
            return Answer(HTTPStatus.NO_CONTENT, b"")
        if movie is not None and movie.state == "login_only":
            return Answer(404, b"")
        if movie is None or movie.state == "removed":
            return _html(self.pages.message("页面不存在", "条目不存在"), 404)
        if movie.state == "not_listed":
            return _html(self.pages.message("豆瓣电影", "呃... 你想访问的条目豆瓣不收录。"))
        return _html(self.pages.message("豆瓣电影", "根据相关法律法规，当前条目正在等待审核"))

    def _photo_page(self, frame_id: str, query: Query, view: View) -> Answer:
        frame = self.world.contents.frames.get(frame_id)
        return _html(self.pages.photo(frame, query, view)) if frame else self.not_found()

    def _user_page(self, uid: str, query: Query, view: View, kind: str) -> Answer:
        user = self.world.user(uid)
        if user is None:
            return self.not_found()
        if kind == "person":
            return _html(self.pages.person(user))
        if kind == "collection" and user.user_id in self.world.contents.walled:
            return Answer(302, b"", headers=(("Location", "https://accounts.douban.com/passport/login?redir=x"),))
        write = self.pages.collection if kind == "collection" else self.pages.likes
        return _html(write(user, query, view))

    def _likers_json(self, path: str, query: Query, _: View) -> Answer:
        """Answer a `/j/` path, which robots.txt disallows: `/j/like` lists the likers of a photo."""
        likes = self.world.contents.likers_of.get(query.get("tid", ""), []) if path == "/j/like" else []
        return Answer(200, json.dumps([{"id": like.user_id} for like in likes]).encode(), "application/json")

    def _file(self, path: str) -> Answer:
        if found := re.fullmatch(r"/view/photo/(\w+)/public/p(\d+)\.(jpg|webp)", path):
            size, frame_id, suffix = found.groups()
            frame = self.world.contents.frames.get(frame_id)
            if frame and size in SIZES_PX:
                return Answer(200, encode(frame.picture, size, suffix), f"image/{FORMATS[suffix].lower()}")
        if found := re.fullmatch(r"/icon/(?:u(\d+)-\d+|user_normal)\.jpg", path):
            return Answer(200, avatar(int(found[1] or 0)), "image/jpeg")
        if path == "/cover/movie_default.jpg":
            return Answer(200, encode(Picture("out_of_focus", "poster", 0), "s"), "image/jpeg")
        return self.not_found()


def _html(text: str, status: int = 200) -> Answer:
    return Answer(status, text.encode())


def _json(answer: JsonAnswer) -> Answer:
    return _redirect(answer.location) if answer.location else Answer(answer.status, answer.body, JSON)


def _redirect(location: str) -> Answer:
    return Answer(301, b"", headers=(("Location", location),))
