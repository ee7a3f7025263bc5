"""Our Prefect server answers nobody without the secret: no other user of the machine, and no page in a browser."""

import base64
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from prefect.client.orchestration import get_client
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from dataset.errors import UsageError
from flows.server.home import Login, make_private

NOBODY = "00000000-0000-0000-0000-000000000000"
WITHOUT_THE_SECRET = {
    "no login": {},
    "a wrong password": {"Authorization": "Basic " + base64.b64encode(b"keyframes:guess").decode()},
    "an empty login": {"Authorization": "Basic " + base64.b64encode(b":").decode()},
    "an API key": {"Authorization": "Bearer key"},
    "not Basic": {"Authorization": "Basic"},
}


def basic(login: Login) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(login.secret.encode()).decode()}


@pytest.fixture(scope="session")
def websockets() -> list[str]:
    """The address of every WebSocket of the installed Prefect, whose server takes seconds to import."""
    from fastapi.routing import APIWebSocketRoute
    from prefect.server.api.server import API_ROUTERS

    found = [route.path for router in API_ROUTERS for route in router.routes if isinstance(route, APIWebSocketRoute)]
    assert found
    return found


@pytest.fixture(scope="session")
def routes(login: Login) -> list[tuple[str, str]]:
    """Every route of the installed Prefect: method and address, with an id in the place of each parameter."""
    paths = requests.get(f"{login.api_url}/openapi.json", headers=basic(login), timeout=30).json()["paths"]
    found = []
    for path, methods in paths.items():
        parts = [NOBODY if part.startswith("{") else part for part in path.removeprefix("/api").split("/")]
        found += [(method.upper(), login.api_url + "/".join(parts)) for method in methods]
    return found


@pytest.mark.parametrize("headers", WITHOUT_THE_SECRET.values(), ids=WITHOUT_THE_SECRET.keys())
def test_a_local_user_without_the_secret_gets_no_answer_on_any_route(
    headers: dict[str, str], routes: list[tuple[str, str]]
) -> None:
    assert len(routes) > 150
    with requests.Session() as session:
        answered = {
            (method, url): answer.status_code
            for method, url in routes
            if (answer := session.request(method, url, json={}, headers=headers, timeout=30)).status_code != 401
        }
    assert answered == {}


@pytest.mark.parametrize("path", ["/api//flows/", "/api/../api/flows/count", "/api/%66lows/count", "/api/openapi.json"])
def test_no_other_spelling_of_a_route_is_answered(path: str, login: Login) -> None:
    prepared = requests.Request("GET", login.api_url).prepare()
    prepared.url = login.api_url.removesuffix("/api") + path
    assert requests.Session().send(prepared, timeout=30).status_code == 401


def test_a_local_user_without_the_secret_cannot_create_a_deployment(login: Login) -> None:
    body = {"name": "theirs", "flow_id": NOBODY, "pull_steps": [{"prefect.deployments.steps.run_shell_script": {}}]}
    made = requests.post(f"{login.api_url}/deployments/", json=body, timeout=30)
    assert made.status_code == 401
    assert json.loads(made.text) == {"exception_message": "Unauthorized"}


def test_the_login_lets_prefects_own_client_in(login: Login) -> None:
    with get_client(sync_client=True) as client:
        assert client.api_url == f"{login.api_url}/"
        assert client.create_flow_from_name("mine")
        assert "mine" in [flow.name for flow in client.read_flows()]


