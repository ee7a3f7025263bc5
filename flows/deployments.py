"""The deployments: flows that can be run by name, with their parameters and schedules (off by default)."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.schedules import Cron, Schedule
from pydantic import TypeAdapter

from dataset.errors import UsageError
from flows.allowed import VARIABLE, Allowed
from flows.build_dataset import build_dataset
from flows.config import BuildConfig
from flows.extraction import extract_features
from flows.publish_snapshot import publish_snapshot
from flows.run_experiment import run_experiment

ROOT = Path(__file__).resolve().parents[1]
WEEKLY = "0 3 * * 1"  # Mondays at 3 am


@dataclass(frozen=True)
class Deployment:
    """A flow under a name, with the parameters that differ from the flow's defaults.

    Attributes:
        flow: the flow to run.
        name: name of the deployment, after the slash in `build-dataset/sandbox`.
        description: shown in Prefect's page.
        parameters: defaults of every run.
        weekly: further parameters of the weekly runs; None: no schedule.
    """

    flow: Flow[..., Any]
    name: str
    description: str
    parameters: dict[str, Any] = field(default_factory=dict)
    weekly: dict[str, Any] | None = None

    @property
    def label(self) -> str:
        """The name that `prefect deployment run` takes: flow and deployment."""
        return f"{self.flow.name}/{self.name}"

    @property
    def options(self) -> dict[str, Any]:
        """The options that Prefect takes, for a served deployment and for one in a work pool."""
        schedules: list[Schedule] = []
        if self.weekly is not None:
            schedules = [Cron(WEEKLY, timezone="UTC", active=False, parameters=self.weekly, slug="weekly")]
        return {
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters,
            "schedules": schedules,
            "concurrency_limit": 1,
        }


DEPLOYMENTS = (
    Deployment(
        build_dataset,
        "sandbox",
        "Crawl the local sandbox and publish its dataset, with features from random weights.",
        {"source": "sandbox", "name": "sandbox", "weights": "random:0"},
        weekly={"refresh": True},
    ),
    Deployment(
        build_dataset,
        "douban",
        "Crawl the real site politely and publish its dataset; needs a contact and ids.",
        {"source": "douban", "name": "douban"},
        weekly={"refresh": True},
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


def deployment_from(file: Path, config: BuildConfig) -> Deployment:
    """Return a deployment of `build-dataset` with the parameters in a TOML file; `lab.toml` gives `build-dataset/lab`.

    Args:
        file: the TOML file; its name gives the deployment's.
        config: what it contains.

    Raises:
        UsageError: the name is taken, or the parameters have ids of people, which Prefect's database would keep.
    """
    if config.users:
        raise UsageError(
            f"{file}: users: Prefect's database would keep the ids of people; write them into a text file, one per "
            "line, and give its path as users_file"
        )
    parameters = TypeAdapter(BuildConfig).dump_python(config, mode="json", exclude_defaults=True)
    weekly = None if config.source == "import" else {"refresh": True}
    deployment = Deployment(build_dataset, file.stem, f"Build a dataset as {file.name} says.", parameters, weekly)
    if deployment.label in {other.label for other in DEPLOYMENTS}:
        raise UsageError(f"{file}: there is a deployment {deployment.label} already; rename the file")
    return deployment


def served_deployments(deployments: Iterable[Deployment]) -> list[Any]:
    """Return deployments for `prefect.serve`."""
    return [deployment.flow.to_deployment(**deployment.options) for deployment in deployments]


def deploy_to_pool(deployments: Iterable[Deployment], allowed: Allowed, pool: str, image: str | None) -> None:
    """Register deployments in a work pool of the current Prefect server.

    Args:
        deployments: what to register.
        allowed: what their runs may use.
        pool: name of the work pool.
        image: a container image with this project; None: workers run this checkout and must see it at the same path.

    Raises:
        UsageError: the server has no such pool.
    """
    try:
        with get_client(sync_client=True) as client:
            client.read_work_pool(pool)
    except ObjectNotFound:
        raise UsageError(
            f"unknown work pool {pool!r}; create it with: prefect work-pool create {pool} --type process"
        ) from None
    variables = {} if allowed == Allowed() else {"env": {VARIABLE: allowed.to_json()}}
    for deployment in deployments:
        entrypoint = f"{deployment.flow.fn.__module__.replace('.', '/')}.py:{deployment.flow.fn.__name__}"
        flow: Any = deployment.flow
        if not image:
            flow = flow.from_source(source=str(ROOT), entrypoint=entrypoint)
        flow.deploy(
            **deployment.options,
            work_pool_name=pool,
            job_variables=variables,
            image=image,
            build=False,
            push=False,
            print_next_steps=False,
        )
