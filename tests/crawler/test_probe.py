"""The probe against a sandbox that is as described, and against others."""

import json
import re
import shlex
from collections import Counter
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import pytest

from crawler.__main__ import app, main
from crawler.commands.options import CrawlOptions, ScopeOptions, SiteOptions
from crawler.commands.probe import advice, recommended
from crawler.kinds.mobile.marks import MARKS_PER_PAGE
from crawler.kinds.sources import COMMENTS_REACH, INTERESTS_REACH
from crawler.probe.findings import Probe
from crawler.sandbox.answers import Answer
from crawler.sandbox.faults import REFUSALS, Refusal, older_layout, private_likes, shown_as
from crawler.sandbox.faults.switches import switched
from crawler.sandbox.server import SandboxServer
from crawler.sandbox.world import WorldConfig, generate_world
from crawler.scope import PREFERRED
from crawler.sites import Site
from crawler.spiders.politeness import FLOOR_S, politeness_for
from dataset.errors import MissingInputError, PipelineError, RefusedError, UsageError

WORLD = generate_world(WorldConfig())
FRAMES_OF = WORLD.contents.frames_of
MOVIE_ID = max(FRAMES_OF, key=lambda movie_id: len(FRAMES_OF[movie_id]))


@pytest.fixture
def run_probe():
    """Return a function that probes a sandbox with faults: findings by point, the probe and the log."""

    def run(faults=None, movie_id=MOVIE_ID, delay_s=0.0):
        with SandboxServer(WORLD, faults=faults) as server:
            done = Probe(server.site, politeness_for(server.site, None, delay_s), movie_id)
            return {found.point: found for found in done.findings()}, done, server.requests

    return run


# What a world of this size cannot show.
UNKNOWN = {
    f"JSON shows people up to {INTERESTS_REACH}", f"{MARKS_PER_PAGE} marks per page", "a series answers as a movie",
    "mode=list shows 30 watched movies",
}  # fmt: skip


def _differing(findings):
    return {
        point: found.detail
        for point, found in findings.items()
        if found.answered != "holds" and (point not in UNKNOWN or found.answered != "unknown")
    }


def _html(findings):
    return [found for found in findings.values() if found.source == "html"]


def test_the_sandbox_is_as_described(run_probe):
    findings, done, requests = run_probe()
    assert _differing(findings) == {}
    assert len(requests) == done.n_requests
    assert done.ask.n_requests == Counter(request.host for request in requests)
    assert max(done.ask.n_requests.values()) <= 12
    first_of_host = {request.host: request.path for request in reversed(requests)}
    assert first_of_host == dict.fromkeys(("movie", "www", "images", "mobile"), "/robots.txt")
    assert all("(+local test)" in request.user_agent for request in requests)
    assert "--liker-source photo_page" in advice(done.liker_source())
    assert done.via() == PREFERRED


@pytest.mark.parametrize(
    ("fault", "point", "told", "wanted"),
    [
        (older_layout, "30 photos per page of the list", "40 per page", "photo_page."),
        (
            shown_as(has_like_widget=False),
            "a like widget on a photo's page",
            "none on the still",
            "photo_page.",
        ),
        (shown_as(lists_likers=False), "?type=like lists who likes a photo", "'likers' not found", "user_likes."),
        (
            shown_as(lists_likers=False, has_like_widget=False),
            "?type=like lists who likes a photo",
            "lists nobody",
            "user_likes.",
        ),
    ],
)
def test_another_layout_is_reported_with_the_setting_to_use(run_probe, fault, point, told, wanted):
    findings, done, _ = run_probe(fault)
    assert told in _differing(findings)[point]
    assert wanted in advice(done.liker_source())


def test_comments_that_reach_further_are_reported(run_probe):
    def further(request, answer):
        given = answer(replace(request, target=request.target.replace(f"start={COMMENTS_REACH}", "start=0")))
        return replace(given, body=given.body.replace(b"?start=20&", b"?start=220&"))

    findings, _, _ = run_probe(further)
    assert "raise COMMENTS_REACH" in _differing(findings)[f"comments end at {COMMENTS_REACH}"]


