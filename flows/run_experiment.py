"""The flow `run-experiment`: train and evaluate several models on a snapshot, and show the report."""

from pathlib import Path

from prefect import flow

from dataset.cli import say
from dataset.snapshots.pull import pull
from dataset.snapshots.snapshot import snapshot_at
from dataset.storage import remote_address
from flows.messages.artifacts import show_report
from flows.parameters.config import RunExperimentConfig
from flows.parameters.form import parameters_of


@flow(name="run-experiment", validate_parameters=True)
@parameters_of(RunExperimentConfig)
def run_experiment(config: RunExperimentConfig) -> Path:
    """Train and evaluate all missing runs, write the tables of all runs, and return the path of the report.

    Raises:
        UsageError: a model is unknown, or all models need features and the snapshot has none.
    """
    # imported here: torch takes seconds, and serving the flow does not need it
    from model.experiments.config import ExperimentConfig
    from model.experiments.console import console_reporter
    from model.experiments.experiment import run_experiment as train_and_evaluate
    from model.experiments.run_folder import data_name, find_snapshot
    from model.models.names import DEFAULT_MODELS
    from model.training.config import TrainingConfig

    features = tuple(config.features or ())
    snapshot = find_snapshot(_local(config.snapshot), next(iter(features), None))
    name = data_name(snapshot, features)
    training = TrainingConfig() if config.epochs is None else TrainingConfig(epochs=config.epochs)
    models, seeds = tuple(config.models or DEFAULT_MODELS), tuple(config.seeds)
    experiment = ExperimentConfig(models, seeds, training, jobs=config.jobs, features=features)
    raw = config.raw or Path("data") / snapshot.name / "raw"
    with console_reporter() as reporter:
        report = train_and_evaluate(snapshot, experiment, config.experiments / name, config.runs, raw, reporter)
    say(f"The report is {report}; the tables are beside it.")
    show_report(report, name)
    return report


def _local(place: str | None) -> Path | None:
    """Return the path of a snapshot; one in an object store is pulled first, unless it is there already."""
    if place is None or remote_address(place) is None:
        return Path(place) if place else None
    snapshot, is_new = pull(snapshot_at(place))
    say(f"{'Pulled' if is_new else 'Found'} {snapshot.label} in {snapshot.path}.")
    return snapshot.path
