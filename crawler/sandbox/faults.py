"""Faults that a real site shows a crawler: failures at a rate, refusals, changing lists, other layouts.

A fault is a function `(request, answer) -> Answer` for the `faults` argument of `SandboxServer`. `chained`
combines several; `switches` names them for the command line. No fault changes robots.txt. A complete crawl
finds the same tables under every fault (`truth`), except for the pictures that `DeadPictures` breaks.
"""

import hashlib
import re
import threading
from collections import Counter
from dataclasses import dataclass, fields, replace
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from crawler.sandbox.answers import TEAPOT_BODY, Answer, Answerer, Fault, Request, Role
from dataset.errors import UsageError

_OOPS = b"<html><body>oops</body></html>"
_PICTURE_PATH = re.compile(r"/public/p(\d+)\.\w+$")
_SORRY = "<p>检测到有异常请求从你的 IP 发出，请登录使用豆瓣。</p>"
_PUZZLE = '<form name="sec" id="sec" method="POST" action="/c"><input name="tok" type="hidden"></form>'

# The site's refusals. Their redirects lead to the real hosts; a crawler must not follow them.
REFUSALS: dict[str, Answer] = {
    "block_redirect": Answer(302, b"", headers=(("Location", "https://sec.douban.com/b?r=x"),)),
    "puzzle_redirect": Answer(302, b"", headers=(("Location", "https://sec.douban.com/c?r=x"),)),
    "puzzle": Answer(200, _PUZZLE.encode()),
    "sorry_redirect": Answer(302, b"", headers=(("Location", "https://www.douban.com/misc/sorry?original-url=x"),)),
    "sorry_403": Answer(403, _SORRY.encode()),
    "sorry_200": Answer(200, _SORRY.encode()),
    "banned": Answer(403, b"error code: 004"),
    "teapot": Answer(418, TEAPOT_BODY, "image/jpeg"),
    "login_page": Answer(200, "<html><head><title>登录豆瓣</title></head><body></body></html>".encode()),
    "login_redirect": Answer(302, b"", headers=(("Location", "https://accounts.douban.com/passport/login?redir=x"),)),
    "too_many_requests": Answer(429, b""),
    "too_often": Answer(200, "<html><body><p>搜索访问太频繁。</p></body></html>".encode()),
}


@dataclass(frozen=True)
class Rates:
    """The rate of each failure. Only pictures can be broken or mislabelled.

    Raises:
        UsageError: a rate is negative, or the sum of the rates exceeds 1.
    """

    server_error: float = 0.0
    cut_body: float = 0.0
    slow: float = 0.0
    empty_page: float = 0.0
    broken_picture: float = 0.0
    mislabelled_picture: float = 0.0

    def __post_init__(self) -> None:
        rates = [getattr(self, field.name) for field in fields(self)]
        if min(rates) < 0 or sum(rates) > 1 + 1e-9:
            raise UsageError(f"sandbox faults: {self}; give rates from 0 to 1 with a sum of at most 1")


class Failures:
    """Makes requests fail at given rates; only the first `most_in_a_row` tries of an address can fail.

    Which requests fail depends on the seed, the address and the number of earlier tries, not on the order of
    requests. A crawl that retries gets everything.

    Args:
        rates: the rate of each failure.
        seed: another seed makes other requests fail.
        most_in_a_row: after this many tries of an address, the true answer is sent.
        slow_s: delay of a slow answer.
    """

    def __init__(self, rates: Rates, seed: int = 0, most_in_a_row: int = 2, slow_s: float = 5.0) -> None:
        self.rates, self.seed, self.most_in_a_row, self.slow_s = rates, seed, most_in_a_row, slow_s
        self.counts: Counter[str] = Counter()
        self._tries: Counter[tuple[Role, str]] = Counter()
        self._lock = threading.Lock()

    def __call__(self, request: Request, answer: Answerer) -> Answer:
        """Return the true answer, or a failure in its place."""
        true = answer(request)
        kind = self._draw(request)
        if kind is None or (kind.endswith("picture") and not true.content_type.startswith("image/")):
            return true
        with self._lock:
            self.counts[kind] += 1
        half = len(true.body) // 2
        match kind:
            case "server_error":
                return Answer(503, b"<html><body>Service Unavailable</body></html>")
            case "cut_body":
                return replace(true, cut_at=half)
            case "slow":
                return replace(true, delay_s=self.slow_s)
            case "empty_page":
                return replace(true, body=b"")
            case "broken_picture":
                return replace(true, body=true.body[:half])
            case _:
                return replace(true, body=_OOPS)

    def _draw(self, request: Request) -> str | None:
        """Return the failure of this try, if any."""
        address = (request.role, request.target)
        with self._lock:
            n_tries = self._tries[address]
            self._tries[address] += 1
        if request.path == "/robots.txt" or n_tries >= self.most_in_a_row:
            return None
        chance = _chance(self.seed, request.role, request.target, n_tries)
        for field in fields(self.rates):
            chance -= getattr(self.rates, field.name)
            if chance < 0:
                return field.name
        return None


