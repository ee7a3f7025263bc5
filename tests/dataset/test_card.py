"""The card, `croissant.json` and `show` explain every column, the data's origin, and what a model must not see."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dataframely as dy
import numpy as np
import pandas as pd
import polars as pl
import pytest

from dataset.__main__ import main
from dataset.building.build import DatasetConfig, build
from dataset.columns import ColumnType, describe_columns, describe_table, leaking_columns
from dataset.commands.snapshots import show
from dataset.description import read_description, write_description
from dataset.feature_schema import FrameFeature
from dataset.files import write_json
from dataset.schema import SNAPSHOT_TABLES, SnapshotFrame, SnapshotMovie
from dataset.snapshots.card import render_card
from dataset.snapshots.manifest import Manifest
from dataset.snapshots.publication import PublicationConfig
from dataset.snapshots.publish import publish
from dataset.snapshots.snapshot import Snapshot
from dataset.tables import write_table

README = Path(__file__).resolve().parents[2] / "dataset" / "README.md"
WIDTH = 8
COLUMNS = [(table, name) for table, schema in SNAPSHOT_TABLES.items() for name in schema.column_names()]
LEAKING = [
    ("movies", "rating_mean"),
    ("movies", "rating_count"),
    ("frames", "like_count"),
    ("frames", "is_held_out"),
]


@pytest.fixture(scope="module")
def snapshot(raw_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """A snapshot with all tables."""
    folder = tmp_path_factory.mktemp("card")
    dataset = build(raw_once, folder / "dataset", DatasetConfig()).path
    frames = pl.read_parquet(dataset / "frames.parquet").select("frame_id").sort("frame_id")
    vectors = np.arange(frames.height * WIDTH, dtype=np.float16).reshape(-1, WIDTH)
    features = frames.with_columns(
        image_sha256=pl.lit("0" * 64), feature=pl.Series(vectors, dtype=pl.Array(pl.Float16, WIDTH))
    )
    write_table(features, FrameFeature, dataset / "frame_features.parquet")
    extractor = {"architecture": "made", "node": "none", "weights": "random:0", "is_random": True}
    write_description(dataset, read_description(dataset) | {"extractor": extractor})
    return publish(dataset, "toy", folder / "snapshots", PublicationConfig(train_likes=True))[0]


def card_of(snapshot: Snapshot) -> str:
    return (snapshot.path / "README.md").read_text("utf-8")


def shown(snapshot: Snapshot, capsys: pytest.CaptureFixture[str], **options: bool) -> str:
    capsys.readouterr()
    show(str(snapshot.path), **options)
    return capsys.readouterr().out


def one_line(text: str) -> str:
    return " ".join(text.split())


# --- columns -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("table", "name"), COLUMNS)
def test_every_column_says_what_it_means_and_what_a_null_says(table: str, name: str) -> None:
    column: dy.Column = SNAPSHOT_TABLES[table].columns()[name]
    described = {one.name: one for one in describe_columns(SNAPSHOT_TABLES[table])}[name]
    assert described.meaning.endswith((".", "?"))
    assert described.null != "" if column.nullable else described.null == "never"
    is_number = column.dtype.is_numeric()
    assert bool(described.unit) == is_number
    assert bool(described.values) == (is_number or isinstance(column, dy.Enum))


def test_every_table_says_what_a_row_is() -> None:
    assert all(describe_table(schema).startswith("One row per ") for schema in SNAPSHOT_TABLES.values())


def test_every_column_is_described_alike_in_card_croissant_and_show(
    snapshot: Snapshot, capsys: pytest.CaptureFixture[str]
) -> None:
    card, words = card_of(snapshot), shown(snapshot, capsys)
    croissant = json.loads((snapshot.path / "croissant.json").read_text("utf-8"))
    fields = {field["@id"]: field for records in croissant["recordSet"] for field in records["field"]}
    assert set(snapshot.manifest.tables) == set(SNAPSHOT_TABLES) - {"users"}
    for table, entry in snapshot.manifest.tables.items():
        of_card = card.partition(f"\n### {table}\n")[2].partition("\n#")[0]
        of_show = one_line(words.partition(f"\n\n{table}: ")[2].partition("\n\n")[0])
        told = describe_table(SNAPSHOT_TABLES[table])
        assert of_show.startswith(told)
        assert told in of_card
        assert {record["name"]: record["description"] for record in croissant["recordSet"]}[table] == told
        for column in describe_columns(SNAPSHOT_TABLES[table], entry.columns):
            row = next(line for line in of_card.splitlines() if line.startswith(f"| `{column.name}` |"))
            field = fields[f"{table}/{column.name}"]["description"]
            for fact in filter(None, (column.meaning, column.unit, column.values, column.null, column.leakage)):
                assert fact.rstrip(".") in row
                assert fact.rstrip(".") in field
                assert fact == "never" or fact.rstrip(".") in of_show
            assert column.type in row
            assert f"{column.name}: {column.type}" in of_show


def test_show_fits_80_columns_and_can_leave_the_columns_out(
    snapshot: Snapshot, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, brief = shown(snapshot, capsys), shown(snapshot, capsys, brief=True)
    described = whole.removeprefix(brief)
    assert described != whole
    assert max(map(len, described.splitlines())) <= 80
    assert "train_stars_mean" not in brief


def test_the_type_of_a_feature_names_its_width(snapshot: Snapshot) -> None:
    assert f"| `feature` | float16 × {WIDTH} |" in card_of(snapshot)


@pytest.mark.parametrize(
    ("dtype", "words"),
    [
        ("String", "text"),
        ("Enum(categories=['a', 'b'])", "text"),
        ("List(String)", "list of text"),
        ("Array(Float16, shape=(4096,))", "float16 × 4096"),
        ("Datetime(time_unit='us', time_zone='UTC')", "timestamp in UTC"),
        ("Date", "date"),
        ("UInt32", "uint32"),
    ],
)
def test_a_type_is_said_in_words(dtype: str, words: str) -> None:
    assert ColumnType.parse(dtype).in_words() == words


def test_a_column_of_a_later_version_is_named_without_a_guess() -> None:
    (unknown,) = describe_columns(SnapshotMovie, {"budget": "Float64"})
    assert (unknown.name, unknown.type, unknown.null) == ("budget", "float64", "")
    assert "later version" in unknown.meaning


def test_a_column_that_an_older_dataset_lacks_is_in_no_description(
    make_raw: Callable[..., Path], tmp_path: Path
) -> None:
    dataset = build(make_raw(), tmp_path / "dataset", DatasetConfig()).path
    older = pl.read_parquet(dataset / "movies.parquet").drop("train_stars_mean")
    older.write_parquet(dataset / "movies.parquet")
    write_description(dataset, read_description(dataset))
    published, _ = publish(dataset, "toy", tmp_path / "snapshots")
    assert "train_stars_mean" not in published.manifest.tables["movies"].columns
    croissant = json.loads((published.path / "croissant.json").read_text("utf-8"))
    assert "movies/train_stars_mean" not in json.dumps(croissant)
    assert published.read("movies")["train_stars_mean"].null_count() == published.read("movies").height


def tables_for_readme() -> str:
    lines = []
    for table, schema in SNAPSHOT_TABLES.items():
        lines += [f"**`{table}`** {describe_table(schema)}", ""]
        lines += ["| column | type | meaning | null means |", "|---|---|---|---|"]
        for column in describe_columns(schema):
            values = "; ".join(filter(None, (column.unit, column.values)))
            kind = f"{column.type} ({values})" if values else column.type
            mark = " **Leakage.**" if column.leakage else ""
            lines.append(f"| `{column.name}` | {kind} | {column.meaning}{mark} | {column.null} |")
        lines.append("")
    return "\n".join(lines)


def test_the_readme_describes_the_tables_as_the_schema_does() -> None:
    written = README.read_text("utf-8").partition("## Tables of a snapshot\n")[2].partition("\n## ")[0]
    assert tables_for_readme() in written, f"put this into dataset/README.md:\n{tables_for_readme()}"


# --- leakage -----------------------------------------------------------------------------------


def test_the_columns_that_count_held_out_rows_are_marked() -> None:
    marked = [(table, name) for table, schema in SNAPSHOT_TABLES.items() for name in leaking_columns(schema)]
    assert marked == LEAKING


@pytest.mark.parametrize(("table", "name"), LEAKING)
def test_a_leaking_column_is_called_so_in_card_croissant_and_show(
    table: str, name: str, snapshot: Snapshot, capsys: pytest.CaptureFixture[str]
) -> None:
    how = leaking_columns(SNAPSHOT_TABLES[table])[name]
    assert f"- **`{table}.{name}`**: {how}" in card_of(snapshot)
    assert f"**Leakage:** {how}" in card_of(snapshot)
    assert f"Leakage: {how}" in (snapshot.path / "croissant.json").read_text("utf-8")
    assert f"Leakage: {how}" in one_line(shown(snapshot, capsys))


def test_the_counts_of_the_train_split_see_no_held_out_row(make_raw: Callable[..., Path], tmp_path: Path) -> None:
    raw = make_raw()
    dataset = build(raw, tmp_path / "dataset", DatasetConfig()).path
    interactions = pl.read_parquet(dataset / "interactions.parquet").filter(pl.col("split") == "train")
    movies = pl.read_parquet(dataset / "movies.parquet")
    assert movies["train_interaction_count"].sum() == interactions.height
    for movie, count, mean in movies.select("movie_id", "train_interaction_count", "train_stars_mean").rows():
        stars = interactions.filter(pl.col("movie_id") == movie)["stars"]
        assert count == len(stars)
        assert mean == pytest.approx(stars.mean(), rel=1e-6)
    frames = pl.read_parquet(dataset / "frames.parquet")
    likes = pl.read_parquet(raw / "frame_likes.parquet").join(frames, on="frame_id")
    of_train = likes.join(interactions, on=["user_id", "movie_id"], how="semi")
    assert 0 < of_train.height < likes.height
    assert frames["train_like_count"].sum() == of_train.height
    assert frames["train_like_count"].null_count() == 0


def test_held_out_likes_and_ratings_change_no_train_count(make_raw: Callable[..., Path], tmp_path: Path) -> None:
    raw = make_raw()
    before = build(raw, tmp_path / "before", DatasetConfig()).path
    held_out = pl.read_parquet(before / "interactions.parquet").filter(pl.col("split") != "train")
    likes = pl.read_parquet(raw / "frame_likes.parquet").join(
        pl.read_parquet(before / "frames.parquet").select("frame_id", "movie_id"), on="frame_id"
    )
    others = likes.join(held_out, on=["user_id", "movie_id"], how="anti").drop("movie_id")
    others.write_parquet(raw / "frame_likes.parquet")
    after = build(raw, tmp_path / "after", DatasetConfig()).path
    assert pl.read_parquet(after / "frame_likes.parquet").is_empty()
    counts = [pl.read_parquet(folder / "frames.parquet")["train_like_count"] for folder in (before, after)]
    assert counts[0].equals(counts[1])


def test_without_any_like_there_is_no_count_of_likes(make_raw: Callable[..., Path], tmp_path: Path) -> None:
    raw = make_raw()
    pl.read_parquet(raw / "frame_likes.parquet").clear().write_parquet(raw / "frame_likes.parquet")
    frames = pl.read_parquet(build(raw, tmp_path / "dataset", DatasetConfig()).path / "frames.parquet")
    assert frames.schema["train_like_count"] == SnapshotFrame.columns()["train_like_count"].dtype
    assert frames["train_like_count"].null_count() == frames.height


# --- code in the card --------------------------------------------------------------------------


def blocks(card: str) -> Iterator[str]:
    yield from re.findall(r"^```python\n(.*?)^```$", card, re.M | re.S)


def test_the_snippet_joins_features_to_movies_in_polars_pandas_and_torch(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    (snippet,) = (block for block in blocks(card_of(snapshot)) if "torch" in block)
    monkeypatch.chdir(snapshot.path)
    names: dict[str, Any] = {}
    exec(snippet, names)
    features, in_pandas, matrix = names["features"], names["in_pandas"], names["matrix"]
    own = snapshot.read("frame_features").join(snapshot.read("frames"), on="frame_id")
    titles = dict(snapshot.read("movies").select("movie_id", "title").rows())
    expected = {frame: (movie, titles[movie]) for frame, movie in own.select("frame_id", "movie_id").rows()}
    assert {row[0]: row[1:] for row in features.select("frame_id", "movie_id", "title").rows()} == expected
    assert isinstance(in_pandas, pd.DataFrame)
    of_pandas = in_pandas[["frame_id", "movie_id", "title"]].itertuples(index=False, name=None)
    assert {row[0]: row[1:] for row in of_pandas} == expected
    assert str(matrix.dtype) == "torch.float16"
    vectors = dict(own.select("frame_id", "feature").rows())
    assert [list(row) for row in matrix.tolist()] == [list(vectors[frame]) for frame in features["frame_id"]]


def test_without_features_the_card_has_no_snippet_for_them(make_raw: Callable[..., Path], tmp_path: Path) -> None:
    dataset = build(make_raw(), tmp_path / "dataset", DatasetConfig()).path
    card = card_of(publish(dataset, "toy", tmp_path / "snapshots")[0])
    assert not [block for block in blocks(card) if "frame_features" in block]
    assert "reconstructs recognisable pictures" not in card


# --- datasheet ---------------------------------------------------------------------------------

CRAWL = {"source": "crawl", "site": "douban", "is_invented": False}
TIMES = {"first_request_at": "2025-01-02T03:04:05+00:00", "last_request_at": "2025-03-04T03:04:05+00:00"}
SOURCES = [
    (CRAWL | TIMES, ("public pages of douban from 2025-01-02 to 2025-03-04", "neither asked nor told", "HMAC-SHA256")),
    (
        CRAWL | {"pages": {"movie": {"done": 998, "failed": 1}, "collection": {"done": 2_000, "refused": 1}}},
        ("2 of 3,000 pages could not be read", "neither asked nor told", "HMAC-SHA256"),
    ),
    (CRAWL | {"is_invented": True}, ("an invented site", "all users are invented", "no real person")),
    (
        {"source": "import", "file": "mine.csv", "has_pictures": True},
        (
            "imported a file of their own (mine.csv) and a folder of pictures",
            "not recorded; ask",
            "of the imported file",
        ),
    ),
    (
        {"source": "elsewhere"},
        ("not recorded beyond its name: elsewhere", "not recorded; ask", "user ids come from is not recorded"),
    ),
]


def with_provenance(manifest: Manifest, provenance: dict[str, Any]) -> str:
    return render_card(replace(manifest, provenance=provenance, contact="data@example.org"))


@pytest.mark.parametrize(("provenance", "told"), SOURCES)
def test_the_datasheet_says_what_is_true_of_the_source(
    provenance: dict[str, Any], told: tuple[str, ...], snapshot: Snapshot
) -> None:
    card = with_provenance(snapshot.manifest, provenance)
    assert all(words in card for words in told)
    others = {words for other, said in SOURCES if other is not provenance for words in said} - set(told)
    assert [words for words in others if words in card] == []
    for question in ("Did the people in it consent?", "How can someone be removed?", "How were the data acquired?"):
        assert f"**{question}** " in card


def test_who_wants_to_be_removed_is_told_whom_to_ask(snapshot: Snapshot) -> None:
    assert "Write to data@example.org." in with_provenance(snapshot.manifest, CRAWL)
    assert "Write to the publisher, who has not stated a contact here." in render_card(
        replace(snapshot.manifest, provenance=CRAWL)
    )


def test_the_card_says_that_features_show_pictures(snapshot: Snapshot) -> None:
    card = card_of(snapshot)
    assert "reconstructs recognisable pictures" in card
    assert "cannot be turned back" not in card


def test_no_cell_of_a_table_is_cut_by_a_sign_of_markdown(snapshot: Snapshot) -> None:
    dropped = [{"table": "ratings", "reason": "odd | id\nof a user", "rows": 3}]
    card = render_card(replace(snapshot.manifest, quarantined=dropped))
    assert "| ratings | odd \\| id of a user | 3 |" in card


ORIGINS = {
    "invented": {"source": "crawl", "site": "sandbox.invalid", "is_invented": True},
    "crawl": {"source": "crawl", "site": "films.example"},
    "import": {"source": "import", "file": "a.csv"},
    "unknown": {},
}


@pytest.mark.parametrize(
    ("source", "left_out"),
    [("invented", []), ("crawl", []), ("import", ["rai:dataBiases"]),
     ("unknown", ["rai:dataCollectionType", "rai:dataBiases"])],
)  # fmt: skip
def test_croissants_fields_on_responsible_ai_are_the_cards_answers_and_unknown_ones_are_named(
    source: str, left_out: list[str], make_raw: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = make_raw()
    (raw / "provenance.json").unlink(missing_ok=True)
    if ORIGINS[source]:
        write_json(raw / "provenance.json", ORIGINS[source])
    dataset = build(raw, tmp_path / "dataset", DatasetConfig()).path
    main(["publish", "--dataset", str(dataset), "--name", "toy", "--root", str(tmp_path / "snapshots")])
    folder = tmp_path / "snapshots" / "toy" / "v0001"
    fields = {key: value for key, value in json.loads((folder / "croissant.json").read_text("utf-8")).items()
              if key.startswith("rai:")}  # fmt: skip
    expected = {"dataCollection", "dataCollectionType", "dataBiases", "dataLimitations", "dataUseCases",
                "dataSocialImpact", "dataAnnotationProtocol", "personalSensitiveInformation",
                "dataReleaseMaintenancePlan", "dataCollectionMissingData", "dataPreprocessingProtocol"}  # fmt: skip
    assert set(fields) == {f"rai:{name}" for name in expected} - set(left_out)
    said = [line for line in capsys.readouterr().out.splitlines() if "croissant.json leaves out" in line]
    assert [", ".join(left_out) in line for line in said] == ([True] if left_out else [])
    card = (folder / "README.md").read_text("utf-8")
    for field in ("dataBiases", "dataAnnotationProtocol", "dataSocialImpact", "dataUseCases"):
        assert fields.get(f"rai:{field}", "") in card
