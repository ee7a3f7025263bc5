"""Whole crawls of the sandbox that read the mobile JSON, and crawls whose sources fail or refuse."""

from collections import Counter

import pytest

from crawler.commands.status import status_lines
from crawler.ledger.ledger import Ledger
from crawler.sandbox.faults import Refusal
from crawler.sandbox.faults.switches import switched
from crawler.sandbox.oddities import Oddities
from crawler.scope import TOPICS
from dataset.schema import Contradiction
from dataset.tables import read_table

ALL_JSON = dict.fromkeys(TOPICS, "json")


def _status(crawl):
    with Ledger.read(crawl.folder / "crawl") as ledger:
        return "\n".join(status_lines(ledger, 0.0, is_crawling=False))


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


def _subjects_asked(crawl, role, part):
    """Return the ids in the paths of a host that contain a part, such as `/subject/` or `/movie/`."""
    paths = (request.path for request in crawl.server.requests if request.host == role and part in request.path)
    return [path.split(part)[1].split("/")[0].split("?")[0] for path in paths]


def test_when_the_json_refuses_the_html_gives_the_rest_and_nothing_is_read_twice(sandbox):
    refusal = Refusal("block_redirect", after=6, role="mobile")
    crawl = sandbox(faults=refusal)
    crawl.run("ratings", "--via", "movie=auto,people=html,collection=html", "--delay-s", "0.01")
    assert refusal.n_refused == 1
    crawl.require_truth(["movies", "ratings"])
    json, html = _subjects_asked(crawl, "mobile", "/movie/"), _subjects_asked(crawl, "movie", "/subject/")
    read_by_html = [subject for subject in html if subject not in crawl.server.world.seed_movie_ids]
    assert json
    assert read_by_html
    assert not set(json[:-1]) & set(read_by_html)  # the last one was refused
    with Ledger.read(crawl.folder / "crawl") as ledger:
        assert not ledger.count(["movie_json", "movie"], "pending", "refused", "failed")


def test_when_collections_are_challenged_the_json_gives_the_other_people(sandbox):
    crawl = sandbox(faults=switched("challenge=10").fault)
    crawl.run("ratings", "--via", "movie=json,people=html", "--delay-s", "0.01")
    found, of_html, of_json = (
        set(tables["ratings"].rows())
        for tables in (crawl.tables(), crawl.true_tables(), crawl.true_tables(via={"collection": "json"}))
    )
    assert of_json < found < of_html  # the JSON does not show marks of deleted movies
    people = [path.split("/people/")[1].split("/")[0] for _, path in crawl.requests() if "/collect" in path]
    by_json = _subjects_asked(crawl, "mobile", "/user/")
    assert people
    assert by_json
    assert not set(people[:-1]) & set(by_json)


def test_a_host_whose_kinds_are_not_wanted_is_never_asked(sandbox):
    crawl = sandbox()
    crawl.run("ratings", "--via", "html")
    assert "mobile" not in _roles(crawl)


def test_movies_that_the_sources_show_differently_are_flagged_with_both_values(sandbox):
    crawl = sandbox(oddities=Oddities(wrong_data=0.2))
    crawl.run("ratings", "--via", "html")
    crawl.run("ratings", "--via", "movie=json,collection=html,people=html")
    truth = crawl.server.world.contents
    tables = crawl.tables()
    found = read_table(crawl.folder / "raw" / "contradictions.parquet", Contradiction)
    wrong = {movie_id for movie_id in truth.misreported if movie_id in set(tables["movies"]["movie_id"])}
    assert wrong
    assert set(found["movie_id"]) == wrong
    for movie_id, field, html, json in found.rows():
        assert (html, json) == tuple(
            str(getattr(movie, field)) for movie in (truth.misreported[movie_id], truth.movies[movie_id])
        )
    assert f"{len(wrong)} movies are not the same in the HTML and the JSON" in _status(crawl)
    years = dict(tables["movies"].select("movie_id", "year").rows())
    assert {id_: years[id_] for id_ in wrong} == {
        id_: truth.movies[id_].year for id_ in wrong
    }  # the preferred source's


def test_a_refresh_of_series_and_of_pages_with_broken_items_gives_the_same_again(sandbox):
    crawl = sandbox(oddities=Oddities(bad_items=0.05))
    for stage in ("ratings", "frames"):
        crawl.run(stage, "--via", "json")
    before = crawl.tables()
    ages = ["--refresh", "--movie-json-age-days", "0", "--marks-json-age-days", "0"]
    n = len(crawl.server.requests)
    crawl.run("ratings", "--via", "json", *ages)
    crawl.run("frames", "--via", "json", "--refresh", "--photos-json-age-days", "0")
    again = [request.path for request in crawl.server.requests[n:] if request.path != "/robots.txt"]
    assert any("/tv/" in path for path in again)
    assert max(Counter(again).values()) <= 4  # twice if it fails, four times if it is empty before the total
    for name, table in crawl.tables().items():
        one, other = (each.drop("crawled_at", strict=False) for each in (table, before[name]))
        assert one.equals(other), name