def test_likes_behind_a_login_are_reported_and_nothing_more_is_requested(run_probe):
    findings, done, requests = run_probe(private_likes)
    assert _html(findings)[-1].answered == "refused"
    assert _differing(findings) == {"a user's likes are public": "login wall (accounts.douban.com)"}
    assert "/likes/photo/" in requests[-1].path
    assert advice(done.liker_source()) == "Likes: --liker-source photo_page."


@pytest.mark.parametrize("sign", REFUSALS)
def test_at_any_sign_of_refusal_not_one_more_request_is_sent(run_probe, sign):
    refusal = Refusal(sign, after=2)
    findings, done, requests = run_probe(refusal)
    assert (refusal.n_refused, _html(findings)[-1].answered) == (1, "refused")
    assert requests[-1].host == "movie"
    assert done.n_requests == len(requests)


def test_a_refusal_of_the_json_ends_its_checks_and_the_html_is_still_probed(run_probe):
    refusal = Refusal("ip_limit", after=1, role="mobile")
    findings, done, requests = run_probe(refusal)
    assert refusal.n_refused == 1
    assert [found.answered for found in findings.values() if found.source == "json"][-1] == "refused"
    assert Counter(request.host for request in requests)["mobile"] == 3
    assert findings["a movie's page"].answered == "holds"
    assert done.via()["photos"] == ("html", "json")


def test_when_the_html_of_movies_is_refused_the_json_is_preferred(run_probe):
    findings, done, _ = run_probe(switched("closed-subjects").fault)
    assert findings["a user's watched movies are public"].answered == "holds"
    assert done.via() == {**PREFERRED, "people": ("json", "html")}


def test_a_movie_that_the_sources_show_differently_is_reported(run_probe):
    def another_year(request, answer):
        given = answer(request)
        is_json = request.role == "mobile" and request.path.endswith(f"/movie/{MOVIE_ID}")
        return replace(given, body=re.sub(rb'"year": "\d+"', b'"year": "1901"', given.body)) if is_json else given

    findings, _, _ = run_probe(another_year)
    assert "1901" in _differing(findings)["HTML and JSON say the same of the movie"]


def _robots(text, status=200, hosts=("movie", "www", "images")):
    return lambda request, answer: (
        Answer(status, text.encode(), "text/plain")
        if request.path == "/robots.txt" and request.role in hosts
        else answer(request)
    )


def test_what_robots_txt_disallows_is_reported_and_not_requested(run_probe):
    findings, _, requests = run_probe(_robots("User-agent: *\nDisallow: /people/\n", hosts=("movie", "www")))
    differing = _differing(findings)
    assert "of the kinds collection:" in differing["robots.txt of the movie host"]
    assert "of the kinds user_likes:" in differing["robots.txt of the www host"]
    assert findings["a user's likes are public"].answered == "unknown"
    assert not [request for request in requests if "/people/" in request.path]


def test_a_host_without_robots_txt_is_skipped_and_the_others_are_probed(run_probe):
    findings, _, requests = run_probe(_robots("", 404, hosts=("images",)))
    assert set(_differing(findings)) == {"robots.txt of the image host", "a picture file"}
    assert [request.path for request in requests if request.host == "images"] == ["/robots.txt"]


def test_a_robots_txt_that_cannot_be_read_ends_the_probe(run_probe):
    findings, _, requests = run_probe(_robots("", 403, hosts=("movie",)))
    assert [found.answered for found in _html(findings)] == ["refused"]
    assert [request.path for request in requests if request.host != "mobile"] == ["/robots.txt"]


