"""After `forget`, nothing in the crawl holds a person's uid, number, name or texts, and everybody else stays."""

import gzip
import html
import json
import random
import shutil
import signal
import subprocess
import sys
import time
import zlib
from contextlib import suppress
from urllib.parse import quote

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from crawler.archive.records import Origin
from crawler.archive.warc import Archive, read_archive, rewrite_archive, with_body
from crawler.export import export
from crawler.forget import forget
from crawler.kinds import KINDS, PERSONAL_KINDS
from crawler.kinds.kind import CrawlContext
from crawler.ledger.ledger import Ledger
from crawler.page import Answer, Key
from crawler.process import process
from crawler.pseudonyms import Pseudonyms
from crawler.scope import Scope, Source
from crawler.sites import Site
from dataset.errors import MissingInputError, PipelineError, UsageError
from dataset.schema import RAW_TABLES, Quarantine
from dataset.tables import read_table

UID, NUMBER, NAME = "albatross-77", "987654321", "绝无仅有的'信天翁' <&7>"
TEXT = "这部电影的结尾让我想起了\n外婆家的蓝色屋顶 & 海。第二句话也只有我会这样写！"
OTHER_UID, OTHER_NUMBER, OTHER_NAME = "teapot", "123454321", "茶壶"
SOURCE, SCOPE = Source("sandbox", {"seed": 1}), Scope(k=0)
SCHEMAS = {**RAW_TABLES, "quarantine": Quarantine}
ENTITIES = "".join(f"&#{ord(sign)};" for sign in NAME)


def _profile(uid):
    return f"https://www.douban.com/people/{uid}/"


def _comment(uid, number, name, text):
    name, text = html.escape(name), html.escape(text)
    return (
        f'<div class="comment-item" data-cid="1"><div class="avatar"><a title="{name}" href="{_profile(uid)}">'
        f'<img src="https://img1.doubanio.com/icon/u{number}-2.jpg"></a></div><div class="comment"><h3>'
        f'<span class="comment-info"><a href="{_profile(uid)}">{name}</a><span>看过</span></span></h3>'
        f'<p class="comment-content"><span class="short">{text}</span></p></div></div>'
    )


def _collection(uid, number, name, movies, extra=""):
    items = "".join(
        f'<div class="item comment-item"><ul><li class="title"><a href="https://movie.douban.com/subject/{movie}/">x</a>'
        f'</li><li><span class="rating5-t"></span> <span class="date">2026-01-0{n}</span></li></ul>{extra}</div>'
        for n, movie in enumerate(movies, 1)
    )
    name = html.escape(name)
    return (
        f'<html><head><title>{name}看过的影视</title></head><div id="db-usr-profile"><div class="pic"><a href='
        f'"{_profile(uid)}"><img src="https://img1.doubanio.com/icon/u{number}-2.jpg" alt="{name}"></a></div>'
        f'<div class="info"><h1>{name}看过的影视({len(movies)})</h1></div></div>{items}</html>'
    )


SCRIPTS = (
    '<script type="application/ld+json">'
    + json.dumps({"@type": "Movie", "review": {"author": {"name": NAME, "url": _profile(UID)}, "reviewBody": TEXT}})
    + "</script><script>var data = "
    + json.dumps({"user": {"uid": UID, "id": NUMBER, "name": NAME}, "text": TEXT}, ensure_ascii=False).replace(
        "/", "\\/"
    )
    + f';var seen = {{uid: "{UID}", number: {NUMBER}}}</script>'
)
ELSEWHERE = (
    f'<a href="https://www.douban.com/link?url={quote(_profile(UID), safe="")}">x</a>'
    f'<a href="https://www.douban.com/people/%61lbatross%2D77/">{ENTITIES}</a>'
    f'<a href="https://www.douban.com/people/{NUMBER}">@{html.escape(NAME)}</a>'
    f'<img alt="{html.escape(NAME)}" title="{ENTITIES}" src="https://img9.doubanio.com/icon/ul{NUMBER}-31.jpg">'
    f'<p data-name="{quote(NAME)}" data-user="{html.escape(json.dumps(NAME))}">{html.escape(NAME + TEXT)}</p>'
    f"<!-- {UID} {NUMBER} -->"
)


