"""`python -m model.compare`: which evaluated runs differ by more than chance.

It tests every pair of models in every metric and writes the `comparisons` table (see `experiments/compare.py`).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from dataset.cli import ArgumentParser, run
from dataset.errors import MissingInputError
from dataset.schema import HELD_OUT_SPLITS, Comparison
from dataset.tables import write_table
from model.experiments.compare import compare_runs
from model.experiments.run_folder import DEFAULT_RUNS


def main(argv: Sequence[str]) -> None:
    """Compare runs, write the table and print the headline metrics."""
    arguments = _parser().parse_args(argv)
    runs = arguments.runs or sorted(path.parent for path in DEFAULT_RUNS.glob("*/user_metrics.parquet"))
    if not runs:
        raise MissingInputError(f"{DEFAULT_RUNS}: no evaluated run there; run `python -m model.evaluate` first")
    comparisons = compare_runs(runs, arguments.split)
    written = arguments.to or runs[0].parent / "comparisons.parquet"
    write_table(comparisons, Comparison, written)
    for task, metric, k in (("item", "ndcg", 15), ("frame", "ndcg", 3)):
        rows = comparisons.filter(pl.col("task").cast(pl.String) == task, metric=metric, k=k)
        if rows.height:
            print(f"{task} {metric.upper()}@{k}, {rows['n_users'][0]:,} users:")
        for row in rows.iter_rows(named=True):
            verdict = "real" if row["is_real"] else "may be chance"
            print(
                f"  {row['model']} {row['value']:.4f}, {row['other']} {row['other_value']:.4f}: "
                f"{row['difference']:+.4f} ({row['ci_low']:+.4f} to {row['ci_high']:+.4f}), "
                f"p = {row['p_holm']:.2g} after Holm: {verdict}"
            )
    print(f"All comparisons: {written}")


def _parser() -> argparse.ArgumentParser:
    parser = ArgumentParser(
        prog="python -m model.compare", description="Say which differences between evaluated runs are more than chance."
    )
    parser.add_argument("--runs", type=Path, nargs="+", help="run folders (all below data/runs if absent)")
    parser.add_argument(
        "--split", choices=HELD_OUT_SPLITS[::-1], default="test", help="which split they were evaluated on"
    )
    parser.add_argument("--to", type=Path, help="the file to write (comparisons.parquet beside the first run)")
    return parser


if __name__ == "__main__":
    run(main, "python -m model.compare")
