import json
import subprocess
import sys

import pytest

from crawler.__main__ import main
from crawler.commands.options import ScopeOptions
from crawler.kinds import PERSONAL_KINDS
from crawler.ledger.ledger import Ledger
from crawler.page import Key
from crawler.scope import Source
from dataset.errors import MissingInputError, PipelineError, UnfinishedError, UsageError

SANDBOX = Source("sandbox", {"seed": 1})

NOBODY = ",".join(["http://127.0.0.1:9"] * 3)


@pytest.fixture
def site_file(tmp_path):
    """The site file of a sandbox that has died: nobody listens at its addresses."""
    path = tmp_path / "site.json"
    bases = dict.fromkeys(("movie", "www", "images"), "http://127.0.0.1:9")
    path.write_text(json.dumps({**bases, "seed_movie_ids": ["1", "2"], "config": {"seed": 0}}))
    return path


def _options(tmp_path, *more):
    return ["--crawl", str(tmp_path / "crawl"), *map(str, more)]


def test_without_a_sandbox_the_remedy_is_named(tmp_path, site_file):
    with pytest.raises(MissingInputError, match="python -m crawler sandbox"):
        main(["ratings", *_options(tmp_path, "--site-file", tmp_path / "nowhere.json")])
    with pytest.raises(UnfinishedError, match="python -m crawler sandbox"):
        main(["ratings", *_options(tmp_path, "--site-file", site_file, "--patience-h", 0)])


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"movie": 1}'])
def test_a_file_that_is_not_a_site_file_is_named(tmp_path, content):
    path = tmp_path / "site.json"
    path.write_text(content)
    with pytest.raises(MissingInputError, match="not the site file of a sandbox"):
        main(["plan", *_options(tmp_path, "--site-file", path)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--site", "douban"], "--contact"),
        (["--site-urls", "http://10.0.0.1,http://10.0.0.1,http://10.0.0.1"], "--contact"),
        (["--site-urls", "http://127.0.0.1"], "give three addresses"),
        (["--site-urls", "a,b,c"], "give three addresses"),
        (["--site", "douban", "--contact", "me"], "neither an e-mail"),
        (["--site-urls", NOBODY, "--users", "../../j/like"], "is not an id"),
        (["--site-urls", NOBODY, "--movies", "1?a=b"], "is not an id"),
        (["--site-urls", NOBODY], "nothing to start from"),
    ],
)
def test_invalid_options_are_usage_errors(tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        main(["ratings", *_options(tmp_path, *options)])


def test_user_ids_come_from_a_file_too(tmp_path):
    file = tmp_path / "users.txt"
    file.write_text("ada\n1234567\nada\n")
    assert ScopeOptions(users=("bob", "ada"), users_file=file).resolve(["1"]).uids == ("bob", "ada", "1234567")
    assert ScopeOptions(users_file=file).resolve(["1"]).movie_ids == ()
    with pytest.raises(MissingInputError, match=r"nowhere: cannot be read .*one user id per line"):
        ScopeOptions(users_file=tmp_path / "nowhere").resolve([])


@pytest.mark.parametrize(
    "options",
    [
        ["--photo-kinds", "still,portrait"],
        ["--max-users", "0"],
        ["--delay-s", "-1"],
        ["--delay-s", "nan"],
        ["--site", "imdb"],
        ["--k", "five"],
        ["--surprise"],
    ],
)
def test_a_bad_option_is_named_in_one_line(tmp_path, options):
    with pytest.raises(UsageError, match=f"{options[0]}.*; see python -m crawler ratings --help") as raised:
        main(["ratings", *_options(tmp_path, *options)])
    assert "\n" not in str(raised.value)


def test_a_bad_option_ends_the_command_with_status_2(tmp_path):
    command = [sys.executable, "-m", "crawler", "plan", "--k", "five"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_an_error_ends_the_command_in_one_line_and_its_own_status(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "crawler", "status", "--crawl", tmp_path], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"python -m crawler: {tmp_path}/ledger.sqlite: no such ledger; start a crawl with: python -m crawler ratings\n"
    )


def test_exporting_without_a_crawl_is_an_error(tmp_path):
    with pytest.raises(MissingInputError, match="no such ledger"):
        main(["export", *_options(tmp_path, "--to", tmp_path / "raw")])
    assert not (tmp_path / "raw").exists()


def test_a_crawl_folder_that_cannot_be_made_is_an_error(tmp_path, site_file):
    (tmp_path / "crawl").write_text("a file")
    with pytest.raises(PipelineError, match="choose another folder"):
        main(["ratings", *_options(tmp_path, "--site-file", site_file)])


def test_the_plan_counts_what_is_known_and_estimates_the_rest_without_a_request(tmp_path, site_file, capsys):
    options = _options(tmp_path, "--site-file", site_file, "--delay-s", "2")
    with Ledger.open(tmp_path / "crawl", Source("sandbox", {"seed": 0}), PERSONAL_KINDS) as ledger:
        ledger.add_pages([Key("comments", "1"), Key("collection", "ann"), Key("collection", "ann", start=15)])
        for page in ledger.pending(["comments", "collection"], 0, 9):
            ledger.mark_done(page, 1.0)
        ledger.add_pages([Key("collection", "bob"), Key("collection", "cat")])
    main(["plan", *options])
    lines = capsys.readouterr().out.splitlines()
    # One more list of comments, of one page like the first; it leads to one more user per page (3 users, 1 page read).
    assert lines[1].split() == ["ratings", "comments", "0", "1", "2", "s"]
    # Two users are begun and three more are expected, with two pages each like ann: 2 + 2 · 1 + 3 · 2.
    assert lines[2].split() == ["ratings", "collection", "2", "8", "24", "s"]  # 2.4 s each: ten in a minute of 24 s
    assert lines[-3].startswith("Known so far: 11 requests; 26 s. The rest, usually most of a crawl, is not known yet")
    assert lines[3].split() == ["ratings", "movie", "0", "not", "yet", "known"]
    assert lines[-2].startswith(
        "how many movie, photos, picture, photo pages follow; each 1,000 of a kind take 40 min."
    )
    assert lines[-2].endswith("Run plan again when these stages have read pages: ratings, frames, likes.")
    assert lines[-1].startswith("collection: html (15 per page, 10 requests, 24 s); list instead (30 per page, ")


def test_a_plan_of_an_empty_crawl_leaves_unknown_counts_open(tmp_path, site_file, capsys):
    main(["plan", *_options(tmp_path, "--site-file", site_file, "--liker-source", "both")])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:-3]]
    assert rows[0] == ["ratings", "comments", "0", "20", "0", "s"]  # ten pages of comments per movie are shown at most
    assert [row[3:] for row in rows[1:]] == [["not", "yet", "known"]] * 6