def _movie(movie_id, title="远方的灯塔"):
    return (
        f'<html><head><title>{title} (豆瓣)</title>{SCRIPTS}</head><h1><span property="v:itemreviewed">{title}</span>'
        f'<span class="year">(2020)</span></h1><div id="info"></div><ul><li><a href="{_profile(UID)}"><img alt="'
        f'{html.escape(NAME)}" src="https://img1.doubanio.com/icon/u{NUMBER}-1.jpg"></a>看过</li></ul>{ELSEWHERE}</html>'
    )


LIKERS = "".join(f'<li><div class="content"><a href="{_profile(uid)}">x</a></div></li>' for uid in (UID, OTHER_UID))
MENTION = f'<p class="comment">和<a href="{_profile(UID)}">{html.escape(NAME)}</a>一起看的</p>'
COMMENTS = _comment(UID, NUMBER, NAME, TEXT) + _comment(OTHER_UID, OTHER_NUMBER, OTHER_NAME, "很好看的一部电影，值得")
PHOTO = (
    '<li data-id="7"><a href="/photos/photo/7/"><img alt="{name}" src="https://img1.doubanio.com/x/p7.webp"></a></li>'
)
ANSWERS = {
    Key("photos", "1", "still"): f'<html><ul class="poster-col3">{PHOTO.format(name=html.escape(NAME))}</ul></html>',
    Key("comments", "1"): f'<html><div id="comments">{COMMENTS}</div>{SCRIPTS}</html>',
    Key("collection", UID): _collection(UID, NUMBER, NAME, ["1", "2"]),
    Key("collection", OTHER_UID): _collection(OTHER_UID, OTHER_NUMBER, OTHER_NAME, ["1", "2", "3"], MENTION),
    Key("movie", "1"): _movie(1),
    Key("movie", "2"): f"<html><body>a layout of tomorrow {ELSEWHERE}{SCRIPTS}</body></html>",
    Key("movie", "3"): f"<html><title>x</title>{html.escape(NAME)} {TEXT}</html>".encode("utf-16"),
    Key("movie", "4"): gzip.compress(f"<html>{NAME} {UID}</html>".encode()),
    Key("movie", "5"): f"<html>{NAME} {UID} {NUMBER}</html>".encode("gb18030"),
    Key("movie", "6"): f"<html>{'<p>x' * 30_000}{NAME} {UID}</html>",
    Key("photo", "7"): f'<html><a class="mainphoto"></a><ul class="topic-fav-list">{LIKERS}</ul>{ELSEWHERE}</html>',
    Key("user_likes", OTHER_UID): f'<html><ul class="fav-list"></ul>{ELSEWHERE}{SCRIPTS}</html>',
    Key("picture", "7", "m"): f"<html>{NAME} {UID}</html>",
}


def _read(crawl_dir, answers=ANSWERS):
    site = Site()
    with (
        Ledger.open(crawl_dir, SOURCE, PERSONAL_KINDS) as ledger,
        Archive(crawl_dir, Origin(SOURCE, site, SCOPE)) as archive,
    ):
        context = CrawlContext(ledger, site, SCOPE)
        for at, (key, body) in enumerate(answers.items(), 1):
            ledger.add_pages([key])
            body = body.encode() if isinstance(body, str) else body
            url = KINDS[key.kind].address(site, key)
            answer = Answer(
                200, url, body, f"/misc/sorry?x={_profile(UID)}" if key.subject == "2" else None, None, 1e9 + at
            )
            if page := ledger.page(key, of_any_state=True):  # otherwise a forgotten person's
                process(page, answer, context, archive)


