"""Shows the results of a flow run in Prefect's web page: the published snapshot, its card, and the report."""

from pathlib import Path

from prefect.artifacts import create_link_artifact, create_markdown_artifact

from dataset.snapshots.snapshot import Snapshot


def show_snapshot(snapshot: Snapshot) -> None:
    """Show the snapshot's dataset card and a link to the snapshot."""
    key = snapshot.name.lower().replace("_", "-")
    card = (snapshot.folder.read("README.md") or b"").decode()
    _, _, text = card.rpartition("\n---\n")  # without the front matter
    create_markdown_artifact(text.strip(), key=f"card-{key}", description=f"Dataset card of {snapshot.label}")
    place = snapshot.folder.path or snapshot.folder.address
    _link(place, f"snapshot-{key}", f"{snapshot.label}, content {snapshot.content_digest[:12]}")


def show_report(report: Path, name: str) -> None:
    """Show a link to the report of an experiment."""
    _link(report, f"report-{name.lower().replace('_', '-')}", f"Report on {name}")


def _link(place: Path | str, key: str, text: str) -> None:
    """Link a path, or the address of an object store."""
    where = place if isinstance(place, str) else place.resolve()
    link = where if isinstance(where, str) else where.as_uri()
    create_link_artifact(link, link_text=text, key=key, description=f"{text}: {where}")
