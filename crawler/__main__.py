"""The commands of `python -m crawler`, from `plan` to `forget`; `--help` lists them."""

import argparse
import signal
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from crawler.commands import probe
from crawler.commands.options import (
    DEFAULT_CRAWL,
    add_crawl_folder,
    add_refresh_options,
    add_site_options,
    crawl_from,
    refresh_ages_s,
)
from crawler.commands.status import plan_lines, status_lines, watch
from crawler.forecast import duration, forecast
from crawler.kinds import PERSONAL_KINDS
from crawler.ledger import reports
from crawler.ledger.database import explained
from crawler.ledger.ledger import Ledger
from crawler.ledger.lock import is_locked
from crawler.plan import kinds_of
from crawler.sandbox import command as sandbox
from crawler.spiders.settings import CrawlSettings
from dataset.cli import ArgumentParser, run
from dataset.errors import UsageError

_STAGES = {
    "ratings": "read who watched what: comments lead to users, users' collections to ratings, ratings to movies",
    "frames": "read the photos of the movies that survive the 5-core, with their picture files",
    "likes": "read who likes which photo",
}
_ENDS = (
    "Exit status: 0 done; 1 an error, in one line; 2 a wrong option; 3 the site refuses us, stopped; 4 some pages "
    "failed and wait for another try; 130 stopped by a signal. After each, the same command goes on."
)
_NEXT = {"ratings": "frames", "frames": "likes", "likes": "export"}


def main(argv: Sequence[str]) -> None:
    """Run one command."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except sqlite3.DatabaseError as error:
        raise explained(error, arguments.crawl) from error


def _stage(arguments: argparse.Namespace) -> None:
    from crawler.spiders.run import run_stage  # imported where needed: Scrapy takes a while to load

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until Scrapy takes over: like Ctrl-C
    stage, crawl = arguments.name, crawl_from(arguments)
    with Ledger.open(crawl.crawl_dir, crawl.source, PERSONAL_KINDS) as ledger:
        _require_something_to_read(ledger, crawl)
        reopened = sum(ledger.reopen(kind, time.time() - age_s) for kind, age_s in refresh_ages_s(arguments).items())
        if arguments.refresh:
            print(f"{reopened:,} pages and lists are old enough to be read again.", flush=True)
        outcome = run_stage(stage, crawl, ledger)
        told = reports.contents(ledger, stage)
    gone = f" ({outcome.gone:,} of them gone)" if outcome.gone else ""
    pages = f"{outcome.done + outcome.gone:,} pages{gone}"
    print(f"{stage}: read {pages} in {duration(outcome.seconds)}. The crawl now has {told}.")
    if outcome.left:
        print(f"{outcome.left:,} known pages are left, because of --max-requests; run the same command again to go on.")
    else:
        print(f"Next: python -m crawler {_NEXT[stage]}")


def _require_something_to_read(ledger: Ledger, crawl: CrawlSettings) -> None:
    if not crawl.scope.movie_ids and not crawl.scope.uids and not ledger.has_pages():
        raise UsageError(
            f"{crawl.crawl_dir}: an empty crawl, and nothing to start from; give --movies, --movies-file or --users"
        )


def _plan(arguments: argparse.Namespace) -> None:
    crawl = crawl_from(arguments)
    with Ledger.open(crawl.crawl_dir, crawl.source, PERSONAL_KINDS) as ledger:
        forecasts = forecast(ledger, crawl.scope)
    print("\n".join(plan_lines(forecasts, crawl.politeness.delay_s)))


def _status(arguments: argparse.Namespace) -> None:
    if arguments.watch:
        watch(arguments.crawl)
        return
    with Ledger.read(arguments.crawl) as ledger:
        print("\n".join(status_lines(ledger, time.time(), is_locked(arguments.crawl / "lock"))))


def _reparse(arguments: argparse.Namespace) -> None:
    from crawler.replay import reparse

    told = reparse(arguments.crawl)
    states = ", ".join(f"{n:,} {state}" for state, n in told.states.most_common())
    print(f"Read {told.answers:,} archived answers again, with no request; pages: {states or 'none'}.")
    if told.unarchived:
        print(f"{told.unarchived:,} pages that were done are not in the archive; the next crawl reads them again.")
    print("Next: python -m crawler export")


def _forget(arguments: argparse.Namespace) -> None:
    from crawler.replay import forget

    told = forget(arguments.crawl, arguments.uid)
    print(
        f"Forgotten: {told.answers:,} archived answers were dropped or redacted, the ledger is built anew without "
        "this person, and they will not be crawled again."
    )
    if told.pseudonym:
        print(f"Earlier exports call them {told.pseudonym}; delete those, and export again.")


def _export(arguments: argparse.Namespace) -> None:
    from crawler.export import export

    counts = export(arguments.crawl, arguments.to)
    told = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in counts.items() if name != "quarantine")
    print(f"Exported to {arguments.to}: {told}; {counts['quarantine']:,} left out (quarantine.parquet says why).")
    print(f"Next: python -m dataset build --raw {arguments.to} --to <folder>")


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="python -m crawler", description="Crawl movie ratings, frames and likes, politely.", epilog=_ENDS
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    plan = commands.add_parser("plan", help="say how many requests each stage needs and how long they take; sends none")
    add_crawl_folder(plan)
    add_site_options(plan)
    plan.set_defaults(run=_plan)
    for name, what in _STAGES.items():
        stage = commands.add_parser(name, help=what, description=what)
        add_crawl_folder(stage)
        add_site_options(stage)
        add_refresh_options(stage, kinds_of(name))
        stage.set_defaults(run=_stage, name=name)
    status = commands.add_parser("status", help="show pages by kind and state, and what failed why")
    add_crawl_folder(status)
    status.add_argument("--watch", action="store_true", help="draw it anew every two seconds, until Ctrl-C")
    status.set_defaults(run=_status)
    reparsing = commands.add_parser("reparse", help="build all tables anew from the archived pages; sends no request")
    add_crawl_folder(reparsing)
    reparsing.set_defaults(run=_reparse)
    forgetting = commands.add_parser("forget", help="remove a person from the crawl, for good")
    forgetting.add_argument("uid", metavar="UID", help="the number or name in the address of their profile")
    add_crawl_folder(forgetting)
    forgetting.set_defaults(run=_forget)
    exporting = commands.add_parser("export", help="write the raw tables, with pseudonyms for people")
    add_crawl_folder(exporting)
    exporting.add_argument(
        "--to", type=Path, default=DEFAULT_CRAWL.parent / "raw", metavar="FOLDER", help="the raw folder"
    )
    exporting.set_defaults(run=_export)
    probing = commands.add_parser("probe", help=probe.HELP, description=probe.HELP)
    probe.add_arguments(probing)
    probing.set_defaults(run=probe.run)
    serving = commands.add_parser("sandbox", help="serve the sandbox, a local stand-in for the site")
    sandbox.add_arguments(serving)
    serving.set_defaults(run=sandbox.run)
    return parser


if __name__ == "__main__":
    run(main, "python -m crawler")
