"""The command export: write the raw tables of a crawl."""

from pathlib import Path

from crawler.commands.options import DEFAULT_CRAWL
from crawler.export import export
from dataset.cli import say


def export_tables(*, crawl: Path = DEFAULT_CRAWL, to: Path = DEFAULT_CRAWL.parent / "raw") -> None:
    """Write the raw tables, with pseudonyms for people.

    Args:
        crawl: the crawl's private folder
        to: the raw folder
    """
    counts = export(crawl, to)
    tables = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in counts.items() if name != "quarantine")
    say(f"Exported to {to}: {tables}; {counts['quarantine']:,} left out (quarantine.parquet says why).")
    say(f"Next: python -m dataset build --raw {to} --to <folder>")
