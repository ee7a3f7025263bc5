"""The flow `publish-snapshot`: publish a built dataset folder."""

from prefect import flow

from dataset.snapshots.snapshot import Snapshot
from flows.parameters.config import PublishConfig
from flows.parameters.form import parameters_of
from flows.tasks import publish_dataset


@flow(name="publish-snapshot", validate_parameters=True)
@parameters_of(PublishConfig)
def publish_snapshot(config: PublishConfig) -> Snapshot:
    """Publish a built dataset as the next version of `name`, unless nothing has changed.

    Raises:
        HeldError: the version loses too much of the one before.
        PipelineError: the dataset is incomplete, or `root` cannot be written.
    """
    return publish_dataset(config.dataset, config.name, config.root, config.publication, config.gate)