@pytest.fixture
def crawl_dir(tmp_path):
    folder = tmp_path / "data" / "crawl"
    _read(folder)
    Pseudonyms.open(folder / "pseudonym.key")
    (folder / "crawl.log").write_text(f"ignored {_profile(UID)}")
    (folder / "archive" / ".000001.warc.gz.99.part").write_text(f"a killed rewrite {UID}")
    return folder


def _writings(text):
    coded = quote(text, safe="")
    yield from (text, coded, coded.lower(), html.escape(text), html.escape(text, quote=False), json.dumps(text)[1:-1])
    yield "".join(f"&#{ord(sign)};" for sign in text)
    yield "".join(f"\\u{ord(sign):04x}" for sign in text)


def _contents(folder):
    """Yield every file, as it is and with everything in it decompressed."""
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            yield path, content
            while content[:2] == b"\x1f\x8b":
                member = zlib.decompressobj(31)
                unpacked = member.decompress(content)
                yield path, unpacked
                at = unpacked.find(b"\x1f\x8b\x08")
                if at >= 0:
                    yield path, zlib.decompressobj(31).decompress(unpacked[at:])
                content = member.unused_data


def _traces(folder):
    texts = [UID, NUMBER, NAME, *(line for line in TEXT.replace("。", "\n").splitlines())]
    codings = ("utf-8", "utf-16-le", "utf-16-be", "gb18030")
    wanted = [(text, one.encode(coding)) for text in texts for one in _writings(text) for coding in codings]
    return [(path.name, text) for path, content in _contents(folder) for text, one in wanted if one in content]


def _exported(crawl_dir, raw):
    export(crawl_dir, raw)
    return {name: read_table(raw / f"{name}.parquet", of) for name, of in SCHEMAS.items()}


def test_the_search_of_these_tests_finds_the_person_before(crawl_dir):
    found = {text for _, text in _traces(crawl_dir)}
    assert {UID, NUMBER, NAME} < found


@pytest.mark.parametrize("known_as", [UID, NUMBER])
def test_no_trace_of_a_forgotten_person_is_left_in_any_writing(crawl_dir, tmp_path, known_as):
    before = _exported(crawl_dir, tmp_path / "before")
    told = forget(crawl_dir, known_as)
    assert _traces(crawl_dir) == []
    assert told.same_words == 0
    assert not (crawl_dir / "crawl.log").exists()
    after = _exported(crawl_dir, tmp_path / "after")
    assert _traces(tmp_path / "after") == []
    pseudonym = Pseudonyms.open(crawl_dir / "pseudonym.key").of(NUMBER)
    assert told.pseudonym == pseudonym
    for name in RAW_TABLES:
        table = before[name]
        if "user_id" in table.columns:
            assert pseudonym in table["user_id"]
            table = table.filter(pl.col("user_id") != pseudonym)
        assert_frame_equal(after[name], table)


def test_what_was_forgotten_stays_forgotten_when_the_pages_are_read_again(crawl_dir, tmp_path):
    forget(crawl_dir, UID)
    bare = ("picture", "movie")  # the uid alone, not as the address of a person, is not known any more
    again = {key: body for key, body in ANSWERS.items() if key.kind not in bare or key == Key("movie", "1")}
    _read(crawl_dir, again)
    assert not {text for _, text in _traces(crawl_dir)} & {UID, NUMBER}
    assert Pseudonyms.open(crawl_dir / "pseudonym.key").of(NUMBER) not in str(_exported(crawl_dir, tmp_path / "raw"))


def test_words_that_are_a_film_s_title_too_stay_there_and_are_counted(tmp_path):
    title = "信天翁的最后一次飞行"
    answers = {
        Key("comments", "1"): f'<html><div id="comments">{_comment(UID, NUMBER, title, TEXT)}</div></html>',
        Key("movie", "1"): _movie(1, title=title).replace(html.escape(NAME), title),
    }
    _read(tmp_path / "crawl", answers)
    before = _exported(tmp_path / "crawl", tmp_path / "before")["movies"]
    told = forget(tmp_path / "crawl", UID)
    assert told.same_words == 1
    assert_frame_equal(_exported(tmp_path / "crawl", tmp_path / "after")["movies"], before)
    (movie,) = [entry for entry in read_archive(tmp_path / "crawl") if entry.key.kind == "movie"]
    assert UID.encode() not in movie.answer.body
    assert movie.answer.body.count(title.encode()) == 2  # in <title> and as v:itemreviewed


