"""The command `python -m flows forget`: remove a person from a crawl and from Prefect's history."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from crawler.commands.options import DEFAULT_CRAWL
from dataset.cli import command_line, execute, run, say
from dataset.snapshots import DEFAULT_ROOT

app = command_line("python -m flows.forget")


@app.default
def forget_person(uid: str, /, *, crawl: Path = DEFAULT_CRAWL, snapshots: Path = DEFAULT_ROOT) -> None:
    """Remove a person from the crawl and from the history of Prefect's runs, permanently.

    Args:
        uid: the number or name in the address of their profile
        crawl: the crawl's private folder
        snapshots: folder of published snapshots, searched for this person
    """
    # Imported here, because Prefect takes seconds to load.
    from crawler.commands.replaying import report_forgotten
    from crawler.forget import forget
    from flows.server.history import History
    from flows.server.home import locked, prefect_home

    home = prefect_home()
    history = History(home)
    history.check()
    with locked(home) if home.is_dir() else nullcontext():
        report_forgotten(forget(crawl, uid, (crawl.parent, snapshots), history.remove))
    tables = ", ".join(f"{count:,} in {table}" for table, count in sorted(history.values.items()))
    say(
        f"Forgotten in Prefect's home {home} too: {history.values.total():,} values of its database were changed"
        f"{f' ({tables})' if tables else ''}, and {history.files:,} files were changed or deleted."
    )
    if "deployment" in history.values:
        say("Deployments named this person: check what is left of their parameters before the next run.")
    if history.same_words:
        say(f"In {history.same_words:,} values the same words stay, since Prefect or the flows use these words too.")
    say("Not removed: copies that others have downloaded, backups, and the histories of other Prefect servers.")


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    execute(app, argv)


if __name__ == "__main__":
    run(app)
