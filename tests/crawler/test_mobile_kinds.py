"""The kinds of page in the mobile JSON: what each answer means, and how odd answers are read."""

import json
from datetime import date

import pytest

from crawler.kinds import KINDS, address
from crawler.kinds.mobile.body import NotJson, read_json, write_json
from crawler.kinds.mobile.json_kind import Elsewhere, ItemFailed
from crawler.page import Answer, Key, Merged, NotUnderstood, PageGone, Refused, TooMuch, Unavailable
from crawler.sites import Site

SITE = Site()
KEYS = {
    "movie_json": Key("movie_json", "90000001"),
    "photos_json": Key("photos_json", "90000001", "still"),
    "interests": Key("interests", "90000001"),
    "marks_json": Key("marks_json", "example-uid"),
}
MOVIE = {
    "id": "90000001", "type": "movie", "subtype": "movie", "is_tv": False, "title": "纸船", "original_title": "",
    "year": "2031", "genres": ["剧情"], "directors": [{"name": "甲某"}], "cover": None, "interest": None,
    "rating": {"value": 8.1, "count": 1200, "max": 10, "star_count": 4.0}, "null_rating_reason": "",
}  # fmt: skip
PHOTO = {
    "id": "9900000002", "type": "photo", "position": 7, "likers_count": 3, "reactions_count": 3, "description": "",
    "image": {
        "small": {"url": "https://img3.doubanio.com/view/photo/s/public/p9900000002.webp", "width": 600, "height": 400},
        "normal": {"url": "https://img3.doubanio.com/view/photo/m/public/p9900000002.webp", "width": 600},
        "large": {"url": "https://img3.doubanio.com/view/photo/l/public/p9900000002.webp"}, "raw": None,
    },
    "author": {"id": "700000001", "uid": "somebody", "name": "示例用户", "type": "user", "loc": None},
}  # fmt: skip
INTEREST = {
    "id": 4000000001, "status": "done", "comment": "还行", "create_time": "2031-06-01 20:21:22",
    "rating": {"count": 1, "max": 5, "value": 4, "star_count": 4.0},
    "user": {"id": "700000002", "uid": "example-two", "name": "示例乙", "kind": "user", "loc": {"id": "1", "uid": "x"}},
}  # fmt: skip
MARK = {
    "id": 4000000003, "status": "done", "comment": "", "create_time": "2031-07-01 01:02:03",
    "rating": {"count": 1, "max": 5, "value": 5, "star_count": 5.0},
    "subject": {"id": "90000002", "title": "石桥", "type": "tv", "rating": None},
}  # fmt: skip


def _answer(kind, content, status=200, location=None, **more):
    body = content if isinstance(content, bytes) else json.dumps(content, ensure_ascii=False).encode()
    return Answer(status, address(SITE, KEYS[kind]), body, location, "application/json; charset=utf-8", **more)


def _parse(kind, content, status=200, location=None):
    return KINDS[kind].parse(_answer(kind, content, status, location))


def _list(name, *items, total=100):
    return {"start": 0, "count": len(items), "total": total, name: list(items)}


# --- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "path"),
    [
        (KEYS["movie_json"], "/movie/90000001"),
        (Key("movie_json", "90000001", "tv"), "/tv/90000001"),
        (Key("photos_json", "1", "poster", 60), "/movie/1/photos?start=60&count=30&type=R"),
        (Key("photos_json", "1", "wallpaper-tv-one", 61), "/tv/1/photos?start=61&count=1&type=W"),
        (Key("interests", "1", "", 20), "/movie/1/interests?status=done&start=20&count=20&order_by=latest"),
        (Key("marks_json", "ann", "", 50), "/user/ann/interests?type=movie&status=done&start=50&count=50"),
        (Key("marks_json", "ann", "one", 51), "/user/ann/interests?type=movie&status=done&start=51&count=1"),
    ],
)
def test_a_key_has_one_address_on_the_mobile_host(key, path):
    assert address(SITE, key) == f"https://m.douban.com/rexxar/api/v2{path}"


