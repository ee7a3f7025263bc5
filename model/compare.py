"""`python -m model.compare`: which evaluated runs differ by more than chance."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from dataset.cli import command_line, execute, run, say
from dataset.errors import MissingInputError
from model.experiments.folders import DEFAULT_RUNS

app = command_line("python -m model.compare")


@app.default
def compare(
    *,
    runs: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    split: Literal["test", "validation"] = "test",
    to: Path | None = None,
) -> None:
    """Show which differences between evaluated runs are more than chance.

    Every pair of models is tested in every metric; the `comparisons` table holds them all.

    Args:
        runs: folders or names of runs, or the starts of their names (all below data/runs if absent)
        split: the split that the runs were evaluated on
        to: the file to write (comparisons.parquet beside the first run if absent)
    """
    import polars as pl

    from dataset.tables import write_table
    from model.experiments.compare import compare_runs
    from model.experiments.runs.store import find_run
    from model.schema import Comparison

    evaluated = sorted(path.parent for path in DEFAULT_RUNS.glob("*/user_metrics.parquet"))
    folders = [find_run(run) for run in runs] if runs else evaluated
    if not folders:
        raise MissingInputError(f"{DEFAULT_RUNS}: no evaluated run there; run `python -m model.evaluate` first")
    comparisons = compare_runs(folders, split)
    path = to or folders[0].parent / "comparisons.parquet"
    write_table(comparisons, Comparison, path)
    for task, metric, k in (("item", "ndcg", 15), ("frame", "ndcg", 3)):
        rows = comparisons.filter(pl.col("task").cast(pl.String) == task, metric=metric, k=k)
        if rows.height:
            say(f"{task} {metric.upper()}@{k}, {rows['n_users'][0]:,} users:")
        for row in rows.iter_rows(named=True):
            say(
                f"  {row['model']} {row['value']:.4f}, {row['other']} {row['other_value']:.4f}: "
                f"{row['difference']:+.4f} ({row['ci_low']:+.4f} to {row['ci_high']:+.4f}), "
                f"p = {row['p_holm']:.2g} after Holm: {'real' if row['is_real'] else 'may be chance'}"
            )
    say(f"All comparisons: {path}")


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    execute(app, argv)


if __name__ == "__main__":
    run(app)