def test_a_short_number_is_removed_where_it_is_a_person_s_and_only_there(tmp_path):
    short = {Key("comments", "1"): f'<html><div id="comments">{_comment("71", "71", "短", "x")}</div></html>'}
    short[Key("movie", "71")] = _movie(71).replace(UID, "71").replace(NUMBER, "71")
    _read(tmp_path / "crawl", short)
    forget(tmp_path / "crawl", "71")
    bodies = {entry.key: entry.answer.body for entry in read_archive(tmp_path / "crawl")}
    assert not [body for body in bodies.values() if b"/people/71" in body or b"/icon/u71-" in body]
    with Ledger.read(tmp_path / "crawl") as ledger:
        assert ledger.value("SELECT count(*) FROM movies WHERE movie_id = '71'") == 1


@pytest.mark.parametrize("uid", ["albatros-77", "987654320", "nobody", "albatross", "batross-77", "98765432", "movie"])
def test_a_mistyped_uid_is_not_told_to_be_forgotten(crawl_dir, start, uid):
    for _ in range(2):
        command = start("forget", uid, "--crawl", crawl_dir)
        output, errors = command.communicate()
        assert command.returncode == 1
        assert "Forgotten" not in output
        assert "nobody is known here" in errors
    assert _traces(crawl_dir)


@pytest.mark.parametrize("uid", ["albatross", "77-albatross-77", "albatross-777", "albatross-77.b", "1987654321"])
def test_somebody_whose_id_contains_the_persons_stays(tmp_path, uid):
    answers = {
        Key(
            "comments", "1"
        ): f'<html><div id="comments">{COMMENTS}{_comment(uid, "55", "另外一位", "同样好看的电影")}</div></html>',
        Key("movie", "2"): f'<html>a layout of tomorrow <a href="{_profile(uid)}">x</a> {uid} {UID}</html>',
    }
    _read(tmp_path / "crawl", answers)
    Pseudonyms.open(tmp_path / "crawl" / "pseudonym.key")
    forget(tmp_path / "crawl", UID)
    bodies = [entry.answer.body.decode() for entry in read_archive(tmp_path / "crawl")]
    assert [body.count(uid) for body in bodies] == [2, 2]
    assert not [body for body in bodies if UID in body.replace(uid, "")]
    with Ledger.read(tmp_path / "crawl") as ledger:
        assert ledger.user_id_of(uid) == "55"


@pytest.mark.parametrize("uid", ["", "a b", "../x", "用户", "a/b"])
def test_what_is_no_uid_is_refused(crawl_dir, uid):
    with pytest.raises(UsageError, match="is not a uid"):
        forget(crawl_dir, uid)


def test_forgetting_twice_ends_well(crawl_dir):
    forget(crawl_dir, UID)
    assert forget(crawl_dir, UID).answers == 0
    with pytest.raises(MissingInputError):
        forget(crawl_dir, "somebody-else")


def test_a_file_that_still_mentions_the_person_is_an_error_that_names_it(crawl_dir):
    (crawl_dir / "ledger.sqlite.bak").write_bytes(b"x" + NAME.encode() + b"x")
    (crawl_dir / "notes").mkdir()
    (crawl_dir / "notes" / "old.warc.gz").write_bytes(gzip.compress(f"see {_profile(UID)}".encode()))
    with pytest.raises(PipelineError) as told:
        forget(crawl_dir, UID)
    assert "ledger.sqlite.bak" in str(told.value)
    assert "old.warc.gz" in str(told.value)
    assert {path for path, _ in _traces(crawl_dir)} == {"ledger.sqlite.bak", "old.warc.gz"}


