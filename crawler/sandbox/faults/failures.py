"""Failures at a rate, after which a later attempt succeeds, and pictures that are always broken."""

import re
import threading
from collections import Counter
from dataclasses import dataclass, fields, replace
from http import HTTPStatus
from urllib.parse import parse_qsl, urlsplit

from crawler.sandbox.answers import HTML, JSON, Answer, Answerer, Request, Role
from crawler.sandbox.chances import chance
from crawler.sandbox.faults.refusals import STRANGE
from dataset.errors import UsageError

_OOPS = b"<html><body>oops</body></html>"
_PICTURE_PATH = re.compile(r"/public/p(\d+)\.\w+$")
_SHARE_WITH_TOTAL = 0.5  # of the throttled JSON lists; the others claim a total of 0 (never on the first page)


@dataclass(frozen=True)
class Rates:
    """The rate of each failure. Only pictures can be broken or mislabelled, and only lists with a total be throttled.

    Attributes:
        empty_list: a page of a list has its heading, but no items and no link to the next page (a soft throttle).
        missing_next: a page of a list does not link to the next page.
        json_error: a JSON answer is a 500.
        strange_page: nobody can tell what the page is.

    Raises:
        UsageError: a rate is negative, or the sum of the rates exceeds 1.
    """

    server_error: float = 0.0
    cut_body: float = 0.0
    slow: float = 0.0
    empty_page: float = 0.0
    broken_picture: float = 0.0
    mislabelled_picture: float = 0.0
    empty_list: float = 0.0
    missing_next: float = 0.0
    json_error: float = 0.0
    strange_page: float = 0.0

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
        true, kind = answer(request), self._draw(request)
        got = true if kind is None else self._failure(kind, request, true, answer)
        if kind is not None and got != true:
            with self._lock:
                self.counts[kind] += 1
        return got

    def _failure(self, kind: str, request: Request, true: Answer, answer: Answerer) -> Answer:
        """Return a failure of a kind; the true answer, if this answer cannot fail in this way."""
        half, is_image = len(true.body) // 2, true.content_type.startswith("image/")
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
                return replace(true, body=true.body[:half]) if is_image else true
            case "mislabelled_picture":
                return replace(true, body=_OOPS) if is_image else true
            case "empty_list" | "missing_next":
                return self._short_list(kind, request, true, answer)
            case "json_error":
                return Answer(500, b"", JSON) if request.role == "mobile" else true
            case _:
                return true if is_image else replace(true, status=200, body=STRANGE, content_type=HTML, headers=())

    def _short_list(self, kind: str, request: Request, true: Answer, answer: Answerer) -> Answer:
        start = dict(parse_qsl(urlsplit(request.target).query)).get("start", "0")
        name = request.path.rsplit("/", 1)[-1]
        has_total = name in ("collect", "interests") or (
            name == "photos" and (request.role == "mobile" or start != "0")
        )
        if not has_total or (kind == "missing_next" and request.role == "mobile") or true.status != HTTPStatus.OK:
            return true
        if kind == "missing_next":
            return answer(replace(request, view=replace(request.view, has_next_link=False)))
        keeps_total = chance(self.seed, "total", request.target) < _SHARE_WITH_TOTAL
        return answer(replace(request, view=replace(request.view, is_throttled=True, keeps_total=keeps_total)))

    def _draw(self, request: Request) -> str | None:
        """Return the failure of this try, if any."""
        address = (request.role, request.target)
        with self._lock:
            n_tries = self._tries[address]
            self._tries[address] += 1
        if request.path == "/robots.txt" or n_tries >= self.most_in_a_row:
            return None
        place = chance(self.seed, request.role, request.target, n_tries)
        for field in fields(self.rates):
            place -= getattr(self.rates, field.name)
            if place < 0:
                return field.name
        return None


class DeadPictures:
    """Breaks the pictures of some frames permanently: half of them are truncated, half are an HTML page."""

    def __init__(self, rate: float, seed: int = 0) -> None:
        self.rate, self.seed = rate, seed

    def is_dead(self, frame_id: str) -> bool:
        """Return whether the picture of a frame is broken."""
        return self._draw(frame_id) < self.rate

    def __call__(self, request: Request, answer: Answerer) -> Answer:
        """Return the true answer, or a broken picture."""
        true, found = answer(request), _PICTURE_PATH.search(request.path)
        if not found or true.status != HTTPStatus.OK or not self.is_dead(found[1]):
            return true
        is_cut = self._draw(found[1]) < self.rate / 2
        return replace(true, body=true.body[: len(true.body) // 2] if is_cut else _OOPS)

    def _draw(self, frame_id: str) -> float:
        return chance(self.seed, "picture", frame_id)
