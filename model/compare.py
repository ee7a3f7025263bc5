"""Which models really differ: `python -m model.compare --runs <folder> <folder> …`.

Reads the `user_metrics` of evaluated runs (several seeds of a model are runs of the same model),
tests every pair of models in every metric (`model.evaluation.uncertainty.compare`), and writes the
`comparisons` table. Runs of one model with other settings are models of their own there, called
by what tells them apart (`bpr dim=64`).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from dataset.cli import ArgumentParser, run
from dataset.errors import MissingInputError, UsageError
from dataset.schema import HELD_OUT_SPLITS
from dataset.tables import read_table, write_table
from model.evaluation.uncertainty import compare
from model.experiments.run_folder import DEFAULT_RUNS, evaluation_path, read_description
from model.schema import Comparison, UserMetric


def compare_runs(runs: Sequence[Path], split: str = "test") -> pl.DataFrame:
    """Return the `comparisons` of evaluated runs.

    Raises:
        MissingInputError: a folder is not a run, or has not been evaluated on the split.
        UsageError: the runs are not of the same snapshot, or two are of the same model, settings and seed.
    """
    digests: dict[str, Path] = {}
    seen: dict[tuple[str, int], Path] = {}
    tables = []
    descriptions = [read_description(folder) for folder in runs]
    for folder, description, label in zip(runs, descriptions, _labels(descriptions), strict=True):
        digests.setdefault(description["snapshot"]["content_digest"], folder)
        first = seen.setdefault((label, description["seed"]), folder)
        if first != folder:
            raise UsageError(f"{first} and {folder} are both {label} with seed {description['seed']}; leave one out")
        path = evaluation_path(folder, split, "user_metrics")
        if not path.is_file():
            raise MissingInputError(f"{path}: no such table; run `python -m model.evaluate --run {folder}` first")
        tables.append(read_table(path, UserMetric).with_columns(model=pl.lit(label)))
    if len(digests) > 1:
        one, another, *_ = digests.values()
        raise UsageError(f"{one} and {another} are of different snapshots; compare runs on the same data")
    return compare(pl.concat(tables))


def _labels(descriptions: Sequence[dict[str, Any]]) -> list[str]:
    """Return what to call the model of each run: its name, and the settings in which runs of it differ."""
    labels = []
    for description in descriptions:
        alike = [_settings(other) for other in descriptions if other["model"] == description["model"]]
        differing = [
            f"{key}={value}" for key, value in _settings(description).items() if any(s.get(key) != value for s in alike)
        ]
        labels.append(" ".join([description["model"], *differing]))
    return labels


def _settings(description: dict[str, Any]) -> dict[str, Any]:
    return {**description["config"], **description["training"]}


def main(argv: Sequence[str]) -> None:
    """Compare runs, write the table and say which differences of the headline metrics are real."""
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
    parser.add_argument("--runs", type=Path, nargs="+", help="folders of runs (all below data/runs if absent)")
    parser.add_argument("--split", choices=HELD_OUT_SPLITS[::-1], default="test", help="on which they were evaluated")
    parser.add_argument("--to", type=Path, help="the file to write (comparisons.parquet beside the first run)")
    return parser


if __name__ == "__main__":
    run(main, "python -m model.compare")
