"""Whatever is done to a JSON answer, it gives valid rows, or its page says why not.

Valid answers are changed in their values, in their structure and in their bytes, and go the whole way of an answer:
redacted, parsed, stored in a ledger. `DOUBAN_FUZZ_EXAMPLES` sets the number of cases (10,000 in the bench).
"""

import copy
import json
import os
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crawler.export import export
from crawler.kinds import PERSONAL_KINDS, address
from crawler.kinds.kind import CrawlContext
from crawler.ledger.ledger import Ledger
from crawler.ledger.pages import STATES
from crawler.page import Answer, Key
from crawler.process import process
from crawler.scope import HTML_ONLY, Scope, Source
from crawler.sites import Site
from dataset.schema import Frame, Movie, Rating
from dataset.tables import read_table

EXAMPLES = int(os.environ.get("DOUBAN_FUZZ_EXAMPLES", "400"))
SITE, SOURCE = Site(), Source("sandbox", {"seed": 1})
SCOPE = Scope(via=dict.fromkeys(HTML_ONLY, ("json",)), k=0)
FORGOTTEN = "forgotten-one"

USER = {"id": "700000002", "uid": "example-two", "name": "示例乙", "type": "user", "loc": {"id": "1", "uid": "here"}}
MARK = {"id": 4, "status": "done", "comment": "还行", "create_time": "2031-06-01 20:21:22",
        "rating": {"count": 1, "max": 5, "value": 4, "star_count": 4.0}}  # fmt: skip
SOURCES = [
    (Key("movie_json", "1"), {
        "id": "1", "type": "movie", "is_tv": False, "title": "纸船", "original_title": "Boat", "year": "2031",
        "genres": ["剧情"], "directors": [{"name": "甲某"}], "rating": {"value": 8.1, "count": 120, "max": 10},
    }),
    (Key("photos_json", "1", "still"), {"start": 0, "count": 2, "total": 2, "photos": [
        {"id": "9", "likers_count": 3, "position": 0, "author": USER, "description": "x",
         "image": {"small": None, "normal": {"url": "https://img3.doubanio.com/view/photo/m/public/p9.webp"}}},
        {"id": "10", "author": {"uid": FORGOTTEN, "id": "55", "url": f"https://www.douban.com/people/{FORGOTTEN}/"}},
    ]}),
    (Key("interests", "1"), {"start": 0, "count": 2, "total": 57, "interests": [
        MARK | {"user": USER}, MARK | {"user": USER | {"uid": FORGOTTEN, "id": "55"}}, {},
    ]}),
    (Key("marks_json", "ann"), {"start": 0, "count": 3, "total": 61, "interests": [
        MARK | {"subject": {"id": "1", "title": "石桥", "type": "tv"}}, MARK | {"subject": None}, {},
    ]}),
    (Key("marks_json", "ann", "one", 57), {"start": 57, "count": 1, "total": 61, "interests": [
        MARK | {"subject": {"id": "2", "title": "石桥", "type": "movie"}},
    ]}),
    (Key("movie_json", "1"), {"request": "GET /v2/x", "msg": "subject_ip_rate_limit", "code": 1309}),
]  # fmt: skip
ODD = [
    None, True, False, 0, -1, 1, 2**31, 2**32, 2**63, 10**22, 0.5, 1e300, "", " ", "0", "-1", "x", "١", "\ufffd",
    "\ud83d", "\x00", "x" * 5000, [], {}, [[]], [None], [{}], {"": None}, {"id": []}, "2031-13-45 99:99:99", "//[",
    "https://[/p9.x", USER, MARK,
]  # fmt: skip
BREAKERS = [b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\xff", b"\x00", b"NaN", b"1e999", b"9" * 40, b"[" * 2000,
            b"\\ud83d", b'"id":1,', b"<html>", b"</html>", b"\xef\xbb\xbf"]  # fmt: skip
STATUSES = [200] * 12 + [204, 301, 302, 400, 403, 404, 429, 500, 500, 503]
LOCATIONS = [None, "", "/rexxar/api/v2/tv/1", "/rexxar/api/v2/movie/2", "https://[", "//sec.douban.com/b?r=", "x" * 300]


def _places(value, path=()):
    """Return the paths to all values in a value."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, part in parts for place in _places(part, (*path, key)))]


def _changed(value, path, new):
    if not path:
        return new
    changed = copy.deepcopy(value)
    at = changed
    for key in path[:-1]:
        at = at[key]
    if new is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = new
    return changed


@st.composite
def changed_answers(draw):
    """An answer after one to three changes of its values, and at times of its bytes, status or kind."""
    key, value = draw(st.sampled_from(SOURCES))
    for _ in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from(_places(value)))
        value = _changed(value, path, draw(st.sampled_from(ODD if not path else [..., *ODD])))
    body = json.dumps(value, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 3)) == 0:
        at, end = sorted(draw(st.integers(0, len(body))) for _ in range(2))
        body = body[:at] + draw(st.sampled_from([*BREAKERS, b""])) + body[draw(st.sampled_from([at, end])) :]
    if draw(st.integers(0, 9)) == 0:
        key = draw(st.sampled_from(SOURCES))[0]
    status, location = draw(st.sampled_from(STATUSES)), draw(st.sampled_from(LOCATIONS))
    return key, Answer(status, address(SITE, key), body, location, "application/json", at=1.9e9)


def test_a_changed_answer_gives_valid_rows_or_its_page_says_why_not():
    with tempfile.TemporaryDirectory() as folder:
        crawl = Path(folder, "crawl")
        with Ledger.open(crawl, SOURCE, PERSONAL_KINDS) as ledger:
            ledger.forgotten.add([FORGOTTEN, "55"])
            context = CrawlContext(ledger, SITE, SCOPE)

            @settings(
                max_examples=EXAMPLES,
                derandomize=True,
                database=None,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            )
            @given(changed_answers())
            def process_one(case):
                key, answer = case
                with ledger.transaction():
                    ledger.add_pages([key])
                    page = ledger.page(key, of_any_state=True)
                    outcome = process(page, answer, context)
                    state, cause = ledger.execute(
                        "SELECT state, cause FROM pages WHERE page_id = ?", (page.page_id,)
                    ).fetchone()
                assert outcome.state in STATES
                assert (state, bool(cause)) == (outcome.state, state != "done") or outcome.following is not None
                assert ledger.user_id_of(FORGOTTEN) is None

            process_one()
            assert ledger.value("SELECT count(*) FROM ratings")
            assert ledger.value("SELECT count(*) FROM frames")
        export(crawl, Path(folder, "raw"))  # checks every row against the schema
        for name, schema in (("movies", Movie), ("ratings", Rating), ("frames", Frame)):
            assert read_table(Path(folder, "raw", f"{name}.parquet"), schema).height
