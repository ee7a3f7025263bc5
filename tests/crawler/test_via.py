"""Which source each topic is read from: the option --via, the addresses of a site, and the plan."""

import json
from dataclasses import replace

import pytest

from crawler.__main__ import main
from crawler.archive.records import Origin
from crawler.commands.options import CrawlOptions, ScopeOptions, SiteOptions
from crawler.forecast import cost_of_source
from crawler.kinds import KINDS, PERSONAL_KINDS
from crawler.kinds.kind import CrawlContext
from crawler.kinds.sources import MOST_PAGES
from crawler.ledger.ledger import Ledger
from crawler.page import Key, Person
from crawler.plan import drop_settled, kinds_of, phases_of, plan_phase
from crawler.scope import HTML_ONLY, PREFERRED, Scope, Source
from crawler.sites import Site
from dataset.errors import UsageError

BASES = [f"http://127.0.0.1:{port}" for port in (1, 2, 3, 4)]
SOURCE = Source("sandbox", {"seed": 1})


@pytest.mark.parametrize(
    ("given", "via"),
    [
        ("", PREFERRED),
        ("auto", PREFERRED),
        ("html", HTML_ONLY),
        ("movie=html", {**PREFERRED, "movie": ("html",)}),
        ("movie=json,photos=auto,collection=html", {**PREFERRED, "movie": ("json",), "collection": ("html",)}),
        ("collection=list", {**PREFERRED, "collection": ("list",)}),
        ("movie=html, people=json", {**PREFERRED, "movie": ("html",), "people": ("json",)}),
    ],
)
def test_via_names_the_source_of_each_topic(given, via):
    assert ScopeOptions(via=given, movies="1").resolve([]).via == via


@pytest.mark.parametrize(
    "given",
    [
        "film=html",
        "movie=xml",
        "movie",
        "movie=html,movie=json",
        "html,movie=json",
        "=",
        "movie=list",
        "list",
        "collection=html,collection=list",
    ],
)
def test_a_topic_or_source_that_does_not_exist_is_named(given):
    with pytest.raises(UsageError, match="--via"):
        ScopeOptions(via=given, movies="1").resolve([])


def test_a_site_with_three_addresses_has_no_json():
    options = SiteOptions(site_urls=",".join(BASES[:3]))
    assert options.resolve()[0].hosts == dict(zip(("movie", "www", "images"), BASES, strict=False))
    assert options.resolve()[0].is_loopback
    assert CrawlOptions(site=options).resolve().scope.via == HTML_ONLY
    with pytest.raises(UsageError, match="no host with JSON"):
        CrawlOptions(site=options, scope=ScopeOptions(via="movie=json")).resolve()


def test_a_site_with_four_addresses_has_json():
    options = SiteOptions(site_urls=",".join(BASES))
    assert options.resolve()[0].mobile == BASES[3]
    assert CrawlOptions(site=options).resolve().scope.via == PREFERRED


@pytest.mark.parametrize("n", [1, 2, 5])
def test_another_number_of_addresses_is_refused(n):
    with pytest.raises(UsageError, match="three addresses, or four"):
        SiteOptions(site_urls=",".join((BASES * 2)[:n])).resolve()


def test_kinds_that_are_not_wanted_are_in_no_phase_and_on_no_host():
    kinds = {name for stage in ("ratings", "frames", "likes") for name in kinds_of(stage, scope=Scope())}
    assert {KINDS[name].host for name in kinds} == {"movie", "images"}
    scope = Scope(via=dict.fromkeys(PREFERRED, ("json",)))
    kinds = {name for stage in ("ratings", "frames") for name in kinds_of(stage, scope=scope)}
    assert {KINDS[name].host for name in kinds} == {"mobile", "images"}


def test_the_preferred_source_is_read_before_the_next_one():
    phases = [[kind.name for kind in phase] for phase in phases_of("frames", Scope(via=PREFERRED))]
    assert phases[0] == ["photos_json", "picture"]
    assert phases[-1] == ["photos_json", "photos", "picture"]


def test_the_scope_of_an_archive_says_the_sources_and_older_archives_have_html(tmp_path):
    origin = Origin(SOURCE, Site(), Scope(via=PREFERRED))
    assert Origin.from_fields(origin.to_fields()) == origin
    fields = Origin(SOURCE, Site(mobile=""), Scope()).to_fields()
    scope = json.loads(fields["scope"])
    del scope["via"]
    older = Origin.from_fields({**fields, "scope": json.dumps(scope)})
    assert (older.scope.via, older.site.hosts.keys()) == (HTML_ONLY, {"movie", "www", "images"})


