"""`python -m crawler probe`: check the crawler's assumptions about the site before the first crawl."""

import argparse
import json

from crawler.commands.options import add_site, site_from
from crawler.probe import Probe, advice
from crawler.spiders.politeness import politeness_for
from dataset.errors import RefusedError

KNOWN_MOVIE_ID = "1292052"  # on the real site: one with many photos and comments

HELP = "check with a dozen polite requests what the crawler assumes about the site; run it before the first crawl"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to its parser."""
    add_site(parser)
    parser.add_argument("--movie", metavar="ID", help="a movie with many photos and comments")


def run(arguments: argparse.Namespace) -> None:
    """Check the assumptions, print each finding at once, and then the settings that follow.

    Raises:
        UsageError: the site is not on loopback and --contact is missing.
        MissingInputError: no sandbox is running.
        RefusedError: the site refuses us; nothing more was requested.
    """
    site, _, _ = site_from(arguments)
    politeness = politeness_for(site, arguments.contact, arguments.delay_s, arguments.timeout_s)
    probe = Probe(site, politeness, arguments.movie or _movie_of(arguments))
    last = None
    for last in probe.findings():
        print(f"{last.answered:<8} {last.point:<38} {last.detail}", flush=True)
    print(f"{probe.n_requests} requests. {advice(probe)}")
    if last and last.answered == "refused":
        raise RefusedError(f"the site refuses us ({last.detail}), so nothing more was requested; try again tomorrow")


def _movie_of(arguments: argparse.Namespace) -> str:
    """Return a movie with many photos: the running sandbox names one; on the real site one is known."""
    if arguments.site == "sandbox" and not arguments.site_urls:
        return str(json.loads(arguments.site_file.read_text(encoding="utf-8"))["probe_movie_id"])
    return KNOWN_MOVIE_ID