# --- errors: the site's code counts before the status ----------------------------------------------


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("status", [200, 400, 403, 404, 500])
@pytest.mark.parametrize(
    ("code", "msg", "outcome"),
    [
        (1309, "subject_ip_rate_limit", Refused),
        (103, "need_login", Refused),
        ("103", "need_login", Refused),
        (1005, "", Refused),
        (1287, "invalid_request_1284", Refused),
        (1080, "search_access_rate_limit", Refused),
        (1007, "", Refused),
        (996, "invalid_signature", Refused),
        (997, "missing_signature", Refused),
        (99999, "subject_ip_rate_limit", Refused),
        (2215, "subject_not_found", PageGone),
        (404, "traversal_error", PageGone),
        (1000, "need_permission", Unavailable),
    ],
)
def test_an_error_is_read_by_its_code_whatever_the_status_is(kind, status, code, msg, outcome):
    with pytest.raises(outcome) as told:
        _parse(kind, {"request": "GET /v2/x", "msg": msg, "code": code, "localized_message": "示例"}, status)
    assert "示例" not in str(told.value)


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize(
    ("status", "body", "location", "outcome"),
    [
        (302, b"", "https://www.douban.com/misc/sorry?original-url=x", Refused),
        (302, b"", "https://sec.douban.com/b?r=x", Refused),
        (302, b"", "https://accounts.douban.com/passport/login", Refused),
        (429, b"", None, Refused),
        (418, b"{}", None, Refused),
        (403, b"", None, Refused),
        (200, "<html><title>登录豆瓣</title></html>".encode(), None, Refused),
        (204, b"", None, Unavailable),
        (404, b"", None, Unavailable),
        (404, b"<html><body>404</body></html>", None, Unavailable),
        (502, b"", None, NotUnderstood),
        (301, b"", "https://example.org/rexxar/api/v2/tv/90000001", NotUnderstood),
        (301, b"", "/rexxar/api/v2/elsewhere", NotUnderstood),
        (200, b"", None, NotUnderstood),
        (200, b"{}", None, NotUnderstood),
        (200, b"[]", None, NotUnderstood),
        (200, b'{"code": 777, "msg": "?"}', None, NotUnderstood),
    ],
)
def test_an_answer_without_the_wanted_json_has_an_outcome(kind, status, body, location, outcome):
    with pytest.raises(outcome):
        _parse(kind, body, status, location)


def test_a_movie_with_code_and_msg_is_a_movie():
    assert _parse("movie_json", MOVIE | {"code": 1309, "msg": "a film's own field"}).title == "纸船"


@pytest.mark.parametrize("kind", ["photos_json", "interests", "marks_json"])
def test_status_500_of_a_list_says_that_an_item_fails(kind):
    assert _parse(kind, b"", 500) == ItemFailed()
    with pytest.raises(NotUnderstood):
        _parse("movie_json", b"", 500)


@pytest.mark.parametrize("location", ["/rexxar/api/v2/tv/90000001", "https://m.douban.com/rexxar/api/v2/tv/90000001"])
def test_a_series_that_answers_under_another_path_is_followed(location):
    assert _parse("movie_json", b"", 301, location) == Elsewhere("tv")


def test_a_movie_that_answers_with_another_id_was_merged():
    for content, status, location in (
        (MOVIE | {"id": "90000009"}, 200, None),
        (b"", 301, "/rexxar/api/v2/movie/90000009"),
    ):
        with pytest.raises(Merged) as told:
            _parse("movie_json", content, status, location)
        assert told.value.into_id == "90000009"


# --- movies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({}, "rating_mean", 8.1),
        ({}, "rating_count", 1200),
        ({}, "original_title", None),
        ({"rating": {"value": 0, "count": 0, "max": 10}, "null_rating_reason": "暂无评分"}, "rating_mean", None),
        ({"rating": {"value": 0, "count": 0, "max": 10}}, "rating_count", None),
        ({"rating": None}, "rating_count", None),
        ({"rating": {}}, "rating_count", None),
        ({"rating": {"value": None, "count": None}}, "rating_mean", None),
        ({"year": ""}, "year", None),
        ({"year": None}, "year", None),
        ({"year": 1999}, "year", 1999),
        ({"original_title": "Paper Boat"}, "original_title", "Paper Boat"),
        ({"original_title": "纸 船"}, "original_title", None),
        ({"original_title": None}, "original_title", None),
        ({"type": "tv", "subtype": "tv"}, "kind", "tv"),
        ({"type": "", "subtype": "", "is_tv": True}, "kind", "tv"),
        ({"genres": None}, "genres", ()),
        ({"genres": [{"name": "剧情"}, "剧情", ""]}, "genres", ("剧情",)),
        ({"directors": [{"name": "甲某"}, {"name": "甲某"}, {"name": None}]}, "directors", ("甲某",)),
        ({"title": " 纸\u200b船 "}, "title", "纸船"),
    ],
)
def test_a_movie_is_read_with_null_for_what_the_site_does_not_say(changes, field, value):
    assert getattr(_parse("movie_json", MOVIE | changes), field) == value


