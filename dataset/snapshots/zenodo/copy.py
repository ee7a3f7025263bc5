"""The copy of a snapshot that is deposited: its tables as they are, and its documents with the DOI."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from dataset.errors import UsageError
from dataset.snapshots.card import render_card
from dataset.snapshots.citation import CITATION_FILE, citation_file
from dataset.snapshots.croissant import FILE_NAME as CROISSANT
from dataset.snapshots.croissant import write_croissant
from dataset.snapshots.licences import parse_licence
from dataset.snapshots.manifest import FILE_NAME, Manifest, to_bytes
from dataset.snapshots.snapshot import Snapshot
from dataset.snapshots.zenodo.metadata import Creator
from dataset.snapshots.zenodo.record import key_of

_MAX_FILES = 100
_MAX_BYTES = 50 * 10**9
_CARD = "README.md"


def require_fits(snapshot: Snapshot) -> None:
    """Check that Zenodo takes the files: 50 GB, 100 files, and each name once.

    Raises:
        UsageError: it does not.
    """
    names = {*snapshot.manifest.sha256_of, FILE_NAME, CITATION_FILE}
    size = sum(file.size_bytes for name, file in snapshot.folder.files().items() if name in names)
    elsewhere = "push it to the Hugging Face Hub, or publish it in an object store"
    if len(names) > _MAX_FILES:
        raise UsageError(
            f"{snapshot.path}: has {len(names)} files with those of the deposit, and Zenodo takes {_MAX_FILES} per "
            f"record; {elsewhere}"
        )
    if size > _MAX_BYTES:
        raise UsageError(
            f"{snapshot.path}: has {size / 1e9:,.1f} GB, and Zenodo takes {_MAX_BYTES / 1e9:,.0f} GB per record "
            f"(ask it for more, with the reason, through its support page); {elsewhere}"
        )
    if len({key_of(name) for name in names}) < len(names):
        raise UsageError(
            f"{snapshot.path}: two of its files have one name on Zenodo, which has no folders; {elsewhere}"
        )


@dataclass(frozen=True)
class Copy:
    """What a deposit holds: its manifest, and its files by their names in the snapshot, the manifest last."""

    manifest: Manifest
    files: dict[str, Path]


def copy_with_doi(snapshot: Snapshot, doi: str, creators: Sequence[Creator], folder: Path) -> Copy:
    """Write the documents of a deposit into a folder; the snapshot's own files are only named.

    Args:
        snapshot: the snapshot, on a disk.
        doi: the DOI that is reserved for it.
        creators: the people to cite.
        folder: an empty folder.
    """
    manifest = replace(snapshot.manifest, doi=doi, creators=[creator.name for creator in creators])
    (folder / _CARD).write_text(render_card(manifest), encoding="utf-8")
    write_croissant(manifest, folder)
    licence = parse_licence(manifest.licence or "")
    people = [_in_citation(creator) for creator in creators]
    (folder / CITATION_FILE).write_text(citation_file(manifest, people, licence.text), encoding="utf-8")
    written = {name: folder / name for name in (_CARD, CROISSANT, CITATION_FILE)}
    digests = {name: sha256(path.read_bytes()).hexdigest() for name, path in written.items()}
    manifest = replace(manifest, files=manifest.files | digests)
    (folder / FILE_NAME).write_bytes(to_bytes(manifest))
    own = {name: snapshot.path / name for name in snapshot.manifest.sha256_of if name not in written}
    return Copy(manifest, {**own, **written, FILE_NAME: folder / FILE_NAME})


def _in_citation(creator: Creator) -> dict[str, str]:
    family, _, given = creator.name.partition(", ")
    stated = {"family-names": family, "given-names": given, "affiliation": creator.affiliation or ""}
    orcid = {"orcid": f"https://orcid.org/{creator.orcid}"} if creator.orcid else {}
    return {key: value for key, value in stated.items() if value} | orcid
