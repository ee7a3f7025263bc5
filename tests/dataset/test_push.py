"""A snapshot is pushed to a fake Hugging Face Hub on loopback, which answers what `huggingface_hub` really asks."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dataset.building.build import DatasetConfig, build
from dataset.building.split import SplitConfig
from dataset.errors import (
    AlreadyPublishedError,
    InvalidSnapshotError,
    MissingExtraError,
    PipelineError,
    StorageError,
    UsageError,
)
from dataset.snapshots.manifest import to_bytes
from dataset.snapshots.publication import PublicationConfig
from dataset.snapshots.publish import publish
from dataset.snapshots.push import push
from dataset.snapshots.snapshot import Snapshot, open_snapshot
from dataset.snapshots.verify import verify

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of the HTTP library of the Hub


@pytest.fixture(scope="module")
def versions(raw_once: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Snapshot]:
    """Two versions of a dataset; only the first has a licence in its own words, so a file of its own."""
    folder, found = tmp_path_factory.mktemp("pushed"), []
    for seed, licence in ((0, "Ask us first."), (1, "CC-BY-4.0")):
        dataset = build(raw_once, folder / "dataset", DatasetConfig(split=SplitConfig(seed=seed))).path
        found.append(publish(dataset, "toy", folder / "snapshots", PublicationConfig(licence))[0])
    return found


def files_of(snapshot: Snapshot) -> dict[str, bytes]:
    found = (path for path in snapshot.path.rglob("*") if path.is_file())
    return {path.relative_to(snapshot.path).as_posix(): path.read_bytes() for path in found}


def written(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_what_is_pushed_is_the_snapshot_byte_for_byte_under_its_tag(
    hub: Any, versions: list[Snapshot], tmp_path: Path
) -> None:
    for snapshot in versions:
        pushed = push(snapshot, "hf://me/toy")
        assert (pushed.url, pushed.tag, pushed.is_new) == (f"{hub.url}/datasets/me/toy", snapshot.path.name, True)
        assert hub.files("me/toy") == files_of(snapshot)
    for snapshot in versions:
        assert hub.files("me/toy", snapshot.path.name) == files_of(snapshot)
    assert "LICENSE" in hub.files("me/toy", "v0001")
    assert "LICENSE" not in hub.files("me/toy", "v0002")
    again = open_snapshot(written(tmp_path / "again", hub.repositories["me/toy"].commits[-1]))
    assert again.manifest == versions[1].manifest
    assert verify(again) == []  # although the Hub has added .gitattributes


@pytest.mark.parametrize(("is_public", "is_private"), [(False, True), (True, False)])
def test_a_new_repository_is_private_unless_asked_otherwise(
    is_public: bool, is_private: bool, hub: Any, versions: list[Snapshot]
) -> None:
    push(versions[0], "hf://datasets/lab/toy", is_public)
    assert hub.repositories["lab/toy"].is_private == is_private


def test_a_version_that_is_there_is_not_pushed_again(hub: Any, versions: list[Snapshot]) -> None:
    push(versions[0], "hf://me/toy")
    before = len(hub.requests)
    assert not push(versions[0], "hf://me/toy").is_new
    assert not [path for method, path in hub.requests[before:] if method != "GET" and method != "HEAD"]
    push(versions[1], "hf://me/toy")
    assert not push(versions[0], "hf://me/toy").is_new
    assert hub.files("me/toy") == files_of(versions[1])


def test_a_push_that_died_before_its_tag_ends_well_when_repeated(hub: Any, versions: list[Snapshot]) -> None:
    hub.fail = lambda method, path: 500 if "/tag/" in path else None
    with pytest.raises(StorageError, match=r"the Hub refuses \(.*500"):
        push(versions[0], "hf://me/toy")
    assert hub.repositories["me/toy"].tags == {}
    hub.fail = lambda method, path: None
    assert push(versions[0], "hf://me/toy").is_new
    assert hub.files("me/toy", "v0001") == files_of(versions[0])
    assert len(hub.repositories["me/toy"].commits) == 2


def test_files_that_no_snapshot_put_there_are_left_alone(hub: Any, versions: list[Snapshot]) -> None:
    push(versions[0], "hf://me/toy")
    repository = hub.repositories["me/toy"]
    repository.commits.append(repository.commits[-1] | {"notes/mine.md": b"mine"})
    push(versions[1], "hf://me/toy")
    assert hub.files("me/toy") == files_of(versions[1]) | {"notes/mine.md": b"mine"}


def _renamed(snapshot: Snapshot, name: str) -> dict[str, bytes]:
    return files_of(snapshot) | {"manifest.json": to_bytes(replace(snapshot.manifest, name=name))}


def test_what_somebody_else_put_there_is_never_overwritten(hub: Any, versions: list[Snapshot]) -> None:
    first, second = versions
    other = files_of(first) | {"manifest.json": to_bytes(replace(first.manifest, created_at="2020-01-01T00:00:00"))}
    cases = {
        "me/card": ([{"README.md": b"# mine\n"}], {}, r"holds 1 files that are no snapshot's, for example README\.md"),
        "me/named": ([_renamed(first, "cats")], {}, r"holds another dataset, cats v0001"),
        "me/tagged": ([other], {"v0001": 0}, r"v0001 is another toy v0001 \(content \w+ of 2020-01-01"),
        "me/untagged": ([other], {}, r"main is another toy v0001"),
        "me/later": ([files_of(second)], {"v0002": 0}, r"holds toy v0002 already; push versions in their order"),
        "me/odd": ([{"manifest.json": b"{}"}], {}, r"not a snapshot's manifest"),
    }
    for name, (commits, tags, words) in cases.items():
        before = hub.add(name, list(commits), dict(tags))
        with pytest.raises((AlreadyPublishedError, InvalidSnapshotError), match=words):
            push(first, f"hf://{name}")
        assert (before.commits, before.tags) == (commits, tags)


def test_a_push_that_meets_another_one_is_refused(hub: Any, versions: list[Snapshot]) -> None:
    push(versions[0], "hf://me/toy")
    repository = hub.repositories["me/toy"]

    def other(method: str, path: str) -> None:
        if "/preupload/" in path:
            repository.commits.append(dict(repository.commits[-1]))

    hub.fail = other
    with pytest.raises(StorageError, match="somebody else has changed the repository at the same time; push again"):
        push(versions[1], "hf://me/toy")
    assert list(repository.tags) == ["v0001"]


# --- refusals, each in one line ------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    ["me/toy", "hf://toy", "hf://me/toy/v1", "hf://datasets/toy", "s3://me/toy", "hf://me/to y", "hf://me/-toy"],
)
def test_what_is_no_address_of_a_repository_is_refused(address: str, hub: Any, versions: list[Snapshot]) -> None:
    with pytest.raises(UsageError, match=re.escape(address)):
        push(versions[0], address)
    assert hub.repositories == {}


@pytest.mark.parametrize("licence", [None, "none", ""])
def test_a_snapshot_without_a_licence_is_not_pushed(licence: str | None, hub: Any, versions: list[Snapshot]) -> None:
    snapshot = Snapshot(versions[0].folder, replace(versions[0].manifest, licence=licence))
    with pytest.raises(UsageError, match="states no licence"):
        push(snapshot, "hf://me/toy")
    assert hub.requests == []


def test_a_damaged_snapshot_is_not_pushed(hub: Any, versions: list[Snapshot], tmp_path: Path) -> None:
    folder = written(tmp_path / "damaged", files_of(versions[0]) | {"movies.parquet": b"PAR1"})
    with pytest.raises(InvalidSnapshotError, match=r"movies\.parquet: its bytes are not the ones"):
        push(open_snapshot(folder), "hf://me/toy")
    assert hub.requests == []


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("hf_wrong", "the Hub does not accept the token; log in with `hf auth login`, or set HF_TOKEN"),
        ("hf_reader", "this token may not write there; use one with write access"),
        (None, "no token of the Hub was found; log in with `hf auth login`, or set HF_TOKEN"),
    ],
)
def test_a_token_that_may_not_write_is_named_with_the_remedy(
    token: str | None, words: str, hub: Any, versions: list[Snapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", token) if token else monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(StorageError, match=re.escape(words)):
        push(versions[0], "hf://me/toy")
    assert hub.repositories == {}


@pytest.mark.parametrize("what", ["/api/datasets/me/toy", "create", "refs", "preupload", "batch", "commit", "tag"])
@pytest.mark.parametrize("status", [400, 401, 403, 429, 500])
def test_a_refusal_at_any_moment_is_one_error_of_ours(
    what: str, status: int, hub: Any, versions: list[Snapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    hub.fail = lambda method, path: status if what in path else None
    with pytest.raises(StorageError, match=r"^hf://me/toy: "):
        push(versions[0], "hf://me/toy")


def test_a_hub_that_cannot_be_reached_is_one_line(
    hub: Any, versions: list[Snapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    hub.close()
    with pytest.raises(StorageError, match=r"cannot be reached .* check the network, then push again"):
        push(versions[0], "hf://me/toy")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(PipelineError, match="hf://me/toy: "):
        push(versions[0], "hf://me/toy")


def test_a_missing_extra_is_one_line_that_names_it(
    hub: Any, versions: list[Snapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(
        MissingExtraError, match=r"push needs huggingface_hub: .* pip install 'douban-keyframes\[hub\]'"
    ):
        push(versions[0], "hf://me/toy")


def test_the_command_takes_address_and_token_from_the_environment(hub: Any, versions: list[Snapshot]) -> None:
    line = [sys.executable, "-m", "dataset", "push", str(versions[0].path), "hf://me/toy"]
    settings = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_writer", "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}
    environment = {**os.environ, **settings}
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert (done.returncode, done.stdout) == (0, f"Pushed toy v0001 to {hub.url}/datasets/me/toy, tag v0001.\n")
    assert hub.files("me/toy", "v0001") == files_of(versions[0])
    environment["HF_TOKEN"] = "hf_wrong"
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("python -m dataset: hf://me/toy: the Hub does not accept the token")
