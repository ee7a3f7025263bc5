"""`python -m model.verify_results`: check the numbers of a bundle against each other and against the snapshot.

What is checked, and what cannot be detected, is described in `bundles/verify.py`.
"""

from collections.abc import Sequence
from pathlib import Path

from dataset.cli import command_line, execute, run, say

app = command_line("python -m model.verify_results")


@app.default
def verify_results(
    bundle: Path,
    /,
    *,
    snapshot: Path | None = None,
    runs: Path | None = None,
) -> None:
    """Check that all numbers of a bundle follow from its ranks, and that these are possible on its snapshot.

    Args:
        bundle: a file that python -m model.bundle has written
        snapshot: the folder of its snapshot (data/snapshots/<name>/<version> if absent)
        runs: the parent of the folders of its runs: rank again with their weights, and compare
    """
    from model.bundles.reading import open_bundle
    from model.bundles.verify import NOT_DETECTED, snapshot_of, verify_bundle

    opened = open_bundle(bundle)
    data = snapshot_of(opened, snapshot)
    verify_bundle(opened, data)
    manifest, sizes = opened.manifest, {name: table.height for name, table in opened.tables.items()}
    say(f"{bundle}: confirmed for {data.label} ({manifest.snapshot.content_digest[:12]}).")
    say(
        f"  {sizes['held_out_ranks']:,} ranks of {len(manifest.runs):,} runs are possible; {sizes['user_metrics']:,} "
        f"metrics per user, {sizes['metrics']:,} means and {sizes['comparisons']:,} tests follow from them."
    )
    ranked = {}
    if runs is not None:
        from model.bundles.ranking_again import rank_again

        ranked = rank_again(opened, data, runs)
    for name, n_ranks in ranked.items():
        say(f"  {name}: {f'its weights give the same {n_ranks:,} ranks' if n_ranks else 'no weights there'}")
    are_found = bool(ranked) and all(ranked.values())
    say("What this cannot detect:", *(f"  - {words}" for words in NOT_DETECTED[are_found:]), sep="\n")


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    execute(app, argv)


if __name__ == "__main__":
    run(app)
