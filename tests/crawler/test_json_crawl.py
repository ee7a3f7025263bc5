"""Whole crawls of the sandbox that read the mobile JSON, and crawls whose sources fail or refuse."""

from collections import Counter

import pytest

from crawler.ledger.ledger import Ledger
from crawler.sandbox.answers import Answer
from crawler.sandbox.faults.switches import switched
from crawler.sandbox.oddities import Oddities
from crawler.scope import TOPICS

ALL_JSON = dict.fromkeys(TOPICS, "json")


def _roles(crawl):
    return {request.host for request in crawl.server.requests}


@pytest.mark.parametrize("seed", [1, 2])
def test_a_crawl_of_the_json_gives_every_row_that_the_json_shows(sandbox, seed):
    crawl = sandbox(seed)
    crawl.run("ratings", "--via", "json")
    crawl.run("frames", "--via", "json")
    assert _roles(crawl) == {"mobile", "images"}  # of the others, not even robots.txt is read
    crawl.run("likes", "--via", "json")
    crawl.require_truth(via=ALL_JSON)


def test_the_api_gets_a_referer_and_our_name_and_nothing_else(sandbox):
    seen = []

    def watch(request, answer):
        if request.role == "mobile" and request.path != "/robots.txt":
            seen.append(dict(request.headers))
        return answer(request)

    crawl = sandbox(faults=watch)
    crawl.run("ratings", "--via", "json", "--max-requests", "3")
    assert seen
    for headers in seen:
        told = {name.lower(): value for name, value in headers.items()}
        assert set(told) <= {"host", "referer", "user-agent", "accept-encoding", "connection"}
        assert told["referer"] == "https://m.douban.com/"
        assert told["user-agent"].startswith("douban-keyframes/")
