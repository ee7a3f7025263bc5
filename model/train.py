"""`python -m model.train`: train a model on a snapshot, JIFR on the newest one if nothing is named.

It writes a run folder (see `experiments/run_folder.py`), and ends by saying what the model beats on validation.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from dataset.cli import ArgumentParser, progress, run, whole_number
from model.data.loading import load
from model.experiments.run_folder import DEFAULT_RUNS, describe_run, find_snapshot, resume_run, run_folder, start_run
from model.experiments.settings import apply_settings, read_settings
from model.experiments.training_run import train_and_validate, validate_baselines
from model.models.registry import MODELS, default_config
from model.training.device import use_device
from model.training.trainer import Epoch, Trainer, TrainingConfig

_SHOWN = (("item", "full_ndcg", 15), ("frame", "ndcg", 3))


def main(argv: Sequence[str]) -> None:
    """Train a model and write its run folder."""
    arguments = _parser().parse_args(argv)
    settings = read_settings(arguments.config, arguments.set)
    model_name = str(arguments.model or settings.get("model", "jifr"))
    settings.pop("model", None)
    seed, device = arguments.seed, arguments.device
    if arguments.epochs is not None:
        settings["epochs"] = arguments.epochs
    config, training = apply_settings(settings, default_config(model_name), TrainingConfig())
    use_device(device, arguments.threads)

    snapshot = find_snapshot(arguments.snapshot)
    data = load(snapshot)
    trainer = Trainer(data.training, data.validation, model_name, config, training, seed, device)
    folder = run_folder(arguments.runs, model_name, snapshot, seed)
    description = describe_run(model_name, config, training, seed, snapshot)
    print(
        f"Training {model_name} on {data.label}: {data.training.n_users:,} users, "
        f"{data.training.n_items:,} movies, {len(data.training.positives.values):,} train interactions."
    )
    if arguments.resume:
        print(f"Resuming after epoch {resume_run(folder, description, trainer)}.")
    else:
        start_run(folder, description)

    with progress("epochs") as bar:
        task = bar.add_task("training", total=training.epochs, completed=len(trainer.epochs), note="")

        def on_epoch(epoch: Epoch) -> None:
            bar.update(task, completed=epoch.epoch, note=str(epoch))

        evaluation = train_and_validate(folder, trainer, data, model_name, seed, device, on_epoch)
        bar.update(task, total=len(trainer.epochs))
    if evaluation is not None:
        print(_in_words(model_name, evaluation.metrics, validate_baselines(data, seed)))
    print(f"Run: {folder}\nNext: python -m model.evaluate --run {folder}")


def _in_words(model_name: str, metrics: pl.DataFrame, baselines: pl.DataFrame) -> str:
    """Return one line per task: the model's value, and how it compares with each baseline."""
    lines = []
    for task, metric, k in _SHOWN:
        chosen = (pl.col("task").cast(pl.String) == task) & (pl.col("metric") == metric) & (pl.col("k") == k)
        of_model = metrics.filter(chosen)["value"].to_list()
        if not of_model:
            lines.append(f"  {task}s: nothing to judge ({model_name} ranks no {task}s, or validation has no likes).")
            continue
        compared = [
            _compared(name, of_model[0], value)
            for name, value in baselines.filter(chosen).select("model", "value").iter_rows()
            if name != model_name
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
    parser.add_argument("--epochs", type=whole_number(0), help="most epochs, short for --set epochs=…")
    parser.add_argument("--resume", action="store_true", help="continue the run of this name where it stopped")
    parser.add_argument("--runs", type=Path, default=DEFAULT_RUNS, help="the parent of all run folders")
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
    parser.add_argument("--config", type=Path, help="a TOML file of settings; --set overrides it")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument(
        "--threads",
        type=whole_number(),
        help="CPU threads (all if absent); one is faster for a small dataset on a busy machine",
    )


if __name__ == "__main__":
    run(main, "python -m model.train")
