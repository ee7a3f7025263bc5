"""`python -m model.evaluate`: evaluate a trained run, or another tool's recommendations, on held-out data.

The metrics and their names are described in `evaluation/evaluate.py`.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from dataset.cli import FLAT, CountOrZero, command_line, execute, say
from dataset.cli import run as run_command
from dataset.errors import UsageError
from dataset.progress import progress
from model.evaluation.config import EvaluationConfig, ListColumns, Protocol
from model.experiments.folders import DEFAULT_RUNS

if TYPE_CHECKING:
    import polars as pl

app = command_line("python -m model.evaluate")
_MANY_SCORES = 20_000_000  # a progress bar is shown for more scores than this
_PAPER_METRICS = ("hr", "ndcg")
_HEADLINE_K = 15


@app.default
def evaluate_run(
    *,
    run: str | None = None,
    recommendations: Path | None = None,
    name: str | None = None,
    run_seed: CountOrZero = 0,
    columns: Annotated[ListColumns, FLAT] = ListColumns(),  # noqa: B008 - frozen
    snapshot: Path | None = None,
    split: Literal["test", "validation"] = "test",
    config: Annotated[EvaluationConfig, FLAT] = EvaluationConfig(),  # noqa: B008 - frozen
    device: str = "cpu",
    runs: Path = DEFAULT_RUNS,
) -> None:
    """Evaluate a trained run, or recommendations that another tool has made, on held-out data.

    Args:
        run: a run's folder or name, or the start of its name (python -m model runs lists them)
        recommendations: a file of recommendations, in place of a run: a user, an item, and a score or rank per row
        name: what results call the recommendations
        run_seed: the seed that the other tool was run with; files of one name and several seeds count as one model
        columns: the columns of the file of recommendations
        snapshot: the run's snapshot, if the snapshot was moved after training; for recommendations, their snapshot (the
            newest if absent)
        split: the split to evaluate on
        config: the protocol
        device: cpu or cuda
        runs: the parent of the folder for the results of recommendations
    """
    if (run is None) == (recommendations is None):
        raise UsageError("name what is evaluated: either --run, or --recommendations with --name")
    if recommendations is not None:
        if name is None:
            raise UsageError("--recommendations needs --name, by which results call them")
        _evaluate_recommendations(recommendations, name, run_seed, columns, snapshot, split, config, runs)
    elif run is not None:
        _evaluate_run(run, snapshot, split, config, device)


def _evaluate_recommendations(
    path: Path,
    name: str,
    run_seed: int,
    columns: ListColumns,
    snapshot: Path | None,
    split: str,
    config: EvaluationConfig,
    runs: Path,
) -> None:
    from model.experiments.recommendations import judge_recommendations
    from model.experiments.run_folder import find_snapshot

    opened = find_snapshot(snapshot)
    with progress("users") as bar:
        task = bar.add_task(f"Evaluating {name}", total=None)

        def on_users(n: int, n_users: int) -> None:
            bar.update(task, advance=n, total=n_users)

        judged = judge_recommendations(path, name, opened, split, config, columns, run_seed, runs, on_users)
    say(f"{name} on {opened.label}, {split} split: {judged.facts['n_rows']:,} recommendations in {path.name}")
    for note in judged.notes:
        say(f"  {note}")
    k = max((k for k in judged.config.item_ks if k <= _HEADLINE_K), default=min(judged.config.item_ks))
    say(_lines(judged.evaluation.metrics, judged.config.protocol, k))
    say(f"All metrics: {judged.folder / 'metrics.parquet'}\nNext: python -m model.compare --runs {judged.folder} <run>")


def _evaluate_run(run: str, snapshot: Path | None, split: str, config: EvaluationConfig, device: str) -> None:
    from model.evaluation.evaluate import evaluate
    from model.experiments.run_folder import open_run, write_evaluation
    from model.experiments.runs.store import find_run, lock_run
    from model.models.held_out_frames import scorer_of
    from model.training.device import use_device

    use_device(device)
    folder = find_run(run)
    opened, data = open_run(folder, snapshot, device)
    scorer, n_users = scorer_of(opened.model, data), len(data.ids.users)
    is_long = n_users * len(data.ids.movies) > _MANY_SCORES
    started = time.perf_counter()
    with progress("users") as bar:
        task = bar.add_task(f"Evaluating {opened.model_name}", total=n_users, visible=is_long)
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


def _lines(metrics: "pl.DataFrame", protocol: Protocol, item_k: int = _HEADLINE_K) -> str:
    """Return one line per headline metric."""
    import polars as pl

    prefix = "full_" if protocol == "full" else ""
    wanted = [("item", f"{prefix}{name}", item_k) for name in _PAPER_METRICS]
    wanted += [("item", f"sampled_{name}", item_k) for name in _PAPER_METRICS if protocol == "sampled"]
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
