"""The command probe: check the crawler's assumptions about the site before the first crawl."""

from typing import Annotated

from crawler.commands.options import SiteOptions
from crawler.probe import Probe, advice
from dataset.cli import FLAT, say
from dataset.errors import RefusedError

KNOWN_MOVIE_ID = "1292052"  # a movie of the real site with many photos and comments


def probe(
    *,
    site: Annotated[SiteOptions, FLAT] = SiteOptions(),  # noqa: B008 - frozen
    movie: str | None = None,
) -> None:
    """Check with a dozen polite requests what the crawler assumes about the site; run it before the first crawl.

    Args:
        site: the site and how politely it is read
        movie: a movie with many photos and comments

    Raises:
        UsageError: the site is not on loopback and --contact is missing.
        MissingInputError: no sandbox is running.
        RefusedError: the site refuses us; nothing more was requested.
    """
    where, _, _ = site.resolve()
    checks = Probe(where, site.politeness(where), movie or _known_movie(site))
    last = None
    for last in checks.findings():
        say(f"{last.answered:<8} {last.point:<38} {last.detail}")
    say(f"{checks.n_requests} requests. {advice(checks)}")
    if last and last.answered == "refused":
        raise RefusedError(f"the site refuses us ({last.detail}), so nothing more was requested; try again tomorrow")


def _known_movie(site: SiteOptions) -> str:
    """Return a movie with many photos: the one that the running sandbox names, or a known one of the real site."""
    if site.site == "sandbox" and not site.site_urls:
        return site.sandbox_fields().probe_movie_id or KNOWN_MOVIE_ID
    return KNOWN_MOVIE_ID
