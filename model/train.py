"""Training from the command line: `python -m model.train` trains JIFR on the newest snapshot.

Writes a run folder (see `runs`) and ends by saying in words what the model beat on validation.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from dataset.cli import ArgumentParser, progress, run, whole_number
from dataset.errors import PipelineError
from model.data.tables import Tables, index_ids
from model.data.tensors import held_out_items, training_data
from model.evaluation.config import EvaluationConfig
from model.evaluation.evaluate import evaluate
from model.experiments.run_folder import (
    DEFAULT_RUNS,
    describe_run,
    find_snapshot,
    read_tables,
    resume_run,
    run_folder,
    start_run,
    write_checkpoint,
    write_evaluation,
    write_run,
)
from model.experiments.settings import apply_settings, read_settings
from model.models.registry import MODELS, default_config, make_model
from model.training.config import TrainingConfig
from model.training.device import use_device
from model.training.trainer import Epoch, TrainedRun, Trainer


class StoppedError(PipelineError):
    """Training was stopped from the keyboard. Exit status 130, as the shell has it."""

    exit_status = 130


_SHOWN = (("item", "full_ndcg", 15), ("frame", "ndcg", 3))
_VALIDATION = EvaluationConfig(protocol="full")


def main(argv: Sequence[str]) -> None:
    """Train a model and write its run folder."""
    arguments = _parser().parse_args(argv)
    settings = read_settings(arguments.config, arguments.set)
    model_name = str(arguments.model or settings.get("model", "jifr"))
    settings.pop("model", None)
    seed = arguments.seed
    if arguments.epochs is not None:
        settings["epochs"] = arguments.epochs
    config, training = apply_settings(settings, default_config(model_name), TrainingConfig())
    use_device(arguments.device, arguments.threads)

    snapshot = find_snapshot(arguments.snapshot)
    tables = read_tables(snapshot)
    ids = index_ids(tables)
    data, validation = training_data(tables, ids), held_out_items(tables, ids, "validation")
    has_validation = len(validation.positives.values) > 0
    trainer = Trainer(
        data, validation if has_validation else None, model_name, config, training, seed, arguments.device
    )

    folder = run_folder(arguments.runs, model_name, snapshot, seed)
    description = describe_run(model_name, config, training, seed, snapshot)
    print(
        f"Training {model_name} on {snapshot.label}: {data.n_users:,} users, {data.n_items:,} movies, "
        f"{len(data.positives.values):,} train interactions."
    )
    if arguments.resume:
        print(f"Resuming after epoch {resume_run(folder, description, trainer)}.")
    else:
        start_run(folder, description)
    try:
        trained = _train(trainer, training, folder)
    except KeyboardInterrupt:
        raise StoppedError(
            f"stopped after epoch {len(trainer.epochs)}; add --resume to the same command to go on"
        ) from None
    write_run(folder, model_name, seed, trained)

    if has_validation:
        scorer = trained.model.scorer()
        evaluation = evaluate(scorer, tables, "validation", model_name, seed, _VALIDATION, arguments.device)
        write_evaluation(folder, "validation", evaluation)
        print(_in_words(model_name, evaluation.metrics, _baselines(tables, model_name, seed)))
    print(f"Run: {folder}\nNext: python -m model.evaluate --run {folder}")


def _train(trainer: Trainer, training: TrainingConfig, folder: Path) -> TrainedRun:
    """Train to the end with a progress bar, writing a checkpoint after every epoch."""
    with progress("epochs") as bar:
        task = bar.add_task("training", total=training.epochs, completed=len(trainer.epochs), note="")

        def on_epoch(epoch: Epoch) -> None:
            write_checkpoint(folder, trainer)
            bar.update(task, advance=1, note=str(epoch))

        trained = trainer.run(on_epoch)
        bar.update(task, total=len(trainer.epochs))
        return trained


def _baselines(tables: Tables, model_name: str, seed: int) -> pl.DataFrame:
    """Return the validation metrics of most popular and random."""
    data = training_data(tables, index_ids(tables))
    judged = []
    for name in ("popular", "random"):
        if name != model_name:
            scorer = make_model(name, default_config(name), data, seed).scorer()
            judged.append(evaluate(scorer, tables, "validation", name, seed, _VALIDATION).metrics)
    return pl.concat(judged)


def _in_words(model_name: str, metrics: pl.DataFrame, baselines: pl.DataFrame) -> str:
    """Return a line a task: the model's value, and how it compares with each baseline."""
    lines = []
    for task, metric, k in _SHOWN:
        chosen = (pl.col("task").cast(pl.String) == task) & (pl.col("metric") == metric) & (pl.col("k") == k)
        of_model = metrics.filter(chosen)["value"].to_list()
        if not of_model:
            lines.append(f"  {task}s: none to judge ({model_name} ranks no {task}s, or validation has no likes).")
            continue
        compared = [
            _compared(name, of_model[0], value)
            for name, value in baselines.filter(chosen).select("model", "value").iter_rows()
        ]
        lines.append(f"  {task}s: NDCG@{k} {of_model[0]:.4f}; " + "; ".join(compared) + ".")
    return "On validation:\n" + "\n".join(lines)


def _compared(name: str, value: float, baseline: float) -> str:
    words = {"popular": "most popular", "random": "random"}[name]
    if value == baseline:
        return f"as good as {words}"
    verb = "beats" if value > baseline else "does not beat"
    ratio = f", {value / baseline:.2f} times" if baseline else ""
    return f"{verb} {words} ({baseline:.4f}{ratio})"


def _parser() -> argparse.ArgumentParser:
    parser = ArgumentParser(
        prog="python -m model.train",
        description="Train a model on a snapshot. With no option: JIFR on the newest one below data/snapshots.",
    )
    parser.add_argument("--model", help=f"one of {', '.join(MODELS)} (jifr if absent)")
    parser.add_argument("--epochs", type=whole_number(0), help="epochs at most, short for --set epochs=…")
    parser.add_argument("--resume", action="store_true", help="go on with the run of this name where it stopped")
    parser.add_argument("--runs", type=Path, default=DEFAULT_RUNS, help="the folder of all runs")
    add_common_options(parser)
    return parser


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that training and tuning share."""
    parser.add_argument("--snapshot", type=Path, help="a snapshot's folder (the newest if absent)")
    parser.add_argument("--seed", type=whole_number(0), default=0, help="of initial values, batches and negatives")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting, for example visual_dim=64; may repeat",
    )
    parser.add_argument("--config", type=Path, help="a TOML file of settings; --set goes before it")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument(
        "--threads",
        type=whole_number(),
        help="CPU threads (all if absent); one is faster for a small dataset on a busy machine",
    )


if __name__ == "__main__":
    run(main, "python -m model.train")