@pytest.mark.parametrize(
    "changes",
    [
        {"title": ""}, {"title": None}, {"title": 7}, {"title": "\ufffd"}, {"title": "x" * 1001}, {"type": "book"},
        {"type": "", "subtype": "", "is_tv": None}, {"year": "31"}, {"year": "3031"}, {"year": "soon"}, {"id": "x1"},
        {"id": True}, {"rating": {"value": 11, "count": 1, "max": 10}}, {"rating": {"value": 3, "count": -1}},
        {"rating": {"value": 4, "count": 9, "max": 5}}, {"rating": [1]}, {"genres": "剧情"}, {"genres": [7]},
        {"rating": {"value": 8.1, "count": 2**32, "max": 10}}, {"directors": [[]]},
    ],
)  # fmt: skip
def test_a_movie_with_an_impossible_value_is_not_understood(changes):
    with pytest.raises(NotUnderstood):
        _parse("movie_json", MOVIE | changes)


# --- photos ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "like_count"),
    [({}, 3), ({"likers_count": 0}, 0), ({"likers_count": None}, None), ({"likers_count": "12"}, 12)],
)
def test_a_photo_without_a_count_of_likes_has_null_and_never_0(changes, like_count):
    assert _parse("photos_json", _list("photos", PHOTO | changes)).frames[0].like_count == like_count
    without = {name: value for name, value in PHOTO.items() if name != "likers_count"}
    assert _parse("photos_json", _list("photos", without)).frames[0].like_count is None


@pytest.mark.parametrize(
    ("image", "size", "url"),
    [
        (PHOTO["image"], "m", "https://img3.doubanio.com/view/photo/m/public/p9900000002.webp"),
        (PHOTO["image"], "l", "https://img3.doubanio.com/view/photo/l/public/p9900000002.webp"),
        (PHOTO["image"], "sqxs", "https://img3.doubanio.com/view/photo/s/public/p9900000002.webp"),
        ({**PHOTO["image"], "normal": None}, "m", "https://img3.doubanio.com/view/photo/s/public/p9900000002.webp"),
        ({"normal": None, "small": {}, "large": {"url": ""}}, "m",
         "https://img1.doubanio.com/view/photo/m/public/p9900000002.jpg"),
        (None, "l", "https://img1.doubanio.com/view/photo/l/public/p9900000002.jpg"),
    ],
)  # fmt: skip
def test_a_photo_has_the_address_of_the_wanted_size_or_the_next_one(image, size, url):
    photo = _parse("photos_json", _list("photos", PHOTO | {"image": image})).frames[0]
    assert photo.url(SITE, size) == url


def test_odd_photos_are_left_out_and_counted_with_the_reason():
    strange = PHOTO | {"image": {"normal": {"url": "https://example.org/p1.jpg"}}}
    page = _parse("photos_json", _list("photos", PHOTO, {}, None, PHOTO | {"id": "x"}, strange, PHOTO, PHOTO))
    assert len(page.frames) == 3
    assert page.left_out == {"the item is empty": 2, "item not understood: id": 1, "item not understood: image": 1}
    with pytest.raises(NotUnderstood):
        _parse("photos_json", _list("photos", *[PHOTO | {"id": None}] * 3, PHOTO))


# --- people and their marks ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "person"),
    [
        (INTEREST["user"], ("700000002", "example-two")),
        ({"id": 700000002, "uid": "700000002"}, ("700000002", "700000002")),
        ({"id": None, "uid": "example-two"}, ("example-two", "example-two")),
        ({"id": "700000002", "uid": ""}, ("700000002", "700000002")),
        ({"id": "700000002", "uid": "../../j/like"}, ("700000002", "700000002")),
        (None, None),
        ({}, None),
        (INTEREST["user"] | {"name": "[已注销]"}, None),
    ],
)
def test_who_marked_a_movie_has_a_number_and_a_slug(user, person):
    page = _parse("interests", _list("interests", INTEREST | {"user": user}, {}))
    assert [(one.user_id, one.uid) for one in page.people] == ([person] if person else [])
    assert page.n_items == 2
    assert sum(page.left_out.values()) == 2 - len(page.people)


