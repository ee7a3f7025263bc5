"""`python -m model.leaderboard`: verify the bundles of a folder, and show their results on one static page."""

from collections.abc import Sequence
from pathlib import Path

from dataset.cli import command_line, execute, run, say
from dataset.errors import MissingInputError, UsageError
from model.experiments.folders import DEFAULT_BUNDLES

app = command_line("python -m model.leaderboard")


@app.default
def leaderboard(
    folder: Path = DEFAULT_BUNDLES,
    /,
    *,
    to: Path | None = None,
    snapshots: Path = Path("data/snapshots"),
    replace: bool = False,
) -> None:
    """Verify the bundles of a folder, and show their results on one static page, with a table per data set.

    Args:
        folder: the folder of the bundles (.zip)
        to: the page to write (leaderboard.html in the folder if absent); a table of the same name is written beside it
        snapshots: the parent of the snapshots that bundles are verified against
        replace: replace the page and its table if they exist
    """
    from model.bundles.board import judge_folder, write_page

    page = to or folder / "leaderboard.html"
    if page.suffix != ".html":
        raise UsageError(f"--to {page}: name a page that ends in .html")
    if not folder.is_dir():
        raise MissingInputError(f"{folder}: no such folder; `python -m model.bundle` makes bundles")
    for path in (page, page.with_suffix(".parquet")):
        if path.exists() and not replace:
            raise UsageError(f"{path}: already exists; name another page with --to, or pass --replace")
    judged = judge_folder(folder, snapshots)
    write_page(judged, page)
    for one in judged:
        say(f"{one.path.name}: {one.words}")
    say(f"The page is {page}; its numbers are in {page.with_suffix('.parquet')}.")


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    execute(app, argv)


if __name__ == "__main__":
    run(app)
