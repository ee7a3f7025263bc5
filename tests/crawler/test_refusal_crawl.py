"""At each sign of refusal a crawl stops; once the site answers again, the same command completes it."""

import pytest

from crawler.sandbox.faults import REFUSALS, Refusal
from crawler.spiders.politeness import SANDBOX_CONCURRENCY

REFUSED = 3


@pytest.mark.parametrize("sign", REFUSALS)
def test_after_a_refusal_only_what_was_in_flight_reaches_the_host_and_a_later_run_completes(sandbox, sign):
    refusal = Refusal(sign, after=15)
    crawl = sandbox(1, faults=refusal)
    message = crawl.run("ratings", status=REFUSED)
    assert "refuses us" in message
    assert "run the same command again" in message
    assert 1 <= refusal.n_refused <= SANDBOX_CONCURRENCY
    refusal.lift()
    crawl.run("ratings")
    crawl.require_truth(["ratings"])
    assert crawl.pages("refused") == set()


@pytest.mark.parametrize(("role", "stage"), [("images", "frames"), ("www", "likes")])
def test_another_host_that_refuses_stops_the_crawl_too(sandbox, role, stage):
    refusal = Refusal("teapot" if role == "images" else "login_redirect", after=5, role=role)
    crawl = sandbox(1, faults=refusal)
    options = ("--liker-source", "user_likes")
    for earlier in ("ratings", "frames")[: ("frames", "likes").index(stage) + 1]:
        crawl.run(earlier, *options)
    message = crawl.run(stage, *options, status=REFUSED)
    assert f"the {role} host refuses us" in message
    assert 1 <= refusal.n_refused <= SANDBOX_CONCURRENCY
    refusal.lift()
    crawl.run(stage, *options)
    assert crawl.pages("refused") == crawl.pages("pending") == set()


def test_with_the_politeness_of_the_real_site_not_one_request_follows_the_refusal(sandbox):
    refusal = Refusal("block_redirect", after=4)
    crawl = sandbox(1, faults=refusal)
    crawl.run("ratings", "--delay-s", "0.05", status=REFUSED)
    assert refusal.n_refused == 1
    assert crawl.server.requests[-1].status == 302
