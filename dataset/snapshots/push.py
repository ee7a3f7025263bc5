"""Pushes a snapshot to a dataset repository on the Hugging Face Hub (the extra `hub`).

A push is one commit, so a reader sees a whole version or none, and a tag per version (`v0001`). The repository's tree
then holds the snapshot's files, with the bytes that the manifest lists. Files of an earlier version that this one does
not have are deleted in the same commit; files that no snapshot put there are left alone. A push that was interrupted
can be repeated: what is there already is not uploaded again.

The token and the Hub's address come from where `huggingface_hub` finds them: a login (`hf auth login`), or the
environment (`HF_TOKEN`, `HF_ENDPOINT`).
"""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dataset.dates import default_dates
from dataset.errors import AlreadyPublishedError, InvalidSnapshotError, StorageError, UsageError
from dataset.extras import require_library
from dataset.progress import stage
from dataset.snapshots.licences import parse_licence
from dataset.snapshots.manifest import FILE_NAME, Manifest, from_bytes, version_folder
from dataset.snapshots.snapshot import Snapshot
from dataset.snapshots.verify import verify

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

_ADDRESS = re.compile(r"hf://(?:datasets/)?(?P<id>(?!(?:datasets|models|spaces)/)[^/@]+/[^/@]+)/?")
_OF_THE_HUB = (".gitattributes",)
"""What the Hub itself puts into a new repository."""

_REASONS = {
    401: "the Hub does not accept the token; log in with `hf auth login`, or set HF_TOKEN to a valid one",
    403: "this token may not write there; use one with write access to that owner's repositories",
    409: "somebody else has changed the repository at the same time; push again",
    412: "somebody else has changed the repository at the same time; push again",
    429: "the Hub asks to wait; push again later",
}


@dataclass(frozen=True)
class Pushed:
    """The result of a push: the repository's address on the web, the tag, and whether it is new."""

    url: str
    tag: str
    is_new: bool


@stage("Pushing")
def push(snapshot: Snapshot, address: str, is_public: bool = False) -> Pushed:
    """Push a snapshot to `hf://<owner>/<name>`, unless its version is there already.

    Args:
        snapshot: the snapshot, on a disk.
        address: the repository's address; it is created if it does not exist.
        is_public: whether a new repository can be read by everybody; an existing one stays as it is.

    Raises:
        UsageError: the address is malformed, the snapshot states no licence, or nobody chose how exact its dates of
            real people are, because an older version published it.
        MissingExtraError: the extra `hub` is not installed.
        InvalidSnapshotError: a file is not the published one.
        AlreadyPublishedError: the repository holds something else: other files, another dataset, a later version, or
            a different snapshot under this version's tag.
        StorageError: the Hub cannot be reached, or refuses.
    """
    repository = _repository(address)
    require_shareable(snapshot)
    require_hub()
    require_published(snapshot)
    with _explained(address):
        return _push(snapshot, address, repository, is_public)


def require_shareable(snapshot: Snapshot) -> None:
    """Check that a snapshot may be given to anybody.

    Raises:
        UsageError: it states no licence, or nobody chose how exact its dates of real people are, because an older
            version published it.
    """
    licence = snapshot.manifest.licence
    if licence is None:
        raise UsageError(
            f"{snapshot.path}: states no licence, so nobody may use it; publish it again with --licence, then push that"
        )
    parse_licence(licence)
    if snapshot.manifest.dates is None and default_dates(snapshot.manifest.provenance) != "time":
        raise UsageError(
            f"{snapshot.path}: has the exact dates of people who may be real, because an older version published it; "
            "publish the dataset again, with coarser dates or with --dates day, then push that"
        )


def require_published(snapshot: Snapshot) -> None:
    """Check that a snapshot's files are the published ones.

    Raises:
        InvalidSnapshotError: a file is not.
    """
    if problems := verify(snapshot):
        raise InvalidSnapshotError(f"{snapshot.path}: {'; '.join(problems)}; get the snapshot from its source again")


def require_hub() -> None:
    """Check that the extra `hub` is installed.

    Raises:
        MissingExtraError: it is not.
    """
    require_library("huggingface_hub", "push")


