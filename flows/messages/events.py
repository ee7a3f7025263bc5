"""Events that Prefect's automations can react to, for example with an e-mail (`flows/README.md`, Be told)."""

from prefect.events import emit_event

PAUSED = "douban-keyframes.crawl.paused"
REFUSED = "douban-keyframes.crawl.refused"
HELD = "douban-keyframes.snapshot.held"
PUBLISHED = "douban-keyframes.snapshot.published"


def emit(event: str, dataset: str, **payload: str | int) -> None:
    """Send an event about a dataset to the Prefect server.

    Args:
        event: one of the names in this module.
        dataset: the dataset's name; the event's resource is `douban-keyframes.dataset.<name>`.
        payload: what happened; an automation's message can quote it as `{{ event.payload.<name> }}`.
    """
    resource = {
        "prefect.resource.id": f"douban-keyframes.dataset.{dataset}",
        "prefect.resource.name": dataset,
    }
    emit_event(event=event, resource=resource, payload=payload)
