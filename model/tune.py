"""Search for the best settings of a model, on validation alone: `python -m model.tune --model jifr`.

Without `--trials` every combination of the choices is tried (the paper's: the dimensions 16, 32 and
64, and λ1 from 0.0001 to 0.1); with it, so many settings are tried as Optuna's TPE proposes
(Bergstra et al. 2011). The folder of a search:

    data/tuning/<model>-<snapshot>-v<version>-<seed>/
        search.json       what is searched, on which data: as a run's config.json
        journal.log       Optuna's storage: every trial, so that the same command goes on
        trials.parquet    the `tuning` table, a row a trial
        best.toml         the best settings, for `python -m model.train --config`

A trial that cannot be trained (a loss that is not finite) is kept with the reason.
"""

import argparse
import itertools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import optuna
import polars as pl
from optuna.distributions import BaseDistribution, CategoricalDistribution, distribution_to_json
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from dataset.cli import ArgumentParser, progress, run, whole_number
from dataset.errors import TooLittleDataError, TrainingError, UsageError
from dataset.files import write_json, write_text
from dataset.tables import validate, write_table
from model.data.tables import index_ids
from model.data.tensors import HeldOutItems, TrainingData, held_out_items, training_data
from model.experiments.run_folder import describe_run, find_snapshot, read_description, read_tables
from model.experiments.search_space import read_space
from model.experiments.settings import apply_settings, read_settings
from model.models.registry import MODELS, default_config
from model.schema import Tuning
from model.train import add_common_options
from model.training.config import TrainingConfig
from model.training.device import use_device
from model.training.trainer import Epoch, Trainer

DEFAULT_TUNING = Path("data/tuning")


@dataclass(frozen=True)
class Search:
    """What is searched.

    Attributes:
        model_name: a name of `registry.MODELS`.
        base: settings that all trials share.
        space: for each parameter, one or more settings joined by commas, the values it can have.
        n_trials: how many trials TPE proposes; None for every combination.
        seed: of every training, and of the proposals.
    """

    model_name: str
    base: dict[str, Any]
    space: dict[str, BaseDistribution]
    n_trials: int | None
    seed: int

    def settings(self, params: dict[str, Any]) -> dict[str, Any]:
        """Return the settings of a trial."""
        return self.base | {key: value for keys, value in params.items() for key in keys.split(",")}

    def configs(self, params: dict[str, Any]) -> tuple[Any, TrainingConfig]:
        """Return the model's and the training's config of a trial."""
        config, training = apply_settings(self.settings(params), default_config(self.model_name), TrainingConfig())
        return config, training


def tune(
    search: Search,
    data: TrainingData,
    validation: HeldOutItems,
    study: optuna.Study,
    device: str = "cpu",
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    on_trial: Callable[[FrozenTrial], None] = lambda trial: None,
) -> None:
    """Run the trials that `study` does not hold yet.

    A trial that was under way when a search was killed is run again. Proposals depend on the seed
    and the trials before them alone, so a search that goes on is the search that was not stopped.
    """
    for stale in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(stale.number, state=TrialState.FAIL)
    for point in _points_to_do(search, study):
        if point is not None:
            study.enqueue_trial(point)
        study.sampler = optuna.samplers.TPESampler(seed=search.seed + len(_done(study)))
        trial = study.ask(search.space)
        _run_trial(search, data, validation, study, trial, device, on_epoch)
        on_trial(study.trials[trial.number])


def _points_to_do(search: Search, study: optuna.Study) -> list[dict[str, Any] | None]:
    """Return the combinations not tried yet, or as many None as TPE has still to propose."""
    done = [trial.params for trial in _done(study)]
    if search.n_trials is not None:
        return [None] * (search.n_trials - len(done))
    choices = {name: kind.choices for name, kind in search.space.items() if isinstance(kind, CategoricalDistribution)}
    points = [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]
    return [point for point in points if point not in done]


