"""The options that the crawl commands share, and the crawl they describe."""

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path

from crawler.kinds import KINDS
from crawler.scope import LIKER_SOURCES, Scope, Source
from crawler.sites import PHOTO_TYPES, Site
from crawler.spiders.politeness import politeness_for
from crawler.spiders.settings import CrawlSettings
from dataset.cli import whole_number
from dataset.errors import MissingInputError, UsageError

DEFAULT_CRAWL = Path("data/sandbox/crawl")
DEFAULT_SITE_FILE = Path("data/sandbox/site.json")
REFRESH_DAYS = {kind.name: kind.refresh_days for kind in KINDS.values() if kind.refresh_days is not None}


def add_crawl_folder(parser: argparse.ArgumentParser) -> None:
    """Add `--crawl`."""
    parser.add_argument(
        "--crawl", type=Path, default=DEFAULT_CRAWL, metavar="FOLDER", help="the crawl's private folder"
    )


def add_site(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where the site is, and how politely it is read."""
    site = parser.add_argument_group("the site")
    site.add_argument("--site", choices=("sandbox", "douban"), default="sandbox", help="which site")
    site.add_argument(
        "--site-file", type=Path, default=DEFAULT_SITE_FILE, metavar="FILE", help="written by the running sandbox"
    )
    site.add_argument("--site-urls", metavar="MOVIE,WWW,IMAGES", help="base addresses of another site of the same make")
    site.add_argument(
        "--contact", metavar="WHO", help="e-mail or web address for the User-Agent; a must off the sandbox"
    )
    site.add_argument(
        "--delay-s",
        type=_seconds,
        default=0.0,
        help="least seconds between two requests to a host; never below 5 off the sandbox",
    )
    site.add_argument("--timeout-s", type=_seconds, metavar="S", help="give up on an answer after so long")


def add_site_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is crawled, and how politely."""
    add_site(parser)
    parser.add_argument("--attempts", type=whole_number(), default=5, help="tries before a page is called failed")

    scope = parser.add_argument_group("the scope")
    scope.add_argument("--movies", type=_ids, default=(), metavar="ID,…", help="movies whose comments lead to users")
    scope.add_argument("--movies-file", type=Path, metavar="FILE", help="more of them, one id a line")
    scope.add_argument("--users", type=_ids, default=(), metavar="UID,…", help="users to start from")
    scope.add_argument("--max-users", type=whole_number(), metavar="N", help="take at most so many users")
    scope.add_argument(
        "--max-movies", type=whole_number(), metavar="N", help="take at most so many movies, the most-rated ones"
    )
    scope.add_argument("--max-requests", type=whole_number(), metavar="N", help="stop after so many requests")
    scope.add_argument(
        "--photo-kinds", type=_photo_kinds, default=("still", "poster"), help="of still,poster,wallpaper"
    )
    scope.add_argument("--picture-size", choices=("sqxs", "s", "m", "l"), default="m", help="the size to download")
    scope.add_argument(
        "--liker-source", choices=tuple(LIKER_SOURCES), default="photo_page", help="where likers are read"
    )
    scope.add_argument(
        "--k", type=whole_number(), default=5, help="frames and likes only for the k-core of the ratings"
    )
    scope.add_argument("--everything", action="store_true", help="frames and likes for all movies and users")


def add_refresh_options(parser: argparse.ArgumentParser, kinds: Iterable[str]) -> None:
    """Add `--refresh` and the ages from which on pages of these kinds are read again."""
    group = parser.add_argument_group("reading again")
    group.add_argument("--refresh", action="store_true", help="read again what can have changed since it was read")
    for kind, days in REFRESH_DAYS.items():
        if kind in kinds:
            what = kind.replace("_", " ")
            group.add_argument(
                f"--{kind.replace('_', '-')}-age-days",
                type=_days,
                default=days,
                metavar="DAYS",
                help=f"with --refresh: {what} pages read so long ago",
            )


def refresh_ages_s(arguments: argparse.Namespace) -> dict[str, float]:
    """Return from which age in seconds on pages of each kind are read again; empty without `--refresh`."""
    ages = {kind: getattr(arguments, f"{kind}_age_days", None) for kind in REFRESH_DAYS}
    return {kind: days * 86_400 for kind, days in ages.items() if arguments.refresh and days is not None}


def crawl_from(arguments: argparse.Namespace) -> CrawlSettings:
    """Return the crawl that the options describe.

    Raises:
        MissingInputError: no sandbox is running, or a file of movie ids is missing.
        UsageError: options that do not fit together.
    """
    site, source, seeds = site_from(arguments)
    movie_ids, uids = [*arguments.movies, *_movies_in(arguments.movies_file)], arguments.users
    if not movie_ids and not uids:
        movie_ids = seeds
    for given in (*movie_ids, *uids):
        if not given.replace("-", "").replace("_", "").replace(".", "").isalnum():
            raise UsageError(
                f"{given!r} is not an id; give the number of a movie, or the number or name in a user's address"
            )
    scope = Scope(
        movie_ids=tuple(dict.fromkeys(movie_ids)),
        uids=tuple(dict.fromkeys(uids)),
        max_users=arguments.max_users,
        max_movies=arguments.max_movies,
        max_requests=arguments.max_requests,
        photo_kinds=arguments.photo_kinds,
        picture_size=arguments.picture_size,
        liker_sources=LIKER_SOURCES[arguments.liker_source],
        k=0 if arguments.everything else arguments.k,
    )
    politeness = politeness_for(site, arguments.contact, arguments.delay_s, arguments.timeout_s, arguments.attempts)
    return CrawlSettings(arguments.crawl, site, source, politeness, scope)


def site_from(arguments: argparse.Namespace) -> tuple[Site, Source, list[str]]:
    """Return the site that `add_site`'s options name, what it is called, and the movies to start from by default.

    Raises:
        MissingInputError: no sandbox is running.
        UsageError: addresses that are none.
    """
    if arguments.site_urls:
        bases = [base.strip().rstrip("/") for base in arguments.site_urls.split(",")]
        if len(bases) != 3 or not all(base.startswith(("http://", "https://")) for base in bases):
            raise UsageError(f"--site-urls {arguments.site_urls!r}: give three http(s) addresses: movie,www,images")
        return Site(*bases), Source(",".join(bases)), []
    if arguments.site == "douban":
        return Site(), Source("douban"), []
    return _sandbox(arguments.site_file)


def _sandbox(path: Path) -> tuple[Site, Source, list[str]]:
    if not path.is_file():
        raise MissingInputError(
            f"{path}: no such file, so no sandbox is running; start one with: python -m crawler sandbox"
        )
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        site = Site(told["movie"], told["www"], told["images"])
        return site, Source("sandbox", dict(told["config"])), list(told["seed_movie_ids"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise MissingInputError(
            f"{path}: not the site file of a sandbox ({error!r}); start one with: python -m crawler sandbox"
        ) from None


def _movies_in(path: Path | None) -> list[str]:
    if path is None:
        return []
    try:
        return path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise MissingInputError(
            f"{path}: cannot be read ({error}); give a text file with one movie id a line"
        ) from None


def _photo_kinds(text: str) -> tuple[str, ...]:
    kinds = tuple(dict.fromkeys(text.split(",")))
    if not set(kinds) <= set(PHOTO_TYPES):
        raise argparse.ArgumentTypeError(f"{text!r}: give some of {', '.join(PHOTO_TYPES)}, separated by commas")
    return kinds


def _ids(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


def _number_of(unit: str, below: float) -> Callable[[str], float]:
    """Return what reads a number of some unit, from 0 to less than `below`."""

    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = -1.0
        if not 0 <= number < below:
            raise argparse.ArgumentTypeError(f"{text!r}: give {unit}, from 0 to less than {below:g}")
        return number

    return read


_seconds, _days = _number_of("seconds", 86_400), _number_of("days", 36_500)
