"""Movies that the site does not show to guests, censored ones, and merged ones."""

from dataclasses import replace
from datetime import date

import polars as pl
import pytest

from crawler.archive.records import Origin
from crawler.archive.warc import Archive
from crawler.commands.status import status_lines
from crawler.export import export
from crawler.kinds import PERSONAL_KINDS, address
from crawler.kinds.estimates import surviving
from crawler.kinds.kind import CrawlContext
from crawler.ledger import raw_rows
from crawler.ledger.ledger import Ledger
from crawler.page import Answer, Key
from crawler.plan import phases_of, plan_phase
from crawler.process import process
from crawler.replay import reparse
from crawler.sandbox.answers import Answer as SandboxAnswer
from crawler.scope import Scope, Source
from crawler.sites import Site
from crawler.spiders.pages import StagePages
from crawler.spiders.politeness import politeness_for
from crawler.spiders.robots import host_rules
from dataset.schema import RAW_TABLES, Quarantine
from dataset.tables import read_table

ALL_TABLES = {**RAW_TABLES, "quarantine": Quarantine}
SITE, SCOPE, SOURCE = Site(), Scope(uids=("ann", "bob"), k=1), Source("sandbox", {"seed": 1})
NO_WORDS = Answer(404, "", b"<html><body></body></html>", content_type="text/html")
FILM = """<html><head><title>{0} (豆瓣)</title></head><body><h1><span property="v:itemreviewed">{0}</span></h1>
<div id="mainpic"><img alt="{0}"></div>
<div id="info"><span class="pl">导演</span>: <a rel="v:directedBy">甲</a></div></body></html>"""


def collection(*marks):
    """Return a collection of marks `(movie, title, stars, day)`."""
    items = "".join(
        f'<div class="item comment-item"><div class="pic"><a title="{title}" href="{SITE.movie}/subject/{movie}/"></a>'
        f'</div><div class="info"><ul><li class="title"><a href="{SITE.movie}/subject/{movie}/"><em>{title}</em> / x'
        f'</a></li><li>{f"<span class=rating{stars}-t></span>" if stars else ""} <span class="date">{day}</span></li>'
        "</ul></div></div>"
        for movie, title, stars, day in marks
    )
    header = f'<div id="db-usr-profile"><div class="info"><h1>X看过的影视({len(marks)})</h1></div></div>'
    return f"<html><head><title>X看过的影视({len(marks)})</title></head><body>{header}{items}</body></html>".encode()


class Crawl:
    """A crawl folder, and the site's answers by page; a page without one is the film's own."""

    def __init__(self, folder):
        self.folder, self.answers, self.asked = folder, {}, []

    def read(self, *stages):
        with (
            Ledger.open(self.folder, SOURCE, PERSONAL_KINDS) as ledger,
            Archive(self.folder, Origin(SOURCE, SITE, SCOPE)) as archive,
        ):
            context = CrawlContext(ledger, SITE, SCOPE)
            for phase in (phase for stage in stages for phase in phases_of(stage, SCOPE)):
                plan_phase(context, phase)
                while batch := ledger.pending([kind.name for kind in phase], 0, 1):
                    process(batch[0], self._answer(batch[0].key), context, archive)

    def _answer(self, key):
        self.asked.append(key)
        given = self.answers.get(key)
        body = FILM.format(f"片{key.subject}").encode() if key.kind == "movie" else b"<html></html>"
        return replace(given or Answer(200, "", body, content_type="text/html"), url=address(SITE, key), at=1e9)

    def ledger(self):
        return Ledger.read(self.folder)

    def states(self):
        with self.ledger() as ledger:
            return {
                Key(*row[:4]): row[4]
                for row in ledger.execute("SELECT kind, subject, variant, start, state FROM pages")
            }

    def tables(self):
        raw = self.folder.parent / "raw"
        export(self.folder, raw)
        return {name: read_table(raw / f"{name}.parquet", of) for name, of in ALL_TABLES.items()}


@pytest.fixture
def crawl(tmp_path):
    opened = Crawl(tmp_path / "crawl")
    opened.answers = {
        Key("collection", "ann"): Answer(
            200, "", collection(("1", "一", 5, "2020-01-01"), ("2", "二", 3, "2020-01-02"))
        ),
        Key("collection", "bob"): Answer(200, "", collection(("1", "一", 4, "2021-01-01"))),
    }
    return opened


