"""The commands that share snapshots: push and pull.

An address names a folder in an object store (s3://bucket/prefix, gs://… or az://…), a repository on the Hugging Face
Hub (hf://owner/name), or a record on Zenodo (zenodo:…).
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dataset.cli import say
from dataset.errors import UsageError
from dataset.progress import progress
from dataset.snapshots import DEFAULT_ROOT
from dataset.snapshots.zenodo.address import SANDBOX, ZENODO, Server, is_on_zenodo

if TYPE_CHECKING:
    from dataset.snapshots.snapshot import Snapshot


def push_snapshot(
    snapshot: str,
    address: str,
    /,
    *,
    public: bool = False,
    creator: tuple[str, ...] = (),
    sandbox: bool = False,
    publish: bool = False,
) -> None:
    """Upload a snapshot to a dataset repository on the Hugging Face Hub, or deposit it on Zenodo with a DOI.

    It needs a licence, and a token with write access. For the Hub: `hf auth login`, or HF_TOKEN; a repository that does
    not exist is created, and only its owner can read it. For Zenodo: ZENODO_TOKEN, or ZENODO_SANDBOX_TOKEN; what is
    deposited is a draft, until it is published there or with --publish.

    Args:
        snapshot: folder of a snapshot (for a folder of several versions: the newest)
        address: hf://<owner>/<name>; zenodo: for a new record, zenodo:<record or DOI> for a new version of one
        public: Hub: let everybody read a repository that is created now
        creator: Zenodo: a person who made the dataset, "Family, Given", and if you like "; affiliation; ORCID"; once
            per person
        sandbox: Zenodo: use its sandbox, where everything can be tried
        publish: Zenodo: publish the draft for good, which cannot be undone
    """
    if is_on_zenodo(address):
        if public:
            raise UsageError("--public is for the Hub; Zenodo publishes with --publish")
        return _deposit(snapshot, address, creator, sandbox, publish)
    if creator or sandbox or publish:
        raise UsageError(f"{address}: --creator, --sandbox and --publish are for Zenodo (zenodo:…)")
    return _push_to_hub(snapshot, address, public)


def _push_to_hub(snapshot: str, address: str, public: bool) -> None:
    from dataset.snapshots.push import push, require_hub
    from dataset.snapshots.snapshot import snapshot_at

    require_hub()
    from huggingface_hub.utils.tqdm import disable_progress_bars  # an extra

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # our error says what its warnings say
    if not sys.stderr.isatty():
        disable_progress_bars()
    source = snapshot_at(snapshot)
    pushed = push(source, address, public)
    if pushed.is_new:
        say(f"Pushed {source.label} to {pushed.url}, tag {pushed.tag}.")
    else:
        say(f"{source.label} is already in {pushed.url}, tag {pushed.tag}.")


def _deposit(snapshot: str, address: str, creator: tuple[str, ...], sandbox: bool, publish: bool) -> None:
    from dataset.snapshots.snapshot import snapshot_at
    from dataset.snapshots.zenodo.deposit import deposit
    from dataset.snapshots.zenodo.metadata import parse_creator

    source = snapshot_at(snapshot)
    done = deposit(source, address, _server(sandbox), [parse_creator(text) for text in creator], publish)
    files = "1 file" if done.n_sent == 1 else f"{done.n_sent} files"
    if not done.is_new:
        say(f"{source.label} is already published: {done.url}, DOI {done.doi}.")
    elif done.is_published:
        say(f"Published {source.label}: {done.url}, DOI {done.doi} ({files} sent).")
    else:
        say(f"{source.label} is a draft: {done.url}, reserved DOI {done.doi} ({files} sent).")
        say("  Look at it, then publish it there, or with --publish; that cannot be undone.")


def pull_snapshot(
    snapshot: str,
    /,
    *,
    to: Path = DEFAULT_ROOT,
    sandbox: bool = False,
) -> None:
    """Fetch a snapshot from an object store or from Zenodo, whole and verified.

    Args:
        snapshot: address or folder of a snapshot (for a folder of several versions: the newest), or
            zenodo:<record or DOI>
        to: the folder of all snapshots on this machine
        sandbox: Zenodo: use its sandbox
    """
    from dataset.snapshots.pull import file_sizes, pull

    with _source(snapshot, sandbox) as source, progress("bytes") as bar:
        line = bar.add_task(f"Pulling {source.label}", total=sum(file_sizes(source).values()))
        pulled, is_new = pull(source, to, lambda n: bar.update(line, advance=n))
    if is_new:
        say(f"Pulled {pulled.label} to {pulled.path}, every file verified.")
    else:
        say(f"{pulled.label} is already in {pulled.path}.")


@contextmanager
def _source(place: str, sandbox: bool) -> Iterator["Snapshot"]:
    from dataset.snapshots.snapshot import snapshot_at

    if not is_on_zenodo(place):
        if sandbox:
            raise UsageError(f"{place}: --sandbox is for Zenodo (zenodo:…)")
        yield snapshot_at(place)
        return
    from dataset.snapshots.zenodo.client import Client
    from dataset.snapshots.zenodo.record import record_at

    with Client(Server(_server(sandbox).url), place) as client:  # without the token: records are public
        yield record_at(client)


def _server(sandbox: bool) -> Server:
    """Return Zenodo or its sandbox (ZENODO_ENDPOINT: another server), with the token in the environment."""
    token = os.environ.get("ZENODO_SANDBOX_TOKEN" if sandbox else "ZENODO_TOKEN", "").strip()
    url = os.environ.get("ZENODO_ENDPOINT") or (SANDBOX if sandbox else ZENODO)
    return Server(url.rstrip("/"), token or None)
