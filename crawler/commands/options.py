"""The options that several commands share, and the crawl settings they give."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field
from pydantic.dataclasses import dataclass

from crawler.commands.sources import preferred_sources, sources_of
from crawler.page import is_number, is_uid
from crawler.scope import LIKER_SOURCES, PREFERRED, Scope, Source, Via
from crawler.sites import Site, is_base
from crawler.spiders.politeness import MOST_NOT_UNDERSTOOD, Politeness, politeness_for
from crawler.spiders.settings import CrawlSettings
from dataset.cli import FLAT, Count
from dataset.documents import Settings, read_document
from dataset.errors import MissingInputError, UsageError

DEFAULT_CRAWL = Path("data/sandbox/crawl")

PhotoKind = Literal["still", "poster", "wallpaper"]


def separated(values: str | Sequence[str]) -> tuple[str, ...]:
    """Return values that are separated by commas (or spaces, in quotes)."""
    text = values if isinstance(values, str) else " ".join(values)
    return tuple(dict.fromkeys(text.replace(",", " ").split()))


def _number(text: str) -> str:
    if not is_number(text):
        raise ValueError("Input should be the number of a movie")
    return text


class SandboxFields(BaseModel):
    """What the site file of a running sandbox holds, as far as a crawl reads it."""

    movie: str
    www: str
    images: str
    mobile: str = ""
    seed_movie_ids: list[Annotated[str, AfterValidator(_number)]]
    probe_movie_id: Annotated[str, AfterValidator(_number)] | None = None
    config: Settings


Seconds = Annotated[float, Field(ge=0, lt=86_400, allow_inf_nan=False)]
Hours = Annotated[float, Field(ge=0, le=8760, allow_inf_nan=False)]
Ids = Annotated[tuple[str, ...], BeforeValidator(separated), Parameter(n_tokens=1, metavar="ID,…")]


@dataclass(frozen=True)
@Parameter(group="The site")
class SiteOptions:
    """Where the site is, and how politely it is read.

    Attributes:
        site: which site
        site_file: the file in which the running sandbox writes its addresses
        site_urls: base addresses of another site with the same pages: movie,www,images, and mobile if it has JSON
        contact: e-mail or web address for the User-Agent; required for any site but the sandbox
        delay_s: minimum number of seconds between two requests to a host; at least 5 on a real host
        timeout_s: seconds to wait for an answer
    """

    site: Literal["sandbox", "douban"] = "sandbox"
    site_file: Path = Path("data/sandbox/site.json")
    site_urls: str | None = None
    contact: str | None = None
    delay_s: Seconds = 0.0
    timeout_s: Seconds | None = None

    def politeness(
        self, site: Site, attempts: int = 5, stop_after_not_understood: int = MOST_NOT_UNDERSTOOD
    ) -> Politeness:
        """Return the politeness for a site.

        Raises:
            UsageError: the site is not on loopback and no contact is given.
        """
        return politeness_for(site, self.contact, self.delay_s, self.timeout_s, attempts, stop_after_not_understood)

    def resolve(self) -> tuple[Site, Source, list[str]]:
        """Return the site, its name as a source, and the movies to start from by default.

        Raises:
            MissingInputError: no sandbox is running.
            UsageError: the addresses are malformed, or those of a sandbox are not on this machine.
        """
        if self.site_urls:
            bases = [base.strip().rstrip("/") for base in self.site_urls.split(",")]
            if len(bases) not in (3, 4) or not all(map(is_base, bases)):
                raise UsageError(
                    f"--site-urls {self.site_urls!r}: give three addresses, or four if the site has JSON, "
                    "http(s)://host or http(s)://host:port: movie,www,images,mobile"
                )
            movie, www, images, mobile = (*bases, "")[:4]
            return Site(movie, www, images, mobile), Source(",".join(bases)), []
        if self.site == "douban":
            return Site(), Source("douban"), []
        fields = self.sandbox_fields()
        site = Site(fields.movie, fields.www, fields.images, fields.mobile)
        if not site.is_loopback:
            raise UsageError(
                f"{self.site_file}: names hosts that are not on this machine, so they are not the sandbox; "
                "for another site, use --site-urls"
            )
        return site, Source("sandbox", fields.config), fields.seed_movie_ids

    def sandbox_fields(self) -> SandboxFields:
        """Return what the running sandbox wrote to its site file.

        Raises:
            MissingInputError: no sandbox is running, or the file is not a site file.
        """
        start = "start a sandbox with: python -m crawler sandbox"
        if not self.site_file.is_file():
            raise MissingInputError(f"{self.site_file}: no such file, so no sandbox is running; {start}")
        remedy = f"so this is not the site file of a sandbox; {start}"
        fields: SandboxFields = read_document(SandboxFields, self.site_file, remedy, MissingInputError)
        return fields


@dataclass(frozen=True)
@Parameter(group="The scope")
class ScopeOptions:
    """What is crawled.

    Attributes:
        movies: movies whose comments lead to users
        movies_file: text file with more movies to start from, one id per line
        users: users to start from
        users_file: text file with more users to start from, one id per line
        max_users: take at most this many users
        max_movies: take at most this many movies, the most-rated ones
        max_requests: stop after this many requests
        max_list_items: give a list up that goes on beyond this many items
        photo_kinds: some of still,poster,wallpaper
        picture_size: the size of the picture files
        liker_source: which pages the likes are read from
        via: which source each topic is read from: movie, photos, collection, people = html, json or auto;
            for collection also list (HTML with 30 marks per page instead of 15)
        k: read frames and likes only for the k-core of the ratings
        everything: read frames and likes for all movies and users
    """

    movies: Ids = ()
    movies_file: Path | None = None
    users: Ids = ()
    users_file: Path | None = None
    max_users: Count | None = None
    max_movies: Count | None = None
    max_requests: Count | None = None
    max_list_items: Count = Scope.max_list_items
    photo_kinds: Annotated[
        tuple[PhotoKind, ...],
        Field(min_length=1, fail_fast=True),
        BeforeValidator(separated),
        Parameter(n_tokens=1, metavar="KIND,…", show_default=",".join, show_choices=False),
    ] = ("still", "poster")
    picture_size: Literal["sqxs", "s", "m", "l"] = "m"
    liker_source: Literal["photo_page", "user_likes", "both"] = "photo_page"
    via: Annotated[tuple[str, ...], BeforeValidator(separated), Parameter(n_tokens=1, metavar="TOPIC=SOURCE,…")] = ()
    k: Count = 5
    everything: bool = False

    def resolve(self, default_movies: Sequence[str], preferred: Via = PREFERRED, has_json: bool = True) -> Scope:
        """Return the scope.

        Args:
            default_movies: movies to start from if no movie and no user is given.
            preferred: the sources of each topic, in order of preference, where `auto` decides.
            has_json: whether the site has a host with JSON.

        Raises:
            MissingInputError: the file of movie ids or of user ids cannot be read.
            UsageError: a given id is not valid.
        """
        movie_ids = [*self.movies, *_ids_in(self.movies_file, "movie")]
        uids = [*self.users, *_ids_in(self.users_file, "user")]
        if not movie_ids and not uids:
            movie_ids = list(default_movies)
        for given in [*(id_ for id_ in movie_ids if not is_number(id_)), *(uid for uid in uids if not is_uid(uid))]:
            raise UsageError(
                f"{given!r} is not an id; give the number of a movie, or the number or name in a user's address"
            )
        return Scope(
            movie_ids=tuple(dict.fromkeys(movie_ids)),
            uids=tuple(dict.fromkeys(uids)),
            max_users=self.max_users,
            max_movies=self.max_movies,
            max_requests=self.max_requests,
            max_list_items=self.max_list_items,
            photo_kinds=self.photo_kinds,
            picture_size=self.picture_size,
            liker_sources=LIKER_SOURCES[self.liker_source],
            k=0 if self.everything else self.k,
            via=sources_of(self.via, preferred, has_json),
        )


@dataclass(frozen=True)
class CrawlOptions:
    """The options of the commands that plan or run a crawl.

    Attributes:
        crawl: the crawl's private folder
        site: the site and how politely it is read
        attempts: number of attempts before a page is marked as failed
        stop_after_not_understood: number of pages in a row that no parser understands, after which a host is left alone
        patience_h: hours to wait in all for a host that cannot be reached (8; on this machine, a minute)
        allow_missing: end a stage although pages failed, if they are at most this share of its pages
        scope: what is crawled
    """

    crawl: Path = DEFAULT_CRAWL
    site: Annotated[SiteOptions, FLAT] = SiteOptions()
    attempts: Count = 5
    stop_after_not_understood: Count = MOST_NOT_UNDERSTOOD
    allow_missing: Annotated[float, Field(ge=0, le=1)] = 0.0
    patience_h: Hours | None = None
    scope: Annotated[ScopeOptions, FLAT] = ScopeOptions()

    def resolve(self) -> CrawlSettings:
        """Return the settings of the crawl.

        Raises:
            MissingInputError: no sandbox is running, or a file of ids is missing.
            UsageError: options that do not fit together.
        """
        site, source, default_movies = self.site.resolve()
        preferred = preferred_sources(self.crawl, source)
        scope = self.scope.resolve(default_movies, preferred, has_json=bool(site.mobile))
        politeness = self.site.politeness(site, self.attempts, self.stop_after_not_understood)
        if self.patience_h is not None:
            politeness = replace(politeness, patience_s=3600 * self.patience_h)
        return CrawlSettings(self.crawl, site, source, politeness, scope, self.allow_missing)


def _ids_in(path: Path | None, of: str) -> list[str]:
    if path is None:
        return []
    try:
        return path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise MissingInputError(
            f"{path}: cannot be read ({error}); give a text file with one {of} id per line"
        ) from None
