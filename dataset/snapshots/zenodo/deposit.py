"""Deposits a snapshot on Zenodo, as a draft with a reserved DOI or published for good.

The DOI is reserved before anything is sent, so that the deposit's own documents name it. A file that the draft has
already, with the same MD5, is not sent again: a deposit that was interrupted is continued by the same command. It finds
its draft among the user's by the SHA-256 of the manifest, which the notes of the draft hold. A version of a record that
exists starts with the files of the version before.
"""

import hashlib
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset.errors import AlreadyPublishedError, StorageError, UsageError
from dataset.extras import require_library
from dataset.progress import progress, stage
from dataset.snapshots.manifest import Manifest
from dataset.snapshots.push import require_published, require_shareable
from dataset.snapshots.snapshot import Snapshot
from dataset.snapshots.zenodo.address import Server, record_id
from dataset.snapshots.zenodo.client import Client, md5_of, part_of
from dataset.snapshots.zenodo.copy import Copy, copy_with_doi, require_fits
from dataset.snapshots.zenodo.metadata import Creator, is_marked, licence_of, marker_of, merged, metadata_of
from dataset.snapshots.zenodo.record import key_of, snapshot_in

_DEPOSITIONS = "deposit/depositions"
_PAGE = 25
_READ_BYTES = 1 << 20

Deposition = dict[str, Any]


@dataclass(frozen=True)
class Deposited:
    """The result of a deposit.

    Attributes:
        url: the page of the record or draft.
        doi: its DOI; that of a draft is only reserved.
        is_published: whether it is published, else a draft.
        is_new: False: it was published before.
        n_sent: the number of files that were sent; the others were there.
    """

    url: str
    doi: str
    is_published: bool
    is_new: bool
    n_sent: int


def deposit(
    snapshot: Snapshot,
    address: str,
    server: Server,
    creators: Sequence[Creator] = (),
    is_published: bool = False,
    wait: Callable[[float], None] = time.sleep,
) -> Deposited:
    """Deposit a snapshot on Zenodo, unless it is published there already.

    Args:
        snapshot: the snapshot, on a disk.
        address: `zenodo:` for a new record; `zenodo:<record>` for a new version of it, `zenodo:<draft>` for a draft.
        server: Zenodo or its sandbox, with the user's token.
        creators: the people who made the dataset; none: those of the record that the address names.
        is_published: whether the draft is published at the end, which cannot be undone.
        wait: waits for a number of seconds.

    Raises:
        UsageError: the address is malformed, the snapshot states no licence that Zenodo knows or has too many or too
            large files, creators are missing, or it must not be shared (`require_shareable`).
        MissingExtraError: the extra `hub` is not installed.
        InvalidSnapshotError: a file is not the published one.
        AlreadyPublishedError: the record holds something else: other files, another dataset, a later version, or a
            different snapshot of this number.
        StorageError: there is no token, or Zenodo cannot be reached or refuses.
    """
    number = record_id(address, server)
    require_shareable(snapshot)
    licence = licence_of(snapshot)
    require_fits(snapshot)
    if snapshot.manifest.doi:
        raise AlreadyPublishedError(f"{snapshot.path}: is a deposited copy already, with DOI {snapshot.manifest.doi}")
    if number is None and not creators:
        raise _who_made_it(address)
    require_library("httpx", "push to Zenodo")
    if server.token is None:
        raise StorageError(
            f"{address}: no token of Zenodo was found; make one at {server.url}/account/settings/applications (scopes "
            "deposit:write and deposit:actions), and set it in the environment"
        )
    require_published(snapshot)
    with Client(server, address, wait) as client:
        return _Deposit(client, snapshot, tuple(creators), licence).run(number, is_published)