def test_the_plan_estimates_photos_from_the_totals_of_movie_pages_and_corrects_itself(tmp_path, site_file, capsys):
    options = _options(tmp_path, "--site-file", site_file, "--everything", "--photo-kinds", "still")

    def expected():
        main(["plan", *options])
        rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:-2]]
        return [row[3] for row in rows if row[1] in ("photos", "picture")]

    with Ledger.open(tmp_path / "crawl", Source("sandbox", {"seed": 0}), PERSONAL_KINDS) as ledger:
        ledger.execute("INSERT INTO ratings VALUES ('u', 'm1', 5, NULL, 0, NULL), ('u', 'm2', 5, NULL, 0, NULL)")
        ledger.execute(
            "INSERT INTO movies (movie_id, title, genres, directors, photo_total, crawled_at) "
            "VALUES ('m1', 't', '[]', '[]', 90, 0), ('m2', 't', '[]', '[]', NULL, 0)"
        )
    assert expected() == ["5", "90"]
    with Ledger.open(tmp_path / "crawl", Source("sandbox", {"seed": 0}), PERSONAL_KINDS) as ledger:
        ledger.execute("UPDATE movies SET photo_total = iif(movie_id = 'm1', 40, 200)")
        key = Key("photos", "m1", "still")
        ledger.add_pages([key])
        ledger.mark_done(ledger.page(key), 1.0, seen=10, claimed=10)
        ledger.executemany(
            "INSERT INTO frames VALUES (?, 'm1', 'still', NULL, NULL, '', 0, NULL, NULL)",
            [(f"p{n}",) for n in range(10)],
        )
    assert expected() == ["1", "60"]  # a quarter of a movie's photos are stills


