"""Evaluates a trained run on held-out data: `python -m model.evaluate --run <folder>`.

The metrics and their names are in `model.evaluation.evaluate`.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from dataset.cli import ArgumentParser, progress, run, whole_number
from dataset.schema import HELD_OUT_SPLITS
from model.evaluation.config import PROTOCOLS, EvaluationConfig, Protocol
from model.evaluation.evaluate import PAPER_METRICS, evaluate
from model.experiments.run_folder import open_run, write_evaluation
from model.training.device import use_device

_MANY_SCORES = 20_000_000  # a progress bar is shown from this many scores


def main(argv: Sequence[str]) -> None:
    """Evaluate a run and write its result tables into its folder."""
    arguments = _parser().parse_args(argv)
    use_device(arguments.device)
    config = EvaluationConfig(protocol=arguments.protocol, n_repeats=arguments.repeats, seed=arguments.seed)
    opened = open_run(arguments.run, arguments.snapshot, arguments.device)
    n_users = len(opened.ids.users)
    with progress("users") as bar:
        line = bar.add_task(
            f"Evaluating {opened.model_name}",
            total=n_users,
            visible=n_users * len(opened.ids.movies) > _MANY_SCORES,
            note="",
        )
        evaluation = evaluate(
            opened.model.scorer(), opened.tables, arguments.split, opened.model_name, opened.seed, config,
            arguments.device, lambda n: bar.advance(line, n),
        )  # fmt: skip
    written = write_evaluation(arguments.run, arguments.split, evaluation)
    print(f"{opened.model_name} on {opened.snapshot_label}, {arguments.split} split:")
    print(_in_words(evaluation.metrics, arguments.protocol))
    print(f"All metrics: {written}")


def _in_words(metrics: pl.DataFrame, protocol: Protocol) -> str:
    """Return one line per headline metric."""
    prefix = "full_" if protocol == "full" else ""
    wanted = [("item", f"{prefix}{name}", 15) for name in PAPER_METRICS] + [
        ("frame", name, 3) for name in PAPER_METRICS
    ]
    if protocol == "sampled":
        wanted[2:2] = [("item", f"sampled_{name}", 15) for name in PAPER_METRICS]
    lines = []
    for task, metric, k in wanted:
        unit = "users" if task == "item" else "user-movie pairs"
        chosen = metrics.filter(pl.col("task").cast(pl.String) == task, pl.col("metric") == metric, pl.col("k") == k)
        for row in chosen.iter_rows(named=True):
            name = metric.upper().replace("FULL_", "full ").replace("SAMPLED_", "sampled ")
            details = f"95 % interval {row['ci_low']:.4f} to {row['ci_high']:.4f}; {row['n_users']:,} {unit}"
            details += f", {row['n_left_out']:,} without a held-out positive left out" if row["n_left_out"] else ""
            details += f"; {row['std']:.4f} between repeats" if row["std"] is not None else ""
            details += f"; negatives {row['negatives_sha256'][:12]}" if row["negatives_sha256"] else ""
            lines.append(f"  {task} {name}@{k}  {row['value']:.4f}  ({details})")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = ArgumentParser(prog="python -m model.evaluate", description="Evaluate a trained run on held-out data.")
    parser.add_argument("--run", type=Path, required=True, help="the folder of a run (python -m model.train makes it)")
    parser.add_argument("--snapshot", type=Path, help="its snapshot, if it has been moved since")
    parser.add_argument("--split", choices=HELD_OUT_SPLITS[::-1], default="test", help="which interactions to rank")
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        default="exact",
        help="exact: the paper's 1,000 negatives, in exact expectation, and all items; sampled: also with negatives "
        "that are really sampled; full: all items only",
    )
    parser.add_argument(
        "--repeats", type=whole_number(), default=10, help="how often negatives are sampled (--protocol sampled)"
    )
    parser.add_argument(
        "--seed", type=whole_number(0), default=0, help="seed of the sampled negatives and the intervals"
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    return parser


if __name__ == "__main__":
    run(main, "python -m model.evaluate")