def _done(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that ended: with a value, or because they cannot be trained."""
    ended = study.get_trials(states=(TrialState.COMPLETE, TrialState.FAIL))
    return [trial for trial in ended if "epochs" in trial.user_attrs]


def _run_trial(
    search: Search,
    data: TrainingData,
    validation: HeldOutItems,
    study: optuna.Study,
    trial: Trial,
    device: str,
    on_epoch: Callable[[Epoch], None],
) -> None:
    """Train with a trial's settings, and tell the study the best validation NDCG."""
    config, training = search.configs(trial.params)
    started, error = time.perf_counter(), None
    trainer = Trainer(data, validation, search.model_name, config, training, search.seed, device)
    try:
        trainer.run(on_epoch)
    except TrainingError as failure:
        error = str(failure)
    best = max((epoch for epoch in trainer.epochs if epoch.validation_ndcg is not None), key=_ndcg, default=None)
    if best is None and error is None:
        error = f"{len(trainer.epochs)} epochs without a validation; lower validate_every"
    trial.set_user_attr("seconds", time.perf_counter() - started)
    trial.set_user_attr("error", error)
    trial.set_user_attr("best_epoch", best.epoch if best else None)
    trial.set_user_attr("epochs", len(trainer.epochs))
    if error or best is None:
        study.tell(trial, state=TrialState.FAIL)
    else:
        study.tell(trial, best.validation_ndcg)


def _ndcg(epoch: Epoch) -> float:
    return epoch.validation_ndcg or 0.0


def tuning_table(search: Search, study: optuna.Study) -> pl.DataFrame:
    """Return the `tuning` table of a search, a row a trial that ended."""
    columns = {name: column.dtype for name, column in Tuning.columns().items()}
    rows = [
        {
            "model": search.model_name,
            "seed": search.seed,
            "trial": trial.number,
            "settings": json.dumps(search.settings(trial.params), sort_keys=True),
            "validation_ndcg": trial.value,
            **{key: trial.user_attrs[key] for key in ("best_epoch", "epochs", "seconds", "error")},
        }
        for trial in _done(study)
    ]
    return validate(pl.DataFrame(rows, schema=columns), Tuning, "tuning")


def best_toml(search: Search, study: optuna.Study) -> str:
    """Return the best trial's settings as TOML for `python -m model.train --config`.

    Raises:
        TrainingError: no trial could be trained.
    """
    if not study.get_trials(states=(TrialState.COMPLETE,)):
        raise TrainingError(f"{search.model_name}: none of {len(_done(study))} trials could be trained; see the table")
    config, training = search.configs(study.best_params)
    known = asdict(config) | asdict(training)
    settings = {key: known[key] for key in search.settings(study.best_params)}
    lines = [f"{key} = {json.dumps(value)}" for key, value in sorted(settings.items())]
    found = f"# validation NDCG@{training.validation_k} {study.best_value:.4f}, trial {study.best_trial.number}"
    return "\n".join([found, f"model = {json.dumps(search.model_name)}", *lines, ""])


def open_study(folder: Path, description: dict[str, Any]) -> optuna.Study:
    """Open a search's folder, a new one or the one that is to go on.

    Raises:
        UsageError: the folder holds another search.
    """
    if (folder / "search.json").is_file():
        before = read_description(folder, "search.json")
        for key in ("model", "config", "training", "seed", "search"):
            if before[key] != description[key]:
                raise UsageError(f"{folder}: holds a search with another {key}; give this one another folder with --to")
        if before["snapshot"]["content_digest"] != description["snapshot"]["content_digest"]:
            raise UsageError(f"{folder}: holds a search on other data; give this one another folder with --to")
    else:
        write_json(folder / "search.json", description)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(folder / "journal.log")))
    return optuna.create_study(storage=storage, study_name="search", direction="maximize", load_if_exists=True)


def main(argv: Sequence[str]) -> None:
    """Search, and write the search's folder."""
    arguments = _parser().parse_args(argv)
    base = read_settings(arguments.config, arguments.set)
    model_name = str(arguments.model or base.get("model", "jifr"))
    base.pop("model", None)
    space = read_space(arguments.tried, model_name)
    if arguments.trials is None and any(not isinstance(kind, CategoricalDistribution) for kind in space.values()):
        raise UsageError("--try with a range has no end of combinations; say how many are tried with --trials")
    search = Search(model_name, base, space, arguments.trials, arguments.seed)
    config, training = search.configs({})
    use_device(arguments.device, arguments.threads)

    snapshot = find_snapshot(arguments.snapshot)
    tables = read_tables(snapshot)
    ids = index_ids(tables)
    data, validation = training_data(tables, ids), held_out_items(tables, ids, "validation")
    if not len(validation.positives.values):
        raise TooLittleDataError("interactions: 0 rows in split 'validation', so nothing can tell settings apart")
    name = f"{model_name}-{snapshot.name}-v{snapshot.version:04d}-{arguments.seed}"
    folder = arguments.to or DEFAULT_TUNING / name
    searched = {"search": {key: json.loads(distribution_to_json(kind)) for key, kind in space.items()}}
    study = open_study(folder, describe_run(model_name, config, training, arguments.seed, snapshot) | searched)
    _search(search, data, validation, study, arguments.device)

    table = write_table(tuning_table(search, study), Tuning, folder / "trials.parquet")
    best = best_toml(search, study)
    write_text(folder / "best.toml", best)
    failed = table["error"].drop_nulls()
    if len(failed):
        print(f"{len(failed)} of {table.height} trials could not be trained; for example: {failed[0]}")
    print(f"{best}\nTrials: {folder / 'trials.parquet'}\nNext: python -m model.train --config {folder / 'best.toml'}")


def _search(search: Search, data: TrainingData, validation: HeldOutItems, study: optuna.Study, device: str) -> None:
    """Run the trials that are left with a progress bar."""
    n_left = len(_points_to_do(search, study))
    with progress("trials") as bar:
        task = bar.add_task(f"Tuning {search.model_name}", total=len(_done(study)) + n_left, note="")
        bar.update(task, completed=len(_done(study)))

        def on_epoch(epoch: Epoch) -> None:
            bar.update(task, note=f"epoch {epoch.epoch}, loss {epoch.loss:.4f}")

        tune(search, data, validation, study, device, on_epoch, on_trial=lambda trial: bar.update(task, advance=1))


def _parser() -> argparse.ArgumentParser:
    parser = ArgumentParser(
        prog="python -m model.tune",
        description="Search for a model's best settings by validation NDCG. The same command goes on where it stopped.",
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
