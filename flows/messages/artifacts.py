"""Shows the results of a flow run in Prefect's web page: the published snapshot, its card, and the report."""

from pathlib import Path

from prefect.artifacts import create_link_artifact, create_markdown_artifact

from dataset.errors import HeldError
from dataset.snapshots.snapshot import Snapshot


def show_snapshot(snapshot: Snapshot) -> None:
    """Show the snapshot's dataset card and a link to the snapshot."""
    key = _key(snapshot.name)
    card = (snapshot.folder.read("README.md") or b"").decode()
    _, _, text = card.rpartition("\n---\n")  # without the front matter
    create_markdown_artifact(text.strip(), key=f"card-{key}", description=f"Dataset card of {snapshot.label}")
    place = snapshot.folder.path or snapshot.folder.address
    _link(place, f"snapshot-{key}", f"{snapshot.label}, content {snapshot.content_digest[:12]}")


def show_held(held: HeldError, name: str) -> None:
    """Show why a version is held, and what differs from its parent."""
    text = "\n".join([f"**{held}**", "", "```", *held.changes, "```"] if held.changes else [f"**{held}**"])
    create_markdown_artifact(text, key=f"held-{_key(name)}", description=f"A version of {name} that is not published")


def _key(name: str) -> str:
    return name.lower().replace("_", "-")


def show_report(report: Path, name: str) -> None:
    """Show a link to the report of an experiment."""
    _link(report, f"report-{_key(name)}", f"Report on {name}")


def _link(place: Path | str, key: str, text: str) -> None:
    """Link a path, or the address of an object store."""
    where = place if isinstance(place, str) else place.resolve()
    link = where if isinstance(where, str) else where.as_uri()
    create_link_artifact(link, link_text=text, key=key, description=f"{text}: {where}")