# --- not shown -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (NO_WORDS, "not shown to guests (404)"),
        (replace(NO_WORDS, status=410), "not shown to guests (410)"),
        (replace(NO_WORDS, body=b""), "not shown to guests (404)"),
        (Answer(204, "", b""), "nothing is shown (204)"),
    ],
)
def test_a_film_that_only_members_see_keeps_its_ratings_and_its_place_in_the_core(crawl, answer, cause):
    crawl.answers[Key("movie", "1")] = answer
    crawl.read("ratings", "frames")
    assert crawl.states()[Key("movie", "1")] == "unavailable"
    assert Key("photos", "1", "still") not in crawl.asked
    assert Key("photos", "2", "still") in crawl.asked
    with crawl.ledger() as ledger:
        assert set(surviving(ledger, SCOPE).movie_ids) == {"1", "2"}
        assert f"1 movie pages unavailable: {cause}" in status_lines(ledger, 0.0, is_crawling=False)
    tables = crawl.tables()
    row = tables["movies"].filter(movie_id="1").row(0, named=True)
    assert (row.pop("movie_id"), row.pop("title"), row.pop("genres"), row.pop("directors")) == ("1", "一", [], [])
    assert set(row.values()) == {None}
    assert tables["ratings"].filter(movie_id="1").height == 2
    assert (f"page unavailable: {cause}", "1") in tables["quarantine"].select("reason", "movie_id").rows()
    before = len(crawl.asked)
    crawl.read("ratings", "frames")
    assert len(crawl.asked) == before


@pytest.mark.parametrize("words", ["条目不存在", "你想访问的页面不存在"])
def test_a_film_of_which_the_site_says_so_is_gone(crawl, words):
    crawl.answers[Key("movie", "1")] = replace(NO_WORDS, body=f"<html><body><p>{words}</p></body></html>".encode())
    crawl.read("ratings")
    assert crawl.states()[Key("movie", "1")] == "gone"
    with crawl.ledger() as ledger:
        assert surviving(ledger, SCOPE).movie_ids == ("2",)
    assert crawl.tables()["movies"]["movie_id"].to_list() == ["2"]


def test_a_hidden_film_without_a_title_in_any_list_has_its_id_as_title(crawl):
    crawl.answers[Key("collection", "ann")] = Answer(200, "", collection(("7", "未知电影", 2, "2020-01-01")))
    crawl.answers[Key("movie", "7")] = NO_WORDS
    crawl.read("ratings")
    assert crawl.tables()["movies"].filter(movie_id="7")["title"].to_list() == ["7"]


def test_a_hidden_collection_is_settled_and_the_others_are_read(crawl):
    crawl.answers[Key("collection", "ann")] = NO_WORDS
    crawl.read("ratings")
    assert crawl.states()[Key("collection", "ann")] == "unavailable"
    assert crawl.tables()["ratings"].height == 1


def test_a_404_in_the_middle_of_a_list_is_a_failure_and_not_its_end(crawl):
    with Ledger.open(crawl.folder, SOURCE, PERSONAL_KINDS) as ledger:
        ledger.add_pages([Key("collection", "ann", start=15)])
        page = ledger.page(Key("collection", "ann", start=15))
        url = address(SITE, page.key)
        outcome = process(page, replace(NO_WORDS, url=url), CrawlContext(ledger, SITE, SCOPE))
    assert (outcome.state, outcome.may_recover) == ("failed", True)


def test_a_replay_keeps_what_was_not_shown(crawl):
    crawl.answers[Key("movie", "1")] = NO_WORDS
    crawl.read("ratings")
    before, titles = crawl.states(), crawl.tables()["movies"]["title"].to_list()
    reparse(crawl.folder)
    assert crawl.states() == before
    assert crawl.tables()["movies"]["title"].to_list() == titles


def test_a_refresh_asks_again_for_what_was_not_shown(crawl):
    crawl.answers[Key("movie", "1")] = NO_WORDS
    crawl.read("ratings")
    with Ledger.open(crawl.folder, SOURCE, PERSONAL_KINDS) as ledger:
        assert ledger.reopen("movie", 2e9) == 2
    del crawl.answers[Key("movie", "1")]
    crawl.read("ratings")
    assert set(crawl.tables()["movies"]["title"]) == {"片1", "片2"}


# --- merged --------------------------------------------------------------------------------


def moved(movie_id, path="/subject/{}/"):
    return Answer(301, "", b"", location=path.format(movie_id))