@pytest.mark.parametrize(
    ("statements", "remedy"),
    [
        (["PRAGMA max_page_count = 1", "CREATE TABLE more (x)"], "free some disk space"),
        (["PRAGMA query_only = 1", "DELETE FROM pages"], "the folder can be written"),
    ],
)
def test_a_ledger_that_cannot_be_written_is_an_error_of_one_line(tmp_path, monkeypatch, statements, remedy):
    Ledger.open(tmp_path, SANDBOX, PERSONAL_KINDS).close()

    def break_it(ledger, now, is_crawling):
        for statement in statements:
            ledger.execute(statement)

    monkeypatch.setattr("crawler.commands.status.status_lines", break_it)
    with pytest.raises(PipelineError, match=rf"ledger\.sqlite: cannot be used .*{remedy}"):
        main(["status", "--crawl", str(tmp_path)])


def test_the_error_for_a_damaged_ledger_names_reparse(tmp_path):
    with Ledger.open(tmp_path, SANDBOX, PERSONAL_KINDS) as ledger:
        ledger.add_pages(Key("movie", str(n)) for n in range(5000))
    path = tmp_path / "ledger.sqlite"
    content = path.read_bytes()
    path.write_bytes(content[:8192] + b"\xaa" * (len(content) - 8192))
    with pytest.raises(PipelineError, match="python -m crawler reparse"):
        main(["status", "--crawl", str(tmp_path)])


def test_the_error_for_a_ledger_of_another_version_names_reparse(tmp_path):
    with Ledger.open(tmp_path, SANDBOX, PERSONAL_KINDS) as ledger:
        ledger.set_meta("version", "1")
    for command in ("status", "reparse", "export"):
        with pytest.raises(PipelineError, match=r"not a ledger of version .* python -m crawler reparse"):
            main([command, "--crawl", str(tmp_path)])


def test_watching_a_crawl_ends_quietly_at_ctrl_c(tmp_path, capsys, monkeypatch):
    def ctrl_c(seconds):
        raise KeyboardInterrupt

    Ledger.open(tmp_path, Source("sandbox", {}), PERSONAL_KINDS).close()
    monkeypatch.setattr("crawler.commands.status.time.sleep", ctrl_c)
    main(["status", "--watch", "--crawl", str(tmp_path)])
    assert "0 known pages are left" in capsys.readouterr().out


def test_status_shows_pages_by_state_and_the_causes_of_failures(tmp_path, capsys):
    with Ledger.open(tmp_path / "crawl", SANDBOX, PERSONAL_KINDS) as ledger:
        ledger.add_pages(Key("movie", str(n)) for n in range(3))
        one, two, _ = ledger.pending(["movie"], 0, 9)
        ledger.mark(one, "failed", "ResponseTimeout")
        ledger.mark(two, "gone", "no such page (404)")
    main(["status", *_options(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["kind", "of", "page", "done", "pending", "gone", "unavailable", "refused", "failed"]
    assert lines[1].split() == ["movie", "0", "1", "1", "0", "0", "1"]
    assert "1 movie pages failed: ResponseTimeout" in lines
    assert "1 movie pages gone: no such page (404)" in lines


def test_status_says_whether_a_command_is_crawling_right_now(tmp_path, capsys):
    with Ledger.open(tmp_path / "crawl", SANDBOX, PERSONAL_KINDS):
        main(["status", *_options(tmp_path)])
        assert capsys.readouterr().out.endswith("A command is crawling right now.\n")
    main(["status", *_options(tmp_path)])
    assert capsys.readouterr().out.endswith("No command is crawling right now.\n")
    Ledger.open(tmp_path / "crawl", SANDBOX, PERSONAL_KINDS).close()  # looking left no lock behind
