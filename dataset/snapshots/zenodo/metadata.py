"""What Zenodo is told of a snapshot: title, creators, licence, the paper, and the digest that identifies it.

Source: https://developers.zenodo.org/#representation (the metadata of a deposition).
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from dataset.errors import UsageError
from dataset.snapshots.citation import PAPER_ARXIV
from dataset.snapshots.datasheet import PURPOSE, describe_dates, describe_source
from dataset.snapshots.licences import parse_licence
from dataset.snapshots.manifest import FILE_NAME, Manifest
from dataset.snapshots.snapshot import Snapshot

KEYWORDS = ("recommendation", "implicit feedback", "multimedia", "key frame")
_ORCID = re.compile(r"(?:https?://orcid\.org/)?(\d{4}-\d{4}-\d{4}-\d{3}[\dX])")
_KNOWN_TEXTS = ("https://creativecommons.org/", "https://spdx.org/licenses/")
_OF_THE_SERVER = ("doi", "prereserve_doi", "imprint_publisher")


@dataclass(frozen=True)
class Creator:
    """A person who made the dataset.

    Attributes:
        name: family name, comma, given names.
        affiliation: where they work, None if not stated.
        orcid: their ORCID, None if not stated.
    """

    name: str
    affiliation: str | None = None
    orcid: str | None = None

    def to_zenodo(self) -> dict[str, str]:
        """Return the person as Zenodo has them."""
        stated = {"name": self.name, "affiliation": self.affiliation, "orcid": self.orcid}
        return {key: value for key, value in stated.items() if value}

    @classmethod
    def of_zenodo(cls, creator: Mapping[str, Any]) -> "Creator":
        """Return a person whom Zenodo names."""
        return cls(str(creator.get("name", "")), creator.get("affiliation"), creator.get("orcid"))


def parse_creator(text: str) -> Creator:
    """Return the person that a text names: `Family, Given`, then if wanted `; affiliation` and `; ORCID`.

    Raises:
        UsageError: the text is malformed, or the ORCID has a wrong digit.
    """
    first, *others = (" ".join(part.split()) for part in text.split(";"))
    family, _, given = (part.strip() for part in first.partition(","))
    if not family or not given:  # Zenodo would take the words of an organisation's name for given and family names
        raise UsageError(
            f"creator {text!r}: write a person as 'Family, Given', and if you like '; affiliation' and '; ORCID' after "
            "it; Zenodo's interface takes no organisation, so name that as the affiliation"
        )
    orcids = [match[1] for part in others if (match := _ORCID.fullmatch(part))]
    affiliations = [part for part in others if part and not _ORCID.fullmatch(part)]
    if len(orcids) > 1 or len(affiliations) > 1:
        raise UsageError(f"creator {text!r}: has several affiliations or ORCIDs; give one of each")
    if orcids and not _is_orcid(orcids[0]):
        raise UsageError(f"creator {text!r}: {orcids[0]} is no ORCID, because its last digit does not fit the others")
    return Creator(f"{family}, {given}", next(iter(affiliations), None), next(iter(orcids), None))


def marker_of(snapshot: Snapshot) -> str:
    """Return what identifies a snapshot among a user's deposits: the SHA-256 of its manifest's file."""
    return hashlib.sha256(snapshot.folder.read(FILE_NAME) or b"").hexdigest()


def licence_of(snapshot: Snapshot) -> str:
    """Return Zenodo's name of a snapshot's licence.

    Raises:
        UsageError: it is not one of those that SPDX lists, so Zenodo cannot show it.
    """
    licence = parse_licence(snapshot.manifest.licence or "")
    if not licence.url or not licence.url.startswith(_KNOWN_TEXTS) or " " in licence.text:
        raise UsageError(
            f"{snapshot.path}: Zenodo knows licences by their SPDX names, and {licence.text!r} is none; publish the "
            "dataset again with one, such as --licence CC-BY-4.0, then push that"
        )
    return licence.text.lower()


def metadata_of(manifest: Manifest, creators: Sequence[Creator], licence: str, marker: str) -> dict[str, Any]:
    """Return the metadata of a new deposition."""
    paragraphs = [
        *([manifest.description] if manifest.description else []),
        PURPOSE,
        describe_source(manifest),
        *([f"Published by {manifest.publisher}."] if manifest.publisher else []),
        *([f"Contact: {manifest.contact}."] if manifest.contact else []),
        describe_dates(manifest),
    ]
    return {
        "upload_type": "dataset",
        "title": f"{manifest.name}, version {manifest.version}",
        "description": "".join(f"<p>{escape(text)}</p>" for text in paragraphs),
        "creators": [creator.to_zenodo() for creator in creators],
        "access_right": "open",
        "license": licence,
        "publication_date": manifest.created_at[:10],
        "version": str(manifest.version),
        "keywords": list(KEYWORDS),
        "related_identifiers": [
            {
                "identifier": f"arXiv:{PAPER_ARXIV}",
                "relation": "references",
                "resource_type": "publication-conferencepaper",
            }
        ],
        "notes": f"Content digest: {manifest.content_digest}. Manifest of the publisher's copy (SHA-256): {marker}.",
        "prereserve_doi": True,
    }


def is_marked(deposition: Mapping[str, Any], marker: str) -> bool:
    """Return whether a deposition is one of the snapshot with a marker."""
    return marker in str(deposition.get("metadata", {}).get("notes", ""))


def merged(present: Mapping[str, Any], ours: Mapping[str, Any], is_of_another_version: bool) -> dict[str, Any]:
    """Return the metadata of a draft that exists.

    What a draft has stays, because its user may have changed it on its page. A draft that Zenodo has made from another
    version gets ours, and keeps what they do not state, such as communities and grants.
    """
    kept = {key: value for key, value in present.items() if value and key not in _OF_THE_SERVER}
    if is_of_another_version:
        return {**kept, **ours}
    notes = str(kept.get("notes", ""))
    return {**ours, **kept, "notes": notes if ours["notes"] in notes else f"{notes} {ours['notes']}".strip()}


def _is_orcid(orcid: str) -> bool:
    """Return whether the last digit fits the others (ISO 7064, mod 11-2)."""
    total = 0
    for digit in orcid.replace("-", "")[:-1]:
        total = (total + int(digit)) * 2
    return orcid[-1] == "0123456789X"[(12 - total % 11) % 11]
