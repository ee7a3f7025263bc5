import io
import json
import stat
from datetime import UTC, date, datetime

import polars as pl
import pytest
from PIL import Image as PillowImage

from crawler.commands.exporting import export_tables
from crawler.export import export
from crawler.kinds import KINDS, PERSONAL_KINDS
from crawler.kinds.collection import CollectionPage, RatingRow
from crawler.kinds.kind import CrawlContext
from crawler.kinds.movie import MoviePage
from crawler.kinds.movie_row import MovieRow
from crawler.kinds.photo import LikerRow, PhotoLikersPage
from crawler.kinds.photos import FrameRow, PhotoListPage
from crawler.kinds.user_likes import UserLikeRow, UserLikesPage
from crawler.ledger.ledger import Ledger
from crawler.page import Answer, Key, Person
from crawler.process import ParsedAnswer, process, settle
from crawler.pseudonyms import Pseudonyms
from crawler.scope import Scope, Source
from crawler.sites import Site
from dataset.errors import MissingInputError
from dataset.files import sha256_of_file
from dataset.placeholders.fingerprints import read_fingerprints
from dataset.schema import RAW_TABLES, Quarantine, RawUser
from dataset.tables import read_table

SANDBOX = Source("sandbox", {"seed": 1})

ANN, BOB = Person("71", "quillwort"), Person("72", "72")


def _picture():
    buffer = io.BytesIO()
    PillowImage.new("RGB", (8, 4), "teal").save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def crawl(tmp_path):
    """A small crawl: two users, two movies of which one is gone, two frames, one picture, three likes."""
    folder = tmp_path / "crawl"
    with Ledger.open(folder, SANDBOX, PERSONAL_KINDS) as ledger:

        def put(key, parsed):
            ledger.add_pages([key])
            answer = Answer(200, KINDS[key.kind].address(Site(), key), b"", at=1_700_000_000.0)
            outcome = settle(ledger.page(key), ParsedAnswer(answer, parsed), CrawlContext(ledger, Site(), Scope()))
            assert outcome.state == "done"

        seen = (RatingRow("m1", 5, date(2024, 1, 2)), RatingRow("m2", None, date(2024, 1, 1)))
        put(Key("collection", "quillwort"), CollectionPage(ANN, seen, 3, None))
        put(Key("collection", "72"), CollectionPage(BOB, (RatingRow("m1", 2, None),), 1, None))
        row = MovieRow("m1", "盗梦空间", "Inception", 2010, "movie", ("剧情", "科幻"), ("诺兰",), 9.4, 2_000_000)
        put(Key("movie", "m1"), MoviePage(row, 2, 9))
        ledger.add_pages([Key("movie", "m2")])
        ledger.mark(ledger.page(Key("movie", "m2")), "gone", "no such page (404)")
        frames = (
            FrameRow("p1", 1920, 1080, "https://img1/p1.webp"),
            FrameRow("p2", None, None, "https://img1/p2.webp"),
        )
        put(Key("photos", "m1", "still"), PhotoListPage("m1", frames, 2, None))
        picture = Key("picture", "p1", "m")
        answer = Answer(200, KINDS["picture"].address(Site(), picture), _picture(), at=1_700_000_000.0)
        assert process(ledger.page(picture), answer, CrawlContext(ledger, Site(), Scope())).state == "done"
        ledger.mark(ledger.page(Key("picture", "p2", "m")), "gone", "bad picture: cannot be decoded")
        put(
            Key("photo", "p1"),
            PhotoLikersPage("p1", 4, (LikerRow(ANN, None), LikerRow(BOB, date(2024, 3, 1))), 2, None),
        )
        likes = tuple(UserLikeRow(frame_id, date(2024, 2, 1 + n)) for n, frame_id in enumerate(("p1", "p2", "p9")))
        put(Key("user_likes", "quillwort"), UserLikesPage("quillwort", likes, None))
    return folder


def _tables(raw):
    return {name: read_table(raw / f"{name}.parquet", schema) for name, schema in RAW_TABLES.items()}


def test_every_table_is_written_with_pseudonyms_for_people(crawl, tmp_path):
    raw = tmp_path / "raw"
    counts = export(crawl, raw)
    of = Pseudonyms.open(crawl / "pseudonym.key").of
    tables = _tables(raw)
    others = {"users": 2, "contradictions": 0, "quarantine": 4}
    assert counts == {"movies": 1, "ratings": 3, "frames": 2, "images": 1, "frame_likes": 3, **others}
    assert sorted(tables["ratings"].drop("given_split").rows()) == sorted(
        [
            (of("71"), "m1", 5.0, date(2024, 1, 2), None),
            (of("71"), "m2", None, date(2024, 1, 1), None),
            (of("72"), "m1", 2.0, None, None),
        ]
    )
    movie = tables["movies"].row(0, named=True)
    assert (movie["title"], movie["genres"], movie["directors"]) == ("盗梦空间", ["剧情", "科幻"], ["诺兰"])
    assert movie["crawled_at"] <= datetime.now(UTC)
    assert tables["frames"].rows() == [
        ("p1", "m1", "still", 1920, 1080, "https://img1/p1.webp", 4, 0, None),
        ("p2", "m1", "still", None, None, "https://img1/p2.webp", None, 1, None),
    ]
    assert sorted(tables["frame_likes"].rows()) == sorted(
        [
            (of("71"), "p1", date(2024, 2, 1), "photo_page"),
            (of("72"), "p1", date(2024, 3, 1), "photo_page"),
            (of("71"), "p2", date(2024, 2, 2), "user_likes"),
        ]
    )


