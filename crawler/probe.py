"""`python -m crawler probe`: at most a dozen polite requests that check what the crawler takes for granted.

Most of what is known of the site's pages comes from public code, some is guessed. Whoever is the
first to reach the site runs this before anything else: it says of each point whether it holds,
and which settings follow. It obeys robots.txt, waits between requests as a crawl does, and stops
for good at the first sign of refusal; the two points that are likeliest to meet one come last.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import requests

from crawler.images import PICTURE_HEADERS, BadPicture, verify_picture
from crawler.options import add_site, site_from
from crawler.pages.parse import parse_page
from crawler.pages.refusal import classify
from crawler.pages.rows import NotUnderstood, PageGone, Refused
from crawler.plan import COMMENTS_REACH, HOSTS, PHOTOS_A_PAGE, address
from crawler.politeness import HostRules, Manners, NoRobotsError, manners_for, read_robots
from crawler.settings import user_agent
from crawler.sites import Site
from crawler.store import Key
from dataset.errors import RefusedError

KNOWN_MOVIE_ID = "1292052"  # on the real site: one with many photos and comments

HELP = "check, with a dozen polite requests, what the crawler takes for granted; run it before the first crawl"
_VARIANTS = {"photos": "still", "picture": "m"}

Verdict = Literal["holds", "differs", "unknown", "refused"]
Told = tuple[Verdict, str]


@dataclass(frozen=True)
class Finding:
    """What was found about one point."""

    point: str
    verdict: Verdict
    what: str


class _CannotTellError(Exception):
    """What a check needs is not there; the message says what."""


class Probe:
    """Checks the points one after the other, and keeps what later ones need."""

    def __init__(self, site: Site, manners: Manners, movie_id: str) -> None:
        self.site, self.manners, self.movie_id = site, manners, movie_id
        self.n_requests = 0
        self.frame_id = ""
        self.author = ""  # of a comment
        self.liker = ""
        self.lists_likers: bool | None = None
        self.has_public_likes: bool | None = None
        self._rules: dict[str, HostRules] = {}
        self._rested_from: dict[str, float] = {}
        self._agent = user_agent(manners.contact)
        self._session = requests.Session()
        self._session.trust_env = not site.is_loopback
        self._session.headers["User-Agent"] = self._agent

    def findings(self) -> Iterator[Finding]:
        """Yield what each check finds, until a host refuses; then that, as the last."""
        for point, check in self._checks():
            try:
                verdict, what = check()
            except (PageGone, NotUnderstood, BadPicture, NoRobotsError) as problem:
                verdict, what = "differs", str(problem)
            except (Refused, RefusedError) as refused:
                yield Finding(point, "refused", str(refused))
                return
            except _CannotTellError as reason:
                verdict, what = "unknown", str(reason)
            except requests.RequestException as error:
                verdict, what = "unknown", f"no answer ({type(error).__name__})"
            yield Finding(point, verdict, what)

    def _checks(self) -> tuple[tuple[str, Callable[[], Told]], ...]:
        return (
            ("robots.txt of the movie host", lambda: self._robots("movie", self.site.movie)),
            ("robots.txt of the www host", lambda: self._robots("www", self.site.www)),
            ("robots.txt of the image host", lambda: self._robots("images", self.site.images)),
            ("a movie's page", self._movie),
            ("30 photos a page of the list", self._photos),
            ("a picture file", self._picture),
            ("a like widget on a photo's page", self._like_widget),
            ("?type=like lists who likes a photo", self._likers),
            ("a movie's comments lead to people", self._comments),
            ("what somebody has watched is public", self._collection),
            ("what somebody likes is public", self._user_likes),
            (f"comments end at {COMMENTS_REACH}", self._reach),
        )

    # --- the checks ------------------------------------------------------------------------

    def _robots(self, role: str, base: str) -> Told:
        self.n_requests += 1
        self._rules |= read_robots({role: base}, self.manners, self._agent)
        rules = self._rules[role]
        self._rested_from[role] = rules.read_at
        kinds = [kind for kind in HOSTS if HOSTS[kind] == role]
        examples = {kind: address(self.site, Key(kind, "1", _VARIANTS.get(kind, ""))) for kind in kinds}
        closed = [kind for kind, url in examples.items() if not rules.allows(url, self._agent)]
        if closed:
            return "differs", f"disallows pages of the kinds {', '.join(closed)}: they will not be crawled"
        return "holds", f"allows every page of a crawl, {rules.delay_s:g} s apart"

    def _movie(self) -> Told:
        page = self._page("movie", self.site.movie_page(self.movie_id))
        return "holds", f"{page.movie.title!r}, {page.photo_total or 0:,} photos, seen by {page.seen_total or 0:,}"

    def _photos(self) -> Told:
        page = self._page("photos", self.site.photos(self.movie_id, "still", sort_by="like"))
        if not page.frames:
            raise _CannotTellError("this movie has no stills; name one with many by --movie")
        self.frame_id = page.frames[0].frame_id
        if page.next_url is None:
            raise _CannotTellError(f"{len(page.frames)} stills in all; name a movie with more by --movie")
        a_page = int(parse_qs(urlsplit(page.next_url).query)["start"][0])
        if a_page != PHOTOS_A_PAGE:
            return "differs", f"{a_page} a page; nothing to set, links to the next page are followed"
        return "holds", f"{a_page} a page"

    def _picture(self) -> Told:
        body = self._get("images", self.site.picture(self._need_frame()), PICTURE_HEADERS).content
        picture = verify_picture(body)
        return "holds", f"{picture.format}, {picture.width_px} x {picture.height_px}"

    def _like_widget(self) -> Told:
        page = self._page("photo", self.site.photo_page(self._need_frame()))
        if page.like_count is None:
            return "differs", "none on the still that is first by likes; like_count will be null"
        return "holds", f"it counts {page.like_count:,} people"

    def _likers(self) -> Told:
        self.lists_likers = False
        page = self._page("photo", self.site.photo_likers(self._need_frame()))
        if not page.likers:
            return "differs", "lists nobody to a reader who is not logged in"
        self.lists_likers, self.liker = True, page.likers[0].person.uid
        return "holds", f"{len(page.likers)} people on the first page"

    def _comments(self) -> Told:
        page = self._page("comments", self.site.comments(self.movie_id))
        if not page.people:
            raise _CannotTellError("this movie has no comments; name another by --movie")
        self.author = page.people[0].uid
        return "holds", f"{len(page.people)} people on the first page"

    def _collection(self) -> Told:
        if not self.author:
            raise _CannotTellError("no comment led to anybody")
        page = self._page("collection", self.site.collection(self.author))
        return "holds", f"{len(page.ratings)} on the first page, {page.claimed_total or 0:,} in all"

    def _user_likes(self) -> Told:
        uid = self.liker or self.author
        if not uid:
            raise _CannotTellError("nobody was found to look at")
        self.has_public_likes = False
        page = self._page("user_likes", self.site.user_likes(uid))
        if not page.likes:
            self.has_public_likes = None if not self.liker else False
            return ("differs" if self.liker else "unknown"), "the list is there, and empty"
        self.has_public_likes = True
        return "holds", f"{len(page.likes)} on the first page"

    def _reach(self) -> Told:
        page = self._page("comments", self.site.comments(self.movie_id, COMMENTS_REACH))
        if page.people:
            return (
                "differs",
                f"{len(page.people)} more from {COMMENTS_REACH} on: raise COMMENTS_REACH in crawler/plan.py",
            )
        return "holds", f"none is shown from {COMMENTS_REACH} on"

    # --- requests --------------------------------------------------------------------------

    def _page(self, kind: str, url: str) -> Any:
        return parse_page(kind, **_answer(self._get(HOSTS[kind], url)))

    def _get(self, role: str, url: str, headers: dict[str, str] | None = None) -> requests.Response:
        """Send a request as a crawl would, and return the answer if it is no refusal."""
        if (rules := self._rules.get(role)) is None:
            raise _CannotTellError("that host is not crawled")
        if not rules.allows(url, self._agent):
            raise _CannotTellError("robots.txt disallows it, so it was not asked for")
        time.sleep(max(0.0, self._rested_from[role] + rules.delay_s - time.monotonic()))
        self.n_requests += 1
        try:
            response = self._session.get(url, headers=headers, timeout=self.manners.timeout_s, allow_redirects=False)
        finally:
            self._rested_from[role] = time.monotonic()
        classify(**_answer(response))
        return response

    def _need_frame(self) -> str:
        if not self.frame_id:
            raise _CannotTellError("no still was found")
        return self.frame_id


def _answer(response: requests.Response) -> dict[str, Any]:
    """Return what the parsers want to know of an answer."""
    return {
        "status": response.status_code,
        "url": response.url,
        "body": response.content,
        "location": response.headers.get("Location"),
        "content_type": response.headers.get("Content-Type"),
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to its parser."""
    add_site(parser)
    parser.add_argument("--movie", metavar="ID", help="a movie with many photos and comments")


