"""`python -m model.bundle`: pack the results of runs into one file that others can check.

What the file holds is described in `bundles/contents.py`.
"""

from collections.abc import Sequence
from pathlib import Path

from dataset.cli import command_line, execute, run, say
from dataset.errors import UsageError
from model.experiments.folders import DEFAULT_BUNDLES, DEFAULT_RUNS

app = command_line("python -m model.bundle")


@app.default
def bundle_results(
    *named: str,
    to: Path | None = None,
    replace: bool = False,
    runs: Path = DEFAULT_RUNS,
) -> None:
    """Pack the test results of an experiment, or of some runs, into one file that others can check.

    Args:
        named: an experiment's folder; or folders or names of runs, or the starts of their names
        to: the file to write (below data/bundles if absent)
        replace: replace the file if it exists
        runs: the parent of all run folders
    """
    from model.bundles.packing import find_source, pack

    if not named:
        raise UsageError("name an experiment's folder, or runs (python -m model runs lists them)")
    source = find_source(named, runs)
    path = to or DEFAULT_BUNDLES / f"{source.name}.zip"
    if path.exists() and not replace:
        raise UsageError(f"{path}: already exists; name another file with --to, or pass --replace")
    manifest = pack(source, path)
    models = list(dict.fromkeys(run.label for run in manifest.runs))
    say(f"{path}: {len(manifest.runs):,} runs of {len(models):,} models on {manifest.snapshot}: {', '.join(models)}")
    say(
        "It holds the snapshot's pseudonyms of people with their test items and liked frames: share it with nobody who "
        "may not have the snapshot."
    )
    say(f"Next: python -m model.verify_results {path}")


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    execute(app, argv)


if __name__ == "__main__":
    run(app)
