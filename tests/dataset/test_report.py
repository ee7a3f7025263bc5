"""The dataset's page: every number asked again, missing parts said, and what a browser makes of it."""

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import altair as alt
import polars as pl
import pytest

from dataset.__main__ import app as dataset_app
from dataset.building.build import DatasetConfig, build
from dataset.description import PAPER_STATISTICS
from dataset.files import write_json
from dataset.placeholders.fingerprints import write_fingerprints
from dataset.report.charts import attrition_chart
from dataset.report.dataset_report import write_dataset_report
from dataset.report.distributions import concentration, distributions
from dataset.report.health import crawl_pace
from dataset.report.numbers import Number, NumberSource, relative_gain, total
from dataset.report.page import show
from dataset.report.theme import WIDTH_PX, Chart, category_axis, render_svg, year_axis
from dataset.schema import RAW_TABLES
from dataset.snapshots.publish import publish
from dataset.snapshots.snapshot import Snapshot
from dataset.tables import empty, read_table, write_table

DOCUMENTS = {"paper.json": PAPER_STATISTICS}
CRAWL = {
    "source": "crawl",
    "site": "sandbox",
    "is_invented": True,
    "first_request_at": "2026-01-01T00:00:00+00:00",
    "last_request_at": "2026-01-01T03:00:00+00:00",
    "pages": {"movie": {"done": 8, "gone": 1}, "user_likes": {"done": 12, "failed": 2, "pending": 5}},
    "causes": {"timeout / 30 s": 2, "页面不存在": 1},
    "claimed_and_seen": {"user_likes": {"lists": 12, "items_claimed": 96, "items_seen": 95}},
}


def published(raw: Path, folder: Path) -> Snapshot:
    build(raw, folder / "dataset", DatasetConfig())
    return publish(folder / "dataset", "toy", folder / "snapshots")[0]


def page_of(snapshot: Snapshot, raw: Path | None, folder: Path) -> tuple[str, Path]:
    path = write_dataset_report(snapshot, raw, folder / "report")
    return path.read_text(encoding="utf-8"), path


def test_every_number_is_found_again_in_the_tables(
    make_raw: Callable[..., Path], ask_again: Callable[..., int], tmp_path: Path
) -> None:
    raw = make_raw()
    write_json(raw / "provenance.json", CRAWL)
    snapshot = published(raw, tmp_path)
    page, path = page_of(snapshot, raw, tmp_path)
    assert ask_again(page, snapshot.path, path.parent, documents=DOCUMENTS) > 80
    assert "Invented data." in page


def test_a_wrong_number_would_be_noticed(
    make_raw: Callable[..., Path], ask_again: Callable[..., int], tmp_path: Path
) -> None:
    raw = make_raw()
    snapshot = published(raw, tmp_path)
    page, path = page_of(snapshot, raw, tmp_path)
    with pytest.raises(AssertionError, match="the page shows '97'"):
        ask_again(
            page.replace(">96</data>", ">97</data>"),
            snapshot.path,
            path.parent,
            documents=DOCUMENTS,
        )
    with pytest.raises(AssertionError, match="4711"):
        ask_again(
            page.replace("Summary", "Summary 4711"),
            snapshot.path,
            path.parent,
            documents=DOCUMENTS,
        )


def test_a_browser_finds_charts_and_pictures_and_nothing_to_complain_of(
    make_raw: Callable[..., Path], look_at: Callable[[Path], dict[str, Any]], tmp_path: Path
) -> None:
    raw = make_raw()
    write_json(raw / "provenance.json", CRAWL)
    _, path = page_of(published(raw, tmp_path), raw, tmp_path)
    assert look_at(path) == {
        "charts": 9,
        "emptyCharts": 0,
        "namelessCharts": 0,
        "images": 23,
        "brokenImages": 0,
        "lazyImages": 0,
        "namelessImages": 0,
        "overlaps": [],
        "clipped": [],
        "outside": [],
        "silentTables": [],
        "complaints": [],
        "requests": [],
        "sideways": 0,
    }
    assert len(list((path.parent / "charts").glob("*.svg"))) == 9
    assert len(list((path.parent / "charts").glob("*.png"))) == 9
    assert len(list((path.parent / "charts").glob("*.pdf"))) == 9


def test_pictures_that_say_nothing_are_counted_and_shown(
    make_raw: Callable[..., Path],
    ask_again: Callable[..., int],
    look_at: Callable[[Path], dict[str, Any]],
    tmp_path: Path,
) -> None:
    raw = make_raw()
    images = read_table(raw / "images.parquet", RAW_TABLES["images"])
    write_fingerprints(raw, images)
    assert images.height == 23
    for drop, words in ((False, "build --drop-placeholders"), (True, "were left out of the dataset")):
        build(raw, tmp_path / "dataset", DatasetConfig(drop_placeholders=drop))
        snapshot = publish(tmp_path / "dataset", "toy", tmp_path / "snapshots")[0]
        page, path = page_of(snapshot, raw, tmp_path)
        assert ask_again(page, snapshot.path, path.parent, documents=DOCUMENTS) > 80
        assert words in page
        groups = pl.read_parquet(path.parent / "picture_groups.parquet")
        assert groups["kind"].unique().to_list() == ["blank"]
        assert groups["n_frames"].sum() == 23
        assert page.count("<span>blank</span>") == groups.height
        seen = look_at(path)
        assert seen["images"] == groups.height + (0 if drop else 23)
        assert (seen["brokenImages"], seen["namelessImages"], seen["complaints"], seen["sideways"]) == (0, 0, [], 0)


