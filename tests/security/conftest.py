"""A server that sends any bytes, a Prefect server of ours, and the fixtures of the crawler's tests."""

import json
import os
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from unittest import mock

import pytest

from flows.server.home import Login, running_login
from flows.server.start import prefect_server

_SPEC = spec_from_file_location("crawler_conftest", Path(__file__).parents[1] / "crawler" / "conftest.py")
_OF_CRAWLER = module_from_spec(_SPEC)
_SPEC.loader.exec_module(_OF_CRAWLER)
Command, forks, sandbox, read_all = (getattr(_OF_CRAWLER, name) for name in ("Command", "forks", "sandbox", "read_all"))

ROBOTS = b"User-agent: *\nDisallow: /settings\n"


class Site:
    """A site on one loopback port. `answer(path)` returns the bytes of an answer, or an iterable of bytes to send."""

    def __init__(self, answer):
        self.requests = []
        site = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                with suppress(OSError):
                    while line := self.rfile.readline().decode("latin-1").strip():
                        headers = []
                        while header := self.rfile.readline().decode("latin-1").strip():
                            headers.append(header)
                        path = line.split()[1]
                        site.requests.append((path, headers, time.monotonic()))
                        given = answer(path)
                        for part in (given,) if isinstance(given, bytes) else given:
                            self.wfile.write(part)
                        if not isinstance(given, bytes):
                            return

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 64

            def handle_error(self, *_):
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.urls = ",".join([self.base] * 3)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def paths(self):
        """The paths that were requested, without robots.txt."""
        return [path for path, *_ in self.requests if path != "/robots.txt"]

    def close(self):
        self._server.shutdown()
        self._server.server_close()


def page(body, content_type=b"text/html; charset=utf-8", status=b"200 OK", headers=b""):
    """Return a whole answer."""
    body = body.encode() if isinstance(body, str) else body
    head = b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n%b\r\n"
    return head % (status, content_type, len(body), headers) + body


@pytest.fixture
def site():
    """Return a function that serves a site, with a robots.txt unless the site answers for it itself."""
    opened = []

    def serve(answer, robots=ROBOTS):
        def with_robots(path):
            return page(robots, b"text/plain") if path == "/robots.txt" and robots is not None else answer(path)

        opened.append(Site(with_robots))
        return opened[-1]

    yield serve
    for one in opened:
        one.close()


class Commands:
    """Runs commands of some programs as `killed.py` says."""

    def __init__(self, programs, variables):
        environment = os.environ | {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"} | variables
        line = [sys.executable, str(Path(__file__).with_name("killed.py")), *programs]
        self._server = subprocess.Popen(
            line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, bufsize=1
        )

    def run(self, home, moment, program, *arguments):
        """Return the status of a command, and at how many moments it could have been killed.

        `moment` counts uses of files (0 lets the command end), or is a time in seconds (a float).
        """
        output = home / "output"
        request = [program, list(map(str, arguments)), str(home), moment, str(output)]
        self._server.stdin.write(json.dumps(request) + "\n")
        status, count = json.loads(self._server.stdout.readline())
        assert "Traceback" not in output.read_text()
        return status, count

    def ends_well(self, home, program, *arguments):
        """Let a command end; return at how many moments it could have been killed."""
        status, count = self.run(home, 0, program, *arguments)
        assert status == 0, (home / "output").read_text()
        return count

    def close(self):
        self._server.stdin.close()
        self._server.wait(30)
        self._server.stdout.close()


@pytest.fixture(scope="module")
def start_commands():
    """Return a function that gives the `Commands` of some programs, with variables of the environment."""
    opened = []

    def start(*programs, **variables):
        opened.append(Commands(programs, variables))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


@pytest.fixture
def start(forks, tmp_path):
    """Return a function that starts a command of the crawler in a process of its own; it gives a `Command`."""
    n_started = 0

    def start(*argv):
        nonlocal n_started
        n_started += 1
        folder = tmp_path / f"command-{n_started}"
        folder.mkdir()
        return Command(forks, [str(word) for word in argv], folder)

    return start


@pytest.fixture
def crawl(start, tmp_path):
    """Return a function that runs a stage on a site; it gives the exit status and what was printed."""

    def crawl(site, *options, stage="ratings", folder="crawl"):
        where = ["--crawl", tmp_path / folder, "--site-urls", site.urls]
        command = start(stage, *where, *options)
        output, errors = command.communicate()
        assert "Traceback" not in output + errors
        return command.returncode, output + errors

    return crawl


@pytest.fixture(name="page")
def page_fixture():
    """Return the function `page`."""
    return page


@pytest.fixture
def run_python(tmp_path):
    """Return a function that runs a program with arguments and variables of the environment."""

    def run(program, *argv, variables):
        done = subprocess.run(
            [sys.executable, "-c", program, *map(str, argv)],
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return done

    return run


LOOSE = {"PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": "*", "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "false"}


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Prefect's folder while a server of ours runs in it, although the environment asks for a loose one."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "storage").mkdir()
    for path in (folder / "prefect.db", folder / "storage" / "result"):
        path.touch()
        path.chmod(0o644)
    for path in (folder, folder / "storage"):
        path.chmod(0o755)
    with mock.patch.dict(os.environ, LOOSE), prefect_server(folder):
        yield folder


@pytest.fixture(scope="session")
def login(home: Path) -> Login:
    """The login of that server."""
    login = running_login(home)
    assert login is not None
    return login
