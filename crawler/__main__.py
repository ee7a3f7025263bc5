"""The commands of `python -m crawler`."""

from collections.abc import Sequence

from dataset.cli import command_line, execute, run

app = command_line(
    "python -m crawler",
    "Crawl movie ratings, frames and likes, politely.\n\n"
    "Exit status: 0 done; 1 an error, in one line; 2 an invalid option; 3 the site refuses us; 4 some pages "
    "failed; 130 stopped by a signal. After 3, 4 or 130, run the same command again to continue.",
    {
        "plan": (
            "crawler.commands.crawling:plan",
            "Show how many requests each stage needs and how long they take; send none.",
        ),
        "ratings": (
            "crawler.commands.crawling:ratings",
            "Read the ratings: comments lead to users, users' collections to ratings, ratings to movies.",
        ),
        "frames": (
            "crawler.commands.crawling:frames",
            "Read the photos of the movies in the k-core of the ratings, with their picture files.",
        ),
        "likes": ("crawler.commands.crawling:likes", "Read who likes which photo."),
        "status": ("crawler.commands.status:status", "Show pages by kind and state, and the causes of failures."),
        "reparse": (
            "crawler.commands.replaying:reparse_archive",
            "Rebuild all tables from the archived pages; send no request.",
        ),
        "forget": ("crawler.commands.replaying:forget_person", "Remove a person from the crawl, permanently."),
        "export": (
            "crawler.commands.exporting:export_tables",
            "Write the raw tables, with pseudonyms for people.",
        ),
        "probe": (
            "crawler.commands.probe:probe",
            "Check with a dozen polite requests what the crawler assumes about the site.",
        ),
        "world": ("crawler.commands.world:world", "Draw an invented world as raw tables, without a site or a crawl."),
        "reference": (
            "crawler.commands.reference:reference",
            "Publish a reference snapshot: an invented world, the same on every machine.",
        ),
        "sandbox": ("crawler.commands.sandbox:sandbox", "Serve the sandbox, a local stand-in for the site."),
    },
)


def main(argv: Sequence[str]) -> None:
    """Run one command."""
    execute(app, argv)


if __name__ == "__main__":
    run(app)
