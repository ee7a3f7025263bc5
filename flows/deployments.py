"""The deployments: what can be run by name, with which parameters, and on which schedule (off by default)."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.schedules import Cron, Schedule

from dataset.errors import UsageError
from flows.build_dataset import build_dataset
from flows.extract_features import extract_features
from flows.publish_snapshot import publish_snapshot
from flows.run_experiment import run_experiment

ROOT = Path(__file__).resolve().parents[1]
WEEKLY = "0 3 * * 1"  # Mondays at 3, when a refresh disturbs the fewest


@dataclass(frozen=True)
class Deployment:
    """A flow under a name, with the parameters that differ from the flow's own.

    Attributes:
        flow: the flow.
        name: the deployment's, after the slash in `build-dataset/sandbox`.
        description: what Prefect's page says of it.
        parameters: of every run, unless it says otherwise.
        weekly: parameters of the weekly runs, None where there are none to schedule.
    """

    flow: Flow[..., Any]
    name: str
    description: str
    parameters: dict[str, Any] = field(default_factory=dict)
    weekly: dict[str, Any] | None = None

    @property
    def label(self) -> str:
        """Flow and deployment, as `prefect deployment run` takes them."""
        return f"{self.flow.name}/{self.name}"

    @property
    def options(self) -> dict[str, Any]:
        """What Prefect is told, wherever the deployment runs."""
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
        "Crawl the local sandbox and publish its dataset; features on random weights.",
        {"source": "sandbox", "name": "sandbox", "weights": "random:0"},
        weekly={"refresh": True},
    ),
    Deployment(
        build_dataset,
        "douban",
        "Crawl the real site politely and publish its dataset; asks for a contact and ids.",
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
        {"raw": "data/sandbox/raw", "dataset": "data/sandbox/dataset", "weights": "random:0"},
    ),
    Deployment(run_experiment, "any", "Train and judge models on a snapshot, and write the report."),
    Deployment(
        publish_snapshot,
        "any",
        "Publish a dataset folder that is built already.",
        {"dataset": "data/sandbox/dataset", "name": "sandbox"},
    ),
)


def served_deployments() -> list[Any]:
    """Return the deployments as `prefect.serve` takes them."""
    return [one.flow.to_deployment(**one.options) for one in DEPLOYMENTS]


def deploy_to_pool(pool: str, image: str | None) -> list[str]:
    """Register the deployments in a work pool of the Prefect server in use; return their labels.

    Without an image, workers run this checkout, so they must see it at the same path.

    Raises:
        UsageError: no server answers, or it has no such pool.
    """
    try:
        with get_client(sync_client=True) as client:
            client.read_work_pool(pool)
    except ObjectNotFound:
        raise UsageError(
            f"work pool {pool!r} is unknown; make it with: prefect work-pool create {pool} --type process"
        ) from None
    except httpx.HTTPError as error:
        raise UsageError(
            f"no Prefect server answers ({error}); set PREFECT_API_URL, or run: prefect server start"
        ) from None
    for one in DEPLOYMENTS:
        entrypoint = f"flows/{one.flow.fn.__name__}.py:{one.flow.fn.__name__}"
        flow: Any = one.flow if image else one.flow.from_source(source=str(ROOT), entrypoint=entrypoint)
        flow.deploy(**one.options, work_pool_name=pool, image=image, build=False, push=False, print_next_steps=False)
    return [one.label for one in DEPLOYMENTS]