def _push(snapshot: Snapshot, address: str, repository: str, is_public: bool) -> Pushed:
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import RepositoryNotFoundError

    api, tag = HfApi(), version_folder(snapshot.version)
    url = f"{api.endpoint}/datasets/{repository}"
    if get_token() is None:
        raise StorageError(f"{address}: no token of the Hub was found; log in with `hf auth login`, or set HF_TOKEN")
    try:
        info = api.dataset_info(repository)
    except RepositoryNotFoundError:
        api.create_repo(repository, repo_type="dataset", private=not is_public, exist_ok=True)
        info = api.dataset_info(repository)
    files = {sibling.rfilename for sibling in info.siblings or []}
    before = _require_same_dataset(api, address, repository, files, snapshot)
    tags = {ref.name for ref in api.list_repo_refs(repository, repo_type="dataset").tags}
    if tag in tags:
        _require_same_version(snapshot.manifest, _manifest_at(api, address, repository, tag), address, tag)
        return Pushed(url, tag, is_new=False)
    if before and before.version > snapshot.version:
        raise AlreadyPublishedError(f"{address}: holds {before.label} already; push versions in their order")
    if before and before.version == snapshot.version:
        _require_same_version(snapshot.manifest, before, address, "main")
    commit = api.create_commit(
        repository,
        _operations(snapshot, before, files),
        commit_message=f"{snapshot.label}, content {snapshot.content_digest[:12]}",
        repo_type="dataset",
        parent_commit=info.sha,
    )
    api.create_tag(repository, tag=tag, revision=commit.oid, repo_type="dataset")
    return Pushed(url, tag, is_new=True)


def _repository(address: str) -> str:
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise UsageError(f"{address}: not the address of a dataset repository; write hf://<owner>/<name>")
    return match["id"]


def _require_same_dataset(
    api: "HfApi", address: str, repository: str, files: set[str], snapshot: Snapshot
) -> Manifest | None:
    """Return the manifest on the repository's main branch, None if the repository is empty.

    Raises:
        AlreadyPublishedError: the repository holds another dataset, or files that are no snapshot's.
    """
    if FILE_NAME in files:
        before = _manifest_at(api, address, repository, "main")
        if before.name == snapshot.name:
            return before
        raise AlreadyPublishedError(f"{address}: holds another dataset, {before.label}; push to another repository")
    if others := sorted(files.difference(_OF_THE_HUB)):
        raise AlreadyPublishedError(
            f"{address}: holds {len(others)} files that are no snapshot's, for example {others[0]}; "
            "push to another repository, or remove them first"
        )
    return None


def _require_same_version(ours: Manifest, theirs: Manifest, address: str, revision: str) -> None:
    if ours.manifest_sha256 != theirs.manifest_sha256:
        raise AlreadyPublishedError(
            f"{address}: {revision} is another {theirs.label} (content {theirs.content_digest[:12]} of "
            f"{theirs.created_at[:16]}, not {ours.content_digest[:12]} of {ours.created_at[:16]}); a published version "
            "never changes, so publish the next one, or push to another repository"
        )


def _manifest_at(api: "HfApi", address: str, repository: str, revision: str) -> Manifest:
    with tempfile.TemporaryDirectory(prefix="douban-keyframes-") as cache:
        path = api.hf_hub_download(repository, FILE_NAME, repo_type="dataset", revision=revision, cache_dir=cache)
        return from_bytes(Path(path).read_bytes(), f"{address} at {revision}: {FILE_NAME}")


def _operations(
    snapshot: Snapshot, before: Manifest | None, files: set[str]
) -> list["CommitOperationAdd | CommitOperationDelete"]:
    """Return what makes the repository's tree that of the snapshot: its files, without those of the last version."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    own = [*snapshot.manifest.sha256_of, FILE_NAME]
    left = sorted(files.intersection(before.sha256_of if before else ()).difference(own))
    additions = [CommitOperationAdd(name, snapshot.path / name) for name in own]
    return [*additions, *(CommitOperationDelete(name, is_folder=False) for name in left)]


@contextmanager
def _explained(address: str) -> Iterator[None]:
    """Turn an error of the Hub or of the network into one line.

    Raises:
        UsageError: the Hub does not allow the name.
        StorageError: the Hub cannot be reached, or refuses.
    """
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    # That of the HTTP library, which differs between versions of huggingface_hub.
    network_error: type[BaseException] = HfHubHTTPError.__bases__[0]
    try:
        yield
    except HFValidationError as error:
        raise UsageError(f"{address}: {_first_line(error)}") from None
    except HfHubHTTPError as error:
        status = error.response.status_code
        raise StorageError(f"{address}: {_REASONS.get(status) or f'the Hub refuses ({_first_line(error)})'}") from None
    except (OSError, network_error) as error:
        raise StorageError(
            f"{address}: cannot be reached ({_first_line(error)}); check the network, then push again"
        ) from None
    except (ValueError, RuntimeError) as error:
        causes = f"{_first_line(error)}: {_first_line(error.__cause__)}" if error.__cause__ else _first_line(error)
        raise StorageError(f"{address}: the Hub did not take it ({causes}); push again") from None


def _first_line(error: BaseException) -> str:
    return next((line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()), type(error).__name__)
