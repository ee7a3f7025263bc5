"""A fake Zenodo on loopback: the part of its interface that a deposit uses, and what the real one checks.

Written from https://developers.zenodo.org and from the behaviour of the server's code (zenodo-rdm, its legacy
interface): keys of a bucket have no slash, a new version starts with the files of the one before, a second one is
refused, unknown licences and creators without a family name are refused, and a published record's files do not change.
"""

import hashlib
import itertools
import json
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKENS = {
    "writer-token": ("me", {"deposit:write", "deposit:actions"}),
    "drafts-token": ("me", {"deposit:write"}),
    "reader-token": ("me", set()),
    "stranger-token": ("stranger", {"deposit:write", "deposit:actions"}),
}
LICENCES = {"cc-by-4.0", "cc0-1.0", "cc-by-nc-4.0", "odbl-1.0", "mit"}
Answer = tuple[int, dict[str, str]]


@dataclass
class Deposition:
    """A draft or a record."""

    number: int
    concept: int
    owner: str
    metadata: dict[str, Any]
    files: dict[str, bytes] = field(default_factory=dict)
    is_published: bool = False


class FakeZenodo:
    """The server.

    Attributes:
        depositions: by their numbers.
        requests: the method and the path of each request.
        fail: given the method and the path of a request, the status and headers to refuse it with, "cut" to break the
            connection, or None.
        obeys_ranges: whether a part of a file can be asked for.
        max_files: how many files a record may have.
        max_bytes: how large they may be together.
    """

    def __init__(self) -> None:
        self.depositions: dict[int, Deposition] = {}
        self.requests: list[tuple[str, str]] = []
        self.user_agents: set[str] = set()
        self.fail: Callable[[str, str], Answer | str | None] = lambda method, path: None
        self.obeys_ranges = True
        self.max_files, self.max_bytes = 100, 50 * 10**9
        self.damages = False
        self.numbers = itertools.count(1001)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"zenodo": self}))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(
        self, files: dict[str, bytes], is_published: bool = False, owner: str = "me", **metadata: Any
    ) -> Deposition:
        """Add a draft or record that somebody made on the web page."""
        concept, number = next(self.numbers), next(self.numbers)
        self.depositions[number] = Deposition(number, concept, "me", metadata, files, is_published)
        return self.depositions[number]

    def sent(self, method: str, part: str = "") -> list[str]:
        """Return the paths of the requests with a method whose path has a part."""
        return [path for used, path in self.requests if used == method and part in path]


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