def test_a_movie_that_shows_too_little_makes_points_unknown_and_a_gone_one_differs(run_probe):
    small = min((id_ for id_ in FRAMES_OF if FRAMES_OF[id_]), key=lambda movie_id: len(FRAMES_OF[movie_id]))
    findings, _, _ = run_probe(movie_id=small)
    assert findings["30 photos per page of the list"].answered == "unknown"
    gone = next(movie.movie_id for movie in WORLD.contents.movies.values() if movie.state == "removed")
    findings, done, _ = run_probe(movie_id=gone)
    assert findings["a movie's page"].answered == "differs"
    assert findings["a user's likes are public"].answered == "unknown"
    assert "do not show which" in advice(done.liker_source())


def test_two_requests_to_a_host_are_a_delay_apart(run_probe):
    _, _, requests = run_probe(delay_s=0.1)
    for host in ("movie", "www", "images", "mobile"):
        of_host = [request for request in requests if request.host == host]
        for earlier, later in pairwise(of_host):
            assert later.started_at_s - earlier.ended_at_s >= 0.1


def test_on_the_real_site_no_option_lowers_the_minimum_delay():
    politeness = Probe(Site(), politeness_for(Site(), "me@example.org", 1.0), "1").politeness
    assert politeness.delay_s == FLOOR_S


def _run(*options):
    main(["probe", *map(str, options)])


def test_without_a_contact_the_real_site_gets_no_request():
    with pytest.raises(UsageError, match="--contact"):
        _run("--site", "douban")


def test_the_command_prints_each_point_and_ends_with_an_error_after_a_refusal(tmp_path, capsys):
    site_file = tmp_path / "site.json"
    with SandboxServer(WORLD, faults=Refusal("sorry_200", after=1)) as server:
        told = {**asdict(server.site), "seed_movie_ids": [], "probe_movie_id": MOVIE_ID, "config": {}}
        site_file.write_text(json.dumps(told))
        with pytest.raises(RefusedError, match="异常请求"):
            _run("--site-file", site_file, "--crawl", tmp_path / "crawl")
        lines = capsys.readouterr().out.splitlines()
        json_lines = [line.split()[0] for line in lines[:12]]
        assert json_lines == ["holds"] * 7 + ["unknown", "holds", "unknown", "unknown", "holds"]
        assert [line.split()[0] for line in lines[12:]] == ["holds"] * 4 + [
            "unknown",
            "refused",
            "unknown",
            "holds",
            "13",
            "Recommended:",
        ]
        written = json.loads((tmp_path / "probe.json").read_text())
        assert written["command"] == lines[-1].removeprefix("Recommended: ")
        assert (written["requests"], len(written["findings"])) == (13, 20)
        assert not [one for one in WORLD.contents.users.values() if one.uid in json.dumps(written["findings"])]
        # The next commands read it.
        crawl = CrawlOptions(crawl=tmp_path / "crawl", site=SiteOptions(site_file=site_file)).resolve()
        assert crawl.scope.via == {topic: tuple(sources) for topic, sources in written["sources"].items()}
        (tmp_path / "probe.json").write_text('{"site": 1}')
        with pytest.raises(PipelineError, match=r"probe\.json: site: .*; delete it, or write it again"):
            CrawlOptions(crawl=tmp_path / "crawl", site=SiteOptions(site_file=site_file)).resolve()
    with pytest.raises(MissingInputError, match="no server answers"):
        _run("--site-file", site_file, "--crawl", tmp_path / "crawl")


THREE = "http://127.0.0.1:1,http://127.0.0.1:2,http://127.0.0.1:3"


@pytest.mark.parametrize(
    ("site", "options"),
    [
        (SiteOptions(site="douban", contact="me@example.org"), "--site douban --movies 7 --contact me@example.org"),
        (SiteOptions(site_urls=THREE), f"--site-urls {THREE} --movies 7"),
        (SiteOptions(site_file=Path("other.json")), "--site-file other.json"),
        (SiteOptions(), ""),
    ],
)
def test_the_recommended_command_line_is_one_that_the_crawler_accepts(site, options):
    line = recommended(Path("data/douban/crawl"), site, "7", "user_likes")
    expected = f"python -m crawler ratings {options} --crawl data/douban/crawl --liker-source user_likes"
    assert shlex.split(line) == expected.split()
    _, arguments, _ = app.parse_args(shlex.split(line)[3:], exit_on_error=False, print_error=False)
    crawl = arguments.arguments["crawl"]
    if site.site_urls or site.site != "sandbox":  # the sandbox's own file has its movies
        assert crawl.resolve().scope.movie_ids == ("7",)


