"""The flow `publish-snapshot`: publish a dataset folder that is built already."""

from pathlib import Path
from typing import Annotated

from prefect import flow
from pydantic import Field

from dataset.snapshots.snapshot import Snapshot
from flows.tasks import publish_dataset


@flow(name="publish-snapshot", validate_parameters=True)
def publish_snapshot(
    dataset: Annotated[Path, Field(description="the dataset folder (python -m dataset build)")],
    name: Annotated[str, Field(description="what to publish it as", pattern=r"^[A-Za-z0-9_-]+$")],
    root: Annotated[Path, Field(description="folder of all snapshots")] = Path("data/snapshots"),
) -> Snapshot:
    """Publish a built dataset as the next version of `name`, unless nothing has changed.

    Raises:
        PipelineError: the dataset is not whole, or `root` cannot be written.
    """
    return publish_dataset(dataset, name, root)
