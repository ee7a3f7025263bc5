"""The command probe: check the crawler's assumptions about the site before the first crawl."""

import shlex
from pathlib import Path
from typing import Annotated

from crawler.commands.options import DEFAULT_CRAWL, SiteOptions
from crawler.probe.document import write_probe
from crawler.probe.findings import Probe
from dataset.cli import FLAT, say
from dataset.errors import RefusedError
from dataset.progress import progress

KNOWN_MOVIE_ID = "1292052"  # a movie of the real site with many photos and comments


def probe(
    *,
    crawl: Path = DEFAULT_CRAWL,
    site: Annotated[SiteOptions, FLAT] = SiteOptions(),  # noqa: B008 - frozen
    movie: str | None = None,
) -> None:
    """Check with a dozen polite requests per host what the crawler assumes; run it before the first crawl.

    It writes probe.json beside the crawl folder, which plan and --via auto read.

    Args:
        crawl: the crawl's private folder
        site: the site and how politely it is read
        movie: a movie with many photos and comments

    Raises:
        UsageError: the site is not on loopback and --contact is missing.
        MissingInputError: no sandbox is running.
        PipelineError: probe.json cannot be written.
        RefusedError: the site refuses us; nothing more was requested from that host.
    """
    where, source, _ = site.resolve()
    movie = movie or _known_movie(site)
    checks = Probe(where, site.politeness(where), movie)
    with progress("checks") as bar:
        task = bar.add_task("Probing", total=None)
        for found in checks.findings():
            say(f"{found.answered:<8} {found.point:<44} {found.detail}")
            bar.update(task, advance=1, note=f"{checks.n_requests} requests")
    command = recommended(crawl, site, movie, checks.liker_source())
    path = write_probe(crawl, source, checks, command)
    hosts = ", ".join(f"{n} to the {role} host" for role, n in checks.ask.n_requests.items())
    say(f"{checks.n_requests} requests ({hosts}); written to {path}. {advice(checks.liker_source())}")
    say(f"Recommended: {command}")
    if refusals := checks.refused():
        raise RefusedError(
            f"the site refuses us ({'; '.join(one.detail for one in refusals)}), so nothing more was requested there; "
            "try again tomorrow"
        )


def recommended(crawl: Path, site: SiteOptions, movie: str, liker_source: str | None) -> str:
    """Return the command line of a first crawl; the sources of its topics are in probe.json.

    The sandbox names the movies to start from; on another site, the crawl starts from the movie that was probed.
    """
    words = ["python", "-m", "crawler", "ratings"]
    if site.site_urls:
        words += ["--site-urls", site.site_urls, "--movies", movie]
    elif site.site != "sandbox":
        words += ["--site", site.site, "--movies", movie]
    elif site.site_file != SiteOptions().site_file:
        words += ["--site-file", str(site.site_file)]
    if site.contact:
        words += ["--contact", site.contact]
    if crawl != DEFAULT_CRAWL:
        words += ["--crawl", str(crawl)]
    if liker_source == "user_likes":
        words += ["--liker-source", liker_source]
    return shlex.join(words)


def advice(liker_source: str | None) -> str:
    """Return in words how likes can be read, according to the findings."""
    match liker_source:
        case None:
            return "Likes: the findings do not show which --liker-source to use."
        case "none":
            return "Likes cannot be read from here: crawl only ratings and frames."
    return f"Likes: --liker-source {liker_source}."


def _known_movie(site: SiteOptions) -> str:
    """Return a movie with many photos: the one that the running sandbox names, or a known one of the real site."""
    if site.site == "sandbox" and not site.site_urls:
        return site.sandbox_fields().probe_movie_id or KNOWN_MOVIE_ID
    return KNOWN_MOVIE_ID
