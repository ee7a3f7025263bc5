"""Each folder of `pages/` is one page and what must be read from it; each field is compared alone."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from crawler.kinds import KINDS
from crawler.kinds.html import HtmlKind
from crawler.kinds.movie import MoviePage
from crawler.page import Answer, NotUnderstood, PageGone, Refused

HTML_KINDS = [kind.name for kind in KINDS.values() if isinstance(kind, HtmlKind)]
PAGES = Path(__file__).parent / "pages"
FOLDERS = sorted(folder.name for folder in PAGES.iterdir())
ORDINARY = [name for name in FOLDERS if "-gone" not in name and "-refused" not in name]
MOVIE = "https://movie.douban.com"


def kind_of(folder: str) -> str:
    return folder.split("-")[0]


def read(folder: str, *replacements: tuple[str, str]) -> Any:
    """Parse a fixture after some replacements, each of which must change something."""
    html = (PAGES / folder / "input.html").read_text(encoding="utf-8")
    for old, new in replacements:
        assert old in html, f"{old!r} is not in {folder}"
        html = html.replace(old, new)
    known = json.loads((PAGES / folder / "output.json").read_text(encoding="utf-8"))
    return KINDS[kind_of(folder)].parse(Answer(known.get("status", 200), known["url"], html.encode()))


def fields(value: Any, name: str = "page") -> dict[str, Any]:
    """Return every leaf of a JSON value under its path, `page.movie.title`."""
    if isinstance(value, dict):
        return {path: leaf for key, part in value.items() for path, leaf in fields(part, f"{name}.{key}").items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        parts = {f"{name}.length": len(value)}
        for i, part in enumerate(value):
            parts |= fields(part, f"{name}[{i}]")
        return parts
    return {name: value}


@pytest.mark.parametrize("folder", FOLDERS)
def test_page_reads_as_its_output(folder: str) -> None:
    known = json.loads((PAGES / folder / "output.json").read_text(encoding="utf-8"))
    if "raises" in known:
        with pytest.raises((PageGone, Refused)) as caught:
            read(folder)
        assert f"{caught.type.__name__}: {caught.value}" == known["raises"]
        return
    got = fields(json.loads(json.dumps(dataclasses.asdict(read(folder)), default=str)))
    want = fields(known["page"])
    assert got.keys() == want.keys()
    assert {path: leaf for path, leaf in got.items() if leaf != want[path]} == {}


def test_every_kind_of_page_has_two_layouts() -> None:
    for kind in HTML_KINDS:
        assert len([folder for folder in FOLDERS if kind_of(folder) == kind]) >= 2, kind


@pytest.mark.parametrize("folder", ORDINARY)
def test_trap_link_and_script_template_are_never_read(folder: str) -> None:
    html = (PAGES / folder / "input.html").read_text(encoding="utf-8")
    assert "variformcyst" in html
    assert 'data-cid="id"' in html
    page = str(read(folder))
    assert "variformcyst" not in page
    assert "{{" not in page


RENAMED = [
    ("movie-film", "v:itemreviewed", "v:name", "title"),
    ("movie-film", "<title>", "<caption>", "title"),
    ("movie-film", 'id="info"', 'id="facts"', "info"),
    ("movie-film", 'class="year"', 'class="when"', "year"),
    ("movie-film", "v:genre", "v:style", "genres"),
    ("movie-film", 'id="interest_sectl"', 'id="interest"', "rating_mean"),
    ("movie-film", "v:average", "v:mean", "rating_mean"),
    ("movie-film", "v:votes", "v:voters", "rating_count"),
    ("movie-film", "/all_photos", "/gallery", "photo_total"),
    ("movie-film", "人看过", "人看完", "seen_total"),
    ("comments-current", "comment-item", "remark", "comments"),
    ("comments-current", "/people/", "/persons/", "person"),
    ("photos-three-columns", "poster-col3", "gallery", "photos"),
    ("photos-three-columns", "<li", "<dd", "photos"),
    ("photos-three-columns", "<img src", "<img lazy", "image_url"),
    ("photos-three-columns", "(共247张)", "(247)", "claimed_total"),
    ("photo-no-widget", "mainphoto", "bigphoto", "photo"),
    ("photo-older-widget", "104人", "104", "like_count"),
    ("photo-older-widget", 'data-tid="90000001"', 'data-tid="90000009"', "like_count"),
    ("photo-older-widget", "topic-fav-list", "likers", "likers"),
    ("photo-older-widget", 'class="content"', 'class="text"', "liker"),
    ("collection-grid", 'class="item', 'class="entry', "items"),
    ("collection-grid", "/subject/", "/film/", "movie_id"),
    ("collection-grid", 'class="date"', 'class="day"', "rated_on"),
    ("collection-grid", '"date">2026', '"date">7月', "rated_on"),
    ("collection-grid", "看过的影视(", "想看的影视(", "heading"),
    ("collection-list", "1-2 / 118", "1-2", "claimed_total"),
    ("user_likes-first-page", "fav-list", "likes", "likes"),
    ("user_likes-first-page", "<li", "<dd", "likes"),
    ("user_likes-first-page", "/photos/photo/", "/pictures/", "frame_id"),
]


@pytest.mark.parametrize(("folder", "anchor", "renamed", "field"), RENAMED)
def test_renamed_anchor_names_page_kind_and_field(folder: str, anchor: str, renamed: str, field: str) -> None:
    with pytest.raises(NotUnderstood) as caught:
        read(folder, (anchor, renamed))
    assert (caught.value.page_kind, caught.value.field) == (kind_of(folder), field)
    assert str(caught.value).startswith(f"{kind_of(folder)} page: field '{field}' ")


IMPOSSIBLE = [
    ("movie-film", ">8.4<", ">84<", "rating_mean"),
    ("movie-film", ">8.4<", ">10.5<", "rating_mean"),
    ("movie-film", ">20517<", ">99999999999<", "rating_count"),
    ("movie-film", "(2023)", "(1423)", "year"),
    ("movie-film", "(2023)", "(今年)", "year"),
    ("movie-film", "白露", "白\ufffd", "directors"),
]


@pytest.mark.parametrize(("folder", "value", "impossible", "field"), IMPOSSIBLE)
def test_value_outside_the_schema_is_not_understood(folder: str, value: str, impossible: str, field: str) -> None:
    with pytest.raises(NotUnderstood) as caught:
        read(folder, (value, impossible))
    assert caught.value.field == field


ODD_ITEMS = [
    ("collection-grid", "/subject/34000002/", "/film/34000002/", "movie_id"),
    ("collection-grid", "/subject/34000002/", "/subject/", "movie_id"),
    ("collection-grid", "movie.douban.com/subject/34000002/", "book.douban.com/subject/34000002/", "movie_id"),
    ("collection-grid", "2026-07-06", "昨天", "rated_on"),
    ("collection-grid", "2026-07-06", "2026-02-30", "rated_on"),
    ("collection-grid", 'class="rating5-t"', 'class="score5-t"', "stars"),
    ("collection-grid", 'class="rating5-t"', 'class="rating6-t"', "stars"),
    ("collection-list", "2024-02-29", "29 Feb", "rated_on"),
    ("collection-list", 'class="rating4-t"', 'class="rating"', "stars"),
    ("comments-current", "/people/lantern/", "/persons/lantern/", "person"),
    ("comments-current", "/people/1000002/", "/people/%20/", "person"),
    ("photos-three-columns", "photos/photo/90000002", "pictures/90000002", "frame_id"),
    ("photos-three-columns", "2501x3751", "2501 by 3751", "size"),
    ("photos-three-columns", "2501x3751", "0x3751", "size"),
    ("photos-three-columns", 'data-id="90000001"', 'data-id="90000007"', "frame_id"),
    ("photos-three-columns", "p90000001.webp", "p90000007.webp", "image_url"),
    ("photo-older-widget", "2014-08-12", "08-12", "liked_on"),
    ("user_likes-first-page", "2014-08-12", "三天前", "liked_on"),
    ("user_likes-first-page", "/photos/photo/90000001/", "/note/90000001/", "frame_id"),
]


@pytest.mark.parametrize(("folder", "value", "odd", "field"), ODD_ITEMS)
def test_an_item_that_cannot_be_read_is_left_out_with_its_reason(folder: str, value: str, odd: str, field: str) -> None:
    def items(page: Any) -> list[Any]:
        names = ("ratings", "people", "frames", "likers", "likes")
        (rows,) = (getattr(page, name) for name in names if hasattr(page, name))
        return list(rows)

    whole, rest = read(folder), read(folder, (value, odd))
    assert rest.left_out == whole.left_out | {f"item not understood: {field}": 1}
    assert items(rest) == [item for item in items(whole) if item in items(rest)]
    assert len(items(rest)) == len(items(whole)) - 1


@pytest.mark.parametrize(
    ("folder", "number", "shown", "like_count"),
    [
        ("photo-current-widget", '"react-num">1<', '"react-num"><', None),
        ("photo-current-widget", '"react-num">1<', '"react-num"> <', None),
        ("photo-current-widget", '"react-num">1<', '"react-num">登录查看<', None),
        ("photo-current-widget", '"react-num">1<', '"react-num">0<', 0),
        ("photo-older-widget", "104人", "", None),
        ("photo-older-widget", "104人", "0人", 0),
    ],
)
def test_a_widget_without_a_number_does_not_say_that_nobody_likes_a_photo(
    folder: str, number: str, shown: str, like_count: int | None
) -> None:
    assert read(folder, (number, shown)).like_count == like_count


LIKED = '<a href="https://movie.douban.com/photos/photo/90000001/"><img'
PICTURE = f'<div class="bd"><div class="pic">{LIKED}'
LIKES = [
    ("the link", LIKED, LIKED, "90000001"),
    ("the button", LIKED, '<a class="lnk-delete" data-tid="90000008" href="#"></a><a><img', "90000008"),
    (
        "the button, not another photo's link",
        LIKED,
        f'<a class="lnk-delete" data-tid="90000008"></a>{LIKED}',
        "90000008",
    ),
    ("the picture's link, not one in a text", PICTURE, f'<a href="/photos/photo/90000008/">x</a>{PICTURE}', "90000001"),
    ("a link with a query", "photo/90000001/", "photo/90000001/?from=likes", "90000001"),
]


@pytest.mark.parametrize(("old", "new", "frame_id"), [case[1:] for case in LIKES], ids=[case[0] for case in LIKES])
def test_a_liked_photo_has_the_id_in_its_link_or_its_delete_button(old: str, new: str, frame_id: str) -> None:
    page = read("user_likes-first-page", ('data-id="90000001"', 'data-id="59743519"'), (old, new))
    assert [like.frame_id for like in page.likes] == [frame_id, "90000002"]


def test_a_liked_photo_that_is_gone_is_counted_and_the_favourite_s_own_id_is_never_a_photo_s() -> None:
    page = read("user_likes-first-page", ('data-id="90000001"', 'data-id="59743519"'), (LIKED, "<span><img"))
    assert [like.frame_id for like in page.likes] == ["90000002"]
    assert page.left_out == {"the photo is gone": 2}


def test_a_page_on_which_all_of_several_photos_are_gone_is_not_understood() -> None:
    with pytest.raises(NotUnderstood, match="frame_id"):
        read("user_likes-first-page", ('href="https://movie.douban.com/photos/photo/', 'data-href="'))


TITLES = [
    # <title>, v:itemreviewed, #mainpic img@alt, original title
    ("雾港", "雾港 Fog", "Fog", "Fog"),
    ("雾港", "雾港", "雾港", None),
    ("雾港", "雾港", "Fog", "Fog"),
    ("雾港", "雾港", "", None),
    ("雾港：上", "雾港: 上  Fog: One", "Fog: One", "Fog: One"),
    ("雾港:上", "雾港：上", "雾港： 上", None),
    ("雾港 第二季", "雾港 第二季 Fog Season 2", "Fog Season 2", "Fog Season 2"),
    ("雾港 第二季", "雾港  第二季", "雾港 第二季", None),
    ("雾", "雾港", "雾港", "雾港"),
    ("2046", "2046", "2046", None),
    ("Fog", "Fog", "FOG", None),
]


@pytest.mark.parametrize(("title", "reviewed", "alt", "original"), TITLES)
def test_original_title_is_what_follows_the_title(title: str, reviewed: str, alt: str, original: str | None) -> None:
    page = read(
        "movie-film",
        ("        雾港来信：下篇 (豆瓣)\n", f"{title} (豆瓣)"),
        ("雾港来信:下篇  Letters from Fog Harbour: Part Two", reviewed),
        ('alt="Letters from Fog Harbour: Part Two"', f'alt="{alt}"'),
    )
    assert isinstance(page, MoviePage)
    assert (page.movie.title, page.movie.original_title) == (title, original)


def test_titles_that_contradict_each_other_are_not_understood() -> None:
    with pytest.raises(NotUnderstood, match="original_title"):
        read("movie-film", ("雾港来信:下篇  Letters", "Letters"), ('alt="', 'title="'))


def test_html_counts_win_over_json_ld() -> None:
    page = read("movie-film")
    assert (page.movie.rating_mean, page.movie.rating_count) == (8.4, 20517)


NEXT = "?start=20&amp;limit=20&amp;sort=time&amp;status=P&amp;percent_type="
STRAY_LINKS = {
    "another host": "https://www.douban.com/subject/35000001/comments?start=20",
    "the trap": "https://www.douban.com/hnypt/variformcyst.py",
    "another movie": "/subject/35000009/comments?start=20",
    "another page": "/subject/35000001/?start=20",
    "the same page": "?start=0",
    "no number": "?start=later",
    "no address": "http://[20",
}


@pytest.mark.parametrize("link", STRAY_LINKS.values(), ids=STRAY_LINKS.keys())
def test_next_link_that_leaves_the_list_or_does_not_lead_forward_is_not_understood(link: str) -> None:
    with pytest.raises(NotUnderstood, match="next page"):
        read("comments-current", (NEXT, link))


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_next_link_keeps_the_scheme_of_its_page(scheme: str) -> None:
    page = read("comments-current", (NEXT, f"{scheme}://movie.douban.com/subject/35000001/comments?start=20#top"))
    assert page.next_url == f"{MOVIE}/subject/35000001/comments?start=20"


def test_address_of_another_page_is_not_understood() -> None:
    body = (PAGES / "movie-film" / "input.html").read_bytes()
    with pytest.raises(NotUnderstood, match="movie_id"):
        KINDS["movie"].parse(Answer(200, f"{MOVIE}/chart", body))


@pytest.mark.parametrize("kind", HTML_KINDS)
@pytest.mark.parametrize("body", [b"", b" \n", b"\x00", b"<html></html>", b"<html>"])
def test_page_without_content_is_not_understood(kind: str, body: bytes) -> None:
    with pytest.raises(NotUnderstood) as caught:
        KINDS[kind].parse(Answer(200, f"{MOVIE}/subject/1/", body))
    assert caught.value.page_kind == kind


@pytest.mark.parametrize("folder", ORDINARY)
def test_page_that_is_cut_off_is_never_read(folder: str) -> None:
    known = json.loads((PAGES / folder / "output.json").read_text(encoding="utf-8"))
    body = (PAGES / folder / "input.html").read_bytes()
    for end in range(0, len(body) - len("</html>\n"), 97):
        with pytest.raises(NotUnderstood):
            KINDS[kind_of(folder)].parse(Answer(200, known["url"], body[:end]))
