import hashlib
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.robotparser import RobotFileParser

import pytest

from crawler.kinds import address
from crawler.kinds.photo import photo_page
from crawler.page import Key
from crawler.sandbox.answers import Answer, Request
from crawler.sandbox.server import SandboxServer
from crawler.sandbox.truth import truth
from crawler.sandbox.world import World, WorldConfig, generate_world
from crawler.sites import robots_txt
from dataset.errors import PipelineError

REFERER = {"Referer": "https://www.douban.com/"}


@pytest.fixture(scope="module")
def world() -> World:
    return generate_world(WorldConfig(seed=5, n_users=40, n_movies=25, mean_ratings=6))


@pytest.fixture(scope="module")
def server(world: World) -> Iterator[SandboxServer]:
    with SandboxServer(world) as running:
        yield running


def get(
    url: str, headers: dict[str, str] | None = None, method: str = "GET"
) -> tuple[int, bytes, http.client.HTTPMessage]:
    there = urlsplit(url)
    connection = http.client.HTTPConnection(there.netloc, timeout=10)
    try:
        connection.request(method, url[len(f"http://{there.netloc}") :], headers=headers or {})
        response = connection.getresponse()
        return response.status, response.read(), response.headers
    finally:
        connection.close()


def test_all_hosts_are_on_loopback_ports_of_their_own(server: SandboxServer) -> None:
    assert server.site.is_loopback
    assert len({server.site.movie, server.site.www, server.site.images, server.site.mobile}) == 4


def test_robots_disallow_what_the_real_site_disallows(server: SandboxServer) -> None:
    for base in (server.site.movie, server.site.www):
        status, body, _ = get(robots_txt(base))
        robots = RobotFileParser()
        robots.parse(body.decode().splitlines())
        assert status == 200
        for path in ("/j/like?tkind=1025&tid=1", "/subject_search?search_text=x", "/search?q=x", "/link2/", "/share/x"):
            assert not robots.can_fetch("*", base + path), path
        for path in (
            "/subject/1/",
            "/people/x/collect?start=15",
            "/photos/photo/1/?type=like",
            "/people/x/likes/photo/",
        ):
            assert robots.can_fetch("*", base + path), path
        assert "# Crawl-delay: 5" in body.decode().splitlines()
        assert robots.crawl_delay("*") is None, "the delay is only a comment"


def test_robots_of_the_image_host_allow_pictures(server: SandboxServer) -> None:
    status, body, _ = get(robots_txt(server.site.images))
    robots = RobotFileParser()
    robots.parse(body.decode().splitlines())
    assert status == 200
    assert robots.can_fetch("*", address(server.site, Key("picture", "1", "m")))


def test_pictures_without_a_referer_are_a_teapot(server: SandboxServer, world: World) -> None:
    url = address(server.site, Key("picture", next(iter(world.contents.frames)), "m"))
    for headers in ({}, {"Referer": "https://elsewhere.example/"}):
        status, body, fields = get(url, headers)
        assert (status, len(body), fields["Content-Type"]) == (418, 13, "image/jpeg")
    for referer in (REFERER, {"Referer": f"{server.site.www}/people/x/"}):
        status, body, fields = get(url, referer)
        assert (status, body[:3], fields["Content-Type"]) == (200, b"\xff\xd8\xff", "image/jpeg")


def test_served_pictures_are_those_of_the_truth(server: SandboxServer, world: World) -> None:
    images = truth(world)["images"].head(5)
    for frame_id, sha256, size in images.select("frame_id", "image_sha256", "size_bytes").rows():
        _, body, _ = get(address(server.site, Key("picture", frame_id, "m")), REFERER)
        assert (hashlib.sha256(body).hexdigest(), len(body)) == (sha256, size)


def test_pictures_exist_only_in_public_sizes_and_formats(server: SandboxServer, world: World) -> None:
    frame_id = next(iter(world.contents.frames))
    for size in ("sqxs", "s", "m", "l"):
        for suffix, kind in (("jpg", "image/jpeg"), ("webp", "image/webp")):
            url = address(server.site, Key("picture", frame_id, size)).removesuffix("jpg") + suffix
            status, _, fields = get(url, REFERER)
            assert (status, fields["Content-Type"]) == (200, kind)
    for size in ("raw", "xl"):
        assert get(url.replace("/l/", f"/{size}/"), REFERER)[0] == 404


def test_movies_are_gone_in_three_ways(server: SandboxServer, world: World) -> None:
    ways = {
        "removed": (404, "条目不存在"),
        "not_listed": (200, "呃... 你想访问的条目豆瓣不收录。"),
        "in_review": (200, "根据相关法律法规，当前条目正在等待审核"),
    }
    met = set()
    for movie in world.contents.movies.values():
        for url in (
            address(server.site, Key("movie", movie.movie_id)),
            address(server.site, Key("comments", movie.movie_id)),
        ):
            status, body, _ = get(url)
            expected, words = ways.get(movie.state, (200, movie.chinese))
            assert status == expected
            assert words in body.decode()
        met.add(movie.state)
    assert met == {"open", *ways}