def test_published_tables_that_hold_the_person_are_listed_with_what_to_do(crawl_dir, start, tmp_path):
    pseudonym = Pseudonyms.open(crawl_dir / "pseudonym.key").of(NUMBER)
    export(crawl_dir, crawl_dir.parent / "raw")
    for name, user in (("v0001", pseudonym), ("v0002", "f" * 32)):
        (tmp_path / "snapshots" / "films" / name).mkdir(parents=True)
        pl.DataFrame({"user_id": [user]}).write_parquet(
            tmp_path / "snapshots" / "films" / name / "interactions.parquet"
        )
    command = start("forget", UID, "--crawl", crawl_dir, "--snapshots", tmp_path / "snapshots")
    output, errors = command.communicate()
    assert command.returncode == 0, errors
    told = [line for line in output.splitlines() if "its tables hold this person" in line]
    assert len(told) == 2
    assert "raw" in told[0] + told[1]
    assert "v0001" in told[0] + told[1]
    assert "v0002" not in output
    assert "copies that others have downloaded" in output
    assert "python -m flows forget" in output
    assert UID not in errors


FORGET = """
import sys
from pathlib import Path
from crawler.forget import forget
print("begins", flush=True)
forget(Path(sys.argv[1]), sys.argv[2])
"""


def _is_old(crawl_dir, raw):
    """Return whether a crawl is in the state before; check that it is not between the states."""
    pseudonym = Pseudonyms.open(crawl_dir / "pseudonym.key").of(NUMBER)
    is_in_tables = any(
        pseudonym in table["user_id"] for table in _exported(crawl_dir, raw).values() if "user_id" in table.columns
    )
    bodies = b"".join(entry.answer.body for entry in read_archive(crawl_dir))
    with Ledger.read(crawl_dir) as ledger:
        is_forgotten = ledger.forgotten.has(UID)
    assert is_in_tables == (UID.encode() in bodies) == (not is_forgotten)
    return is_in_tables


def test_a_forget_that_is_killed_at_any_moment_leaves_the_old_state_or_the_new_one(crawl_dir, tmp_path, is_long):
    generator, n_old = random.Random(1), 0
    n_kills = 30 if is_long else 3
    for number in range(n_kills):
        folder = shutil.copytree(crawl_dir, tmp_path / f"killed-{number}")
        with subprocess.Popen([sys.executable, "-c", FORGET, folder, UID], stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            time.sleep(generator.random() * 0.6)
            process.send_signal(signal.SIGKILL)
        n_old += _is_old(folder, tmp_path / f"raw-{number}")
        forget(folder, UID)
        assert _traces(folder) == []
        shutil.rmtree(folder)
    assert n_old or not is_long


@pytest.mark.parametrize("n_steps", range(9))
def test_between_any_two_steps_of_the_replacement_a_kill_does_no_harm(crawl_dir, tmp_path, monkeypatch, n_steps):
    class Killed(BaseException):
        pass

    left = n_steps

    def count(step):
        def counted(*args, **kwargs):
            nonlocal left
            if left == 0:
                raise Killed
            left -= 1
            return step(*args, **kwargs)

        return counted

    with monkeypatch.context() as patch:
        for name in ("rename", "replace", "unlink"):
            patch.setattr(f"pathlib.Path.{name}", count(getattr(type(tmp_path), name)))
        with suppress(Killed):
            forget(crawl_dir, UID)
    _is_old(crawl_dir, tmp_path / "raw")
    forget(crawl_dir, UID)
    assert _traces(crawl_dir) == []


def test_a_page_that_cannot_be_redacted_keeps_nothing(crawl_dir):
    forget(crawl_dir, UID)
    (blanked,) = [entry for entry in read_archive(crawl_dir) if entry.key == Key("movie", "6")]
    assert blanked.answer.body == b""
    assert rewrite_archive(crawl_dir, lambda entry: with_body(entry, entry.answer.body)) == 0