def run(arguments: argparse.Namespace) -> None:
    """Check the points, tell each as it is found, and then the settings that follow.

    Raises:
        UsageError: a site that is not on loopback, and no --contact.
        MissingInputError: no sandbox is running.
        RefusedError: the site refuses us; nothing more was asked.
    """
    site, _, _ = site_from(arguments)
    manners = manners_for(site, arguments.contact, arguments.delay_s, arguments.timeout_s)
    probe = Probe(site, manners, arguments.movie or _movie_of(arguments))
    last = None
    for last in probe.findings():
        print(f"{last.verdict:<8} {last.point:<37} {last.what}", flush=True)
    print(f"{probe.n_requests} requests. {advice(probe)}")
    if last and last.verdict == "refused":
        raise RefusedError(f"the site refuses us ({last.what}), so nothing more was asked; try again tomorrow")


def _movie_of(arguments: argparse.Namespace) -> str:
    """Return a movie with many photos: the running sandbox names one, on the real site one is known."""
    if arguments.site == "sandbox" and not arguments.site_urls:
        return str(json.loads(arguments.site_file.read_text(encoding="utf-8"))["probe_movie_id"])
    return KNOWN_MOVIE_ID


def advice(probe: Probe) -> str:
    """Return which setting follows from what was found."""
    match probe.lists_likers, probe.has_public_likes:
        case True, True:
            return "Likes: --liker-source photo_page (or both, which reads every like twice)."
        case True, _:
            return "Likes: --liker-source photo_page."
        case _, True:
            return "Likes: --liker-source user_likes."
        case False, False:
            return "Likes cannot be read from here: crawl ratings and frames alone."
    return "Likes: what was found does not tell which --liker-source to use."
