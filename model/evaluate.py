"""`python -m model.evaluate`: evaluate a trained run on held-out data.

The metrics and their names are described in `evaluation/evaluate.py`.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import polars as pl

from dataset.cli import FLAT, command_line, execute, progress, say
from dataset.cli import run as run_command
from model.evaluation.config import EvaluationConfig, Protocol

app = command_line("python -m model.evaluate")
_MANY_SCORES = 20_000_000  # a progress bar is shown for more scores than this
_PAPER_METRICS = ("hr", "ndcg")


@app.default
def evaluate_run(
    *,
    run: str,
    snapshot: Path | None = None,
    split: Literal["test", "validation"] = "test",
    config: Annotated[EvaluationConfig, FLAT] = EvaluationConfig(),  # noqa: B008 - frozen
    device: str = "cpu",
) -> None:
    """Evaluate a trained run on held-out data.

    Args:
        run: a run's folder or name, or the start of its name (python -m model runs lists them)
        snapshot: the run's snapshot, if the snapshot was moved after training
        split: the split to evaluate on
        config: the protocol
        device: cpu or cuda
    """
    from model.evaluation.evaluate import evaluate
    from model.experiments.run_folder import open_run, write_evaluation
    from model.experiments.runs.store import find_run, lock_run
    from model.training.device import use_device

    use_device(device)
    folder = find_run(run)
    opened, data = open_run(folder, snapshot, device)
    scorer, n_users = opened.model.scorer(), len(data.ids.users)
    is_long = n_users * len(data.ids.movies) > _MANY_SCORES
    started = time.perf_counter()
    with progress("users") as bar:
        task = bar.add_task(f"Evaluating {opened.model_name}", total=n_users, visible=is_long, note="")
        evaluation = evaluate(
            scorer, data.tables, split, opened.model_name, opened.seed, config, device, lambda n: bar.advance(task, n)
        )
    with lock_run(folder):
        path = write_evaluation(folder, split, evaluation, config, time.perf_counter() - started)
    say(f"{opened.model_name} on {data.label}, {split} split:")
    say(_lines(evaluation.metrics, config.protocol))
    if reason := opened.model.upper_bound:
        say(f"  an upper bound: {reason}")
    say(f"All metrics: {path}")


def _lines(metrics: pl.DataFrame, protocol: Protocol) -> str:
    """Return one line per headline metric."""
    prefix = "full_" if protocol == "full" else ""
    wanted = [("item", f"{prefix}{name}", 15) for name in _PAPER_METRICS]
    wanted += [("item", f"sampled_{name}", 15) for name in _PAPER_METRICS if protocol == "sampled"]
    wanted += [("frame", name, 3) for name in _PAPER_METRICS]
    lines = []
    for task, metric, k in wanted:
        unit, reason = ("users", "no held-out movie") if task == "item" else ("user-movie pairs", "no features")
        chosen = metrics.filter(pl.col("task").cast(pl.String) == task, pl.col("metric") == metric, pl.col("k") == k)
        for row in chosen.iter_rows(named=True):
            name = metric.upper().replace("FULL_", "full ").replace("SAMPLED_", "sampled ")
            details = f"95 % interval {row['ci_low']:.4f} to {row['ci_high']:.4f}; {row['n_users']:,} {unit}"
            details += f", {row['n_left_out']:,} left out ({reason})" if row["n_left_out"] else ""
            details += f"; {row['std']:.4f} between repeats" if row["std"] is not None else ""
            details += f"; negatives {row['negatives_sha256'][:12]}" if row["negatives_sha256"] else ""
            lines.append(f"  {task} {name}@{k}  {row['value']:.4f}  ({details})")
    return "\n".join(lines)


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    execute(app, argv)


if __name__ == "__main__":
    run_command(app)
