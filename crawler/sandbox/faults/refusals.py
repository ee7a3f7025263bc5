"""Refusals: the site's signs, and when it gives them."""

import threading
from dataclasses import replace

from crawler.sandbox.answers import JSON, TEAPOT_BODY, Answer, Answerer, Request, Role
from crawler.sandbox.mobile import error

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


STRANGE = "<html><head><title>豆瓣</title></head><body><div id='app'></div></body></html>".encode()


def _page(title: str, text: str = "") -> bytes:
    return f"<html><head><title>{title}</title></head><body><p>{text}</p></body></html>".encode()


# Signs of 2026, most of them with status 200; `strange` is a page that nobody understands.
NEWER_REFUSALS: dict[str, Answer] = {
    "script_200": Answer(
        200, b'<html><body><script>window.location.href="https://sec.douban.com/a?c=x&d=y"</script></body></html>'
    ),
    "login_jump": Answer(200, _page("豆瓣 - 登录跳转页")),
    "unusual_200": Answer(200, _page("豆瓣", "有异常请求从你的 IP 发出，请 登录 使用豆瓣。")),
    "unusual_403": Answer(403, _page("豆瓣", "有异常请求从你的 IP 发出，请 登录 使用豆瓣。")),
    "please_login": Answer(200, b"error code: 008, please Login"),
    "robot": Answer(200, _page("豆瓣", "你的行为像机器人程序，请稍后再试。")),
    "human": Answer(200, _page("豆瓣", "请证明你是人类。")),
    "too_often_here": Answer(200, _page("豆瓣", "访问过于频繁，请稍后再试。")),
    "strange": Answer(200, STRANGE),
}


def _json_refusal(status: int, code: int, msg: str, words: str = "") -> Answer:
    return Answer(status, error(status, code, msg, "/rexxar/api/v2/movie/1", words).body, JSON)


# What the mobile host answers instead of the JSON that was asked for.
JSON_REFUSALS: dict[str, Answer] = {
    "ip_limit": _json_refusal(400, 1309, "subject_ip_rate_limit", "您所在的网络存在异常，请登录后重试。"),
    "need_login_403": _json_refusal(403, 103, "need_login"),
    "need_login_200": _json_refusal(200, 103, "need_login"),
    "forbidden": _json_refusal(400, 1005, "invalid_request"),
    "invalid_request": _json_refusal(400, 1287, "invalid_request_1284"),
    "search_limit": _json_refusal(400, 1080, "search_access_rate_limit"),
}
SIGNS: dict[str, Answer] = {**REFUSALS, **NEWER_REFUSALS, **JSON_REFUSALS}


class Refusal:
    """Gives a refusal (one of `SIGNS`) after a host's first `after` answers, until `lift` is called.

    Args:
        sign: the name of the refusal.
        after: how many requests are answered before.
        role: the host that refuses.
        retry_after_s: the value of the header `Retry-After`; None: no such header.
    """

    def __init__(self, sign: str, after: int, role: Role = "movie", retry_after_s: int | None = None) -> None:
        self.sign, self.after, self.role = sign, after, role
        self.n_answered = self.n_refused = 0
        refusal = SIGNS[sign]
        if retry_after_s is not None:
            refusal = replace(refusal, headers=(*refusal.headers, ("Retry-After", str(retry_after_s))))
        self._refusal = refusal
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
        return self._refusal if refuses else answer(request)

    def lift(self) -> None:
        """Stop refusing."""
        self._is_lifted = True


def private_likes(request: Request, answer: Answerer) -> Answer:
    """Redirect requests for the photos that a user likes to the login page."""
    return REFUSALS["login_redirect"] if "/likes/" in request.path else answer(request)


def closed_subjects(request: Request, answer: Answerer) -> Answer:
    """Redirect all HTML pages of movies and photos to the check for robots, as for guests in 2026."""
    is_closed = request.role == "movie" and request.path.startswith(("/subject/", "/photos/"))
    return REFUSALS["block_redirect"] if is_closed else answer(request)


class Challenge:
    """Challenges whoever reads people's collections after `after` of their pages, like a site's allowance per day.

    The challenge is lifted after `n_refusals` refused requests, and `after` more pages are answered. A crawl that
    stops at each refusal thus continues with every `n_refusals`-th run, without a wait.
    """

    def __init__(self, after: int = 86, n_refusals: int = 2) -> None:
        self.after, self.n_refusals = after, n_refusals
        self.n_answered = self.n_refused = 0  # in all
        self._answered = self._refused = 0  # since the challenge was lifted
        self._lock = threading.Lock()

    def __call__(self, request: Request, answer: Answerer) -> Answer:
        """Return the true answer, or a redirect to a proof of work."""
        if request.role != "movie" or not request.path.endswith("/collect"):
            return answer(request)
        with self._lock:
            if self._refused >= self.n_refusals:
                self._answered = self._refused = 0
            refuses = self._answered >= self.after
            self._refused += refuses
            self._answered += not refuses
            self.n_refused += refuses
            self.n_answered += not refuses
        return REFUSALS["puzzle_redirect"] if refuses else answer(request)
