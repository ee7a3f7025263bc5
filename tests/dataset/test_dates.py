"""How exactly dates of people's acts are published: no column forgets it, every reader goes on, everybody is told."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dataframely as dy
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from dataset.building.build import DatasetConfig, build
from dataset.building.split import SplitConfig
from dataset.columns import about
from dataset.commands.building import export_dataset
from dataset.commands.snapshots import publish_dataset, show
from dataset.dates import LEVELS, Dates, coarsen, default_dates, has_times, personal_dates
from dataset.errors import UsageError
from dataset.files import write_json
from dataset.report.dataset_report import write_dataset_report
from dataset.schema import SNAPSHOT_TABLES, Rating, SnapshotInteraction
from dataset.snapshots.diff import describe_changes, diff_tables
from dataset.snapshots.digest import TableDigest
from dataset.snapshots.publication import PublicationConfig
from dataset.snapshots.publish import publish
from dataset.snapshots.snapshot import Snapshot
from dataset.snapshots.verify import verify
from dataset.tables import write_table

MOMENT = datetime(2024, 5, 17, 13, 14, 15, tzinfo=UTC)
PERSONAL = [
    (table, name)
    for table, schema in SNAPSHOT_TABLES.items()
    for names in personal_dates(schema).values()
    for name in names
]
SOURCES: dict[str, dict[str, Any]] = {
    "a real site": {"source": "crawl", "site": "douban", "is_invented": False},
    "a site that nothing is known of": {"source": "crawl"},
    "no source": {},
    "an unknown source": {"source": "elsewhere"},
    "a source that only claims to be invented": {"source": "crawl", "is_invented": "yes"},
    "the sandbox": {"source": "crawl", "site": "sandbox", "is_invented": True},
    "a file": {"source": "import", "file": "mine.csv"},
}


# --- every column ------------------------------------------------------------------------------


class Diary(dy.Schema):
    """One row per act, with every kind of date that a later table may have."""

    user_id = dy.String(primary_key=True)
    seen_at = dy.Datetime(time_unit="us", time_zone="UTC", nullable=True)
    liked_on = dy.Date(nullable=True)
    liked_rank = dy.UInt32(nullable=True)
    woke = dy.Time(nullable=True)
    watched_for = dy.Duration(nullable=True)
    visits = dy.List(dy.Date(), nullable=True)
    premiere_on = dy.Date(nullable=True, **about("The film's first night.", impersonal=True))


DIARY = pl.DataFrame(
    {
        "user_id": ["a", "a", "b"],
        "seen_at": [MOMENT, MOMENT, None],
        "liked_on": [date(2024, 5, 31), date(2024, 5, 1), date(2024, 2, 29)],
        "woke": [MOMENT.time()] * 3,
        "watched_for": [timedelta(minutes=7)] * 3,
        "visits": [[date(2024, 5, 31)]] * 3,
        "premiere_on": [date(1999, 12, 31)] * 3,
    },
    schema_overrides={"seen_at": pl.Datetime("us", "UTC")},
)


def test_every_date_in_a_published_table_is_made_coarser_unless_it_is_called_impersonal() -> None:
    for table, schema in SNAPSHOT_TABLES.items():
        for name, column in schema.columns().items():
            holds_time = any(word in str(column.dtype) for word in ("Date", "Time", "Duration"))
            is_covered = (table, name) in PERSONAL or (column.metadata or {}).get("impersonal")
            assert not holds_time or is_covered, f"{table}.{name}"


def test_a_published_column_that_is_named_like_a_date_has_the_type_of_one() -> None:
    """A date that is kept as text or as a number would never be made coarser."""
    for table, schema in SNAPSHOT_TABLES.items():
        for name, column in schema.columns().items():
            if name.endswith(("_on", "_at", "_date", "_time", "_day")):
                assert column.dtype.is_temporal(), f"{table}.{name}"


@pytest.mark.parametrize(("table", "name"), PERSONAL)
def test_a_published_date_may_be_missing_and_may_become_an_order(table: str, name: str) -> None:
    schema = SNAPSHOT_TABLES[table]
    assert schema.columns()[name].nullable
    assert f"{name.rpartition('_')[0]}_rank" in schema.column_names()
    assert "user_id" in schema.column_names()


@pytest.mark.parametrize("dates", LEVELS)
def test_no_kind_of_date_is_forgotten(dates: Dates) -> None:
    coarse = coarsen(DIARY, Diary, dates)
    assert coarse["premiere_on"].equals(DIARY["premiere_on"])
    if dates == "time":
        assert_frame_equal(coarse, DIARY)
        return
    assert not has_times(coarse.lazy(), Diary)
    for name in ("seen_at", "woke", "watched_for", "visits"):
        assert coarse[name].null_count() == 3, name
    days = {"day": DIARY["liked_on"].to_list(), "month": [date(2024, 5, 1)] * 2 + [date(2024, 2, 1)]}
    assert coarse["liked_on"].to_list() == days.get(dates, [None] * 3)
    assert ("liked_rank" in coarse.columns) == (dates == "order")
    if dates == "order":
        assert coarse["liked_rank"].to_list() == [2, 1, 1]


@pytest.mark.parametrize("dates", LEVELS)
def test_what_is_coarse_stays_as_it_is(dates: Dates) -> None:
    once = coarsen(rated(), SnapshotInteraction, dates)
    assert_frame_equal(coarsen(once, SnapshotInteraction, dates), once)


def rated() -> pl.DataFrame:
    rows = [
        ("a", "1", date(2024, 5, 17), MOMENT),
        ("a", "2", date(2024, 5, 17), MOMENT + timedelta(seconds=1)),
        ("a", "3", date(2024, 5, 17), None),
        ("a", "4", date(2024, 5, 17), MOMENT),
        ("a", "5", None, None),
        ("a", "6", date(2023, 1, 2), None),
        ("b", "1", None, MOMENT),
    ]
    types = {"user_id": pl.String, "movie_id": pl.String, "rated_on": pl.Date, "rated_at": pl.Datetime("us", "UTC")}
    return pl.DataFrame(rows, schema=types, orient="row")


def test_a_rank_counts_the_moments_of_each_user_and_ties_share_it() -> None:
    """Of one day, the rating without a time comes first; one without any date has no rank."""
    assert coarsen(rated(), SnapshotInteraction, "order")["rated_rank"].to_list() == [3, 4, 2, 3, None, 1, 1]


def test_a_month_is_known_where_only_the_moment_is() -> None:
    assert coarsen(rated(), SnapshotInteraction, "month")["rated_on"][6] == date(2024, 5, 1)


# --- publishing --------------------------------------------------------------------------------


def timed_raw(raw: Path, provenance: dict[str, Any]) -> Path:
    """Give the ratings of a raw folder a time of day, and the folder this provenance."""
    ratings = pl.read_parquet(raw / "ratings.parquet")
    at = pl.col("rated_on").cast(pl.Datetime("us")).dt.replace_time_zone("UTC") + pl.duration(
        seconds=pl.int_range(pl.len()) * 97 % 86_400
    )
    write_table(ratings.with_columns(rated_at=at), Rating, raw / "ratings.parquet")
    write_json(raw / "provenance.json", provenance)
    return raw


@pytest.fixture
def published(make_raw: Callable[..., Path], tmp_path: Path) -> Callable[..., Snapshot]:
    """A function that publishes ratings with times, of a source, with dates as wanted."""

    def do(dates: Dates | None = None, source: str = "a real site", **split: Any) -> Snapshot:
        raw = timed_raw(make_raw(), SOURCES[source])
        dataset = build(raw, tmp_path / "dataset", DatasetConfig(split=SplitConfig(**split))).path
        return publish(dataset, "toy", tmp_path / "snapshots", PublicationConfig(dates=dates))[0]

    return do


def files_with_dates(snapshot: Snapshot) -> Iterator[pl.DataFrame]:
    yield from (pl.read_parquet(path) for path in snapshot.path.rglob("*.parquet"))


def is_as_coarse(rows: pl.DataFrame, dates: Dates) -> bool:
    days = rows["rated_on"].drop_nulls()
    return {
        "time": rows["rated_at"].null_count() < rows.height,
        "day": rows["rated_at"].null_count() == rows.height and days.dt.day().n_unique() > 1,
        "month": rows["rated_at"].null_count() == rows.height and days.len() > 0 and (days.dt.day() == 1).all(),
        "order": rows["rated_at"].null_count() == rows["rated_on"].null_count() == rows.height,
    }[dates]


@pytest.mark.parametrize("dates", LEVELS)
def test_every_file_of_a_snapshot_has_dates_as_coarse_as_wanted(
    dates: Dates, published: Callable[..., Snapshot]
) -> None:
    snapshot = published(dates)
    found = [rows for rows in files_with_dates(snapshot) if "rated_on" in rows.columns]
    assert len(found) == 4  # the table, and its three splits
    assert all(is_as_coarse(rows, dates) for rows in found)
    assert verify(snapshot) == []
    assert snapshot.manifest.dates == dates
    ranks = snapshot.read("interactions")["rated_rank"]
    assert ranks.null_count() == (0 if dates == "order" else len(ranks))


@pytest.mark.parametrize("dates", LEVELS)
def test_a_temporal_split_is_drawn_from_the_exact_times(dates: Dates, published: Callable[..., Snapshot]) -> None:
    exact = published("time", strategy="temporal").read("interactions")
    coarse = published(dates, strategy="temporal").read("interactions")
    keys = ["user_id", "movie_id", "split"]
    assert coarse.select(keys).equals(exact.select(keys))
    newest = exact.filter(split="train")["rated_at"].max()
    assert (exact.filter(split="test")["rated_at"] >= newest).all()


@pytest.mark.parametrize("source", SOURCES)
def test_dates_are_coarse_by_default_unless_people_are_invented_or_imported(
    source: str, published: Callable[..., Snapshot]
) -> None:
    if source == "a source that only claims to be invented":
        assert default_dates(SOURCES[source]) == "month"
        return
    expected: Dates = "time" if source in ("the sandbox", "a file") else "month"
    snapshot = published(source=source)
    assert snapshot.manifest.dates == expected
    assert is_as_coarse(snapshot.read("interactions"), expected)


def test_without_times_exact_dates_are_days_and_the_tables_are_those_of_the_build(
    make_raw: Callable[..., Path], tmp_path: Path
) -> None:
    raw = make_raw()
    write_json(raw / "provenance.json", SOURCES["the sandbox"])
    dataset = build(raw, tmp_path / "dataset", DatasetConfig()).path
    snapshot, _ = publish(dataset, "toy", tmp_path / "snapshots")
    assert snapshot.manifest.dates == "day"
    same = (snapshot.path / "interactions.parquet").read_bytes() == (dataset / "interactions.parquet").read_bytes()
    assert same
    assert "rated_rank" not in snapshot.manifest.tables["interactions"].columns
    for dates in ("time", "day"):
        again, is_new = publish(dataset, "toy", tmp_path / "snapshots", PublicationConfig(dates=dates))
        assert (again.version, is_new) == (1, False)


def test_a_new_optional_column_changes_no_digest(make_raw: Callable[..., Path], tmp_path: Path) -> None:
    """The digest of a table covers the columns of its file, not those that a later version of the code knows."""
    raw = make_raw()
    write_json(raw / "provenance.json", SOURCES["the sandbox"])
    dataset = build(raw, tmp_path / "dataset", DatasetConfig()).path
    snapshot, _ = publish(dataset, "toy", tmp_path / "snapshots")
    rows = pl.read_parquet(dataset / "interactions.parquet")
    assert "rated_rank" not in rows.columns
    assert snapshot.manifest.tables["interactions"].content_sha256 == digest_of(rows)


def digest_of(rows: pl.DataFrame) -> str:
    digest = TableDigest(rows.schema)
    digest.update(rows)
    return digest.hexdigest()


def test_other_dates_are_another_version_and_the_same_are_not(published: Callable[..., Snapshot]) -> None:
    versions = [published(dates).version for dates in (None, "month", "day", "day", "order", None)]
    assert versions == [1, 1, 2, 2, 3, 4]


def test_who_publishes_is_told_that_an_earlier_version_has_more_exact_dates(
    published: Callable[..., Snapshot], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published("day")
    options: dict[str, Any] = {"dataset": tmp_path / "dataset", "name": "toy", "root": str(tmp_path / "snapshots")}
    publish_dataset(**options)
    told = capsys.readouterr().out
    assert "month: the first day of the month" in told
    assert "note: toy v0001 may have more exact dates under the same user ids" in told
    publish_dataset(**options, publication=PublicationConfig(dates="day"))
    assert "note:" not in capsys.readouterr().out


# --- who is told -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dates", "of_day", "of_moment"),
    [
        ("month", "Published as the first day of its month.", "dates are published as months"),
        ("order", "only the order of dates is published", "only the order of dates is published"),
        ("day", "The day of the rating, in UTC.", "dates are published as days"),
    ],
)
def test_card_croissant_show_and_report_say_how_exact_dates_are(
    dates: Dates,
    of_day: str,
    of_moment: str,
    published: Callable[..., Snapshot],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    snapshot = published(dates)
    card = (snapshot.path / "README.md").read_text("utf-8")
    croissant = json.loads((snapshot.path / "croissant.json").read_text("utf-8"))
    fields = {field["@id"]: field["description"] for table in croissant["recordSet"] for field in table["field"]}
    show(str(snapshot.path))
    shown = " ".join(capsys.readouterr().out.split())
    page = write_dataset_report(snapshot, None, tmp_path / "report").read_text("utf-8")
    assert f"**Dates of people's acts:** {dates}: " in card
    assert f"dates {dates}: " in shown
    assert f"{dates}: " in croissant["rai:dataPreprocessingProtocol"]
    assert f"are published: {dates}: " in page
    rows = {line.split("`")[1]: line for line in card.splitlines() if line.startswith("| `rated_")}
    for name, words in (("rated_on", of_day), ("rated_at", of_moment)):
        assert words in rows[name]
        assert words in fields[f"interactions/{name}"]
        assert words in shown
    assert ("rated_rank" in rows) == (dates == "order")
    assert ("Only the order of dates is published." in page) == (dates == "order")


def test_diff_tells_that_dates_became_coarser(published: Callable[..., Snapshot]) -> None:
    before, after = published("day"), published("month")
    lines = list(describe_changes(before, after, diff_tables(before, after)))
    assert "dates: day → month" in lines
    assert any("rated_on in" in line for line in lines)
    assert any(line.startswith("singled out by 4 random points (movie and day)") for line in lines)


# --- readers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dates", ["month", "order"])
@pytest.mark.parametrize("file_format", ["recbole", "lightgcn", "uir", "uirt"])
def test_every_export_works_or_says_what_to_do(
    dates: Dates,
    file_format: Any,
    published: Callable[..., Snapshot],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    snapshot = published(dates)
    if (dates, file_format) == ("order", "uirt"):
        with pytest.raises(UsageError, match="use --format recbole, which takes the order"):
            export_dataset(snapshot.path, to=tmp_path / "out", format=file_format)
        return
    export_dataset(snapshot.path, to=tmp_path / "out", format=file_format)
    assert f"dates of people's acts: {dates}: " in capsys.readouterr().out
    if file_format == "recbole":
        settings = (tmp_path / "out/dataset/dataset.yaml").read_text("utf-8")
        assert f"TIME_FIELD: {'rated_rank' if dates == 'order' else 'timestamp'}\n" in settings
        rows = pl.read_csv(tmp_path / "out/dataset/dataset.train.inter", separator="\t")
        assert rows.columns[-1] == ("rated_rank:float" if dates == "order" else "timestamp:float")


def test_an_export_of_a_dataset_of_real_people_says_that_its_dates_are_exact(
    published: Callable[..., Snapshot], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for source, is_said in (("a real site", True), ("the sandbox", False), ("a file", False)):
        published(source=source)
        capsys.readouterr()
        export_dataset(tmp_path / "dataset", to=tmp_path / source)
        assert ("the exact dates of real people" in capsys.readouterr().out) == is_said