def test_a_change_needs_a_csrf_token_too(login: Login) -> None:
    made = requests.post(f"{login.api_url}/flows/", json={"name": "theirs"}, headers=basic(login), timeout=30)
    assert (made.status_code, made.json()) == (403, {"detail": "Missing CSRF token."})


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Host": "evil.example:{port}"},
        {"Host": "evil.example:{port}", "Origin": "http://evil.example:{port}"},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_no_page_of_another_origin_is_answered_even_with_the_secret(
    method: str, headers: dict[str, str], login: Login
) -> None:
    port = login.api_url.split(":")[2].split("/")[0]
    sent = {name: value.replace("{port}", port) for name, value in headers.items()}
    sent |= {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    answer = requests.request(method, f"{login.api_url}/admin/version", headers=sent | basic(login), timeout=30)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize(
    ("subprotocols", "first"),
    [
        ([], None),
        (["prefect"], {"type": "auth"}),
        (["prefect"], {"type": "auth", "token": "keyframes:guess"}),
        (["prefect"], {"type": "auth", "token": None}),
        (["prefect"], {"type": "event"}),
    ],
)
def test_a_websocket_closes_before_any_message(
    subprotocols: list[Subprotocol], first: dict[str, Any] | None, websockets: list[str], login: Login
) -> None:
    for path in websockets:
        with pytest.raises((InvalidHandshake, ConnectionClosed)):
            _first_message(login, path, subprotocols, first)


def test_a_websocket_of_another_origin_is_refused_even_with_the_secret(websockets: list[str], login: Login) -> None:
    message = {"type": "auth", "token": login.secret}
    for path in websockets:
        with pytest.raises(InvalidHandshake):
            _first_message(login, path, [Subprotocol("prefect")], message, {"Origin": "http://evil.example"})


def _first_message(
    login: Login,
    path: str,
    subprotocols: list[Subprotocol],
    first: dict[str, Any] | None,
    headers: dict[str, str] | None = None,
) -> Any:
    url = login.api_url.replace("http", "ws", 1) + path.replace("{work_pool_name}", "pool")
    with connect(url, subprotocols=subprotocols, additional_headers=headers, proxy=None, open_timeout=30) as socket:
        if first is not None:
            socket.send(json.dumps(first))
        return socket.recv(timeout=10)


def test_other_users_cannot_read_prefects_folder(home: Path) -> None:
    loose = {path.name: oct(path.stat().st_mode) for path in (home, *home.rglob("*")) if path.stat().st_mode & 0o077}
    assert loose == {}
    assert {"prefect.db", "login.toml", "server.log"} <= {path.name for path in home.iterdir()}


def test_the_secret_is_in_no_command_line_and_no_other_file(home: Path, login: Login) -> None:
    password = login.secret.partition(":")[2].encode()
    files = {path.name for path in home.rglob("*") if path.is_file() and password in path.read_bytes()}
    assert files == {"login.toml"}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            assert password not in (process / "cmdline").read_bytes()
        except OSError:
            continue


@pytest.fixture
def foreign_page() -> Iterator[tuple[str, list[str]]]:
    """A page of another origin that tries to use the server, and what it reports."""
    reports: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write((Path(__file__).parent / "foreign_page.html").read_bytes())

        def do_POST(self) -> None:
            reports.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", reports
    server.shutdown()
    server.server_close()


def test_a_page_of_another_origin_changes_nothing_and_reads_nothing(
    browser: Any, foreign_page: tuple[str, list[str]], login: Login
) -> None:
    page, reports = foreign_page
    with get_client(sync_client=True) as client:
        before = [flow.name for flow in client.read_flows()]
        tab = browser.new_page()
        tab.goto(f"{page}#{login.api_url}")
        tab.wait_for_function("document.title === 'done'", timeout=60_000)
        tab.close()
        assert [flow.name for flow in client.read_flows()] == before
    assert [json.loads(report)["read"] for report in reports] == [[]]
    assert json.loads(reports[0])["tried"] >= 8


def test_prefects_page_sends_nothing_to_other_sites_and_is_in_no_frame(browser: Any, login: Login) -> None:
    tab = browser.new_page()
    requests: list[str] = []
    tab.on("request", lambda request: requests.append(request.url))
    answer = tab.goto(login.api_url.removesuffix("/api"))
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    tab.locator("input").first.wait_for(timeout=60_000)  # it asks for the login
    tab.locator("input").first.fill(login.secret)
    tab.keyboard.press("Enter")
    tab.locator("input[type=password]").wait_for(state="detached", timeout=60_000)
    tab.get_by_text("Deployments").first.wait_for(timeout=60_000)
    assert tab.get_by_text("Can't connect").count() == 0
    tab.close()
    assert len(requests) > 10
    assert [url for url in requests if not url.startswith((login.api_url.removesuffix("/api"), "data:", "blob:"))] == []


def test_another_user_cannot_join_a_dask_cluster_of_ours() -> None:
    joined = subprocess.run([sys.executable, "-c", JOIN], capture_output=True, text=True, timeout=120, check=False)
    assert joined.stdout.split() == ["tls:", "refused", "tcp:", "refused", "http:", "404"], joined.stderr


JOIN = """
import requests, socket, ssl
from flows.runners import local_cluster

trusting = ssl.create_default_context()
trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE  # whoever attacks has no certificate of ours
with local_cluster(n_workers=0) as cluster:
    scheme, _, port = cluster.scheduler_address.rpartition(":")
    for wrap in (trusting.wrap_socket, lambda connection: connection):
        try:
            with wrap(socket.create_connection(("127.0.0.1", int(port)), timeout=10)) as connection:
                connection.sendall(bytes(64))
                answer = connection.recv(1)
        except (ssl.SSLError, ConnectionError):
            answer = b""
        print("tls:" if wrap == trusting.wrap_socket else "tcp:", "answered" if answer else "refused")
    page = f"http://127.0.0.1:{cluster.scheduler.http_server.port}/info/main/workers.html"
    print("http:", requests.get(page).status_code)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_folder_of_another_user_is_not_used(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    with pytest.raises(UsageError, match="belongs to another user"):
        make_private(tmp_path)
