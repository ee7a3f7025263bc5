"""`python -m model.train`: train a model on a snapshot (by default JIFR on the newest snapshot)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from dataset.cli import FLAT, CountOrZero, command_line, execute, run, say
from dataset.progress import progress
from model.experiments.folders import DEFAULT_RUNS
from model.experiments.training_options import TrainingOptions

app = command_line("python -m model.train")


@app.default
def train(
    *,
    options: Annotated[TrainingOptions, FLAT] = TrainingOptions(),  # noqa: B008 - frozen
    epochs: CountOrZero | None = None,
    resume: bool = False,
    runs: Path = DEFAULT_RUNS,
) -> None:
    """Train a model on a snapshot; by default JIFR, on the newest snapshot below data/snapshots.

    Args:
        epochs: maximum number of epochs; the same as --set epochs=…
        resume: continue the stopped run of this model, snapshot and seed
        runs: the parent of all run folders
        options: the options that training and tuning share
    """
    from model.data.loading import load
    from model.experiments.run_folder import describe_run, find_snapshot, resume_run, run_folder, start_run
    from model.experiments.settings import apply_settings, read_settings, take_model_name
    from model.experiments.training_run import compare_with_baselines, settings_without_effect, train_and_validate
    from model.models.registry import default_config
    from model.training.config import TrainingConfig
    from model.training.device import use_device
    from model.training.trainer import Epoch, Trainer

    settings = read_settings(options.config, options.set) | ({} if epochs is None else {"epochs": epochs})
    model_name = take_model_name(settings, options.model)
    config, training = apply_settings(settings, default_config(model_name), TrainingConfig())
    use_device(options.device, options.threads)
    snapshot = find_snapshot(options.snapshot, options.features)
    data = load(snapshot)
    trainer = Trainer(data.training, data.validation, model_name, config, training, options.seed, options.device)
    folder = run_folder(runs, model_name, snapshot, options.seed)
    description = describe_run(model_name, config, training, options.seed, snapshot)
    say(
        f"Training {model_name} on {data.label}: {data.training.n_users:,} users, "
        f"{data.training.n_items:,} movies, {len(data.training.positives.values):,} train interactions.",
        *settings_without_effect(settings, trainer.model, model_name, config),
        sep="\n",
    )
    if needed := type(trainer.model).bytes_needed(data.training.n_users, data.training.n_items):
        say(f"It needs about {needed / 2**30:.1f} GiB of memory.")
    if resume:
        say(f"Resuming after epoch {resume_run(folder, description, trainer)}.")
    else:
        start_run(folder, description)

    with progress("epochs", each=True) as bar:
        n_done, at = len(trainer.epochs), trainer.position
        task = bar.add_task(f"Training {model_name}", total=trainer.most_epochs, completed=n_done, now=at)

        def on_epoch(epoch: Epoch) -> None:
            bar.update(task, completed=epoch.epoch, note=str(epoch))

        evaluation = train_and_validate(folder, trainer, data, model_name, options.seed, options.device, on_epoch)
        bar.update(task, total=len(trainer.epochs))
    if evaluation is not None:
        say("On validation:", *compare_with_baselines(evaluation.metrics, data, model_name, options.seed), sep="\n  ")
    say(f"Run: {folder}\nNext: python -m model.evaluate --run {folder}")


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    execute(app, argv)


if __name__ == "__main__":
    run(app)