def test_a_merged_film_has_one_id_everywhere_and_nobody_counts_twice(crawl):
    crawl.answers |= {Key("movie", "1"): moved(9), Key("movie", "9"): None}
    crawl.answers[Key("collection", "bob")] = Answer(
        200, "", collection(("1", "一", 4, "2021-01-01"), ("9", "九", 2, "2022-01-01"), ("2", "二", None, "2022-01-01"))
    )
    crawl.read("ratings", "frames")
    assert {key.subject for key in crawl.asked if key.kind == "photos"} == {"2", "9"}
    tables = crawl.tables()
    assert set(tables["movies"]["movie_id"]) == {"2", "9"}
    assert tables["movies"].filter(movie_id="9")["title"].to_list() == ["片9"]
    ratings = tables["ratings"].filter(movie_id="9").sort("rated_on")
    assert ratings.select("stars", "rated_on").rows() == [(5.0, date(2020, 1, 1)), (2.0, date(2022, 1, 1))]
    assert ratings["user_id"].n_unique() == 2
    left_out = tables["quarantine"].filter(table="ratings")
    assert left_out.select("movie_id", pl.col("reason").str.slice(0, 10)).rows() == [("1", "older mark")]
    assert tables["ratings"].height + left_out.height == 5
    with crawl.ledger() as ledger:
        assert ledger.aliases() == {"1": "9"}
        assert any("1 movies were merged" in line for line in status_lines(ledger, 0.0, is_crawling=False))
        assert sorted(ledger.rating_pairs()) == [("ann", "2"), ("ann", "9"), ("bob", "2"), ("bob", "9")]


def test_a_replay_finds_the_same_mergers(crawl):
    crawl.answers[Key("movie", "1")] = moved(9)
    crawl.read("ratings")
    before = {name: table.sort(table.columns[:2]) for name, table in crawl.tables().items() if name != "quarantine"}
    reparse(crawl.folder)
    after = crawl.tables()
    for name, table in before.items():
        assert after[name].sort(table.columns[:2]).equals(table)


def test_a_chain_of_mergers_ends_at_the_film_that_has_a_page(crawl):
    crawl.answers |= {Key("movie", "1"): moved(8), Key("movie", "8"): moved(9), Key("movie", "2"): moved(8)}
    crawl.read("ratings")
    with crawl.ledger() as ledger:
        assert ledger.aliases() == {"1": "9", "8": "9", "2": "9"}
    assert crawl.tables()["movies"]["movie_id"].to_list() == ["9"]
    assert crawl.tables()["ratings"].height == 2


@pytest.mark.parametrize("around", [("1", "2"), ("1", "8", "9")])
def test_redirects_in_a_circle_end_and_no_rating_is_lost(crawl, around):
    crawl.answers |= {
        Key("movie", one): moved(other) for one, other in zip(around, (*around[1:], around[0]), strict=True)
    }
    crawl.read("ratings")
    assert len(crawl.asked) == len(set(crawl.asked))
    tables = crawl.tables()
    n_left_out = tables["quarantine"].filter(table="ratings").height
    assert tables["ratings"].height + n_left_out == 3
    assert set(tables["ratings"]["movie_id"]) <= set(tables["movies"]["movie_id"])


def test_a_film_is_merged_into_one_that_only_members_see(crawl):
    crawl.answers |= {Key("movie", "1"): moved(9), Key("movie", "9"): NO_WORDS}
    crawl.read("ratings")
    tables = crawl.tables()
    assert tables["movies"].filter(movie_id="9")["title"].to_list() in (["9"], ["一"])
    assert tables["ratings"].filter(movie_id="9").height == 2


def test_a_merger_that_changes_the_core_leads_to_the_movies_that_are_new_in_it(tmp_path):
    marks = {"a": "15", "c": "15", "b": "97", "d": "75"}  # without 9 = 1, neither 9 nor 7 has two people
    politeness, scope = politeness_for(Site(*["http://127.0.0.1:9"] * 4), None), Scope(k=2)
    rules = {"movie": host_rules("http://127.0.0.1:9", "", politeness, "tester")}
    with Ledger.open(tmp_path, SOURCE, PERSONAL_KINDS) as ledger:
        pairs = [(user_id, movie_id) for user_id, movies in marks.items() for movie_id in movies]
        ledger.executemany("INSERT INTO ratings (user_id, movie_id, seen_at) VALUES (?, ?, 0)", pairs)
        context = CrawlContext(ledger, SITE, scope)
        pages = StagePages(context, phases_of("ratings", scope), politeness, rules)
        asked = []
        while page := pages.take(1e12):
            asked.append(page.key.subject)
            answer = moved(9) if page.key.subject == "1" else Answer(200, "", FILM.format("x").encode())
            outcome = process(page, replace(answer, url=address(SITE, page.key), at=1e9), context)
            pages.finish(page, outcome.following)
    assert (sorted(asked), pages.is_over) == (["1", "5", "7", "9"], True)