def test_an_unknown_address_is_404(server: SandboxServer) -> None:
    site = server.site
    unknown = [
        Key("movie", "1"),
        Key("photos", "1", "still"),
        Key("collection", "nobody"),
        Key("user_likes", "nobody"),
        Key("picture", "1", "m"),
    ]
    urls = [photo_page(site, "1"), f"{site.movie}/subject/x/", f"{site.www}/subject/1/", f"{site.www}/etc"]
    for url in [*urls, *(address(site, key) for key in unknown)]:
        status, body, _ = get(url, REFERER)
        assert status == 404
        assert "页面不存在" in body.decode()


def test_a_user_is_found_by_slug_and_by_number(server: SandboxServer, world: World) -> None:
    user = next(user for user in world.contents.users.values() if user.slug)
    by_slug, by_number = (
        get(address(server.site, Key("collection", user.uid))),
        get(address(server.site, Key("collection", user.user_id))),
    )
    assert by_slug[0] == by_number[0] == 200
    assert by_slug[1] == by_number[1]


def test_the_trap_and_the_disallowed_paths_exist_so_that_the_log_shows_who_requests_them(server: SandboxServer) -> None:
    assert get(f"{server.site.www}/hnypt/variformcyst.py")[0] == 200
    status, body, _ = get(f"{server.site.movie}/j/like?tkind=1025&tid=1")
    assert (status, json.loads(body)) == (200, [])
    paths = [request.path for request in server.requests]
    assert "/hnypt/variformcyst.py" in paths
    assert "/j/like?tkind=1025&tid=1" in paths


def test_every_request_is_logged_in_memory_and_in_a_file(world: World, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "requests.jsonl"
    with SandboxServer(world, log_path=log) as server:
        get(address(server.site, Key("movie", "1")), {"User-Agent": "tester"})
        get(robots_txt(server.site.images))
    first, second = (json.loads(line) for line in log.read_text().splitlines())
    assert (first["host"], first["method"], first["path"], first["status"]) == ("movie", "GET", "/subject/1/", 404)
    assert (first["user_agent"], second["host"], second["path"]) == ("tester", "images", "/robots.txt")
    assert first["started_at_s"] <= first["ended_at_s"] <= second["started_at_s"] <= second["ended_at_s"]
    assert [request.path for request in server.requests] == ["/subject/1/", "/robots.txt"]


def test_overlapping_requests_can_be_told_from_the_log(world: World) -> None:
    both_here = threading.Barrier(2, timeout=10)

    def meet(request: Request, answer: Callable[[Request], Answer]) -> Answer:
        both_here.wait()
        return answer(request)

    with SandboxServer(world, faults=meet) as server:
        threads = [threading.Thread(target=get, args=(address(server.site, Key("movie", "1")),)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    one, other = server.requests
    assert max(one.started_at_s, other.started_at_s) < min(one.ended_at_s, other.ended_at_s)


def test_a_connection_serves_many_requests(server: SandboxServer, world: World) -> None:
    connection = http.client.HTTPConnection(urlsplit(server.site.movie).netloc, timeout=10)
    sockets = set()
    for movie_id in list(world.contents.movies)[:5]:
        connection.request("GET", f"/subject/{movie_id}/")
        connection.getresponse().read()
        sockets.add(connection.sock)
    connection.close()
    assert len(sockets) == 1
    assert None not in sockets


def test_a_closed_sandbox_hangs_up(world: World) -> None:
    with SandboxServer(world) as server:
        connection = http.client.HTTPConnection(urlsplit(server.site.movie).netloc, timeout=10)
        connection.request("GET", "/robots.txt")
        assert connection.getresponse().read()
    assert connection.sock.recv(1) == b""
    connection.close()


def test_head_sends_no_body_and_other_methods_are_refused(server: SandboxServer, world: World) -> None:
    url = address(server.site, Key("movie", world.seed_movie_ids[0]))
    status, body, fields = get(url, method="HEAD")
    assert (status, body) == (200, b"")
    assert int(fields["Content-Length"]) == len(get(url)[1])
    assert get(url, method="POST")[0] == 405


def test_a_request_that_is_not_http_closes_only_its_connection(server: SandboxServer) -> None:
    there = urlsplit(server.site.movie)
    with socket.create_connection((there.hostname or "", there.port or 0), timeout=10) as raw:
        raw.sendall(b"\x00\xff nonsense\r\n\r\n")
        assert raw.recv(100) == b""
    assert get(robots_txt(server.site.movie))[0] == 200


def test_a_used_port_is_an_error_of_one_line_with_the_remedy(server: SandboxServer, world: World) -> None:
    taken = urlsplit(server.site.movie).port or 0
    with pytest.raises(PipelineError, match=rf"port {taken} .*--port"):
        SandboxServer(world, (taken, 0, 0, 0))