def test_a_raw_folder_that_was_never_compared_shows_what_files_alone_say(
    make_raw: Callable[..., Path], tmp_path: Path
) -> None:
    raw = make_raw()
    page, path = page_of(published(raw, tmp_path), raw, tmp_path)
    assert pl.read_parquet(path.parent / "picture_groups.parquet").is_empty()
    assert "No two movies have nearly equal pictures" in page
    assert "blank and nearly equal pictures among them are not counted" in page


def test_the_mean_of_frames_says_that_it_is_of_movies_with_frames(
    make_raw: Callable[..., Path], tmp_path: Path
) -> None:
    snapshot = published(make_raw(), tmp_path)
    page, _ = page_of(snapshot, None, tmp_path)
    assert ">mean frames per movie that has frames<" in page
    assert "A movie with pictures has " in page


@pytest.mark.parametrize(
    ("emptied", "words"),
    [
        ("frame_likes", "There are no frame likes for testing"),
        ("frames", "The dataset has no frames"),
        ("images", "No pictures are available"),
        (None, "How easily people are found"),
    ],
)
def test_what_is_missing_is_said(
    emptied: str | None, words: str, make_raw: Callable[..., Path], ask_again: Callable[..., int], tmp_path: Path
) -> None:
    raw = make_raw()
    for name in {"frames": ("frames", "images", "frame_likes"), None: ()}.get(emptied, (emptied,)):
        write_table(empty(RAW_TABLES[str(name)]), RAW_TABLES[str(name)], raw / f"{name}.parquet")
    snapshot = published(raw, tmp_path)
    page, path = page_of(snapshot, raw, tmp_path)
    assert words in page
    assert ask_again(page, snapshot.path, path.parent, documents=DOCUMENTS) > 30


IMPORT = {"source": "import", "file": "sales.csv", "options": {"item_column": "productId"}}


def test_an_import_s_page_has_its_words_and_neither_the_paper_nor_a_crawl(
    make_raw: Callable[..., Path],
    ask_again: Callable[..., int],
    run_command: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
) -> None:
    raw = make_raw()
    write_json(raw / "provenance.json", IMPORT)
    snapshot = published(raw, tmp_path)
    page, path = page_of(snapshot, raw, tmp_path)
    shown = re.sub(r"data-from=\".*?\"|(?:alt|title)=\".*?\"|<style>.*?</style>|<svg.*?>", "", page, flags=re.S)
    assert "products" in shown
    assert not re.findall(r"(?i)\bmovies?\b|\bwatch|Wu et al|Health of the crawl|16,166", shown)
    assert ask_again(page, snapshot.path, path.parent, documents=DOCUMENTS) > 60
    crawled, _ = page_of(published(make_raw(seed=1), tmp_path / "other"), None, tmp_path / "other")
    assert "16,166" in crawled
    status, out, _ = run_command(dataset_app, "build", "--raw", str(raw), "--to", str(tmp_path / "again"))
    assert status == 0
    assert "(paper:" not in out
    assert re.search(r"with \d+ products", out)


LABELS = {
    "in one line": ["1", "2–3", "4–7"],
    "in two lines": [f"{10 * 2**n}–{10 * 2 ** (n + 1) - 1}" for n in range(8)],
    "turned": [f"{2**n:,}–{2 ** (n + 1) - 1:,}" for n in range(20)],
    "turned, some": [str(n) * 5 for n in range(40)],
}


@pytest.mark.parametrize("lines", LABELS)
def test_labels_of_large_ranges_do_not_touch(
    lines: str, look_at: Callable[[Path], dict[str, Any]], tmp_path: Path
) -> None:
    labels = LABELS[lines]
    rows = pl.DataFrame({"label": labels, "n": range(len(labels))})
    axis = category_axis(labels, WIDTH_PX)
    chart = alt.Chart(rows).mark_bar().encode(alt.X("label:N", sort=None, axis=axis), alt.Y("n:Q", axis=None))
    drawn = Chart("c", "", "", "a chart", render_svg(chart)).inline_svg()
    style = "<meta name=viewport content='width=device-width'><style>svg { width: 100% }</style>"
    page = f"<html lang=en>{style}<body>{drawn}"
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    seen = look_at(tmp_path / "page.html")
    assert (seen["overlaps"], seen["outside"]) == ([], [])
    assert ("rotate(310" in drawn) == lines.startswith("turned")
    assert ("<tspan" in drawn) == (lines == "in two lines")