def test_what_was_read_under_the_old_id_moves_to_the_new_one(crawl):
    crawl.read("ratings")
    with Ledger.open(crawl.folder, SOURCE, PERSONAL_KINDS) as ledger:
        ledger.execute("INSERT INTO frames VALUES ('p1', '1', 'still', NULL, NULL, 'https://x/p1.jpg', 0, NULL, NULL)")
        ledger.reopen("movie", 2e9)
    crawl.answers[Key("movie", "1")] = moved(9)
    crawl.read("ratings")
    tables = crawl.tables()
    assert tables["frames"]["movie_id"].to_list() == ["9"]
    assert set(tables["movies"]["movie_id"]) == {"2", "9"}


@pytest.mark.parametrize(
    ("marks", "kept"),
    [
        ([("1", 4, "2021-01-01"), ("9", 2, "2020-01-01")], (4, "2021-01-01")),
        ([("1", 4, "2020-01-01"), ("9", 2, "2021-01-01")], (2, "2021-01-01")),
        ([("1", 4, None), ("9", None, "2020-01-01")], (None, "2020-01-01")),
        ([("1", 4, "2020-01-01"), ("9", None, "2020-01-01")], (4, "2020-01-01")),
        ([("1", 4, "2020-01-01"), ("9", 2, "2020-01-01")], (2, "2020-01-01")),
        ([("1", 4, None), ("9", None, None)], (4, None)),
        ([("1", 1, "2020-01-01"), ("8", 2, "2022-01-01"), ("9", 3, "2021-01-01")], (2, "2022-01-01")),
    ],
)
def test_of_a_person_s_marks_of_one_film_the_latest_stays(tmp_path, marks, kept):
    with Ledger.open(tmp_path, SOURCE, PERSONAL_KINDS) as ledger:
        ledger.add_alias("1", "9")
        ledger.add_alias("8", "9")
        ledger.executemany("INSERT INTO ratings VALUES ('ann', ?, ?, ?, 0, NULL)", [*marks, ("5", 5, None)])
        rows, replaced = raw_rows.ratings(ledger)
    assert sorted(rows) == [("ann", "5", 5, None), ("ann", "9", *kept)]
    assert len(replaced) == len(marks) - 1


def test_a_crawl_of_a_site_that_hides_merges_and_censors_films_reads_the_rest(sandbox):
    moved_to = {}

    def faults(request, answer):
        parts = request.path.split("/")
        if request.role == "movie" and parts[1] == "subject":
            if parts[2] in moved_to and parts[3:4] != ["comments"]:
                path = "/".join(["", "subject", moved_to[parts[2]], *parts[3:]])
                return SandboxAnswer(301, b"", headers=(("Location", path),))
            if parts[2] == hidden and request.path == f"/subject/{hidden}/":
                return SandboxAnswer(404, b"<html></html>")
            if parts[2] == censored and request.path == f"/subject/{censored}/":
                return SandboxAnswer(204, b"")
        return answer(request)

    crawl = sandbox(1, faults=faults)
    (crawl.folder / "crawl").mkdir(mode=0o700)
    true = crawl.true_tables()
    popular = true["ratings"].group_by("movie_id").len().sort("len", "movie_id", descending=True)["movie_id"].to_list()
    shown = [movie for movie in popular if movie in set(true["movies"]["movie_id"])]
    old, new, hidden, censored = shown[:4]
    moved_to[old] = new
    crawl.run("ratings")
    crawl.run("frames")
    tables = crawl.tables()
    assert set(tables["movies"]["movie_id"]) == set(true["movies"]["movie_id"]) - {old}
    for movie in (hidden, censored):
        assert tables["movies"].filter(movie_id=movie)["title"][0] != movie
        assert tables["ratings"].filter(movie_id=movie).height == true["ratings"].filter(movie_id=movie).height
        assert not tables["frames"].filter(movie_id=movie).height
    n_people = true["ratings"].filter(pl.col("movie_id").is_in([old, new]))["user_id"].n_unique()
    assert tables["ratings"].filter(movie_id=new).height == n_people
    assert not tables["ratings"].filter(movie_id=old).height
    left_out = read_table(crawl.folder / "raw" / "quarantine.parquet", Quarantine)
    n_left_out = left_out.filter(pl.col("reason").str.starts_with("older mark")).height
    assert tables["ratings"].height + n_left_out == true["ratings"].height
    assert sum(path == f"/subject/{old}/" for _, path in crawl.requests()) == 1
