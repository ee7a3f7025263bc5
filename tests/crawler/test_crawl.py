"""Whole crawls of the sandbox, each stage in a child process, compared with the truth and the request log."""

import gzip
import re
import signal
import time
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from crawler.sandbox.answers import Answer


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("n_users", "n_movies"), [(40, 20), (80, 30)])
def test_every_table_equals_the_truth_and_no_page_is_requested_twice_or_outside_the_plan(
    sandbox, seed, n_users, n_movies
):
    crawl = sandbox(seed, n_users, n_movies)
    crawl.run_all()
    crawl.require_truth()
    requests = crawl.requests()
    assert [request for request, n in Counter(requests).items() if n > 1] == []
    assert set(requests) == crawl.pages("done") | crawl.pages("gone")
    assert crawl.pages("gone")  # deleted movies, still rated
    first_of_host = {request.host: request.path for request in reversed(crawl.server.requests)}
    assert set(first_of_host.values()) == {"/robots.txt"}


def test_a_stopped_crawl_says_how_to_continue(sandbox):
    crawl = sandbox(1, faults=lambda request, answer: replace(answer(request), delay_s=0.02))
    process = crawl.start("ratings")
    while len(crawl.requests()) < 10:
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert "run the same command again to continue" in errors
    done, n = crawl.pages("done"), len(crawl.requests())
    crawl.run("ratings")
    crawl.require_truth(["ratings"])
    assert done
    assert not done & set(crawl.requests()[n:])


def test_a_refresh_reads_again_what_is_old_enough_and_follows_only_what_has_changed(sandbox):
    crawl = sandbox(1)
    crawl.run("ratings")
    n = len(crawl.requests())
    assert "0 pages and lists are old enough" in crawl.run("ratings", "--refresh")
    assert len(crawl.requests()) == n
    ratings_of = crawl.server.world.contents.ratings_of
    user, ratings = max(ratings_of.items(), key=lambda item: len(item[1]))
    ratings_of[user] = [replace(ratings[0], stars=1 if ratings[0].stars != 1 else 2), *ratings[1:]]
    crawl.server.answers._page.cache_clear()
    try:
        told = crawl.run("ratings", "--refresh", "--collection-age-days", "0")
        crawl.require_truth(["ratings"])
    finally:
        ratings_of[user] = ratings  # the world is shared with other tests
    assert "pages and lists are old enough to be read again" in told
    again = crawl.requests()[n:]
    assert {path.split("?")[0].rsplit("/", 1)[1] for _, path in again} == {"collect"}
    assert len([path for _, path in again if "start=0&" not in path]) <= 1  # the rest of the changed one at most


def test_a_robots_txt_that_cannot_be_read_means_no_request_at_all(sandbox):
    crawl = sandbox(1, faults=lambda request, answer: Answer(503, b"busy"))
    assert "robots.txt: no valid robots.txt (status 503)" in crawl.run("ratings", status=3)
    assert crawl.requests() == []


def test_a_planned_path_that_robots_txt_disallows_is_not_requested(sandbox):
    def closed(request, answer):
        if request.path == "/robots.txt":
            return Answer(200, b"User-agent: *\nDisallow: /people/\n", "text/plain")
        return answer(request)

    crawl = sandbox(1, faults=closed)
    assert "robots.txt disallows them" in crawl.run("ratings", status=3)
    assert {path.split("/")[1] for _, path in crawl.requests()} == {"subject"}


def test_a_page_that_fails_repeatedly_leaves_the_stage_unfinished_until_it_succeeds(sandbox):
    broken = []

    def break_one(request, answer):
        broken.append(request.target) if "/collect" in request.path and not broken else None
        return Answer(500, b"") if broken[:1] == [request.target] else answer(request)

    crawl = sandbox(1, faults=break_one)
    message = crawl.run("ratings", "--attempts", "3", status=4)
    assert message.startswith("python -m crawler: 1 pages failed 3 times each (mostly: ")
    assert Counter(crawl.requests())[("movie", broken[0])] == 3
    allowed = re.search(r"--allow-missing (\S+) \(a share of", message)[1]
    assert "1 pages failed and are missing" in crawl.run("ratings", "--attempts", "1", "--allow-missing", allowed)
    assert crawl.run("ratings", "--attempts", "1", "--allow-missing", str(float(allowed) / 2), status=4)
    broken[0] = "healed"
    crawl.run("ratings")
    assert crawl.pages("failed") == set()


def test_requests_to_a_host_are_a_delay_apart_and_never_simultaneous(sandbox):
    crawl = sandbox(1, faults=lambda request, answer: replace(answer(request), delay_s=0.03))
    output = crawl.run("ratings", "--delay-s", "0.2", "--max-requests", "6")
    assert "--max-requests" in output
    requests = crawl.server.requests
    assert [request.path for request in requests][:1] == ["/robots.txt"]
    assert len(requests) == 7
    assert all(later.started_at_s - earlier.ended_at_s >= 0.2 for earlier, later in pairwise(requests))
    assert all("(+local test)" in request.user_agent for request in requests)


def test_an_answer_that_is_too_large_when_decompressed_counts_as_a_request_and_is_retried(sandbox):
    bomb = Answer(200, gzip.compress(bytes(65 << 20)), headers=(("Content-Encoding", "gzip"),), delay_s=0.1)
    targets = []

    def explode_once(request, answer):
        targets.append(request.target)
        return bomb if len(targets) == 2 else answer(request)  # the first is robots.txt

    crawl = sandbox(1, faults=explode_once)
    crawl.run("ratings", "--delay-s", "0.2", "--max-requests", "2")
    requests = crawl.server.requests
    assert [request.path for request in requests][1:] == [targets[1]] * 2
    assert all(later.started_at_s - earlier.ended_at_s >= 0.2 for earlier, later in pairwise(requests))
    assert crawl.pages("refused") == set()


def test_a_file_that_cannot_be_written_ends_a_stage_at_once_in_one_line(sandbox):
    crawl = sandbox(1)
    for stage, folder in (("ratings", "archive"), ("frames", "pictures")):  # pictures are stored in a thread
        blocked = crawl.folder / "crawl" / folder
        blocked.parent.mkdir(exist_ok=True)
        blocked.write_text("not a folder")
        assert "cannot be written" in crawl.run(stage, "--delay-s", "0.01", status=1)
        finished = crawl.pages("done") | crawl.pages("gone")
        assert 1 <= len(set(crawl.requests()) - finished) <= 2  # the page that failed, and one in flight
        blocked.unlink()
        crawl.run(stage)
    crawl.require_truth(["ratings", "images"])
