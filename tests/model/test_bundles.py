"""Results are packed into a bundle, and a bundle with a number that does not follow from its ranks is refused."""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from dataset.errors import InvalidBundleError, InvalidSnapshotError, MissingInputError, PipelineError, UsageError
from dataset.snapshots.snapshot import Snapshot, open_snapshot
from model import bundle, evaluate, experiment, train, verify_results
from model.bundles.contents import TABLES
from model.bundles.reading import open_bundle
from model.bundles.recomputed import comparisons_of
from model.bundles.verify import NOT_DETECTED, verify_bundle
from model.data.tables import Tables
from model.experiments import experiment as experiments
from model.schema import SliceMetric

USERS, MOVIES, FRAMES = 12, 30, 4
STUDY = """
seeds = [0]

[evaluation]
item_ks = [1, 5]
frame_ks = [2]
n_negatives = 8

[statistics]
n_bootstrap = 20
baseline = "popular"

[models.popular]

[models.random]
"""
Run = Callable[..., tuple[int, str, str]]
Content = dict[str, Any]
"""The tables of a bundle by name, and its `manifest`."""


def _varied(tables: Tables) -> Tables:
    """Return invented tables with several test items per user, ties, and frames without features."""
    draw = torch.Generator().manual_seed(1)
    movies = [f"m{movie:02d}" for movie in range(MOVIES)]
    frames = [(f"{movie}f{frame}", movie) for movie in movies for frame in range(FRAMES)]
    rows, likes = [], []
    for user in range(USERS):
        order = torch.randperm(MOVIES, generator=draw).tolist()
        for place, number in enumerate(order[:9]):
            split = "train" if place < 5 else "validation" if place == 5 else "test"
            rows.append({"user_id": f"u{user:02d}", "movie_id": movies[number], "split": split})
            if split == "test":
                liked = torch.randperm(FRAMES, generator=draw)[: 1 + place % 3].tolist()
                likes += [rows[-1] | {"frame_id": f"{movies[number]}f{frame}"} for frame in liked]
    features = [
        {"frame_id": frame, "image_sha256": "0" * 64, "feature": torch.randn(4, generator=draw).half().tolist()}
        for number, (frame, _) in enumerate(frames)
        if number % 9
    ]
    return Tables(
        movies=_like(tables.movies, [{"movie_id": one, "title": "", "genres": [], "directors": []} for one in movies]),
        frames=_like(tables.frames, [{"frame_id": one, "movie_id": movie, "kind": "still"} for one, movie in frames]),
        interactions=_like(tables.interactions, rows),
        frame_likes=_like(tables.frame_likes, likes),
        frame_features=pl.DataFrame(
            features, schema={"frame_id": pl.String, "image_sha256": pl.String, "feature": pl.Array(pl.Float16, 4)}
        ),
    )