# --- the mode in which collections are read ----------------------------------------------------------

LONGEST = max(
    (user for user, marks in WORLD.contents.ratings_of.items() if not any(mark.is_hidden for mark in marks)),
    key=lambda user: len(WORLD.contents.ratings_of[user]),
)
MODE = "mode=list shows 30 watched movies"


def _only_in_list(request, answer, change):
    given = answer(request)
    return replace(given, body=change(given.body)) if "mode=list" in request.target else given


def _in_grid(request, answer):
    return answer(replace(request, target=request.target.replace("mode=list", "mode=grid")))


@pytest.mark.parametrize(
    ("fault", "answered", "told", "first"),
    [
        (None, "holds", "30 on the first page, 15 in mode=grid; equal stars and dates", "list"),
        (_in_grid, "differs", "15 per page, as in mode=grid", "html"),
        (
            lambda *asked: _only_in_list(*asked, lambda body: re.sub(rb"\d{4}-\d\d-(\d\d)", rb"2001-01-\1", body)),
            "differs",
            "15 of 15 movies have another date or other stars there",
            "html",
        ),
        (lambda *asked: _only_in_list(*asked, lambda body: body.replace(b'"item"', b'"x"')), "differs", "", "html"),
        (switched("empty-pages=1").fault, "unknown", "", "html"),
    ],
    ids=["longer pages", "the same pages", "other dates", "other markup", "no marks"],
)  # fmt: skip
def test_collections_are_read_as_a_list_only_if_that_was_seen_to_show_more_and_the_same(fault, answered, told, first):
    with SandboxServer(WORLD, faults=fault and (lambda *asked: fault(*asked))) as server:
        site = replace(server.site, mobile="")
        probe = Probe(site, politeness_for(site, None, 0.0), MOVIE_ID)
        probe._html.person = WORLD.contents.users[LONGEST].uid
        findings = {found.point: found for found in probe.findings()}
    assert findings[MODE].answered == answered
    assert told in findings[MODE].detail
    assert probe.via()["collection"] == (first,)


def test_the_mode_is_looked_at_before_what_is_refused(run_probe):
    findings, _, _ = run_probe(switched("closed-subjects").fault)
    assert findings[MODE].answered != "refused"


@pytest.mark.parametrize(
    ("sources", "is_valid"),
    [(["list", "json"], True), (["html"], True), (["list", "html"], False), (["grid"], False), ([], False)],
)
def test_what_probe_json_says_of_collections_is_what_auto_takes(tmp_path, sources, is_valid):
    given = {topic: list(kinds) for topic, kinds in PREFERRED.items()} | {"collection": sources}
    written = {"site": "douban", "probed_at": "2026-09-01T00:00:00+00:00", "requests": 1, "findings": [],
               "sources": given, "liker_source": None, "command": ""}  # fmt: skip
    (tmp_path / "probe.json").write_text(json.dumps(written))
    site = SiteOptions(site="douban", contact="me@example.org")
    if not is_valid:
        with pytest.raises(PipelineError, match=r"probe\.json: sources.*delete it, or write it again"):
            CrawlOptions(crawl=tmp_path / "crawl", site=site).resolve()
        return
    scope = CrawlOptions(crawl=tmp_path / "crawl", site=site).resolve().scope
    assert scope.via["collection"] == tuple(sources)
    assert scope.collection_mode == ("list" if "list" in sources else "grid")
    chosen = CrawlOptions(crawl=tmp_path / "crawl", site=site, scope=ScopeOptions(via="collection=html")).resolve()
    assert chosen.scope.collection_mode == "grid"
