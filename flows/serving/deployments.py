"""The deployments: flows that can be run by name, with their parameters and schedules."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from prefect import Flow
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.schedules import CronSchedule
from pydantic import TypeAdapter

from dataset.errors import UsageError
from flows.build_dataset import build_dataset
from flows.extraction import extract_features
from flows.parameters.config import BuildConfig
from flows.publish_snapshot import publish_snapshot
from flows.run_experiment import run_experiment
from flows.serving.settings import Settings

SLUG = "weekly"
"""The name of our schedule among those of a deployment."""


@dataclass(frozen=True)
class Deployment:
    """A flow under a name, with the parameters that differ from the flow's defaults.

    Attributes:
        flow: the flow to run.
        name: name of the deployment, after the slash in `build-dataset/sandbox`.
        description: shown in Prefect's page.
        parameters: defaults of every run.
        schedule: when it runs; None: when somebody starts it.
        is_on: whether the schedule is on when it is new.
    """

    flow: Flow[..., Any]
    name: str
    description: str
    parameters: dict[str, Any] = field(default_factory=dict)
    schedule: CronSchedule | None = None
    is_on: bool = False

    @property
    def label(self) -> str:
        """The name that `prefect deployment run` takes: flow and deployment."""
        return f"{self.flow.name}/{self.name}"

    @property
    def config(self) -> Callable[..., Any]:
        """The config class of the flow, which checks parameters."""
        return self.flow.fn.config  # type: ignore[no-any-return,attr-defined]

    @property
    def new_schedule(self) -> DeploymentScheduleCreate | None:
        """The schedule as it is created. It has no parameters: Prefect 3.8 drops them when it is switched on or off."""
        if self.schedule is None:
            return None
        return DeploymentScheduleCreate(schedule=self.schedule, active=self.is_on, slug=SLUG)


DEPLOYMENTS = (
    Deployment(
        build_dataset,
        "sandbox",
        "Crawl the local sandbox and publish its dataset, with features from random weights.",
        {"source": "sandbox", "name": "sandbox", "weights": "random:0"},
        CronSchedule(cron="0 3 * * 1", timezone="UTC"),  # Mondays at 3 am
    ),
    Deployment(
        build_dataset,
        "douban",
        "Crawl the real site politely and publish its dataset; needs a contact and ids (for a schedule: --settings).",
        {"source": "douban", "name": "douban"},
    ),
    Deployment(
        build_dataset,
        "import",
        "Publish imported raw tables (python -m dataset import … --to data/<name>/raw).",
        {"source": "import", "name": "import"},
    ),
    Deployment(
        extract_features,
        "any",
        "Compute the features of a built dataset's pictures.",
        {"weights": "random:0"},
    ),
    Deployment(run_experiment, "any", "Train and evaluate models on a snapshot, and write the report."),
    Deployment(
        publish_snapshot,
        "any",
        "Publish a built dataset folder.",
        {"dataset": "data/sandbox/dataset", "name": "sandbox"},
    ),
)


def deployment_from(file: Path, settings: Settings) -> Deployment:
    """Return the deployment of a settings file; `lab.toml` gives `build-dataset/lab`.

    Args:
        file: the TOML file; its name gives the deployment's.
        settings: what it contains.

    Raises:
        UsageError: the name is taken.
    """
    of_the_schedule = {one.name for one in fields(Settings)} - {one.name for one in fields(BuildConfig)}
    parameters = TypeAdapter(Settings).dump_python(settings, mode="json", exclude_defaults=True)
    deployment = Deployment(
        build_dataset,
        file.stem,
        settings.description or f"Build a dataset as {file.name} says.",
        {name: value for name, value in parameters.items() if name not in of_the_schedule},
        settings.cron,
        is_on=True,
    )
    if deployment.label in {other.label for other in DEPLOYMENTS}:
        raise UsageError(f"{file}: there is a deployment {deployment.label} already; rename the file")
    return deployment
