"""A snapshot is deposited on a fake Zenodo on loopback, which checks what the real one checks, and pulled from it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlcroissant
import pytest
import yaml
from deposits import JANE, TOKEN, files_of, only, pulled
from fake_zenodo import FakeZenodo

from dataset.__main__ import app
from dataset.errors import (
    AlreadyPublishedError,
    InvalidSnapshotError,
    PipelineError,
    StorageError,
)
from dataset.snapshots.manifest import Manifest, from_bytes, to_bytes
from dataset.snapshots.pull import pull
from dataset.snapshots.snapshot import Snapshot
from dataset.snapshots.verify import verify
from dataset.snapshots.zenodo.address import Server
from dataset.snapshots.zenodo.client import Client
from dataset.snapshots.zenodo.deposit import Deposited
from dataset.snapshots.zenodo.metadata import Creator
from dataset.snapshots.zenodo.record import record_at

ROOT = Path(__file__).resolve().parents[2]


def test_a_deposit_is_a_draft_whose_documents_have_the_reserved_doi(
    zenodo: FakeZenodo, send: Callable[..., Deposited], versions: list[Snapshot]
) -> None:
    before = files_of(versions[0])
    done = send(versions[0])
    draft = only(zenodo)
    assert (done.doi, done.url) == (f"10.5072/zenodo.{draft.number}", f"{zenodo.url}/uploads/{draft.number}")
    assert (done.is_published, done.is_new, draft.is_published) == (False, True, False)
    assert files_of(versions[0]) == before
    there = draft.files
    assert set(there) == {name.replace("/", "--") for name in before} | {"CITATION.cff"}
    changed = {name for name in before if there[name.replace("/", "--")] != before[name]}
    assert changed == {"README.md", "croissant.json", "manifest.json"}
    manifest = from_bytes(there["manifest.json"], "manifest.json")
    assert (manifest.doi, manifest.creators) == (done.doi, ["Doe, Jane"])
    assert manifest.content_digest == versions[0].content_digest
    for name in ("README.md", "croissant.json", "CITATION.cff"):
        assert done.doi in there[name].decode()
    first = zenodo.sent("PUT", "/files/")[0]
    assert zenodo.requests.index(("POST", "/api/deposit/depositions")) < zenodo.requests.index(("PUT", first))
    assert zenodo.sent("PUT", "/files/")[-1].endswith("/manifest.json")
    assert all(agent.startswith("douban-keyframes/") for agent in zenodo.user_agents)


def test_the_metadata_name_licence_creators_the_paper_and_the_digest(
    zenodo: FakeZenodo, send: Callable[..., Deposited], versions: list[Snapshot]
) -> None:
    send(versions[0], creators=[JANE, Creator("Roe, Richard")])
    told = only(zenodo).metadata
    assert told["license"] == "cc-by-4.0"
    assert told["creators"] == [
        {"name": "Doe, Jane", "affiliation": "Lab of Examples", "orcid": "0000-0002-1825-0097"},
        {"name": "Roe, Richard"},
    ]
    assert (told["title"], told["version"], told["upload_type"]) == ("toy, version 1", "1", "dataset")
    assert [(one["identifier"], one["relation"]) for one in told["related_identifiers"]] == [
        ("arXiv:1906.00246", "references")
    ]
    assert "<p>Stars &amp; &lt;likes&gt;.</p>" in told["description"]
    assert versions[0].content_digest in told["notes"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the RDF library below it
def test_mlcroissant_reads_the_croissant_of_a_deposit(
    zenodo: FakeZenodo, send: Callable[..., Deposited], versions: list[Snapshot], tmp_path: Path
) -> None:
    done = send(versions[0], is_published=True)
    snapshot = pulled(zenodo, f"zenodo:{done.doi}", tmp_path)
    described = mlcroissant.Dataset(jsonld=snapshot.path / "croissant.json").metadata
    assert (described.ctx.issues.errors, described.ctx.issues.warnings) == (set(), set())
    assert described.url == f"https://doi.org/{done.doi}"
    assert [by.name for by in described.creators] == ["Doe, Jane"]
    assert "author  = {Doe, Jane}" in described.cite_as
    assert f"doi     = {{{done.doi}}}" in described.cite_as


CFF_KEYS = {
    *("cff-version", "message", "type", "title", "version", "authors", "doi", "date-released", "license", "abstract"),
    *("identifiers", "references", "keywords", "preferred-citation"),
}
"""Those keys of the Citation File Format 1.2.0 that we use; it allows no other than its own."""


def require_citation(text: str) -> dict[str, Any]:
    """Check a CITATION.cff as the schema of version 1.2.0 does, for the keys that we use."""
    told = yaml.load(text, yaml.BaseLoader)  # dates stay texts
    assert {"cff-version", "message", "title", "authors"} <= set(told) <= CFF_KEYS
    assert (told["cff-version"], told["type"] in ("dataset", "software")) == ("1.2.0", True)
    people = [told["authors"], *(one["authors"] for one in (told.get("references") or []))]
    for person in (one for group in people for one in group):
        assert set(person) <= {"name"} or set(person) <= {"family-names", "given-names", "affiliation", "orcid"}
        assert re.fullmatch(r"https://orcid\.org/(\d{4}-){3}\d{3}[\dX]", person.get("orcid", JANE_ORCID))
    for one in told.get("identifiers", []):
        assert set(one) <= {"type", "value", "description"}
        assert one["type"] in ("doi", "url", "swh", "other")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", told.get("date-released", "2026-01-01"))
    assert re.fullmatch(r"10\.\d{4,9}(\.\d+)?/[A-Za-z0-9:/_;\-.()\[\]\\]+", told.get("doi", "10.1234/x"))
    return told


JANE_ORCID = f"https://orcid.org/{JANE.orcid}"


def test_the_citation_file_of_a_deposit_names_doi_authors_licence_and_the_paper(
    zenodo: FakeZenodo, send: Callable[..., Deposited], versions: list[Snapshot]
) -> None:
    done = send(versions[0])
    told = require_citation(only(zenodo).files["CITATION.cff"].decode())
    assert (told["doi"], told["license"], told["type"]) == (done.doi, "CC-BY-4.0", "dataset")
    jane = {"family-names": "Doe", "given-names": "Jane", "affiliation": "Lab of Examples", "orcid": JANE_ORCID}
    assert told["authors"] == [jane]
    (paper,) = told["references"]
    assert paper["type"] == "conference-paper"
    assert len(paper["authors"]) == 7
    assert told["abstract"] == "Stars & <likes>."


def test_the_citation_file_of_the_program_is_valid() -> None:
    told = require_citation((ROOT / "CITATION.cff").read_text("utf-8"))
    assert told["preferred-citation"]["type"] == "conference-paper"


def test_a_deposit_is_continued_and_only_what_is_missing_is_sent(
    zenodo: FakeZenodo, send: Callable[..., Deposited], versions: list[Snapshot]
) -> None:
    sent: list[str] = []

    def third_fails(method: str, path: str) -> Any:
        sent.extend([path] if method == "PUT" and "/files/" in path else [])
        return (400, {}) if len(sent) == 4 else None

    zenodo.fail = third_fails
    with pytest.raises(StorageError, match=r"Zenodo refuses \(status 400: no\)"):
        send(versions[0])
    assert len(only(zenodo).files) == 3
    zenodo.fail = lambda method, path: None
    zenodo.requests.clear()
    done = send(versions[0])
    assert done.n_sent == len(files_of(versions[0])) + 1 - 3
    assert len(zenodo.sent("PUT", "/files/")) == done.n_sent
    zenodo.requests.clear()
    assert send(versions[0]).n_sent == 0
    assert not zenodo.sent("PUT")
    assert not zenodo.sent("POST")
    assert only(zenodo).files.keys() >= {"CITATION.cff", "manifest.json"}


def test_a_killed_command_is_continued_by_the_same_command(zenodo: FakeZenodo, versions: list[Snapshot]) -> None:
    def hangs(method: str, path: str) -> None:
        while method == "PUT" and path.endswith("movies.parquet") and zenodo.fail is hangs:
            time.sleep(0.02)

    zenodo.fail = hangs
    line = [sys.executable, "-m", "dataset", "push", str(versions[0].path), "zenodo:", "--creator", "Doe, Jane"]
    environment = {**os.environ, "ZENODO_ENDPOINT": zenodo.url, "ZENODO_TOKEN": TOKEN}
    process = subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 100
    while not zenodo.sent("PUT", "movies.parquet") and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    zenodo.fail = lambda method, path: None
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, only(zenodo).is_published) == (0, False), done.stderr
    page = f"{zenodo.url}/uploads/{only(zenodo).number}"
    assert done.stdout.startswith(f"toy v0001 is a draft: {page}, reserved DOI 10.5072/zenodo.{only(zenodo).number} (")
    assert TOKEN not in done.stdout + done.stderr


def test_what_is_published_is_not_deposited_again(
    zenodo: FakeZenodo, send: Callable[..., Deposited], versions: list[Snapshot]
) -> None:
    done = send(versions[0], is_published=True)
    record = only(zenodo)
    assert record.is_published
    assert (done.is_published, done.url) == (True, f"{zenodo.url}/records/{record.number}")
    zenodo.requests.clear()
    for address in ("zenodo:", f"zenodo:{record.number}", f"zenodo:{record.concept}", f"zenodo:{done.doi}"):
        again = send(versions[0], address, is_published=True)
        assert (again.is_new, again.doi, again.url) == (False, done.doi, done.url)
    assert not [method for method, _ in zenodo.requests if method != "GET"]


@pytest.mark.parametrize("is_interrupted", [False, True])
def test_a_new_version_has_its_own_files_and_doi_and_sends_only_what_differs(
    is_interrupted: bool, zenodo: FakeZenodo, send: Callable[..., Deposited], versions: list[Snapshot], tmp_path: Path
) -> None:
    first = send(versions[0], is_published=True)
    record = only(zenodo)
    record.metadata |= {"communities": [{"identifier": "recsys"}]}
    zenodo.requests.clear()
    if is_interrupted:
        zenodo.fail = lambda method, path: (400, {}) if method == "PUT" and "interactions" in path else None
        with pytest.raises(StorageError):
            send(versions[1], f"zenodo:{record.number}")
        zenodo.fail = lambda method, path: None
    second = send(versions[1], f"zenodo:{record.concept}", is_published=True)
    assert len(zenodo.sent("POST", "newversion")) == 1
    ours, before = files_of(versions[1]), files_of(versions[0])
    same = {name.replace("/", "--") for name in ours if before.get(name) == ours[name]}
    assert "plots--long_tail.svg" in same
    assert not same & {path.rpartition("/")[2] for path in zenodo.sent("PUT", "/files/")}
    newest = max(zenodo.depositions.values(), key=lambda one: one.number)
    assert (newest.concept, newest.is_published, second.doi != first.doi) == (record.concept, True, True)
    assert "frame_likes_train.parquet" in record.files
    assert "frame_likes_train.parquet" not in newest.files
    assert (newest.metadata["title"], newest.metadata["communities"]) == ("toy, version 2", [{"identifier": "recsys"}])
    assert versions[1].content_digest in newest.metadata["notes"]
    for address, version in ((record.concept, 2), (record.number, 1), (newest.number, 2), (first.doi, 1)):
        assert pulled(zenodo, f"zenodo:{address}", tmp_path / str(address)).version == version


def test_what_the_user_changed_on_the_page_of_a_draft_stays(
    zenodo: FakeZenodo, send: Callable[..., Deposited], versions: list[Snapshot]
) -> None:
    mine = zenodo.add({}, title="My own title", creators=[{"name": "Poe, Edgar"}])
    send(versions[0], f"zenodo:{mine.number}", creators=())
    assert (mine.metadata["title"], mine.metadata["creators"]) == ("My own title", [{"name": "Poe, Edgar"}])
    mine.metadata["description"] = "Better words."
    send(versions[0], f"zenodo:{mine.number}", creators=(), is_published=True)
    assert (mine.metadata["description"], mine.metadata["license"]) == ("Better words.", "cc-by-4.0")
    assert "Poe" in mine.files["CITATION.cff"].decode()


def _renamed(snapshot: Snapshot, **changes: Any) -> dict[str, bytes]:
    return {"manifest.json": to_bytes(replace(snapshot.manifest, **changes))}


def test_what_somebody_else_put_there_is_never_overwritten(
    zenodo: FakeZenodo, send: Callable[..., Deposited], versions: list[Snapshot]
) -> None:
    first, second = versions
    cases: list[tuple[dict[str, bytes], bool, str]] = [
        ({"thesis.pdf": b"mine"}, True, r"holds 1 files that are no snapshot's, for example thesis\.pdf"),
        ({"thesis.pdf": b"mine"}, False, r"holds 1 files that are no snapshot's, for example thesis\.pdf"),
        (_renamed(first, name="cats"), True, r"holds another dataset, cats v0001"),
        (_renamed(second), True, r"holds toy v0002 already; push versions in their order"),
        (_renamed(first, created_at="2020-01-01T00:00:00"), True, r"holds another toy v0001 .* of 2020-01-01"),
        ({"manifest.json": b"{}"}, True, r"not a snapshot's manifest"),
    ]
    for files, is_published, words in cases:
        before = zenodo.add(dict(files), is_published)
        with pytest.raises((AlreadyPublishedError, InvalidSnapshotError), match=words):
            send(first, f"zenodo:{before.number}")
        assert before.files == files
    assert not [method for method, _ in zenodo.requests if method != "GET"]


def test_files_that_no_snapshot_put_there_are_left_alone(
    zenodo: FakeZenodo, send: Callable[..., Deposited], versions: list[Snapshot]
) -> None:
    send(versions[0], is_published=True)
    record = only(zenodo)
    record.files["notes.md"] = b"mine"
    send(versions[1], f"zenodo:{record.number}")
    newest = max(zenodo.depositions.values(), key=lambda one: one.number)
    assert newest.files["notes.md"] == b"mine"


@pytest.mark.parametrize("obeys_ranges", [True, False])
def test_a_pulled_deposit_is_verified_and_the_same_version(
    obeys_ranges: bool, zenodo: FakeZenodo, send: Callable[..., Deposited], versions: list[Snapshot], tmp_path: Path
) -> None:
    done = send(versions[0], is_published=True)
    zenodo.obeys_ranges = obeys_ranges
    staging = tmp_path / "toy" / f".pull-v0001-{versions[0].content_digest[:12]}"
    staging.mkdir(parents=True)
    start = files_of(versions[0])["movies.parquet"][:100]
    (staging / "movies.parquet.part").write_bytes(start)  # of a pull that was killed
    snapshot = pulled(zenodo, f"zenodo:{done.doi}", tmp_path)
    assert verify(snapshot) == []
    assert snapshot.manifest.is_copy_of(versions[0].manifest)
    assert (snapshot.path / "splits" / "interactions" / "train.parquet").is_file()
    with Client(Server(zenodo.url), f"zenodo:{done.doi}") as client:
        assert pull(record_at(client), versions[0].path.parents[1])[1] is False  # the publisher has it already
    with pytest.raises(AlreadyPublishedError, match="is a deposited copy already, with DOI 10"):
        send(snapshot)


def test_a_changed_file_of_a_record_is_refused(
    zenodo: FakeZenodo, send: Callable[..., Deposited], versions: list[Snapshot], tmp_path: Path
) -> None:
    done = send(versions[0], is_published=True)
    record = only(zenodo)
    whole = record.files["movies.parquet"]
    record.files["movies.parquet"] = whole[:-1] + b"?"
    with pytest.raises(InvalidSnapshotError, match=r"movies\.parquet: its bytes are not the ones"):
        pulled(zenodo, f"zenodo:{done.doi}", tmp_path)
    del record.files["movies.parquet"]
    with pytest.raises(InvalidSnapshotError, match=r"movies\.parquet missing"):
        pulled(zenodo, f"zenodo:{done.doi}", tmp_path)


def test_what_is_no_record_with_a_snapshot_is_one_line(zenodo: FakeZenodo, tmp_path: Path) -> None:
    draft, other = zenodo.add({"a": b"b"}), zenodo.add({"a": b"b"}, is_published=True)
    cases = {
        "zenodo:": "names no record",
        "zenodo:1": "no such record, or it is not published",
        f"zenodo:{draft.number}": "no such record, or it is not published",
        f"zenodo:{other.number}": "not a snapshot of this program",
    }
    for address, words in cases.items():
        with pytest.raises(PipelineError, match=words):
            pulled(zenodo, address, tmp_path)


def test_the_commands_deposit_publish_and_pull(
    zenodo: FakeZenodo,
    versions: list[Snapshot],
    run_command: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("ZENODO_ENDPOINT", zenodo.url)
    monkeypatch.setenv("ZENODO_SANDBOX_TOKEN", f"{TOKEN}\n")
    monkeypatch.delenv("ZENODO_TOKEN", raising=False)
    push = ("push", versions[0].path, "zenodo:", "--creator", "Doe, Jane", "--creator", "Roe, R.; Lab")
    done = run_command(app, *push)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no token of Zenodo was found" in done.stderr
    done = run_command(app, *push, "--sandbox")
    number = only(zenodo).number
    assert done.stdout.splitlines() == [
        f"toy v0001 is a draft: {zenodo.url}/uploads/{number}, reserved DOI 10.5072/zenodo.{number} "
        f"({len(only(zenodo).files)} files sent).",
        "  Look at it, then publish it there, or with --publish; that cannot be undone.",
    ]
    done = run_command(app, *push, "--sandbox", "--publish")
    page = f"{zenodo.url}/records/{number}, DOI 10.5072/zenodo.{number}"
    assert done.stdout == f"Published toy v0001: {page} (0 files sent).\n"
    assert run_command(app, *push, "--sandbox").stdout == f"toy v0001 is already published: {page}.\n"
    done = run_command(app, "pull", f"zenodo:{number}", "--sandbox", "--to", tmp_path)
    assert done.stdout == f"Pulled toy v0001 to {tmp_path / 'toy' / 'v0001'}, every file verified.\n"
    manifest: Manifest = from_bytes((tmp_path / "toy" / "v0001" / "manifest.json").read_bytes(), "manifest")
    assert manifest.creators == ["Doe, Jane", "Roe, R."]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("push", "hf://me/toy", "--publish"), "are for Zenodo"),
        (("push", "hf://me/toy", "--creator", "Doe, Jane"), "are for Zenodo"),
        (("push", "zenodo:", "--public"), "--public is for the Hub"),
        (("push", "zenodo:", "--creator", "Lab"), "write a person as 'Family, Given'"),
        (("pull", "--sandbox"), "--sandbox is for Zenodo"),
    ],
)
def test_an_option_of_the_other_place_is_refused(
    options: tuple[str, ...], words: str, versions: list[Snapshot], run_command: Callable[..., Any]
) -> None:
    command, *rest = options
    done = run_command(app, command, versions[0].path, *rest)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert words in done.stderr


def test_a_snapshot_that_was_never_deposited_says_nothing_of_a_doi(versions: list[Snapshot]) -> None:
    told = json.loads((versions[0].path / "manifest.json").read_text("utf-8"))
    assert not {"doi", "creators", "answers"} & set(told)
    assert "DOI" not in (versions[0].path / "README.md").read_text("utf-8").partition("## How to read it")[0]