@pytest.mark.parametrize(
    ("changes", "stars", "rated_on"),
    [
        ({}, 5, date(2031, 7, 1)),
        ({"rating": None}, None, date(2031, 7, 1)),
        ({"rating": {"value": 0, "max": 5}}, None, date(2031, 7, 1)),
        ({"rating": {"value": 3.0, "max": 5}}, 3, date(2031, 7, 1)),
        ({"create_time": None}, 5, None),
        ({"create_time": ""}, 5, None),
        ({"create_time": "0000-00-00 00:00:00"}, 5, None),
        ({"create_time": "2031-7-1"}, 5, date(2031, 7, 1)),
    ],
)
def test_a_mark_is_read_with_null_for_what_it_does_not_have(changes, stars, rated_on):
    (row,) = _parse("marks_json", _list("interests", MARK | changes)).ratings
    assert (row.movie_id, row.stars, row.rated_on, row.title) == ("90000002", stars, rated_on, "石桥")


@pytest.mark.parametrize("title", ["未知电影", "", None, 7, "石\ufffd", "x" * 1001])
def test_a_title_that_says_nothing_of_a_movie_is_not_kept(title):
    (row,) = _parse("marks_json", _list("interests", MARK | {"subject": {"id": "90000002", "title": title}})).ratings
    assert row.title is None


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({}, "the movie is not shown"),
        (None, "the movie is not shown"),
        (MARK | {"subject": None}, "the movie is not shown"),
        (MARK | {"subject": {}}, "the movie is not shown"),
        (MARK | {"rating": {"value": 7, "max": 5}}, "item not understood: rating"),
        (MARK | {"create_time": "yesterday"}, "item not understood: create_time"),
        (MARK | {"create_time": "2031-02-30"}, "item not understood: create_time"),
        (MARK | {"status": "mark"}, "item not understood: status"),
        (MARK | {"subject": {"id": "1", "type": "book"}}, "item not understood: subject.type"),
        (INTEREST, "item not understood: subject"),
    ],
)
def test_an_odd_mark_is_left_out_and_counted_with_the_reason(item, reason):
    page = _parse("marks_json", _list("interests", MARK, item))
    assert len(page.ratings) == 1
    assert page.left_out == {reason: 1}


@pytest.mark.parametrize(("kind", "item"), [("marks_json", INTEREST), ("interests", MARK)])
def test_the_list_of_another_kind_is_not_understood(kind, item):
    with pytest.raises(NotUnderstood):
        _parse(kind, _list("interests", item, item, item))


# --- the strict reading of JSON ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b'{"a": 1} x', b"\xff", b'{"a": 1, "a": 2}', b'{"a": NaN}', b'{"a": Infinity}', b'{"a": 1e999}',
        b'{"a": ' + b"9" * 30 + b"}", b"[" * 100_000, b"[" * 33 + b"]" * 33, b'{"a":' * 40 + b"1" + b"}" * 40,
        b'"' + b"x" * (2 << 20) + b'"', b"{'a': 1}", b'{"a": 01}',
    ],
)  # fmt: skip
def test_what_two_readers_could_read_in_two_ways_is_no_json(body):
    with pytest.raises(NotJson) as told:
        read_json(body)
    assert len(str(told.value)) < 80


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None, True, '纸船\n"\\']}, [], "", 10**20, {"id": "1", "b": {}}])
def test_json_that_is_written_again_is_the_same(value):
    assert read_json(write_json(value)) == value


def test_half_characters_and_zero_bytes_can_be_stored():
    assert read_json(b'{"a": "x\\ud83d\\u0000y", "b": "\\ud83d\\ude00"}') == {"a": "x\ufffdy", "b": "\U0001f600"}


def test_a_page_that_is_too_large_is_bounded():
    assert KINDS["photos_json"].max_bytes <= 2 << 20
    with pytest.raises((NotUnderstood, TooMuch)):
        _parse("photos_json", b'{"photos": [' + b'{"id": "1"},' * 300_000 + b"{}]}")
