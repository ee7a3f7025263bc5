"""The command export: write the raw tables of a crawl."""

from pathlib import Path

from crawler.commands.options import DEFAULT_CRAWL
from crawler.commands.status import alarm_lines
from crawler.export import export
from crawler.ledger.ledger import Ledger
from dataset.cli import say
from dataset.placeholders.raw_folder import placeholders_of_raw


def export_tables(*, crawl: Path = DEFAULT_CRAWL, to: Path = DEFAULT_CRAWL.parent / "raw") -> None:
    """Write the raw tables, with pseudonyms for people.

    Args:
        crawl: the crawl's private folder
        to: the raw folder
    """
    counts = export(crawl, to)
    tables = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in counts.items() if name != "quarantine")
    say(f"Exported to {to}: {tables}; {counts['quarantine']:,} left out (quarantine.parquet says why).")
    with Ledger.read(crawl) as ledger:
        for line in alarm_lines(ledger):
            say(f"  {line}")
    for note in placeholders_of_raw(to):
        say(f"  note: {note}")
    say(f"Next: python -m dataset build --raw {to} --to <folder>")
