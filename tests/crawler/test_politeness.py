import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from crawler.sites import Site
from crawler.spiders.pace import HostPace
from crawler.spiders.politeness import FLOOR_S, Politeness, politeness_for, user_agent
from crawler.spiders.robots import host_rules, read_robots
from crawler.spiders.settings import CrawlSettings, scrapy_settings
from dataset.errors import MissingInputError, RefusedError, UsageError

LOOPBACK = Site("http://127.0.0.1:1", "http://127.0.0.1:2", "http://localhost:3", "")
AGENT = "douban-keyframes/0.1.0 (+someone@example.org)"
IMPOLITE = Politeness(False, 0.0, 99, None, 5.0, 5, 0.0)


@pytest.fixture
def host():
    """Return a function that serves one answer on loopback and gives the base address."""
    servers = []

    def serve(status=200, content_type="text/plain; charset=utf-8", body=b"User-agent: *\nDisallow: /j/\n", **headers):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                for name, value in {"Content-Type": content_type, "Content-Length": str(len(body)), **headers}.items():
                    if value is not None:
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("delay_s", [0.0, 0.5, 4.999])
@pytest.mark.parametrize(
    "site",
    [
        Site(),
        Site("http://127.0.0.1:1", "http://127.0.0.1:2", "https://img1.doubanio.com"),
        Site("http://10.0.0.1", "http://10.0.0.1", "http://10.0.0.1"),
        Site("http://127.0.0.1.example.org", "http://localhost.example.org", "http://127.0.0.1"),
    ],
)
def test_no_option_lowers_the_floor_off_loopback(site, delay_s):
    politeness = politeness_for(site, "someone@example.org", delay_s)
    assert (politeness.is_slow, politeness.delay_s, politeness.concurrency) == (True, FLOOR_S, 1)


@pytest.mark.parametrize(
    ("robots_txt", "delay_s"),
    [
        ("", FLOOR_S),
        ("User-agent: *\nCrawl-delay: 1\n", FLOOR_S),
        ("User-agent: *\nCrawl-delay: 9\n", 9.0),
        ("User-agent: *\nDisallow: /j/\n# Crawl-delay: 7.5\n", 7.5),
        ("User-agent: other\nCrawl-delay: 30\n", FLOOR_S),
    ],
)
def test_robots_txt_can_only_raise_the_delay_of_a_real_host(robots_txt, delay_s):
    assert host_rules("https://movie.douban.com", robots_txt, IMPOLITE, AGENT).delay_s == delay_s


def test_on_loopback_the_delay_is_the_option_s():
    assert politeness_for(LOOPBACK, None).delay_s == 0.0
    slow = politeness_for(LOOPBACK, None, 0.25)
    assert (slow.is_slow, slow.delay_s, slow.concurrency) == (True, 0.25, 1)
    assert host_rules(LOOPBACK.movie, "# Crawl-delay: 5", slow, AGENT).delay_s == 0.25


def test_scrapy_itself_never_goes_below_a_host_s_delay(tmp_path):
    politeness = politeness_for(Site(), "someone@example.org", 90.0)
    rules = {"movie": host_rules(Site().movie, "", politeness, AGENT)}
    settings = scrapy_settings(CrawlSettings(tmp_path, Site(), "douban", politeness), rules)
    assert settings["DOWNLOAD_SLOTS"] == {"movie": {"delay": 90.0, "concurrency": 1, "jitter": 0.0}}
    assert settings["DOWNLOAD_DELAY"] == 90.0
    assert settings["DOWNLOAD_DELAY_JITTER"] == 0.0


def test_the_delay_counts_from_the_end_of_a_request_and_grows_with_the_latency_but_never_shrinks_below_the_host_s():
    pace = HostPace(90.0, 180.0)
    pace.ended(1000.0)
    assert pace.free_at == 1090.0
    pace.ended(2000.0, latency_s=100.0, is_ok=True)
    assert pace.free_at == 2100.0
    pace.ended(3000.0, latency_s=0.1, is_ok=False)  # an error is fast: it shortens nothing
    assert pace.free_at == 3100.0
    for _ in range(9):
        pace.ended(4000.0, latency_s=0.1, is_ok=True)
    assert pace.free_at == 4090.0
    pace.ended(5000.0, latency_s=999.0, is_ok=True)
    assert pace.free_at == 5180.0


def test_without_a_delay_a_slow_host_is_not_slowed_down():
    pace = HostPace(0.0, 60.0)
    pace.ended(1000.0, latency_s=30.0, is_ok=True)
    assert pace.free_at == 1000.0


def test_the_real_site_needs_a_contact_and_the_user_agent_contains_it():
    with pytest.raises(UsageError, match="--contact"):
        politeness_for(Site(), None)
    for wrong in ("", "someone", "a@b c", "x (y@z)"):
        with pytest.raises(UsageError, match="--contact"):
            politeness_for(Site(), wrong)
    assert user_agent("https://example.org/crawl").endswith("(+https://example.org/crawl)")


def test_disallowed_paths_are_distinguished_from_allowed_ones(host):
    base = host()
    rules = read_robots({"movie": base}, IMPOLITE, AGENT)["movie"]
    assert not rules.allows(f"{base}/j/like?tid=1", AGENT)
    assert rules.allows(f"{base}/subject/1/", AGENT)


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 404},
        {"status": 403},
        {"status": 503},
        {"status": 302, "Location": "/elsewhere"},
        {"status": 204, "body": b""},
        {"content_type": "text/html"},
        {"content_type": "text/plain", "body": b"<!DOCTYPE html><title>wait</title>"},
        {"content_type": None, "body": b"\n <html>"},
        {"body": b"# " + b"x" * (600 << 10)},
        {"body": b"User-agent: *\n", "Content-Length": "500"},
    ],
)
def test_a_host_without_a_valid_robots_txt_is_not_crawled(host, answer):
    with pytest.raises(RefusedError, match="so this host is not crawled"):
        read_robots({"movie": host(**answer)}, IMPOLITE, AGENT)


def test_the_error_for_a_missing_server_names_the_remedy():
    with pytest.raises(MissingInputError, match="python -m crawler sandbox"):
        read_robots({"movie": "http://127.0.0.1:9"}, IMPOLITE, AGENT)
