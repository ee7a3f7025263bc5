"""`python -m model.train`: train a model on a snapshot (by default JIFR on the newest snapshot)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from dataset.cli import FLAT, CountOrZero, command_line, execute, run, say
from dataset.errors import UsageError
from model.experiments.folders import DEFAULT_RUNS
from model.experiments.training_options import TrainingOptions

app = command_line("python -m model.train")


@app.default
def train(
    *,
    options: Annotated[TrainingOptions, FLAT] = TrainingOptions(),  # noqa: B008 - frozen
    epochs: CountOrZero | None = None,
    batch_size: str | None = None,
    resume: bool = False,
    fresh: bool = False,
    runs: Path = DEFAULT_RUNS,
) -> None:
    """Train a model on a snapshot; by default JIFR, on the newest snapshot below data/snapshots.

    The same command again finds the finished run, or continues the unfinished one. Other settings are another run.

    Args:
        epochs: maximum number of epochs; the same as --set epochs=…
        batch_size: positives per batch, the same as --set batch_size=…; or auto: what suits the data and the device,
            written into the run (what suits the data if absent)
        resume: only continue the stopped run of these settings; an error if there is none
        fresh: train another run of the same settings beside the one that is there
        runs: the parent of all run folders
        options: the options that training and tuning share
    """
    from dataset.wording import wording_of
    from model.data.loading import load
    from model.evaluation.config import EvaluationConfig
    from model.experiments.console import train_on_console
    from model.experiments.run_folder import find_snapshot
    from model.experiments.run_task import ask_for
    from model.experiments.settings import read_settings, settings_of_model, take_model_name, with_batches_for
    from model.experiments.tracking import open_tracker, require_tool
    from model.experiments.training_run import settings_without_effect
    from model.models.registry import MODELS
    from model.training.device import use_device

    if resume and fresh:
        raise UsageError("--resume and --fresh exclude each other; give one of them")
    require_tool(options.log)
    given = {"epochs": epochs, "batch_size": None if batch_size == "auto" else batch_size}
    settings = read_settings(options.config, options.assignments)
    settings |= {name: value for name, value in given.items() if value is not None}
    model_name = take_model_name(settings, options.model)
    config, training = settings_of_model(settings, model_name)
    use_device(options.device, options.threads)
    snapshot = find_snapshot(options.snapshot, options.features)
    data = load(snapshot, options.seed)
    if batch_size == "auto":
        training = with_batches_for(options.device, model_name, training, len(data.training.positives.values))
    task = ask_for(runs, snapshot, model_name, config, training, options.seed, EvaluationConfig(), fresh)
    items = wording_of(snapshot.manifest.provenance).items
    say(
        f"Training {model_name} on {data.label}: {data.training.n_users:,} users, "
        f"{data.training.n_items:,} {items}, {len(data.training.positives.values):,} train interactions.",
        *([f"Batches of {training.batch_size:,} positives."] if batch_size == "auto" and training.batch_size else []),
        *settings_without_effect([*settings, *(["batch_size"] if batch_size else [])], model_name),
        sep="\n",
    )
    if reason := MODELS[model_name].model_class.upper_bound:
        say(f"An upper bound: {reason}.")
    with open_tracker(options.log) as tracker:
        train_on_console(task, data, options.device, resume, tracker)
    say(f"Run: {task.folder}\nNext: python -m model.evaluate --run {task.folder}")


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    execute(app, argv)


if __name__ == "__main__":
    run(app)
