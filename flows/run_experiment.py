"""The flow `run-experiment`: train and judge several models on a snapshot, and show the report."""

from pathlib import Path
from typing import Annotated

from prefect import flow
from pydantic import Field

from flows.artifacts import show_report


@flow(name="run-experiment", validate_parameters=True)
def run_experiment(
    snapshot: Annotated[Path | None, Field(description="a snapshot's folder; none: the newest one")] = None,
    models: Annotated[list[str] | None, Field(min_length=1, description="names of models; none: all")] = None,
    seeds: Annotated[list[int], Field(min_length=1, description="one run a model and seed")] = [0],  # noqa: B006
    epochs: Annotated[int | None, Field(ge=1, description="epochs at most; none: the usual number")] = None,
    jobs: Annotated[int | None, Field(ge=1, description="runs at a time; none: by cores and memory")] = None,
    raw: Annotated[Path | None, Field(description="raw folder with the gallery's pictures")] = None,
    experiments: Annotated[Path, Field(description="folder of all experiments")] = Path("data/experiments"),
    runs: Annotated[Path, Field(description="folder of all runs")] = Path("data/runs"),
) -> Path:
    """Do all runs that are not done yet, write the tables of all, and return the path of the report.

    Raises:
        UsageError: an unknown model, or none that the snapshot has the features for.
    """
    # torch takes seconds to import, and serving this flow does not need it
    from model.experiments.config import ExperimentConfig
    from model.experiments.console import console_reporter
    from model.experiments.experiment import run_experiment as train_and_judge
    from model.experiments.run_folder import find_snapshot
    from model.models.registry import MODELS
    from model.training.config import TrainingConfig

    chosen = find_snapshot(snapshot)
    name = f"{chosen.name}-v{chosen.version:04d}"
    training = TrainingConfig() if epochs is None else TrainingConfig(epochs=epochs)
    config = ExperimentConfig(tuple(models or MODELS), tuple(seeds), training, jobs=jobs)
    raw = raw or Path("data") / chosen.name / "raw"
    with console_reporter() as reporter:
        report = train_and_judge(chosen, config, experiments / name, runs, raw, reporter)
    print(f"The report is {report}; the tables are beside it.")
    show_report(report, name)
    return report