class _RefusedError(Exception):
    def __init__(self, status: int, message: str, *errors: tuple[str, str]) -> None:
        super().__init__(message)
        self.status = status
        told = [{"field": name, "messages": [text]} for name, text in errors]
        self.value = {"status": status, "message": message, **({"errors": told} if told else {})}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    zenodo: FakeZenodo

    def handle_any(self) -> None:
        url = urlsplit(self.path)
        self.query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        self.zenodo.requests.append((self.command, url.path))
        self.zenodo.user_agents.add(self.headers.get("User-Agent", ""))
        fault = self.zenodo.fail(self.command, url.path)
        if fault == "cut":
            self.close_connection = True
            return None
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if isinstance(fault, tuple):
            return self.answer(fault[0], {"message": "no", "status": fault[0]}, fault[1])
        try:
            return self.route(url.path.removeprefix("/api/"), body)
        except _RefusedError as refused:
            return self.answer(refused.status, refused.value)

    do_GET = do_PUT = do_POST = do_DELETE = handle_any  # noqa: N815

    # --- who asks, and for what ------------------------------------------------------------------

    def user(self, scope: str = "") -> str:
        owner, scopes = TOKENS.get(self.headers.get("Authorization", "").removeprefix("Bearer "), (None, set()))
        if owner is None:
            raise _RefusedError(401, "The server could not verify that you are authorized to access the URL requested.")
        if scope and scope not in scopes:
            raise _RefusedError(403, "Permission denied.")
        return owner

    def route(self, path: str, body: bytes) -> None:
        if path == "deposit/depositions":
            return self.create(body) if self.command == "POST" else self.list()
        if asked := re.fullmatch(r"deposit/depositions/(\d+)", path):
            return self.one(self.own(asked[1]), body)
        if asked := re.fullmatch(r"deposit/depositions/(\d+)/actions/(\w+)", path):
            self.user("deposit:actions" if asked[2] == "publish" else "deposit:write")
            return getattr(self, asked[2])(self.own(asked[1]))
        if asked := re.fullmatch(r"deposit/depositions/(\d+)/files/(\w+)", path):
            return self.delete(self.own(asked[1]), asked[2])
        if asked := re.fullmatch(r"files/bucket-(\d+)/([^/]+)", path):
            return self.put(self.own(asked[1]), unquote(asked[2]), body)
        if asked := re.fullmatch(r"records/(\d+)(/versions/latest)?", path):
            return self.record(int(asked[1]), bool(asked[2]))
        if asked := re.fullmatch(r"records/(\d+)/files/([^/]+)/content", path):
            return self.content(int(asked[1]), unquote(asked[2]))
        raise _RefusedError(404, "The requested URL was not found on the server.")

    def own(self, number: str) -> Deposition:
        owner, found = self.user(), self.zenodo.depositions.get(int(number))
        if found is None:
            raise _RefusedError(404, "The persistent identifier does not exist.")
        if found.owner != owner:
            raise _RefusedError(403, "Permission denied.")
        return found

    # --- depositions -----------------------------------------------------------------------------

    def list(self) -> None:
        owner = self.user()
        page, size = int(self.query["page"]), int(self.query["size"])
        if size > 25:
            raise _RefusedError(400, "Querystring parameter size is too large.")
        assert self.query["all_versions"] == "true"
        found = [one for one in reversed(self.zenodo.depositions.values()) if one.owner == owner]
        return self.answer(200, [self.shown(one) for one in found[(page - 1) * size : page * size]])

    def create(self, body: bytes) -> None:
        owner = self.user("deposit:write")
        concept, number = next(self.zenodo.numbers), next(self.zenodo.numbers)
        made = Deposition(number, concept, owner, self.checked(body))
        self.zenodo.depositions[number] = made
        return self.answer(201, self.shown(made))

    def one(self, found: Deposition, body: bytes) -> None:
        if self.command == "PUT":
            self.user("deposit:write")
            if found.is_published:
                raise _RefusedError(403, "Permission denied.")
            found.metadata = self.checked(body)
        return self.answer(200, self.shown(found))

    def checked(self, body: bytes) -> dict[str, Any]:
        value = json.loads(body)
        if set(value) - {"metadata"}:
            raise _RefusedError(400, "A validation error occurred.", ("", "Unknown field."))
        metadata = dict(value["metadata"])
        if metadata.get("license") not in {*LICENCES, None}:
            raise _RefusedError(500, "The server encountered an internal error.")
        if "doi" in metadata:
            raise _RefusedError(400, "A validation error occurred.", ("pids.doi", "The prefix is managed by Zenodo."))
        metadata.pop("prereserve_doi", None)
        return metadata

    def publish(self, found: Deposition) -> None:
        metadata = found.metadata
        wrong = [
            ("metadata.title", "Shorter than minimum length 3.") if len(metadata.get("title", "")) < 3 else None,
            ("metadata.creators", "Missing data for required field.") if not metadata.get("creators") else None,
            ("metadata.resource_type", "Missing data.") if metadata.get("upload_type") != "dataset" else None,
            ("files.enabled", "Missing uploaded files.") if not found.files else None,
            *(
                ("metadata.creators.person_or_org.family_name", "Family name must be filled.")
                for creator in metadata.get("creators", [])
                if ", " not in creator["name"]
            ),
        ]
        if any(wrong):
            raise _RefusedError(400, "A validation error occurred.", *filter(None, wrong))
        found.is_published = True
        return self.answer(202, self.shown(found))

    def newversion(self, found: Deposition) -> None:
        if not found.is_published:
            raise _RefusedError(404, "The persistent identifier is not registered.")
        same = [one for one in self.zenodo.depositions.values() if one.concept == found.concept]
        if not all(one.is_published for one in same):
            raise _RefusedError(
                400, "A validation error occurred.", ("files.enabled", "Please remove all files first.")
            )
        metadata = {key: value for key, value in found.metadata.items() if key not in ("version", "publication_date")}
        made = Deposition(next(self.zenodo.numbers), found.concept, found.owner, metadata, dict(found.files))
        self.zenodo.depositions[made.number] = made
        return self.answer(201, self.shown(made))

    # --- files -----------------------------------------------------------------------------------

    def put(self, found: Deposition, key: str, body: bytes) -> None:
        self.user("deposit:write")
        if found.is_published:
            raise _RefusedError(403, "Permission denied.")
        after = {**found.files, key: body}
        if len(after) > self.zenodo.max_files:
            raise _RefusedError(400, "Uploading selected files will result in too many files.")
        if sum(map(len, after.values())) > self.zenodo.max_bytes:
            raise _RefusedError(413, "Bucket quota exceeded.")
        found.files = {**found.files, key: body[:-1] if self.zenodo.damages else body}
        stored = found.files[key]
        return self.answer(201, {"key": key, "size": len(stored), "checksum": f"md5:{_md5(stored)}"})

    def delete(self, found: Deposition, file_id: str) -> None:
        self.user("deposit:write")
        found.files = {key: content for key, content in found.files.items() if _file_id(key) != file_id}
        return self.send(204, b"", {})

    def shown(self, one: Deposition) -> dict[str, Any]:
        api = f"{self.zenodo.url}/api"
        mine = f"{api}/deposit/depositions/{one.number}"
        doi = f"10.5072/zenodo.{one.number}"
        files = [
            {
                "id": _file_id(key),
                "filename": key,
                "filesize": len(content),
                "checksum": _md5(content),
                "links": {"self": f"{mine}/files/{_file_id(key)}"},
            }
            for key, content in one.files.items()
        ]
        return {
            "id": one.number,
            "conceptrecid": str(one.concept),
            "submitted": one.is_published,
            "state": "done" if one.is_published else "unsubmitted",
            "metadata": {**one.metadata, "prereserve_doi": {"doi": doi, "recid": one.number}},
            "title": one.metadata.get("title", ""),
            "links": {"self": mine, "bucket": f"{api}/files/bucket-{one.number}", "latest_draft": mine},
            **({"files": files} if files else {}),
            **({"doi": doi} if one.is_published else {}),
        }

    # --- records, which everybody reads ----------------------------------------------------------

    def record(self, number: int, is_latest: bool) -> None:
        same = [one for one in self.zenodo.depositions.values() if number in (one.number, one.concept)]
        of_concept = [
            one.number
            for one in self.zenodo.depositions.values()
            if same and one.concept == same[0].concept and one.is_published
        ]
        found = self.zenodo.depositions.get(number)
        if of_concept and (is_latest or found is None):
            return self.send(301, b"", {"Location": f"{self.zenodo.url}/api/records/{max(of_concept)}"})
        if found is None or not found.is_published:
            raise _RefusedError(404, "The persistent identifier does not exist.")
        files = [
            {"key": key, "size": len(content), "checksum": f"md5:{_md5(content)}"}
            for key, content in found.files.items()
        ]
        return self.answer(200, {"id": number, "conceptrecid": str(found.concept), "files": files})

    def content(self, number: int, key: str) -> None:
        found = self.zenodo.depositions.get(number)
        if found is None or not found.is_published or key not in found.files:
            raise _RefusedError(404, "No such file.")
        content, asked = found.files[key], self.headers.get("Range", "")
        if asked and self.zenodo.obeys_ranges:
            start = int(asked.removeprefix("bytes=").partition("-")[0])
            return self.send(206, content[start:], {"Content-Range": f"bytes {start}-/{len(content)}"})
        return self.send(200, content, {})

    # --- answers ---------------------------------------------------------------------------------

    def answer(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        return self.send(status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})

    def send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):  # a killed client hears no answer
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None: ...


def _file_id(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:32]
