"""A snapshot is deposited on a fake Zenodo on loopback, which checks what the real one checks, and pulled from it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlcroissant
import pytest
import yaml
from fake_zenodo import FakeZenodo

from dataset.__main__ import app
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
from dataset.snapshots.manifest import Manifest, TableEntry, from_bytes, to_bytes
from dataset.snapshots.publication import PublicationConfig
from dataset.snapshots.publish import publish
from dataset.snapshots.pull import pull
from dataset.snapshots.snapshot import Snapshot, open_snapshot
from dataset.snapshots.verify import verify
from dataset.snapshots.zenodo.address import SANDBOX, Server, record_id
from dataset.snapshots.zenodo.client import Client
from dataset.snapshots.zenodo.deposit import Deposited, deposit
from dataset.snapshots.zenodo.metadata import Creator, parse_creator
from dataset.snapshots.zenodo.record import record_at

ROOT = Path(__file__).resolve().parents[2]
JANE = Creator("Doe, Jane", "Lab of Examples", "0000-0002-1825-0097")
TOKEN = "writer-token"


@pytest.fixture(scope="module")
def versions(raw_once: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Snapshot]:
    """Two versions of a dataset; the first has a table more, the likes of train pairs."""
    folder, found = tmp_path_factory.mktemp("deposited"), []
    for seed in (0, 1):
        dataset = build(raw_once, folder / "dataset", DatasetConfig(split=SplitConfig(seed=seed))).path
        stated = PublicationConfig(
            "CC-BY-4.0", "Lab of Examples", "data@example.org", train_likes=seed == 0, description="Stars & <likes>."
        )
        found.append(publish(dataset, "toy", folder / "snapshots", stated)[0])
    return found


@pytest.fixture
def zenodo() -> Iterator[FakeZenodo]:
    fake = FakeZenodo()
    yield fake
    fake.close()


@pytest.fixture
def send(zenodo: FakeZenodo) -> Callable[..., Deposited]:
    """A function that deposits a snapshot, and waits for nothing."""

    def call(snapshot: Snapshot, address: str = "zenodo:", token: str | None = TOKEN, **options: Any) -> Deposited:
        options = {"creators": [JANE], "wait": lambda seconds: None, **options}
        return deposit(snapshot, address, Server(zenodo.url, token), **options)

    return call


def files_of(snapshot: Snapshot) -> dict[str, bytes]:
    found = (path for path in snapshot.path.rglob("*") if path.is_file())
    return {path.relative_to(snapshot.path).as_posix(): path.read_bytes() for path in found}


def only(zenodo: FakeZenodo) -> Any:
    (one,) = zenodo.depositions.values()
    return one


def pulled(zenodo: FakeZenodo, address: str, to: Path) -> Snapshot:
    with Client(Server(zenodo.url), address, lambda seconds: None) as client:
        return pull(record_at(client), to)[0]


# --- what is deposited ---------------------------------------------------------------------------


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


# --- again, after an interruption, and the next version ------------------------------------------


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


# --- what the server does ------------------------------------------------------------------------


def test_the_wait_that_the_server_asks_for_is_kept(
    zenodo: FakeZenodo, send: Callable[..., Deposited], versions: list[Snapshot]
) -> None:
    asked = iter([{"Retry-After": "7"}, {"Retry-After": "Thu, 01 Jan 1970 00:00:09 GMT"},
                  {"X-RateLimit-Reset": "0"}, {}])  # fmt: skip
    waited: list[float] = []
    zenodo.fail = lambda method, path: (429, told) if (told := next(asked, None)) is not None else None
    assert send(versions[0], wait=waited.append).is_new
    assert waited == [7.0, 0.0, 1.0, 60.0]
    assert len(zenodo.depositions) == 1


def test_a_wait_of_more_than_a_quarter_of_an_hour_is_left_to_the_user(
    zenodo: FakeZenodo, send: Callable[..., Deposited], versions: list[Snapshot]
) -> None:
    zenodo.fail = lambda method, path: (429, {"Retry-After": "3600"})
    with pytest.raises(StorageError, match=r"^zenodo:: Zenodo asks to wait 60 min; run the same command then"):
        send(versions[0])


@pytest.mark.parametrize(("what", "fault"), [("GET", (500, {})), ("PUT", (504, {})), ("PUT", "cut")])
def test_a_temporary_failure_is_overcome(
    fault: Any, what: str, zenodo: FakeZenodo, send: Callable[..., Deposited], versions: list[Snapshot]
) -> None:
    left = [fault, fault]
    zenodo.fail = lambda method, path: left.pop() if method == what and left else None
    assert send(versions[0]).is_new
    assert len(zenodo.depositions) == 1


@pytest.mark.parametrize(
    ("what", "fault", "words"),
    [
        ("GET /api/deposit", (401, {}), "does not accept the token"),
        ("GET /api/deposit", "cut", "cannot be reached"),
        ("POST", (403, {}), "this token may not do that"),
        ("POST", (500, {}), r"fails \(status 500\)"),
        ("POST", "cut", "cannot be reached"),
        ("PUT", (413, {}), "50 GB per record"),
        ("PUT", (404, {}), "there is no such record"),
        ("PUT", (502, {}), r"fails \(status 502\)"),
        ("publish", (429, {"Retry-After": "0"}), "asks to wait"),
        ("publish", (418, {}), r"Zenodo refuses \(status 418: no\)"),
        ("publish", "cut", "cannot be reached"),
    ],
)
def test_a_refusal_at_any_moment_is_one_error_that_does_not_show_the_token(
    what: str, fault: Any, words: str, zenodo: FakeZenodo, send: Callable[..., Deposited], versions: list[Snapshot]
) -> None:
    zenodo.fail = lambda method, path: fault if what in f"{method} {path}" else None
    with pytest.raises(StorageError, match=rf"^zenodo:: .*{words}") as raised:
        send(versions[0], is_published=True)
    assert TOKEN not in str(raised.value)
    zenodo.fail = lambda method, path: None
    assert send(versions[0], is_published=True).is_published
    assert only(zenodo).is_published


def test_a_file_that_arrives_damaged_is_noticed(
    zenodo: FakeZenodo, send: Callable[..., Deposited], versions: list[Snapshot]
) -> None:
    zenodo.damages = True
    with pytest.raises(StorageError, match=r"arrived damaged \(MD5 differs\); run the command again"):
        send(versions[0], is_published=True)
    assert not only(zenodo).is_published


def test_a_server_that_is_no_zenodo_or_leads_elsewhere_gets_nothing(
    zenodo: FakeZenodo, send: Callable[..., Deposited], versions: list[Snapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = _shown()
    for change, words in (
        ({"links": {"bucket": "https://evil.example/api/files/1"}}, "leads to another server; nothing is sent there"),
        ({"links": {}}, "the server's answer lacks links.bucket"),
        ({"metadata": {}}, "the server's answer lacks metadata.prereserve_doi.doi"),
    ):
        monkeypatch.setattr("fake_zenodo._Handler.shown", lambda self, one, change=change: shown(self, one) | change)
        with pytest.raises(StorageError, match=re.escape(words)):
            send(versions[0])
    monkeypatch.setattr("fake_zenodo._Handler.answer", lambda self, *_: self.send(200, b"<html>Log in", {}))
    with pytest.raises(StorageError, match=r"does not answer as Zenodo does \(no JSON\); check the address"):
        send(versions[0])


def _shown() -> Any:
    from fake_zenodo import _Handler

    return _Handler.shown


@pytest.mark.parametrize(
    ("token", "words"),
    [
        (None, "no token of Zenodo was found; make one at"),
        ("wrong", "Zenodo does not accept the token"),
        ("reader-token", "this token may not do that"),
    ],
)
def test_a_token_that_may_not_write_is_named_with_the_remedy(
    token: str | None, words: str, zenodo: FakeZenodo, send: Callable[..., Deposited], versions: list[Snapshot]
) -> None:
    with pytest.raises(StorageError, match=words):
        send(versions[0], token=token)
    assert zenodo.depositions == {}


def test_a_draft_needs_no_right_to_publish(
    zenodo: FakeZenodo, send: Callable[..., Deposited], versions: list[Snapshot]
) -> None:
    assert send(versions[0], token="drafts-token").is_new
    with pytest.raises(StorageError, match="the token lacks deposit:write or deposit:actions"):
        send(versions[0], token="drafts-token", is_published=True)
    with pytest.raises(StorageError, match="another account's"):
        send(versions[0], f"zenodo:{only(zenodo).number}", token="stranger-token")


def test_a_token_with_strange_signs_is_refused_without_being_shown() -> None:
    for token in ("abc\ndef", "ключ", "a b"):
        with pytest.raises(UsageError, match="copy it again") as raised:
            Server("https://zenodo.org", token)
        assert token not in str(raised.value)
    assert "secret" not in repr(Server("https://zenodo.org", "secret"))


@pytest.mark.parametrize("url", ["http://zenodo.org", "ftp://zenodo.org", "https://me:pass@zenodo.org", "zenodo.org"])
def test_a_server_to_which_the_token_would_travel_in_the_clear_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="not the address of a server"):
        Server(url, "secret")


def test_a_server_that_cannot_be_reached_is_one_line(
    zenodo: FakeZenodo, send: Callable[..., Deposited], versions: list[Snapshot]
) -> None:
    zenodo.close()
    with pytest.raises(StorageError, match=r"cannot be reached .* check the network, then run the same command again"):
        send(versions[0])


# --- refusals before the first request -----------------------------------------------------------


@pytest.mark.parametrize("licence", [None, "none", "Ask us first.", "https://example.org/licence"])
def test_a_licence_that_zenodo_cannot_show_is_refused(
    licence: str | None, zenodo: FakeZenodo, send: Callable[..., Deposited], versions: list[Snapshot]
) -> None:
    snapshot = Snapshot(versions[0].folder, replace(versions[0].manifest, licence=licence))
    with pytest.raises(UsageError, match=r"states no licence|such as --licence CC-BY-4\.0, then push that"):
        send(snapshot)
    assert zenodo.requests == []


def test_a_snapshot_with_exact_dates_of_people_is_refused_as_by_the_hub(
    zenodo: FakeZenodo, send: Callable[..., Deposited], versions: list[Snapshot]
) -> None:
    told = {**versions[0].manifest.provenance, "source": "crawl", "is_invented": False}
    snapshot = Snapshot(versions[0].folder, replace(versions[0].manifest, dates=None, provenance=told))
    with pytest.raises(UsageError, match="has the exact dates of people who may be real"):
        send(snapshot)
    assert zenodo.requests == []


def test_a_damaged_snapshot_is_not_deposited(
    zenodo: FakeZenodo, send: Callable[..., Deposited], versions: list[Snapshot], tmp_path: Path
) -> None:
    for name, content in (files_of(versions[0]) | {"movies.parquet": b"PAR1"}).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidSnapshotError, match=r"movies\.parquet: its bytes are not the ones"):
        send(open_snapshot(tmp_path))
    assert zenodo.requests == []


def test_too_many_or_too_large_files_are_refused_with_a_remedy(
    zenodo: FakeZenodo, send: Callable[..., Deposited], versions: list[Snapshot], tmp_path: Path
) -> None:
    first = versions[0].manifest
    entry = first.tables["movies"]
    many = tuple(replace(entry.files[0], name=f"movies-{n}.parquet") for n in range(100))
    tables = {**first.tables, "movies": TableEntry(many, entry.content_sha256, entry.columns)}
    with pytest.raises(UsageError, match=r"has 1\d\d files .*, and Zenodo takes 100 per record; push it to"):
        send(Snapshot(versions[0].folder, replace(first, tables=tables)))
    with (tmp_path / "movies.parquet").open("wb") as file:
        file.truncate(50 * 10**9 + 1)  # a hole: it takes no room
    (tmp_path / "manifest.json").write_bytes(to_bytes(first))
    with pytest.raises(UsageError, match=r"has 50\.0 GB, and Zenodo takes 50 GB per record"):
        send(open_snapshot(tmp_path))
    clash = replace(first, files={**first.files, "a/b": "0" * 64, "a--b": "0" * 64})
    with pytest.raises(UsageError, match="two of its files have one name on Zenodo"):
        send(Snapshot(versions[0].folder, clash))
    assert zenodo.requests == []


def test_missing_creators_are_asked_for(
    zenodo: FakeZenodo, send: Callable[..., Deposited], versions: list[Snapshot]
) -> None:
    with pytest.raises(UsageError, match="who made the dataset\\? name each person with --creator 'Family, Given'"):
        send(versions[0], creators=())
    draft = zenodo.add({})
    with pytest.raises(UsageError, match="who made the dataset"):
        send(versions[0], f"zenodo:{draft.number}", creators=())


@pytest.mark.parametrize(
    ("text", "creator"),
    [
        ("Doe, Jane", Creator("Doe, Jane")),
        ("  Doe ,  Jane  Q. ", Creator("Doe, Jane Q.")),
        ("Doe, Jane; Lab", Creator("Doe, Jane", "Lab")),
        ("Doe, Jane; 0000-0002-1694-233X", Creator("Doe, Jane", None, "0000-0002-1694-233X")),
        ("Doe, Jane; https://orcid.org/0000-0002-1825-0097; Lab, City", Creator("Doe, Jane", "Lab, City", JANE.orcid)),
    ],
)
def test_a_creator_is_a_person_with_affiliation_and_orcid(text: str, creator: Creator) -> None:
    assert parse_creator(text) == creator


@pytest.mark.parametrize(
    "text", ["", "Lab of Examples", "Doe,", ", Jane", "Doe, Jane; 0000-0002-1825-0098", "Doe, Jane; Lab; Other"]
)
def test_what_is_no_creator_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="creator "):
        parse_creator(text)


@pytest.mark.parametrize(
    ("address", "number"),
    [
        ("zenodo:", None),
        ("zenodo:123", "123"),
        ("zenodo://123", "123"),
        ("zenodo:10.5281/zenodo.123", "123"),
        ("zenodo:https://doi.org/10.5281/zenodo.123", "123"),
        ("zenodo:https://zenodo.org/records/123", "123"),
        ("zenodo:https://zenodo.org/uploads/123/", "123"),
    ],
)
def test_the_forms_of_an_address(address: str, number: str | None) -> None:
    assert record_id(address, Server()) == number


@pytest.mark.parametrize("address", ["zenodo:toy", "zenodo:10.1234/other.5", "zenodo:-1", "zenodo:1/../2"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="not an address on Zenodo"):
        record_id(address, Server())


def test_an_address_of_the_other_server_is_refused() -> None:
    with pytest.raises(UsageError, match="add --sandbox"):
        record_id("zenodo:10.5072/zenodo.1", Server())
    with pytest.raises(UsageError, match="leave out --sandbox"):
        record_id("zenodo:10.5281/zenodo.1", Server(SANDBOX))


def test_a_missing_extra_is_one_line_that_names_it(
    zenodo: FakeZenodo, send: Callable[..., Deposited], versions: list[Snapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(MissingExtraError, match=r"needs httpx: .* pip install 'douban-keyframes\[hub\]'"):
        send(versions[0])


# --- pulled from a record ------------------------------------------------------------------------


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


# --- the commands --------------------------------------------------------------------------------


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
