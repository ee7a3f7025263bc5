"""What Zenodo, the network or the user get wrong ends a deposit with one line, and nothing is lost."""

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from deposits import JANE, TOKEN, files_of, only
from fake_zenodo import FakeZenodo

from dataset.errors import (
    InvalidSnapshotError,
    MissingExtraError,
    StorageError,
    UsageError,
)
from dataset.snapshots.manifest import TableEntry, to_bytes
from dataset.snapshots.snapshot import Snapshot, open_snapshot
from dataset.snapshots.zenodo.address import SANDBOX, Server, record_id
from dataset.snapshots.zenodo.deposit import Deposited
from dataset.snapshots.zenodo.metadata import Creator, parse_creator


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
