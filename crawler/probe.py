"""Checks, with at most a dozen polite requests, what the crawler assumes about the site.

Most of what is known about the site's pages comes from public code, and some of it is guessed. Run this before the
first crawl of the real site: it reports whether each assumption holds, and which settings to use. It obeys
robots.txt, waits between requests as a crawl does, and stops at the first sign of refusal. The two checks that are
most likely to be refused come last.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from crawler.kinds import KINDS, address
from crawler.kinds.kind import PageKind
from crawler.kinds.photo import photo_page
from crawler.kinds.photos import PHOTOS_PER_PAGE
from crawler.kinds.photos import address as photo_list
from crawler.kinds.sources import COMMENTS_REACH
from crawler.page import Answer, BadPicture, Key, Merged, NotUnderstood, PageGone, Refused, TooMuch, Unavailable
from crawler.sites import Site
from crawler.spiders.closed import close_host
from crawler.spiders.fetch import NoAnswer, fetch
from crawler.spiders.politeness import Politeness, user_agent
from crawler.spiders.robots import HostRules, NoRobotsError, read_robots
from dataset.errors import RefusedError

_VARIANTS = {"photos": "still", "picture": "m"}

Answered = Literal["holds", "differs", "unknown", "refused"]
CheckResult = tuple[Answered, str]


@dataclass(frozen=True)
class Finding:
    """What was found about one assumption: whether it holds, and details."""

    point: str
    answered: Answered
    detail: str


class _CannotTellError(Exception):
    """What a check needs is missing; the message says what."""


class Probe:
    """Checks the assumptions in order, and stores what later checks need (a photo, a person)."""

    def __init__(self, site: Site, politeness: Politeness, movie_id: str) -> None:
        self.site, self.politeness, self.movie_id = site, politeness, movie_id
        self.n_requests = 0
        self.frame_id = ""
        self.author = ""  # of a comment
        self.liker = ""
        self.lists_likers: bool | None = None
        self.has_public_likes: bool | None = None
        self._rules: dict[str, HostRules] = {}
        self._agent = user_agent(politeness.contact)

    def findings(self) -> Iterator[Finding]:
        """Yield what each check finds. A refusal is the last finding."""
        for point, check in self._checks():
            try:
                answered, detail = check()
            except (PageGone, Unavailable, Merged, NotUnderstood, TooMuch, BadPicture, NoRobotsError) as problem:
                answered, detail = "differs", str(problem)
            except (Refused, RefusedError) as refused:
                yield Finding(point, "refused", str(refused))
                return
            except _CannotTellError as reason:
                answered, detail = "unknown", str(reason)
            except NoAnswer as problem:
                answered, detail = "unknown", str(problem)
            yield Finding(point, answered, detail)

    def _checks(self) -> tuple[tuple[str, Callable[[], CheckResult]], ...]:
        return (
            ("robots.txt of the movie host", lambda: self._robots("movie", self.site.movie)),
            ("robots.txt of the www host", lambda: self._robots("www", self.site.www)),
            ("robots.txt of the image host", lambda: self._robots("images", self.site.images)),
            ("a movie's page", self._movie),
            ("30 photos per page of the list", self._photos),
            ("a picture file", self._picture),
            ("a like widget on a photo's page", self._like_widget),
            ("?type=like lists who likes a photo", self._likers),
            ("a movie's comments lead to people", self._comments),
            ("a user's watched movies are public", self._collection),
            ("a user's likes are public", self._user_likes),
            (f"comments end at {COMMENTS_REACH}", self._reach),
        )

    # --- the checks ------------------------------------------------------------------------

    def _robots(self, role: str, base: str) -> CheckResult:
        self.n_requests += 1
        self._rules |= read_robots({role: base}, self.politeness, self._agent)
        rules = self._rules[role]
        kinds = [kind.name for kind in KINDS.values() if kind.host == role]
        examples = {kind: address(self.site, Key(kind, "1", _VARIANTS.get(kind, ""))) for kind in kinds}
        closed = [kind for kind, url in examples.items() if not rules.allows(url, self._agent)]
        if closed:
            return "differs", f"disallows pages of the kinds {', '.join(closed)}: they will not be crawled"
        return "holds", f"allows every page of a crawl, {rules.delay_s:g} s apart"

    def _movie(self) -> CheckResult:
        page = self._page(Key("movie", self.movie_id))
        return "holds", f"{page.movie.title!r}, {page.photo_total or 0:,} photos, seen by {page.seen_total or 0:,}"

    def _photos(self) -> CheckResult:
        key = Key("photos", self.movie_id, "still")
        page = self._page(key, photo_list(self.site, key, sort_by="like"))
        if not page.frames:
            raise _CannotTellError("this movie has no stills; choose one with many using --movie")
        self.frame_id = page.frames[0].frame_id
        if page.next_url is None:
            raise _CannotTellError(f"{len(page.frames)} stills in all; choose a movie with more using --movie")
        per_page = int(parse_qs(urlsplit(page.next_url).query)["start"][0])
        if per_page != PHOTOS_PER_PAGE:
            return "differs", f"{per_page} per page; no setting needed, because links to the next page are followed"
        return "holds", f"{per_page} per page"

    def _picture(self) -> CheckResult:
        picture = self._page(Key("picture", self._need_frame(), "m"))
        return "holds", f"{picture.format}, {picture.width_px} x {picture.height_px}"

    def _like_widget(self) -> CheckResult:
        page = self._page(Key("photo", self._need_frame()), photo_page(self.site, self._need_frame()))
        if page.like_count is None:
            return "differs", "none on the still with the most likes; like_count will be null"
        return "holds", f"it counts {page.like_count:,} people"

    def _likers(self) -> CheckResult:
        self.lists_likers = False
        page = self._page(Key("photo", self._need_frame()))
        if not page.likers:
            return "differs", "lists nobody to a logged-out reader"
        self.lists_likers, self.liker = True, page.likers[0].person.uid
        return "holds", f"{len(page.likers)} people on the first page"

    def _comments(self) -> CheckResult:
        page = self._page(Key("comments", self.movie_id))
        if not page.people:
            raise _CannotTellError("this movie has no comments; choose another using --movie")
        self.author = page.people[0].uid
        return "holds", f"{len(page.people)} people on the first page"

    def _collection(self) -> CheckResult:
        if not self.author:
            raise _CannotTellError("no comment led to a person")
        page = self._page(Key("collection", self.author))
        return "holds", f"{len(page.ratings)} on the first page, {page.claimed_total or 0:,} in all"

    def _user_likes(self) -> CheckResult:
        uid = self.liker or self.author
        if not uid:
            raise _CannotTellError("no person was found")
        self.has_public_likes = False
        page = self._page(Key("user_likes", uid))
        if not page.likes:
            self.has_public_likes = None if not self.liker else False
            return ("differs" if self.liker else "unknown"), "the list exists but is empty"
        self.has_public_likes = True
        return "holds", f"{len(page.likes)} on the first page"

    def _reach(self) -> CheckResult:
        page = self._page(Key("comments", self.movie_id, start=COMMENTS_REACH))
        if page.people:
            return (
                "differs",
                f"{len(page.people)} more after {COMMENTS_REACH}: raise COMMENTS_REACH in crawler/kinds/sources.py",
            )
        return "holds", f"none is shown after {COMMENTS_REACH}"

    # --- requests --------------------------------------------------------------------------

    def _page(self, key: Key, url: str | None = None) -> Any:
        """Request a page as a crawl does, and return what it holds."""
        kind = KINDS[key.kind]
        answer = self._get(kind, url or address(self.site, key))
        try:
            return kind.parse(answer)
        except Refused:
            close_host(self.site.hosts[kind.host], answer.retry_after)
            raise

    def _get(self, kind: PageKind, url: str) -> Answer:
        role = kind.host
        if (rules := self._rules.get(role)) is None:
            raise _CannotTellError("the rules of that host were not read")
        if not rules.allows(url, self._agent):
            raise _CannotTellError("robots.txt disallows it, so it was not requested")
        with self.politeness.clock(self.site.hosts[role], role).turn(rules.delay_s):
            self.n_requests += 1
            headers = {"User-Agent": self._agent, **kind.headers}
            return fetch(url, headers, self.politeness.timeout_s, kind.max_bytes)

    def _need_frame(self) -> str:
        if not self.frame_id:
            raise _CannotTellError("no still was found")
        return self.frame_id


def advice(probe: Probe) -> str:
    """Return which --liker-source to use, according to the findings."""
    match probe.lists_likers, probe.has_public_likes:
        case True, True:
            return "Likes: --liker-source photo_page (or both, which reads every like twice)."
        case True, _:
            return "Likes: --liker-source photo_page."
        case _, True:
            return "Likes: --liker-source user_likes."
        case False, False:
            return "Likes cannot be read from here: crawl only ratings and frames."
    return "Likes: the findings do not show which --liker-source to use."