# --- what one source has given -----------------------------------------------------------------------


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(tmp_path, SOURCE, PERSONAL_KINDS) as opened:
        yield opened


def _known(ledger, kind):
    return set(ledger.execute("SELECT subject, state FROM pages WHERE kind = ?", (kind,)))


def test_people_whose_list_one_source_refuses_are_read_from_the_other_and_keep_what_led_to_them(ledger):
    scope = Scope(via=PREFERRED, k=0)
    context = CrawlContext(ledger, Site(), scope)
    for uid in ("ann", "bob", "cat"):
        ledger.user_id(Person(uid, uid))
        ledger.add_pages([Key("collection", uid)], found_through="comments")
    ledger.mark_done(ledger.page(Key("collection", "ann")), 1.0)
    ledger.mark(ledger.page(Key("collection", "bob")), "refused", "blocked")
    first, second = phases_of("ratings", scope)[:2]
    plan_phase(context, first)
    assert _known(ledger, "marks_json") == set()
    plan_phase(context, second)
    assert _known(ledger, "marks_json") == {("bob", "pending"), ("cat", "pending")}
    assert ledger.value("SELECT DISTINCT found_through FROM pages WHERE kind = 'marks_json'") == "comments"
    ledger.mark_done(ledger.page(Key("marks_json", "bob")), 2.0)
    drop_settled(ledger, scope)
    assert _known(ledger, "collection") == {("ann", "done"), ("cat", "pending")}


def test_people_found_before_are_read_from_the_source_that_is_chosen_now(ledger):
    ledger.add_pages([Key("collection", "ann")], found_through="comments")
    scope = Scope(via={**HTML_ONLY, "collection": ("json",)}, k=0)
    plan_phase(CrawlContext(ledger, Site(), scope), phases_of("ratings", scope)[0])
    assert _known(ledger, "marks_json") == {("ann", "pending")}


def test_lists_of_photos_are_told_apart_by_their_kind(ledger):
    scope = Scope(via=PREFERRED, k=0)
    keys = [Key("photos_json", "1", variant) for variant in ("still", "poster", "wallpaper-one")]
    ledger.add_pages([*keys, *(replace_kind(key) for key in keys)])
    ledger.mark_done(ledger.page(keys[0]), 1.0)
    ledger.mark_done(ledger.page(keys[2]), 1.0)
    drop_settled(ledger, scope)
    rows = ledger.execute("SELECT variant FROM pages WHERE kind = 'photos'").fetchall()
    assert rows == [("poster",)]
    drop_settled(ledger, replace(scope, via={**PREFERRED, "photos": ("html",)}))  # chosen: it is read again
    assert len(ledger.execute("SELECT 1 FROM pages WHERE kind = 'photos'").fetchall()) == 1


@pytest.mark.parametrize(("read", "wanted"), [("comments", "json"), ("interests", "html")])
def test_the_forecast_counts_what_only_a_source_that_is_not_wanted_has_given(ledger, read, wanted):
    ledger.add_pages(Key(read, movie_id) for movie_id in ("1", "2"))
    scope = Scope(movie_ids=("1", "2", "3"), via=HTML_ONLY)
    alone = cost_of_source(ledger, scope, "people", wanted)
    assert alone.known == 0
    assert alone.expected == 3 * MOST_PAGES[alone.kind]


def replace_kind(key):
    return Key("photos", key.subject, key.variant.partition("-")[0])


def test_the_plan_says_what_each_source_costs_and_asks_for_a_probe(tmp_path, capsys):
    options = ["--site-urls", ",".join(BASES), "--crawl", str(tmp_path / "crawl"), "--users", "ann,bob"]
    main(["plan", *options])
    out = capsys.readouterr().out
    assert "movie: json (" in out
    assert "collection: html (15 per page, requests not yet known), else json (50 per page" in out
    assert "; list instead (30 per page, requests not yet known)" in out
    assert "python -m crawler probe" in out
    main(["plan", *options, "--via", "html"])
    out = capsys.readouterr().out
    assert "probe" not in out
    assert "collection: html (15 per page" in out
    main(["plan", *options, "--via", "collection=list"])
    assert "collection: list (30 per page, requests not yet known); html instead (15" in capsys.readouterr().out
    main(["plan", *options, "--via", "json"])
    assert "collection: " not in capsys.readouterr().out
