"""`python -m model.tune`: search for a model's best settings on validation alone.

Without `--trials` it tries every combination of the choices (the paper's: the dimensions 16, 32 and 64, and
λ1 from 0.0001 to 0.1). What it writes is described in `experiments/tuning.py`.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.distributions import CategoricalDistribution, distribution_to_json

from dataset.cli import ArgumentParser, progress, run, whole_number
from dataset.errors import TooLittleDataError, UsageError
from dataset.files import write_text
from dataset.schema import Tuning
from dataset.tables import write_table
from model.data.indexed import HeldOutItems, TrainingData
from model.data.loading import load
from model.experiments.run_folder import describe_run, find_snapshot
from model.experiments.search_space import read_space
from model.experiments.settings import read_settings
from model.experiments.tuning import (
    DEFAULT_TUNING,
    Search,
    best_toml,
    ended_trials,
    open_study,
    points_to_do,
    tune,
    tuning_table,
)
from model.models.registry import MODELS
from model.train import add_common_options
from model.training.device import use_device
from model.training.trainer import Epoch


def main(argv: Sequence[str]) -> None:
    """Search, and write the search's folder."""
    arguments = _parser().parse_args(argv)
    base = read_settings(arguments.config, arguments.set)
    model_name = str(arguments.model or base.get("model", "jifr"))
    base.pop("model", None)
    space = read_space(arguments.tried, model_name)
    if arguments.trials is None and any(not isinstance(kind, CategoricalDistribution) for kind in space.values()):
        raise UsageError("--try with a range has infinitely many combinations; say how many are tried with --trials")
    search = Search(model_name, base, space, arguments.trials, arguments.seed)
    config, training = search.configs({})
    use_device(arguments.device, arguments.threads)

    snapshot = find_snapshot(arguments.snapshot)
    data = load(snapshot)
    if data.validation is None:
        raise TooLittleDataError(
            "interactions: 0 rows in split 'validation', which a search needs; "
            "build the dataset with a larger --validation-share"
        )
    name = f"{model_name}-{snapshot.name}-v{snapshot.version:04d}-{arguments.seed}"
    folder = arguments.to or DEFAULT_TUNING / name
    searched = {"search": {key: json.loads(distribution_to_json(kind)) for key, kind in space.items()}}
    study = open_study(folder, describe_run(model_name, config, training, arguments.seed, snapshot) | searched)
    _search(search, data.training, data.validation, study, arguments.device)

    table = write_table(tuning_table(search, study), Tuning, folder / "trials.parquet")
    best = best_toml(search, study)
    write_text(folder / "best.toml", best)
    failed = table["error"].drop_nulls()
    if len(failed):
        print(f"{len(failed)} of {table.height} trials could not be trained; for example: {failed[0]}")
    print(f"{best}\nTrials: {folder / 'trials.parquet'}\nNext: python -m model.train --config {folder / 'best.toml'}")


def _search(search: Search, data: TrainingData, validation: HeldOutItems, study: optuna.Study, device: str) -> None:
    """Run the remaining trials with a progress bar."""
    n_left = len(points_to_do(search, study))
    with progress("trials") as bar:
        task = bar.add_task(f"Tuning {search.model_name}", total=len(ended_trials(study)) + n_left, note="")
        bar.update(task, completed=len(ended_trials(study)))

        def on_epoch(epoch: Epoch) -> None:
            bar.update(task, note=f"epoch {epoch.epoch}, loss {epoch.loss:.4f}")

        tune(search, data, validation, study, device, on_epoch, on_trial=lambda trial: bar.update(task, advance=1))


def _parser() -> argparse.ArgumentParser:
    parser = ArgumentParser(
        prog="python -m model.tune",
        description="Search for a model's best settings by validation NDCG. A stopped search continues.",
    )
    parser.add_argument("--model", help=f"one of {', '.join(MODELS)} (jifr if absent)")
    parser.add_argument(
        "--try",
        dest="tried",
        action="append",
        default=[],
        metavar="KEY=VALUES",
        help="choices (l2=0.001,0.01) or a range (learning_rate=0.0005..0.01); keys that go together are joined "
        "(collaborative_dim,visual_dim=16,32); may repeat; the paper's dimensions and penalties if absent",
    )
    parser.add_argument(
        "--trials", type=whole_number(), help="settings that Optuna proposes (every combination if absent)"
    )
    parser.add_argument("--to", type=Path, help=f"the folder of the search (one below {DEFAULT_TUNING} if absent)")
    add_common_options(parser)
    return parser


if __name__ == "__main__":
    run(main, "python -m model.tune")
