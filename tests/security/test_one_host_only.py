"""The crawler asks the host that was checked, directly, with nothing of the user's but their contact."""

import json
import re
import socket
import threading

import pytest

from crawler.__main__ import main
from crawler.commands.options import SiteOptions
from crawler.ledger.ledger import Ledger
from crawler.sites import Site, is_base, is_loopback
from crawler.spiders.politeness import FLOOR_S, politeness_for
from dataset.errors import UsageError

NOT_LOOPBACK = [
    "http://host\\@127.0.0.1",
    "http://host\\@127.0.0.1/",
    "http://127.0.0.1\\@host",
    "http://user@127.0.0.1",
    "http://127.0.0.1@host",
    "http://127.0.0.1:80@host",
    "http://host#@127.0.0.1",
    "http://host?@127.0.0.1",
    "http://host;@127.0.0.1",
    "http://host/@127.0.0.1",
    "http://127.0.0.1 @host",
    "http://127.0.0.1\t.host",
    "http://127.0.0.1\n",
    "http://127.0.0.1%2f@host",
    "http://127.0.0.1.host",
    "http://localhost.host",
    "http:/127.0.0.1",
    "http:\\\\127.0.0.1",
    "//127.0.0.1",
    "file://127.0.0.1",
    "http://１２７.0.0.1",
    "http://①②⑦.0.0.1",
    "http://127。0。0。1",
    "http://127.0.0.1:80:80",
    "http://[::1",
    "http://[::1]host",
    "http://[::1%25eth0]",
    "http://10.0.0.1",
    "http://0.0.0.0",
    "",
]


@pytest.mark.parametrize("base", NOT_LOOPBACK)
def test_an_address_that_libraries_read_differently_never_counts_as_loopback(base):
    assert not is_loopback(base)
    site = Site(base, "http://127.0.0.1", "http://127.0.0.1")
    assert politeness_for(site, "me@example.org", 0.0).delay_s == FLOOR_S


@pytest.mark.parametrize("base", [base for base in NOT_LOOPBACK if not is_base(base.strip().rstrip("/"))])
def test_such_an_address_is_refused_before_any_request(base):
    with pytest.raises(UsageError, match="--site-urls"):
        SiteOptions(site_urls=f"{base},http://127.0.0.1,http://127.0.0.1").resolve()


@pytest.mark.parametrize(
    "base", ["http://127.0.0.1", "http://127.0.0.1:8801", "http://localhost:1", "http://LOCALHOST", "http://[::1]:80"]
)
def test_addresses_of_this_machine_count_as_loopback(base):
    assert is_loopback(base)


@pytest.mark.parametrize("host", ["https://movie.douban.com", "http://10.0.0.1:8801", "http://host\\@127.0.0.1"])
@pytest.mark.parametrize("role", ["movie", "www", "images"])
def test_a_foreign_site_file_is_not_taken_for_the_sandbox(tmp_path, host, role):
    told = {"movie": "http://127.0.0.1:1", "www": "http://127.0.0.1:2", "images": "http://127.0.0.1:3", role: host}
    path = tmp_path / "site.json"
    path.write_text(json.dumps({**told, "seed_movie_ids": ["1"], "probe_movie_id": "1", "config": {"seed": 0}}))
    for command in (["ratings", "--crawl", tmp_path / "crawl"], ["probe"]):
        with pytest.raises(UsageError, match="not on this machine"):
            main([*map(str, command), "--site-file", str(path), "--contact", "me@example.org"])
    assert not (tmp_path / "crawl").exists()


@pytest.fixture
def proxy():
    """Return the address of a proxy that nobody may ask, and a list of who did."""
    asked = []
    server = socket.create_server(("127.0.0.1", 0))

    def accept():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            asked.append(connection.recv(999))
            connection.close()

    threading.Thread(target=accept, daemon=True).start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}", asked
    server.close()


VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
# The command runs as if the address were not loopback, for which variables are often ignored; without a delay.
AS_FOREIGN = """
import sys
from dataclasses import replace
from crawler import sites
from crawler.spiders import politeness
sites.is_loopback.__code__ = (lambda base: False).__code__
politeness.FLOOR_S = 0.0
from crawler.spiders import robots
robots.FLOOR_S = 0.0
from crawler.__main__ import app
from dataset.cli import run
run(app)
"""


@pytest.mark.parametrize("command", ["ratings", "probe"])
def test_neither_proxies_nor_netrc_nor_cookies_are_used(site, page, run_python, tmp_path, proxy, command):
    address, asked = proxy
    (tmp_path / ".netrc").write_text("default login alice password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    hostile = site(
        lambda path: page("<html>x</html>", headers=b"Set-Cookie: seen=1; Path=/\r\nWWW-Authenticate: Basic\r\n")
    )
    options = {
        "ratings": ["--crawl", tmp_path / "crawl", "--movies", "1,2,3", "--attempts", 1],
        "probe": ["--movie", 1],
    }
    variables = {**dict.fromkeys(VARIABLES, address), "HOME": str(tmp_path), "NETRC": str(tmp_path / ".netrc")}
    command_line = [command, "--site-urls", hostile.urls, "--contact", "me@example.org", *options[command]]
    run_python(AS_FOREIGN, *command_line, variables={**variables, "no_proxy": "", "NO_PROXY": ""})
    assert len(hostile.paths) >= 3
    assert asked == []
    sent = {header.partition(":")[0].lower() for _, headers, _ in hostile.requests for header in headers}
    assert sent <= {"host", "user-agent", "accept", "accept-language", "accept-encoding", "connection", "referer"}


@pytest.mark.parametrize(
    "content_type",
    [
        "text/html; charset=ü".encode(),
        b"text/html\xff\xfe; x=\x01",
        "text/html；charset=中文".encode("gb18030"),
        b"x" * 9_999,
    ],
)
def test_a_content_type_beyond_ascii_neither_ends_the_crawl_nor_damages_the_archive(
    site, crawl, start, page, tmp_path, content_type
):
    hostile = site(lambda path: page("<html>x</html>", content_type, headers=b"Location: /\xe4\xb8\xad\xff\x01x\r\n"))
    status, told = crawl(hostile, "--movies", "1", "--attempts", "1")
    assert status == 4, told
    assert len(told.splitlines()) == 1
    command = start("reparse", "--crawl", tmp_path / "crawl")
    output, errors = command.communicate()
    assert command.returncode == 0, errors
    assert "1 failed" in output
    with Ledger.read(tmp_path / "crawl") as ledger:
        assert re.search("not understood", ledger.value("SELECT cause FROM pages"))
