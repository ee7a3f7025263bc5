"""`probe.json`, beside the crawl folder: what the probe found, when, and what it recommends.

`plan` and `--via auto` read it. It names no person.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel

from crawler.probe.findings import Probe
from crawler.scope import CHOICES, LIST, TOPICS, Source, Via
from dataset.documents import Moment, Whole, read_document
from dataset.errors import PipelineError
from dataset.files import write_json

FILE_NAME = "probe.json"


class ProbeFinding(BaseModel):
    """One finding of the probe."""

    point: str
    answered: Literal["holds", "differs", "unknown", "refused"]
    detail: str
    topic: str | None
    source: Literal["html", "json"] | None


def _via(value: dict[str, list[str]]) -> dict[str, list[str]]:
    if set(value) != set(TOPICS):
        raise ValueError(f"Input should name the topics {', '.join(TOPICS)}")
    for topic, sources in value.items():
        if not sources or not set(sources) <= set(CHOICES[topic]) or len(set(sources)) < len(sources):
            known = ", ".join(CHOICES[topic])
            raise ValueError(f"Input should name each of the sources {known} of {topic} at most once, at least one")
        if {"html", LIST} <= set(sources):
            raise ValueError(f"Input should name either html or {LIST}, which are the same pages")
    return value


class ProbeDocument(BaseModel):
    """What `probe.json` holds."""

    site: str
    probed_at: Moment
    requests: Whole
    findings: list[ProbeFinding]
    sources: Annotated[dict[str, list[str]], AfterValidator(_via)]
    liker_source: Literal["photo_page", "user_likes", "none"] | None
    command: str

    @property
    def via(self) -> Via:
        """The sources of each topic, in order of preference."""
        return {topic: tuple(sources) for topic, sources in self.sources.items()}


def probe_path(crawl_dir: Path) -> Path:
    """Return where the probe of a crawl is."""
    return crawl_dir.parent / FILE_NAME


def read_probe(crawl_dir: Path, source: Source) -> ProbeDocument | None:
    """Return the probe beside a crawl; None without one, or if it probed another site.

    Raises:
        PipelineError: the file is not the probe's, or cannot be read.
    """
    path = probe_path(crawl_dir)
    if not path.is_file():
        return None
    remedy = "delete it, or write it again: python -m crawler probe"
    document: ProbeDocument = read_document(ProbeDocument, path, remedy, PipelineError)
    return document if document.site == str(source) else None


def write_probe(crawl_dir: Path, source: Source, probe: Probe, command: str) -> Path:
    """Write what a probe found, and return the file.

    Raises:
        PipelineError: the file cannot be written.
    """
    path = probe_path(crawl_dir)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(
        path,
        {
            "site": str(source),
            "probed_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "requests": probe.n_requests,
            "findings": [vars(finding) for finding in probe.found],
            "sources": {topic: list(sources) for topic, sources in probe.via().items()},
            "liker_source": probe.liker_source(),
            "command": command,
        },
    )
    return path
