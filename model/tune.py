"""`python -m model.tune`: search for a model's best settings on validation alone.

What it writes is described in `experiments/tuning.py`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from dataset.cli import FLAT, Count, command_line, execute, run, say
from model.experiments.folders import DEFAULT_TUNING
from model.experiments.training_options import TrainingOptions

app = command_line("python -m model.tune")


@app.default
def tune_settings(
    *,
    options: Annotated[TrainingOptions, FLAT] = TrainingOptions(),  # noqa: B008 - frozen
    tried: Annotated[tuple[str, ...], Parameter(name="--try")] = (),
    trials: Count | None = None,
    prune: bool = False,
    to: Path | None = None,
) -> None:
    """Search for a model's best settings by validation NDCG; to continue a stopped search, run it again.

    Args:
        tried: KEY=VALUES, either choices (l2=0.001,0.01) or a range (learning_rate=0.0005..0.01); join keys
            that must have equal values with commas (collaborative_dim,visual_dim=16,32); may be repeated (if absent,
            the few settings that matter most for the model)
        trials: number of trials, with settings from Optuna (every combination is tried if absent)
        prune: end a trial early if it is worse than most others
        to: the folder of the search (a folder below data/tuning if absent)
        options: the options that training and tuning share
    """
    from dataset.errors import UsageError
    from dataset.tables import read_table
    from model.data.loading import load
    from model.experiments.console import search_on_console
    from model.experiments.run_folder import find_snapshot
    from model.experiments.search_space import read_space
    from model.experiments.settings import read_settings, take_model_name
    from model.experiments.studies.fairness import edge_warnings, searched_settings
    from model.experiments.tracking import open_tracker, require_tool
    from model.experiments.trials import Search
    from model.experiments.tuning import search_name
    from model.schema import Tuning
    from model.training.device import use_device

    require_tool(options.log)
    base = read_settings(options.config, options.assignments)
    model_name = take_model_name(base, options.model)
    space = read_space(tried, model_name)
    search = Search(model_name, base, space, trials, options.seed, prune)
    if search.is_unbounded:
        raise UsageError("--try with a range has infinitely many combinations; set the number of trials with --trials")
    search.configs({})  # raises an error for an invalid setting before anything is read
    use_device(options.device, options.threads)
    snapshot = find_snapshot(options.snapshot, options.features)
    folder = to or DEFAULT_TUNING / search_name(search, snapshot)
    with open_tracker(options.log) as tracker:
        search_on_console(folder, search, snapshot, load(snapshot, options.seed), options.device, tracker)
    best = folder / "best.toml"
    chosen = read_settings(best, ())
    table = searched_settings(model_name, space, chosen, read_table(folder / "trials.parquet", Tuning))
    for warning in edge_warnings(table):
        say(f"Warning: {warning}")
    say(
        f"{best.read_text(encoding='utf-8')}\nTrials: {folder / 'trials.parquet'}\n"
        f"Next: python -m model.train --config {best}\n"
        f'In a study: config = "{best}" below [models.{model_name.rpartition(":")[2]}]'
    )


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    execute(app, argv)


if __name__ == "__main__":
    run(app)