def test_a_long_reason_stands_in_two_lines_above_its_bar(
    look_at: Callable[[Path], dict[str, Any]], tmp_path: Path
) -> None:
    dropped = [
        ("user has no interaction with the movie in the dataset, and so on", Number(5, "")),
        ("odd", Number(1, "")),
    ]
    chart = attrition_chart("c", "t", "ratings", Number(30, ""), dropped, [("for training", Number(24, ""))])
    style = "<meta name=viewport content='width=device-width'><style>svg { width: 100% }</style>"
    (tmp_path / "page.html").write_text(f"<html lang=en>{style}<body>{chart.inline_svg()}", encoding="utf-8")
    seen = look_at(tmp_path / "page.html")
    assert (seen["overlaps"], seen["outside"]) == ([], [])
    assert "<tspan" in chart.svg


def test_years_are_labelled_at_equal_steps() -> None:
    years = [str(year) for year in range(1990, 2026)]
    shown = year_axis(years, WIDTH_PX).to_dict()["values"]
    steps = {int(after) - int(before) for before, after in itertools.pairwise(shown)}
    assert len(steps) == 1
    assert 4 <= len(shown) <= 12
    assert year_axis(years[:3], WIDTH_PX).to_dict()["values"] == years[:3]


def test_a_frame_on_the_sheet_is_named_by_title_and_id(make_raw: Callable[..., Path], tmp_path: Path) -> None:
    raw = make_raw()
    movies = read_table(raw / "movies.parquet", RAW_TABLES["movies"])
    write_table(movies.with_columns(title=pl.lit("霸王别姬")), RAW_TABLES["movies"], raw / "movies.parquet")
    page, _ = page_of(published(raw, tmp_path), raw, tmp_path)
    assert re.search(r'title="霸王别姬 \([^)]+\)"', page)
    assert "PingFang SC" in page


def test_titles_cannot_break_the_page(make_raw: Callable[..., Path], tmp_path: Path) -> None:
    raw = make_raw()
    movies = read_table(raw / "movies.parquet", RAW_TABLES["movies"])
    write_table(
        movies.with_columns(title=pl.lit('"><script>alert(1)</script>')), RAW_TABLES["movies"], raw / "movies.parquet"
    )
    page, _ = page_of(published(raw, tmp_path), raw, tmp_path)
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_distributions_count_everything_once() -> None:
    users = [f"u{n}" for n in range(40) for _ in range(n + 1)]
    interactions = pl.DataFrame({"user_id": users, "movie_id": [f"m{n % 7}" for n in range(len(users))]}).with_columns(
        rated_on=pl.lit(None, pl.Date)
    )
    movies = pl.DataFrame({"movie_id": [f"m{n}" for n in range(9)]})
    frames = pl.DataFrame({"movie_id": ["m0", "m0", "m1"]})
    table = distributions(
        interactions, movies, frames, pl.DataFrame(schema={"user_id": pl.String, "movie_id": pl.String})
    )
    activity = table.filter(distribution="interactions per user").select("low", "high", "n").rows()
    assert activity == [(1, 1, 1), (2, 3, 2), (4, 7, 4), (8, 15, 8), (16, 31, 16), (32, 63, 9)]
    assert table.filter(distribution="frames per movie").select("low", "n").rows() == [(0, 7), (1, 1), (2, 1)]
    assert set(table["distribution"]) == {"interactions per user", "interactions per movie", "frames per movie"}
    top = concentration(interactions).filter(of="user", top_share=0.1)
    assert top.select("n", "share").row(0) == (4, (40 + 39 + 38 + 37) / 820)


def test_the_pace_counts_pages_that_were_asked_for() -> None:
    assert crawl_pace(CRAWL) == {"pages": 23, "minutes": 180, "hours": 3, "pages_per_hour": pytest.approx(23 / 3)}
    assert crawl_pace({"source": "import"}) == {}


def test_a_number_carries_its_question_and_several_rows_have_no_one_value() -> None:
    numbers = NumberSource(
        {"t.parquet": pl.DataFrame({"a": ["x", "x", "y"], "v": [1.0, 3.0, 4.0]})}, {"d.json": {"k": {"n": 7}}}
    )
    mean = numbers.of("t.parquet", "mean(v)", a="x")
    assert mean == Number(2.0, "t.parquet?a=x#mean(v)")
    assert numbers.of("t.parquet", "v", a="z") is None
    assert numbers.at("d.json", "k", "missing") is None
    with pytest.raises(ValueError, match="2 match; add a filter"):
        numbers.of("t.parquet", "v", a="x")
    one = numbers.of("t.parquet", "v", a="y")
    assert one is not None
    assert mean is not None
    assert relative_gain(one, mean).value == 1.0
    with pytest.raises(ValueError, match="a computed number cannot be used"):
        total(relative_gain(one, mean), mean)
    assert str(show(mean, "+.1%")) == '<data value="2.0" data-from="t.parquet?a=x#mean(v)">+200.0\u202f%</data>'
    assert "–" in show(None)
