"""`python -m model.tune`: search for a model's best settings on validation alone.

What it writes is described in `experiments/tuning.py`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from dataset.cli import FLAT, Count, command_line, execute, run, say
from dataset.progress import progress
from model.experiments.folders import DEFAULT_TUNING
from model.experiments.training_options import TrainingOptions

app = command_line("python -m model.tune")


@app.default
def tune_settings(
    *,
    options: Annotated[TrainingOptions, FLAT] = TrainingOptions(),  # noqa: B008 - frozen
    tried: Annotated[tuple[str, ...], Parameter(name="--try")] = (),
    trials: Count | None = None,
    to: Path | None = None,
) -> None:
    """Search for a model's best settings by validation NDCG; to continue a stopped search, run it again.

    Args:
        tried: KEY=VALUES, either choices (l2=0.001,0.01) or a range (learning_rate=0.0005..0.01); join keys
            that must have equal values with commas (collaborative_dim,visual_dim=16,32); may be repeated (if absent,
            the paper's dimensions and penalties, or the few settings of a model that is fitted at once)
        trials: number of trials, with settings from Optuna (every combination is tried if absent)
        to: the folder of the search (a folder below data/tuning if absent)
        options: the options that training and tuning share
    """
    from dataset.errors import TooLittleDataError, UsageError
    from model.data.loading import load
    from model.experiments.run_folder import data_name, find_snapshot
    from model.experiments.search_space import read_space
    from model.experiments.settings import read_settings, take_model_name
    from model.experiments.tuning import Search, finished_trials, open_search, remaining_trials, tune, write_search
    from model.training.device import use_device
    from model.training.trainer import Epoch

    base = read_settings(options.config, options.set)
    model_name = take_model_name(base, options.model)
    space = read_space(tried, model_name)
    search = Search(model_name, base, space, trials, options.seed)
    if search.is_unbounded:
        raise UsageError("--try with a range has infinitely many combinations; set the number of trials with --trials")
    search.configs({})  # raises an error for an invalid setting before anything is read
    use_device(options.device, options.threads)
    snapshot = find_snapshot(options.snapshot, options.features)
    data = load(snapshot)
    if data.validation is None:
        raise TooLittleDataError(
            "interactions: 0 rows in split 'validation', which a search needs; "
            "build the dataset with a larger --validation-share"
        )
    folder = to or DEFAULT_TUNING / f"{model_name}-{data_name(snapshot)}-{options.seed}"
    study = open_search(folder, search, snapshot)
    with progress("trials", each=True) as bar:
        n_done, n_left = len(finished_trials(study)), len(remaining_trials(search, study))
        task = bar.add_task(f"Tuning {model_name}", total=n_done + n_left, completed=n_done)

        def on_epoch(epoch: Epoch) -> None:
            bar.update(task, note=f"epoch {epoch.epoch}, {epoch}")

        tune(search, data.training, data.validation, study, options.device, on_epoch, lambda _: bar.advance(task))
    table = write_search(folder, search, study)
    failed = table["error"].drop_nulls()
    if len(failed):
        say(f"{len(failed)} of {table.height} trials could not be trained; for example: {failed[0]}")
    say(
        f"{(folder / 'best.toml').read_text(encoding='utf-8')}\n"
        f"Trials: {folder / 'trials.parquet'}\nNext: python -m model.train --config {folder / 'best.toml'}"
    )


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    execute(app, argv)


if __name__ == "__main__":
    run(app)