def _like(table: pl.DataFrame, rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame([{name: row.get(name) for name in table.columns} for row in rows], schema=table.schema)


@pytest.fixture(scope="module")
def home(
    publish_below: Callable[[Path, Tables], Snapshot], tables: Tables, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with a snapshot, the experiment of a study of two models, and its bundle."""
    home = tmp_path_factory.mktemp("home")
    publish_below(home / "data", _varied(tables))
    (home / "study.toml").write_text(STUDY)
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(home)
        patched.setattr(experiments, "write_report", lambda folder, *_: folder / "experiment.json")
        experiment.main(["study.toml", "--jobs", "1", "--threads", "1"])
        bundle.main(["data/experiments/study/toy-v0001"])
    return home


@pytest.fixture
def command(run_command: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a module's command in the folder; return exit status, stdout and stderr."""
    monkeypatch.chdir(home)
    return lambda module, *arguments: run_command(module.app, *map(str, arguments))


@pytest.fixture
def honest(home: Path) -> Path:
    return home / "data/bundles/study-toy-v0001.zip"


@pytest.fixture
def snapshot(home: Path) -> Snapshot:
    return open_snapshot(home / "data/snapshots/toy/v0001")


def read(path: Path) -> Content:
    """Return the tables and the manifest of a bundle, and its other files as bytes."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    tables = {name: pl.read_parquet(files.pop(f"{name}.parquet")) for name in TABLES}
    return {"manifest": json.loads(files.pop("bundle.json")), **tables, **files}


def forged(content: Content, path: Path) -> Path:
    """Write a bundle as a forger does: with the digests of the files that it has."""
    content = dict(content)
    files = {}
    for name, part in content.items():
        if isinstance(part, pl.DataFrame):
            buffer = io.BytesIO()
            part.write_parquet(buffer)
            files[f"{name}.parquet"] = buffer.getvalue()
        elif isinstance(part, bytes):
            files[name] = part
    manifest = content["manifest"] | {"files": {n: hashlib.sha256(part).hexdigest() for n, part in files.items()}}
    return archived({"bundle.json": json.dumps(manifest).encode()} | files, path)


def archived(files: dict[str, bytes], path: Path, **options: Any) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_an_honest_bundle_is_confirmed_and_says_what_it_cannot_detect(command: Run, honest: Path) -> None:
    status, out, err = command(verify_results, honest)
    assert (status, err) == (0, "")
    assert "confirmed for toy v0001" in out
    assert all(words in out for words in NOT_DETECTED)
    status, out, _ = command(verify_results, honest, "--runs", "data/runs")
    assert (status, out.count("its weights give the same"), NOT_DETECTED[0] in out) == (0, 2, False)


def test_a_bundle_that_is_written_again_is_not_changed(honest: Path, snapshot: Snapshot, tmp_path: Path) -> None:
    verify_bundle(open_bundle(forged(read(honest), tmp_path / "same.zip")), snapshot)


def test_the_same_runs_give_the_same_bytes(command: Run, honest: Path, tmp_path: Path) -> None:
    assert command(bundle, "data/experiments/study/toy-v0001", "--to", tmp_path / "again.zip")[0] == 0
    assert (tmp_path / "again.zip").read_bytes() == honest.read_bytes()


def _changes(table: pl.DataFrame, rows: list[int]) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield a table with one value changed, for each column, and tables with rows removed, repeated and exchanged."""
    last = table.height - 1
    for name, dtype in table.schema.items():
        for row in rows:
            values = table[name].to_list()
            values[row] = _another(values, row, dtype)
            yield f"{name} of row {row}", table.with_columns(pl.Series(name, values, dtype=dtype))
    numbers = [name for name, dtype in table.schema.items() if dtype.is_numeric() and name not in ("seed", "k")]
    for one, other in ((0, 1), (0, last // 2)):
        if table[one].select(numbers).row(0) != table[other].select(numbers).row(0):
            order = [other if row == one else one if row == other else row for row in range(table.height)]
            yield f"rows {one} and {other} exchanged", table.with_columns(table[order].select(numbers))
    yield "a row removed", table[1:]
    yield "a row repeated", pl.concat([table, table[:1]])
    yield "no row", table.head(0)


def _another(values: list[Any], row: int, dtype: pl.DataType) -> Any:
    value = values[row]
    if dtype == pl.Boolean:
        return not value
    if dtype.is_float():
        return 0.5 if value is None else value + 1e-6
    if dtype.is_integer():
        return value + 1
    if value is None:
        return "0" * 64
    return next((other for other in (dtype.categories if dtype == pl.Enum else values) if other != value), "another")


@pytest.mark.parametrize("rows", [[-1], pytest.param([0, 1, 5, 20, -2], marks=pytest.mark.long)])
@pytest.mark.parametrize("name", TABLES)
def test_one_changed_number_is_refused_although_all_digests_were_made_again(
    name: str, rows: list[int], honest: Path, snapshot: Snapshot, tmp_path: Path
) -> None:
    content = read(honest)
    rows = [row for row in rows if row < content[name].height]
    for what, table in _changes(content[name], rows):
        try:
            verify_bundle(open_bundle(forged(content | {name: table}, tmp_path / "forged.zip")), snapshot)
        except InvalidBundleError:
            continue
        pytest.fail(f"{name}: {what} was not found")


def test_a_rank_below_every_k_counts(honest: Path, snapshot: Snapshot, tmp_path: Path) -> None:
    content = read(honest)
    ranks = content["held_out_ranks"].with_row_index()
    deep = ranks.filter(pl.col("task") == "item", pl.col("negatives_tied") == 0, pl.col("positives_before") == 2)
    row = deep.filter(pl.col("negatives_above").is_between(15, pl.col("n_negatives") - 1))["index"][0]
    changed = pl.col("negatives_above") + (pl.col("index") == row).cast(pl.UInt32)
    table = ranks.with_columns(changed).drop("index")
    with pytest.raises(InvalidBundleError, match="does not follow from the ranks"):
        verify_bundle(open_bundle(forged(content | {"held_out_ranks": table}, tmp_path / "forged.zip")), snapshot)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("snapshot", "content_digest"), "0" * 64),
        (("baselines",), ["nobody"]),
        (("runs", 0, "label"), "another"),
        (("runs", 0, "seed"), 7),
        (("runs", 0, "evaluation", "item_ks"), [1, 6]),
        (("runs", 0, "evaluation", "item_ks"), [1]),
        (("runs", -1, "evaluation", "frame_ks"), [1]),
        (("runs", 0, "evaluation", "protocol"), "full"),
        (("runs", 0, "evaluation", "n_negatives"), 9),
        (("runs", 0, "evaluation", "n_bootstrap"), 21),
        (("runs", 0, "evaluation", "seed"), 1),
        (("runs",), []),
    ],
)  # fmt: skip
def test_a_changed_manifest_is_refused_if_the_numbers_do_not_follow_from_it(
    where: tuple[Any, ...], value: Any, honest: Path, snapshot: Snapshot, tmp_path: Path
) -> None:
    content = read(honest)
    *way, last = where
    part = content["manifest"]
    for key in way:
        part = part[key]
    part[last] = value
    with pytest.raises((InvalidBundleError, InvalidSnapshotError)):
        verify_bundle(open_bundle(forged(content, tmp_path / "forged.zip")), snapshot)


def test_a_bundle_of_another_snapshot_is_refused(
    command: Run, honest: Path, tables: Tables, publish_tables: Callable[[Tables], Snapshot]
) -> None:
    status, _, err = command(verify_results, honest, "--snapshot", publish_tables(tables).path)
    assert (status, err.count("\n"), "is not that of the bundle's snapshot, toy v0001" in err) == (1, 1, True)
    moved = command(verify_results, honest, "--snapshot", "data/nowhere")
    assert moved[0] == 1


def test_weights_tell_ranks_that_were_changed_together_with_all_that_follows(
    command: Run, honest: Path, tmp_path: Path
) -> None:
    """A forger gives one model the ranks of another; only the weights tell."""
    content = read(honest)
    for name in ("held_out_ranks", "candidate_ranks", "user_metrics", "metrics"):
        own = content[name].filter(pl.col("model") != "popular")
        others = own.filter(pl.col("task") == "item").with_columns(model=pl.lit("popular"))
        content[name] = pl.concat([own, others])
    opened = open_bundle(forged(content, tmp_path / "before.zip"))
    content["comparisons"] = comparisons_of(opened.tables["user_metrics"], ("popular",))
    path = forged(content, tmp_path / "forged.zip")
    assert command(verify_results, path)[0] == 0
    status, _, err = command(verify_results, path, "--runs", "data/runs")
    assert (status, err.count("\n"), "popular, seed 0: ranks" in err, "from the weights" in err) == (1, 1, True, True)
    status, _, err = command(verify_results, path, "--runs", tmp_path)
    assert (status, "no run there has the weights" in err) == (1, True)


def _with(**files: bytes | None) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    def change(content: dict[str, bytes]) -> dict[str, bytes]:
        named = {name.replace("__", "."): part for name, part in files.items()}
        return {name: part for name, part in {**content, **named}.items() if part is not None}

    return change


def _as_parquet(table: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def _huge() -> bytes:
    """Return a small Parquet file that claims many rows."""
    buffer = io.BytesIO()
    pq.write_table(pa.table({"model": pa.array(["a"]).take(pa.array([0] * 4_000_000))}), buffer)
    return buffer.getvalue()


METRICS = pl.DataFrame({"model": ["a"], "value": [float("nan")]})
HOSTILE: dict[str, Callable[[dict[str, bytes]], dict[str, bytes]]] = {
    "holds 1 files that no bundle has, for example '../../evil'": lambda files: files | {"../../evil": b""},
    "for example '/etc/evil'": lambda files: files | {"/etc/evil": b""},
    "for example 'metrics.parquet/'": lambda files: files | {"metrics.parquet/": b""},
    "for example 'model.pkl'": lambda files: files | {"model.pkl": b"cos\nsystem\n"},
    "lacks bundle.json": _with(bundle__json=None),
    "lacks metrics.parquet": _with(metrics__parquet=None),
    "SHA-256 differs": _with(metrics__parquet=b"PAR1"),
    "bundle.json: Invalid JSON": _with(bundle__json=b"{"),
    "Input should be an object": _with(bundle__json=b"[]"),
    "more than 64 MiB": _with(bundle__json=b" " * (64 << 20) + b"{}"),
}


@pytest.mark.parametrize("words", HOSTILE)
def test_a_hostile_archive_is_refused_in_one_line(words: str, command: Run, honest: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(honest) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    path = archived(HOSTILE[words](files), tmp_path / "hostile.zip")
    status, out, err = command(verify_results, path)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert words in err
    assert sorted(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"metrics": b"no table"}, "metrics.parquet: cannot be read as Parquet"),
        ({"metrics": _huge}, "metrics.parquet: claims 4,000,000 rows"),
        ({"metrics": METRICS}, "metrics.parquet: "),
        ({"value": float("nan")}, "metrics.parquet: column 'value' breaks the rule 'nan'"),
        ({"value": float("inf")}, "metrics.parquet: column 'value' breaks the rule 'inf'"),
        ({"value": "text"}, "metrics.parquet: "),
        ({"format_version": 2}, "format_version: "),
        ({"surplus": 1}, "surplus: "),
        ({"item_ks": [1, 10**9]}, "item_ks.1: "),
        ({"item_ks": [float("inf")]}, "item_ks.0: "),
        ({"n_bootstrap": 10**12}, "n_bootstrap: "),
        ({"name": "../../etc"}, "snapshot.name: "),
        ({"study.toml": b"\xff"}, "study.toml: is not UTF-8"),
        ({"study.toml": b"#" * (1 << 21)}, "study.toml: 2,097,152 bytes are too many"),
        ({"study.toml": None}, "disagree on whether there is a study"),
    ],
)  # fmt: skip
def test_hostile_content_is_refused_in_one_line(
    content: dict[str, Any], words: str, command: Run, honest: Path, tmp_path: Path
) -> None:
    bundled = read(honest)
    ((name, value),) = content.items()
    value = value() if callable(value) else value
    if name == "metrics":
        del bundled[name]
        bundled["metrics.parquet"] = _as_parquet(value) if isinstance(value, pl.DataFrame) else value
    elif name == "value":
        bundled["metrics"] = bundled["metrics"].with_columns(value=pl.lit(value))
    elif name == "study.toml":
        bundled[name] = value
    elif name in ("item_ks", "n_bootstrap"):
        bundled["manifest"]["runs"][0]["evaluation"][name] = value
    elif name == "name":
        bundled["manifest"]["snapshot"][name] = value
    else:
        bundled["manifest"][name] = value
    status, out, err = command(verify_results, forged(bundled, tmp_path / "hostile.zip"))
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert words in err
    assert str(tmp_path / "hostile.zip") in err


@pytest.mark.parametrize("kind", ["empty", "text", "cut", "compressed", "twice", "folder", "none", "encrypted"])
def test_what_is_no_archive_of_plain_files_is_refused_in_one_line(
    kind: str, command: Run, honest: Path, tmp_path: Path
) -> None:
    path, content = tmp_path / "odd.zip", honest.read_bytes()
    if kind == "compressed":
        archived({"bundle.json": b"0" * (1 << 24)}, path, compression=zipfile.ZIP_DEFLATED)
    elif kind == "folder":
        path.mkdir()
    elif kind == "twice":
        path.write_bytes(content)
        with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("bundle.json", "{}")
    elif kind != "none":
        flag = content.replace(b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00")
        path.write_bytes({"empty": b"", "text": b"no archive", "cut": content[:-40], "encrypted": flag}[kind])
    status, out, err = command(verify_results, path)
    assert (status, out, err.count("\n")) == (1, "", 1)