class _Deposit:
    """One deposit.

    Args:
        client: makes the requests.
        snapshot: what is deposited.
        creators: the people whom the user has named.
        licence: Zenodo's name of the licence.
    """

    def __init__(self, client: Client, snapshot: Snapshot, creators: tuple[Creator, ...], licence: str) -> None:
        self._client, self._snapshot, self._creators, self._licence = client, snapshot, creators, licence
        self._address, self._marker = client.address, marker_of(snapshot)

    def run(self, number: str | None, is_published: bool) -> Deposited:
        """Find or create the draft, fill it, and publish it if that is asked for."""
        own = self._own_depositions()
        draft = self._by_marker(own) if number is None else self._named(number, own)
        if draft.get("submitted"):
            return Deposited(self._page(draft), str(draft.get("doi", "")), True, False, 0)
        doi = part_of(draft, "metadata", "prereserve_doi", "doi")
        published = [one for one in own if one.get("submitted") and _concept(one) == _concept(draft)]
        before = self._newest_of(published[0])[1] if published else None
        self._describe(draft, before)
        with tempfile.TemporaryDirectory(prefix="douban-keyframes-") as scratch:
            copy = copy_with_doi(self._snapshot, doi, self._creators, Path(scratch))
            n_sent = self._send(draft, copy, before)
        if not is_published:
            return Deposited(self._page(draft), doi, False, True, n_sent)
        record = self._client.ask("POST", f"{_DEPOSITIONS}/{draft['id']}/actions/publish")
        if part_of(record, "doi") != doi:
            raise StorageError(
                f"{self._page(record)}: was published under {record['doi']}, but its files say {doi}; tell its "
                "readers, and publish a new version"
            )
        return Deposited(self._page(record), doi, True, True, n_sent)

    def _own_depositions(self) -> list[Deposition]:
        """Return all drafts and records of the user."""
        found: list[Deposition] = []
        with stage("Looking for earlier deposits"):
            while True:
                params = {"page": len(found) // _PAGE + 1, "size": _PAGE, "sort": "mostrecent", "all_versions": "true"}
                page = self._client.ask("GET", _DEPOSITIONS, params=params)
                found += page
                if len(page) < _PAGE:
                    return found

    def _by_marker(self, own: list[Deposition]) -> Deposition:
        """Return the record or draft of this very snapshot, or a new draft."""
        ours = [one for one in own if is_marked(one, self._marker)]
        if ours:
            return self._deposition(min(ours, key=lambda one: not one.get("submitted"))["id"])
        metadata = metadata_of(self._snapshot.manifest, self._creators, self._licence, self._marker)
        made: Deposition = self._client.ask("POST", _DEPOSITIONS, {"metadata": metadata})
        return made

    def _named(self, number: str, own: list[Deposition]) -> Deposition:
        """Return the draft that the address names, or the draft of the next version of the record that it names."""
        found: Deposition | None = self._client.find(f"{_DEPOSITIONS}/{number}")
        if found is None and (record := self._client.find(f"records/{number}")):
            found = self._client.find(f"{_DEPOSITIONS}/{part_of(record, 'id')}")
        if found is None:
            raise StorageError(f"{self._address}: there is no such record or draft of yours; check the number")
        if found.get("submitted"):
            return self._next_version(found, own)
        if found.get("files") and not is_marked(found, self._marker):
            published = [one for one in own if one.get("submitted") and _concept(one) == _concept(found)]
            if not published:
                raise self._not_ours(found)
            return self._next_version(published[0], own)
        return found

    def _next_version(self, record: Deposition, own: list[Deposition]) -> Deposition:
        newest, before = self._newest_of(record)
        ours = self._snapshot.manifest
        if before.name != ours.name:
            raise AlreadyPublishedError(
                f"{self._address}: holds another dataset, {before.label}; push to another record"
            )
        if before.version > ours.version:
            raise AlreadyPublishedError(f"{self._address}: holds {before.label} already; push versions in their order")
        if before.version == ours.version and not before.is_copy_of(ours):
            raise AlreadyPublishedError(
                f"{self._address}: holds another {before.label} (content {before.content_digest[:12]} of "
                f"{before.created_at[:16]}, not {ours.content_digest[:12]} of {ours.created_at[:16]}); a published "
                "version never changes, so publish the next one, or push to another record"
            )
        if before.version == ours.version:
            return self._deposition(newest)
        drafts = [one for one in own if not one.get("submitted") and _concept(one) == _concept(record)]
        if drafts:
            return self._deposition(drafts[0]["id"])
        made = self._client.ask("POST", f"{_DEPOSITIONS}/{newest}/actions/newversion")
        draft: Deposition = self._client.ask("GET", part_of(made, "links", "latest_draft"))
        return draft

    def _newest_of(self, record: Deposition) -> tuple[Any, Manifest]:
        """Return the number and the manifest of the newest version of a published record.

        Raises:
            AlreadyPublishedError: it is no snapshot.
        """
        newest = self._client.find(f"records/{record['id']}/versions/latest")
        there = snapshot_in(self._client, newest or {})
        if newest is None or there is None:
            raise self._not_ours(record)
        return newest["id"], there.manifest

    def _deposition(self, number: Any) -> Deposition:
        found: Deposition = self._client.ask("GET", f"{_DEPOSITIONS}/{number}")
        return found

    def _not_ours(self, found: Deposition) -> AlreadyPublishedError:
        names = sorted(file.get("filename", "") for file in found.get("files") or [])
        example = f", for example {names[0]}" if names else ""
        return AlreadyPublishedError(
            f"{self._address}: holds {len(names)} files that are no snapshot's{example}; push to another record"
        )

    def _describe(self, draft: Deposition, before: Manifest | None) -> None:
        """Write the draft's metadata, unless they are as they should be.

        Raises:
            UsageError: nobody says who made the dataset.
        """
        present = part_of(draft, "metadata")
        named = [creator.to_zenodo() for creator in self._creators] or present.get("creators")
        if not named:
            raise _who_made_it(self._address)
        self._creators = self._creators or tuple(map(Creator.of_zenodo, named))
        ours = metadata_of(self._snapshot.manifest, self._creators, self._licence, self._marker)
        is_of_another_version = before is not None and not is_marked(draft, self._marker)
        wanted = merged(present, ours, is_of_another_version) | {"creators": named}
        if any(present.get(key) != value for key, value in wanted.items() if key != "prereserve_doi"):
            self._client.ask("PUT", f"{_DEPOSITIONS}/{draft['id']}", {"metadata": wanted})

    def _send(self, draft: Deposition, copy: Copy, before: Manifest | None) -> int:
        """Make the draft's files those of the copy; return how many were sent."""
        with stage("Comparing files"):
            wanted = {key_of(name): (path, _md5(path)) for name, path in copy.files.items()}
        there = {file["filename"]: file for file in draft.get("files") or []}
        of_before = {key_of(name) for name in before.sha256_of} if before else set()
        for key in sorted(of_before & there.keys() - wanted.keys()):
            self._client.ask("DELETE", part_of(there[key], "links", "self"))
        missing = [key for key, (_, md5) in wanted.items() if key not in there or md5_of(there[key]) != md5]
        bucket = part_of(draft, "links", "bucket")
        total = sum(wanted[key][0].stat().st_size for key in missing)
        with progress("bytes") as bar:
            task = bar.add_task(f"Uploading {self._snapshot.label}", total=total)
            for key in missing:
                path, md5 = wanted[key]
                bar.update(task, note=key)
                if self._client.upload(bucket, key, path, lambda n: bar.advance(task, n)) != md5:
                    raise StorageError(f"{self._address}: {key} arrived damaged (MD5 differs); run the command again")
        now = {file["filename"]: md5_of(file) for file in self._deposition(draft["id"]).get("files") or []}
        wrong = [key for key, (_, md5) in wanted.items() if now.get(key) != md5]
        if wrong or (of_before - wanted.keys()) & now.keys():
            raise StorageError(
                f"{self._address}: the draft does not have the files that were sent ({', '.join(wrong) or 'more'}); "
                "run the command again"
            )
        return len(missing)

    def _page(self, deposition: Deposition) -> str:
        kind = "records" if deposition.get("submitted") else "uploads"
        return f"{self._client.server.url}/{kind}/{deposition['id']}"


def _who_made_it(address: str) -> UsageError:
    return UsageError(f"{address}: who made the dataset? name each person with --creator 'Family, Given'")


def _concept(deposition: Deposition) -> Any:
    """Return the number that all versions of a record share."""
    return deposition.get("conceptrecid")


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()