def test_the_users_say_who_was_read_through_what_when_and_how_completely(tmp_path):
    folder = tmp_path / "crawl"
    with Ledger.open(folder, SANDBOX, PERSONAL_KINDS) as ledger:

        def read(uid, person, ratings, claimed, following=None, found_through=None):
            key = Key("collection", uid)
            ledger.add_pages([key], found_through)
            answer = Answer(200, KINDS["collection"].address(Site(), key), b"", at=1_700_000_000.0)
            content = CollectionPage(person, ratings, claimed, following)
            settle(ledger.page(key), ParsedAnswer(answer, content), CrawlContext(ledger, Site(), Scope()))

        read("quillwort", ANN, (RatingRow("m1", 5, None), RatingRow("m2", 5, None)), 3, None, "comments")
        read("72", BOB, (RatingRow("m1", 2, None),), 90, None, "given")
        read("73", Person("73", "73"), (), 20, "?start=15")
        ledger.add_pages([Key("collection", "74")], "comments")  # not read yet
    export(folder, tmp_path / "raw")
    of = Pseudonyms.open(folder / "pseudonym.key").of
    table = read_table(tmp_path / "raw" / "users.parquet", RawUser)
    day = date(2023, 11, 14)
    assert set(table.rows()) == {
        (of("71"), "comments", day, 3, 2, True),
        (of("72"), "given", day, 90, 1, False),
        (of("73"), None, day, 20, 0, False),
    }


def test_no_id_of_a_person_leaves_the_crawl(crawl, tmp_path):
    export(crawl, tmp_path / "raw")
    for path in (tmp_path / "raw").rglob("*"):
        assert path.is_dir() or b"quillwort" not in path.read_bytes().replace(b"channel", b"")
    users = pl.concat([table["user_id"] for table in _tables(tmp_path / "raw").values() if "user_id" in table.columns])
    assert set(users) == {Pseudonyms.open(crawl / "pseudonym.key").of(user_id) for user_id in ("71", "72")}


def test_pictures_are_in_the_raw_folder_under_their_hash(crawl, tmp_path):
    raw = tmp_path / "raw"
    export(crawl, raw)
    (image,) = _tables(raw)["images"].iter_rows(named=True)
    assert (image["frame_id"], image["format"], image["width_px"], image["height_px"]) == ("p1", "png", 8, 4)
    assert sha256_of_file(raw / image["path"]) == image["image_sha256"]


def test_pictures_are_compared_once(crawl, tmp_path, monkeypatch):
    raw = tmp_path / "raw"
    export(crawl, raw)
    known = read_fingerprints(raw)
    assert known["image_sha256"].to_list() == _tables(raw)["images"]["image_sha256"].to_list()
    monkeypatch.setattr("dataset.placeholders.fingerprints._open_all", None)
    export(crawl, raw)
    assert read_fingerprints(raw).equals(known)


def test_an_export_says_how_many_pictures_say_nothing(crawl, tmp_path, capsys):
    export_tables(crawl=crawl, to=tmp_path / "raw")
    assert (
        "note: 1 of 1 pictures say nothing about their item: 1 smaller than 32 pixels; `python -m dataset pictures "
        f"{tmp_path / 'raw'}` shows them, `python -m dataset build --drop-placeholders` leaves them out"
    ) in capsys.readouterr().out


def test_what_was_left_out_is_in_the_quarantine_with_its_reason(crawl, tmp_path):
    export(crawl, tmp_path / "raw")
    rows = read_table(tmp_path / "raw" / "quarantine.parquet", Quarantine).rows()
    ann = Pseudonyms.open(crawl / "pseudonym.key").of("71")
    assert sorted(rows) == [
        ("frame_likes", "2 items left out: anonymous, without a profile", None, None, "p1", "photo"),
        ("frame_likes", "like of a photo that is not a frame of this crawl", ann, None, None, "1 likes"),
        ("images", "page gone: bad picture: cannot be decoded", None, None, "p2", "picture m"),
        ("movies", "page gone: no such page (404)", None, "m2", None, "movie"),
    ]


def test_provenance_contains_pages_causes_and_what_lists_claimed(crawl, tmp_path):
    export(crawl, tmp_path / "raw")
    told = json.loads((tmp_path / "raw" / "provenance.json").read_text())
    assert (told["source"], told["site"], told["is_invented"]) == ("crawl", "sandbox", True)
    assert told["world"] == {"seed": 1}
    assert told["pages"]["movie"] == {"done": 1, "gone": 1}
    assert told["causes"] == {"bad picture: cannot be decoded": 1, "no such page (404)": 1}
    assert told["claimed_and_seen"]["collection"] == {"lists": 2, "items_claimed": 4, "items_seen": 3}
    assert told["first_request_at"] <= told["last_request_at"]


def test_the_same_ledger_gives_the_same_bytes(crawl, tmp_path):
    export(crawl, tmp_path / "one")
    export(crawl, tmp_path / "two")
    export(crawl, tmp_path / "two")
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert len(files) == 11
    assert [sha256_of_file(tmp_path / "one" / path) for path in files] == [
        sha256_of_file(tmp_path / "two" / path) for path in files
    ]


def test_a_missing_picture_file_is_an_error(crawl, tmp_path):
    next((crawl / "pictures").rglob("*.png")).unlink()
    with pytest.raises(MissingInputError, match="file is missing"):
        export(crawl, tmp_path / "raw")


def test_the_key_is_created_at_the_first_export_and_private(crawl, tmp_path):
    export(crawl, tmp_path / "raw")
    assert stat.S_IMODE((crawl / "pseudonym.key").stat().st_mode) == 0o600