class Refusal:
    """Gives one of the `REFUSALS` after a host's first `after` answers, until `lift` is called."""

    def __init__(self, sign: str, after: int, role: Role = "movie") -> None:
        self.sign, self.after, self.role = sign, after, role
        self.n_answered = self.n_refused = 0
        self._is_lifted = False
        self._lock = threading.Lock()

    def __call__(self, request: Request, answer: Answerer) -> Answer:
        """Return the true answer, or the refusal."""
        if request.role != self.role or request.path == "/robots.txt":
            return answer(request)
        with self._lock:
            refuses = self.n_answered >= self.after and not self._is_lifted
            self.n_refused += refuses
            self.n_answered += not refuses
        return REFUSALS[self.sign] if refuses else answer(request)

    def lift(self) -> None:
        """Stop refusing."""
        self._is_lifted = True


class DeadPictures:
    """Breaks the pictures of some frames permanently: half of them are truncated, half are an HTML page."""

    def __init__(self, rate: float, seed: int = 0) -> None:
        self.rate, self.seed = rate, seed

    def is_dead(self, frame_id: str) -> bool:
        """Return whether the picture of a frame is broken."""
        return self._chance(frame_id) < self.rate

    def __call__(self, request: Request, answer: Answerer) -> Answer:
        """Return the true answer, or a broken picture."""
        true, found = answer(request), _PICTURE_PATH.search(request.path)
        if not found or true.status != HTTPStatus.OK or not self.is_dead(found[1]):
            return true
        is_cut = self._chance(found[1]) < self.rate / 2
        return replace(true, body=true.body[: len(true.body) // 2] if is_cut else _OOPS)

    def _chance(self, frame_id: str) -> float:
        return _chance(self.seed, "picture", frame_id)


class ChangingLists:
    """Changes every list with several pages once, between the requests for its first and its next page.

    If the list grows, its `n` newest items appear, so that items repeat across pages. If it shrinks, they vanish,
    so that items move back to a page that was read before. Vanished items were shown before, and new items are
    shown from then on: in both cases a complete crawl finds the whole list.
    """

    def __init__(self, grows: bool, n: int = 2) -> None:
        self.grows, self.n = grows, n
        self.n_changed = 0
        self._changed: dict[tuple[Role, str, str], bool] = {}
        self._lock = threading.Lock()

    def __call__(self, request: Request, answer: Answerer) -> Answer:
        """Return the answer before or after its list has changed."""
        is_shortened = self._has_changed(request) != self.grows
        view = replace(request.view, withheld=self.n if is_shortened else 0)
        return answer(replace(request, view=view))

    def _has_changed(self, request: Request) -> bool:
        query = dict(parse_qsl(urlsplit(request.target).query))
        name = (request.role, request.path, query.get("type", ""))
        with self._lock:
            if query.get("start", "0") == "0":
                return self._changed.setdefault(name, False)
            if self._changed.get(name) is False:
                self._changed[name] = True
                self.n_changed += 1
            return self._changed.get(name, False)


def shown_as(**switches: Any) -> Fault:
    """Return a fault that shows the world in another `View`; `switches` are the fields to change."""
    return lambda request, answer: answer(replace(request, view=replace(request.view, **switches)))


def private_likes(request: Request, answer: Answerer) -> Answer:
    """Redirect requests for the photos that a user likes to the login page."""
    return REFUSALS["login_redirect"] if "/likes/" in request.path else answer(request)


_OLDER_WORDS = (
    ("poster-col3", "poster-col4"),
    ('class="item comment-item"', 'class="item"'),
    ("看过的影视", "看过的电影"),
    ("IMDb:", "IMDb链接:"),
    ("votes vote-count", "votes"),
)


def older_layout(request: Request, answer: Answerer) -> Answer:
    """Return pages with the CSS classes, words and page sizes of older layouts: 40 photos per page."""
    true = answer(replace(request, view=replace(request.view, photos_page=40)))
    if not true.content_type.startswith("text/html"):
        return true
    html = true.body.decode()
    for newer, older in _OLDER_WORDS:
        html = html.replace(newer, older)
    return replace(true, body=html.encode())


def chained(*faults: Fault) -> Fault:
    """Return one fault that applies all of these: the first one sees the request first and the answer last."""

    def respond(request: Request, answer: Answerer) -> Answer:
        for fault in reversed(faults):
            answer = _with(fault, answer)
        return answer(request)

    return respond


def _chance(*parts: object) -> float:
    """Return a number from 0 to 1 that depends only on the parts."""
    return int.from_bytes(hashlib.sha256(" ".join(map(str, parts)).encode()).digest()[:6], "big") / 2**48


def _with(fault: Fault, answer: Answerer) -> Answerer:
    return lambda request: fault(request, answer)
