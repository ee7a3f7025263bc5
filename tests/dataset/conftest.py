"""What a publisher's network leads to, on loopback: an S3 server behind a proxy that fails as told, and a fake Hub."""

import base64
import hashlib
import http.client
import json
import logging
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote
from uuid import uuid4

import pytest
from deposits import send, versions, zenodo
from moto.server import ThreadedMotoServer
from shard_files import one_pool, picture_pool

__all__ = ["one_pool", "picture_pool", "send", "versions", "zenodo"]  # fixtures of several files of tests

Fault = Literal["before", "after", "cut"] | None
"""Fail before the server hears of the request, after it has done it, or in the middle of its answer."""


class FaultyProxy:
    """Passes HTTP requests on to a server, but for the faults that `fault(method, path)` orders.

    Attributes:
        requests: what was asked for: (method, path, the Range asked for or "").
        fault: decides the fate of a request; it may also wait.
        dropped_headers: request headers that are not passed on, in lower case.
    """

    def __init__(self, host: str, port: int) -> None:
        self.requests: list[tuple[str, str, str]] = []
        self.fault: Callable[[str, str], Fault] = lambda method, path: None
        self.dropped_headers: set[str] = set()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler(host, port))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """The proxy's address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def _handler(self, host: str, port: int) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with proxy._lock:
                    proxy.requests.append((self.command, self.path, self.headers.get("Range", "")))
                fault = proxy.fault(self.command, self.path)
                if fault == "before":
                    return self._answer(500, {}, b"")
                upstream = http.client.HTTPConnection(host, port, timeout=60)
                headers = {k: v for k, v in self.headers.items() if k.lower() not in proxy.dropped_headers}
                upstream.request(self.command, self.path, body, headers)
                answer = upstream.getresponse()
                content = answer.read()
                upstream.close()
                if fault == "after":
                    return self._answer(500, {}, b"")
                return self._answer(answer.status, dict(answer.getheaders()), content, is_cut=fault == "cut")

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any  # noqa: N815

            def _answer(self, status: int, headers: dict[str, str], content: bytes, is_cut: bool = False) -> None:
                self.send_response_only(status)
                kept = {k: v for k, v in headers.items() if k.lower() not in ("connection", "transfer-encoding")}
                if self.command != "HEAD":
                    kept = {k: v for k, v in kept.items() if k.lower() != "content-length"}
                    kept["Content-Length"] = str(len(content))
                for name, value in kept.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    with suppress(OSError):  # a killed client hears no answer
                        self.wfile.write(content[: len(content) // 2] if is_cut else content)
                self.close_connection = self.close_connection or is_cut

            def log_message(self, *_: Any) -> None: ...

        return Handler


@pytest.fixture(scope="session")
def server() -> Iterator[tuple[str, int]]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()
    server.stop()


@pytest.fixture
def proxy(
    server: tuple[str, int], s3_environment: Callable[[str], dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> Iterator[FaultyProxy]:
    proxy = FaultyProxy(*server)
    for name, value in s3_environment(proxy.url).items():
        monkeypatch.setenv(name, value)
    yield proxy
    proxy.close()


@pytest.fixture
def root(proxy: FaultyProxy) -> str:
    """The address of an empty folder in a bucket."""
    bucket = f"bucket-{uuid4().hex[:12]}"
    connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"))
    connection.request("PUT", f"/{bucket}")
    assert connection.getresponse().status == 200
    connection.close()
    return f"s3://{bucket}/some/prefix"


TOKENS = {"hf_writer": "write", "hf_reader": "read"}
"""The tokens that the fake Hub knows, and what each may do."""


@dataclass
class Repository:
    """A repository: its commits, each with all files, and the commit of each tag."""

    is_private: bool
    commits: list[dict[str, bytes]] = field(default_factory=lambda: [{".gitattributes": b"*.parquet filter=lfs\n"}])
    tags: dict[str, int] = field(default_factory=dict)

    def sha(self, commit: int) -> str:
        return f"{commit:040x}"

    def commit_of(self, revision: str) -> int | None:
        if revision == "main":
            return len(self.commits) - 1
        if revision in self.tags:
            return self.tags[revision]
        return next((n for n in range(len(self.commits)) if self.sha(n) == revision), None)


class FakeHub:
    """The part of the Hub's interface that a push uses.

    Attributes:
        repositories: by id.
        fail: given the method and the path of a request, the status to refuse it with, or None.
        requests: the method and the path of each request.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.fail: Callable[[str, str], int | None] = lambda method, path: None
        self.requests: list[tuple[str, str]] = []
        self.large: dict[str, bytes] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def add(self, name: str, commits: list[dict[str, bytes]], tags: dict[str, int]) -> Repository:
        """Add a repository with these commits and tags."""
        self.repositories[name] = Repository(False, commits, tags)
        return self.repositories[name]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def files(self, repository: str, revision: str = "main") -> dict[str, bytes]:
        found = self.repositories[repository]
        commit = found.commit_of(revision)
        assert commit is not None
        return {name: content for name, content in found.commits[commit].items() if name != ".gitattributes"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: FakeHub

    def handle_any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self._chunks() if self.headers.get("Transfer-Encoding") == "chunked" else self.rfile.read(length)
        path = unquote(self.path.partition("?")[0])
        self.hub.requests.append((self.command, path))
        if status := self.hub.fail(self.command, path):
            return self.answer(status, {"error": "no"})
        if path.startswith("/lfs/"):  # an address for uploads, which needs no token
            self.hub.large[path.removeprefix("/lfs/")] = body
            return self.answer(200, {})
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in TOKENS:
            message = "Invalid credentials in Authorization header"
            return self.answer(401, {"error": message}, {"X-Error-Message": message})
        if self.command == "POST" and not path.endswith("yaml") and TOKENS[token] == "read":
            return self.answer(403, {"error": "no"}, {"X-Error-Message": "You need write access"})
        return self.route(path, body)

    do_GET = do_HEAD = do_POST = do_PUT = handle_any  # noqa: N815

    def route(self, path: str, body: bytes) -> None:
        if path == "/api/repos/create":
            return self.create(json.loads(body))
        if path == "/api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        asked = re.fullmatch(r"(?:/api)?/datasets/([^/]+/[^/]+?)(\.git)?(?:/(.*))?", path)
        assert asked is not None, path
        repository = self.hub.repositories.get(asked[1])
        if repository is None:
            return self.answer(404, {"error": "not found"}, {"X-Error-Code": "RepoNotFound"})
        return self.ask(repository, asked[1], asked[3] or "", body)

    def create(self, wanted: dict[str, Any]) -> None:
        name = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
        assert wanted["type"] == "dataset"
        self.hub.repositories[name] = Repository(wanted.get("visibility") == "private")
        return self.answer(200, {"url": f"{self.hub.url}/datasets/{name}", "name": name, "id": name})

    def ask(self, repository: Repository, name: str, what: str, body: bytes) -> None:
        if what == "" or what.startswith("revision/"):
            head = len(repository.commits) - 1
            siblings = [{"rfilename": file} for file in repository.commits[head]]
            sha = repository.sha(head)
            return self.answer(200, {"id": name, "_id": "1", "sha": sha, "siblings": siblings, "tags": []})
        if what == "refs":
            tags = [
                {"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": repository.sha(commit)}
                for tag, commit in repository.tags.items()
            ]
            return self.answer(200, {"branches": [], "converts": [], "tags": tags})
        if what.startswith("preupload/"):
            files = [self.mode(repository, file) for file in json.loads(body)["files"]]
            return self.answer(200, {"files": files})
        if what == "info/lfs/objects/batch":
            objects = [self.upload(one) for one in json.loads(body)["objects"]]
            return self.answer(200, {"objects": objects, "transfer": "basic"})
        if what.startswith("commit/"):
            return self.commit(repository, name, [json.loads(line) for line in body.splitlines()])
        if what.startswith("tag/"):
            return self.tag(repository, what.removeprefix("tag/"), json.loads(body)["tag"])
        assert what.startswith("resolve/"), what
        _, revision, file = what.split("/", 2)
        return self.file(repository, revision, file)

    def mode(self, repository: Repository, file: dict[str, Any]) -> dict[str, Any]:
        present = repository.commits[-1].get(file["path"])
        is_large = file["path"].endswith(".parquet")
        git = None if present is None else hashlib.sha1(b"blob %d\0" % len(present) + present).hexdigest()
        sha256 = None if present is None else hashlib.sha256(present).hexdigest()
        return {
            "path": file["path"],
            "uploadMode": "lfs" if is_large else "regular",
            "shouldIgnore": False,
            "oid": sha256 if is_large else git,
        }

    def upload(self, one: dict[str, Any]) -> dict[str, Any]:
        to = {"actions": {"upload": {"href": f"{self.hub.url}/lfs/{one['oid']}"}}}
        return {"oid": one["oid"], "size": one["size"], **({} if one["oid"] in self.hub.large else to)}

    def commit(self, repository: Repository, name: str, lines: list[dict[str, Any]]) -> None:
        files = dict(repository.commits[-1])
        for line in lines:
            value = line["value"]
            if line["key"] == "header" and value["parentCommit"] != repository.sha(len(repository.commits) - 1):
                return self.answer(412, {"error": "the branch has moved"})
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        repository.commits.append(files)
        sha = repository.sha(len(repository.commits) - 1)
        return self.answer(
            200, {"success": True, "commitOid": sha, "commitUrl": f"{self.hub.url}/datasets/{name}/commit/{sha}"}
        )

    def tag(self, repository: Repository, revision: str, tag: str) -> None:
        commit = repository.commit_of(revision)
        if tag in repository.tags or commit is None:
            return self.answer(409, {"error": "no"})
        repository.tags[tag] = commit
        return self.answer(200, {})

    def file(self, repository: Repository, revision: str, file: str) -> None:
        commit = repository.commit_of(revision)
        if commit is None or file not in repository.commits[commit]:
            return self.answer(404, {"error": "no"}, {"X-Error-Code": "EntryNotFound"})
        content = repository.commits[commit][file]
        headers = {
            "ETag": f'"{hashlib.sha1(content).hexdigest()}"',
            "X-Repo-Commit": repository.sha(commit),
            "Accept-Ranges": "bytes",
        }
        return self.send(200, content, headers)

    def answer(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        return self.send(status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})

    def send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _chunks(self) -> bytes:
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    """A fake Hub, and the environment of a user who may write there, as `huggingface_hub` has read it."""
    from huggingface_hub import constants

    fake = FakeHub()
    monkeypatch.setattr(constants, "ENDPOINT", fake.url)
    file = fake.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", file)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    yield fake
    fake.close()
