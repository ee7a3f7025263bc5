"""Sends the requests of the probe as a crawl does: robots.txt first, and each with the delay of its host."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from crawler.kinds import KINDS, address
from crawler.kinds.kind import PageKind
from crawler.opt_outs import opt_outs_of
from crawler.page import Answer, Key, Refused
from crawler.sites import Site
from crawler.spiders.closed import close_host
from crawler.spiders.fetch import fetch
from crawler.spiders.politeness import Politeness, user_agent
from crawler.spiders.robots import HostRules, read_robots

_VARIANTS = {"photos": "still", "photos_json": "still", "picture": "m"}

Answered = Literal["holds", "differs", "unknown", "refused"]
CheckResult = tuple[Answered, str]


class CannotTell(Exception):  # noqa: N818 - an outcome, not an error
    """What a check needs is missing; the message says what."""


@dataclass(frozen=True)
class Check:
    """One assumption, and how it is checked.

    Attributes:
        point: the assumption, in words.
        run: sends a request or two and says what was found.
        topic: what a crawl reads this way (a topic of `Scope.via`, or `likes`); None for a detail.
    """

    point: str
    run: Callable[[], CheckResult]
    topic: str | None = None


class Asker:
    """Sends requests, and counts them.

    Attributes:
        n_requests: how many requests were sent, by the role of the host.
        opt_outs: how many answers ask for each opt-out.
    """

    def __init__(self, site: Site, politeness: Politeness) -> None:
        self.site, self.politeness = site, politeness
        self.n_requests: Counter[str] = Counter()
        self.opt_outs: Counter[str] = Counter()
        self._rules: dict[str, HostRules] = {}
        self._agent = user_agent(politeness.contact)

    def robots(self, role: str) -> CheckResult:
        """Read a host's robots.txt, and return whether it allows the pages of a crawl."""
        self.n_requests[role] += 1
        self._rules |= read_robots({role: self.site.hosts[role]}, self.politeness, self._agent)
        rules = self._rules[role]
        kinds = [kind.name for kind in KINDS.values() if kind.host == role]
        examples = {kind: address(self.site, Key(kind, "1", _VARIANTS.get(kind, ""))) for kind in kinds}
        closed = [kind for kind, url in examples.items() if not rules.allows(url, self._agent)]
        if closed:
            return "differs", f"disallows pages of the kinds {', '.join(closed)}: they will not be crawled"
        return "holds", f"allows every page of a crawl, {rules.delay_s:g} s apart"

    def address(self, key: Key) -> str:
        """Return the address of a page."""
        return address(self.site, key)

    def page(self, key: Key, url: str | None = None) -> Any:
        """Request a page as a crawl does, and return what it holds."""
        return self.parsed(key.kind, self.answer(key, url))

    def answer(self, key: Key, url: str | None = None) -> Answer:
        """Request a page as a crawl does, and return the answer.

        Raises:
            CannotTell: robots.txt was not read, or disallows the page.
        """
        answer = self._get(KINDS[key.kind], url or address(self.site, key))
        self.opt_outs.update(opt_outs_of(answer))
        return answer

    def parsed(self, kind: str, answer: Answer) -> Any:
        """Return what an answer holds; a refusal may close the host for a while."""
        try:
            return KINDS[kind].parse(answer)
        except Refused:
            close_host(self.site.hosts[KINDS[kind].host], answer.retry_after)
            raise

    def _get(self, kind: PageKind, url: str) -> Answer:
        role = kind.host
        if (rules := self._rules.get(role)) is None:
            raise CannotTell("the rules of that host were not read")
        if not rules.allows(url, self._agent):
            raise CannotTell("robots.txt disallows it, so it was not requested")
        with self.politeness.clock(self.site.hosts[role], role).turn(rules.delay_s):
            self.n_requests[role] += 1
            headers = {"User-Agent": self._agent, **kind.headers}
            return fetch(url, headers, self.politeness.timeout_s, kind.max_bytes)
