"""No broken, hostile or foreign table ends a command in a traceback, fills the memory, or shows a file from outside."""

import hashlib
import json
import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest


@pytest.fixture(scope="module")
def bomb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Parquet file of less than a megabyte that claims 400 million rows, and keeps its word."""
    path = tmp_path_factory.mktemp("bomb") / "bomb.parquet"
    part = pa.table({"user_id": pa.nulls(20_000_000, pa.string())})
    with pq.ParquetWriter(path, part.schema) as writer:
        for _ in range(20):
            writer.write_table(part, row_group_size=20_000_000)
    assert path.stat().st_size < 1_000_000
    return path


def _garbage(content: bytes, rng: random.Random) -> Iterator[bytes]:
    yield from (b"", b"PAR1", b"PAR1PAR1", content[: len(content) // 2], content[:-1], content + b"x", b"\x00" * 1000)
    for _ in range(20):
        broken = bytearray(content)
        for _ in range(rng.choice((1, 8, 64))):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        yield bytes(broken)


def _resigned(world: Any, table: str) -> None:
    """Make the manifest and the description say that a changed table is the published one."""
    path = world.snapshot / f"{table}.parquet"
    document = json.loads((world.snapshot / "manifest.json").read_text())
    entry = document["tables"][table]["files"][0]
    entry |= {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "size_bytes": path.stat().st_size}
    (world.snapshot / "manifest.json").write_bytes(world.signed(document))
    shutil.copy(path, world.dataset)
    written = json.loads((world.dataset / "dataset.json").read_text())
    written["tables"][f"{table}.parquet"] = entry["sha256"]
    (world.dataset / "dataset.json").write_text(json.dumps(written))


TABLES = ("movies", "frames", "interactions", "frame_likes", "frame_features")


def _ask_all(world: Any, command: Callable[..., Any], table: str) -> None:
    raw = {"interactions": "ratings"}.get(table, table)
    if (world.raw / f"{raw}.parquet").is_file():
        shutil.copy(world.snapshot / f"{table}.parquet", world.raw / f"{raw}.parquet")
        command("dataset", "build", "--raw", world.raw, "--to", world.home / "built")
    command("dataset", "verify", world.snapshot)
    command("dataset", "diff", world.snapshot, world.snapshot)
    command("dataset", "publish", "--dataset", world.dataset, "--name", "new", "--root", world.home / "new")
    train = ("--model", "vbpr", "--snapshot", world.snapshot, "--epochs", 0, "--runs", world.home / "runs")
    command("train", *train)
    if table != "frame_features":
        command("dataset", "report", world.snapshot, "--to", world.home / "report")


@pytest.mark.parametrize("table", TABLES)
def test_no_broken_parquet_file_ends_in_a_traceback(
    table: str, world: Any, is_long: bool, command: Callable[..., Any]
) -> None:
    path = world.snapshot / f"{table}.parquet"
    whole = path.read_bytes()
    contents = list(_garbage(whole, random.Random(len(table))))
    for content in contents if is_long else contents[::4]:
        path.write_bytes(content)
        _resigned(world, table)
        _ask_all(world, command, table)


@pytest.mark.parametrize("table", TABLES)
def test_no_table_of_another_schema_ends_in_a_traceback(table: str, world: Any, command: Callable[..., Any]) -> None:
    path = world.snapshot / f"{table}.parquet"
    rows = pl.read_parquet(path)
    first = rows.columns[0]
    for changed in (
        rows.drop(first),
        rows.with_columns(pl.lit(None).alias(first)),
        rows.with_columns(pl.lit(1.5).alias(first)),
        rows.with_columns(pl.lit([[1]]).alias(first)),
        rows.clear(),
        pl.concat([rows, rows]),
        pl.DataFrame({"x": [1]}),
    ):
        changed.write_parquet(path)
        _resigned(world, table)
        _ask_all(world, command, table)


@pytest.mark.parametrize("table", TABLES)
def test_no_table_in_files_of_different_schemas_ends_in_a_traceback(
    table: str, world: Any, command: Callable[..., Any]
) -> None:
    first, second = (world.snapshot / f"{table}{part}.parquet" for part in ("", "-2"))
    rows = pl.read_parquet(first)
    rows[:1].write_parquet(first)
    for changed in (rows[1:].drop(rows.columns[-1]), rows[1:].with_columns(pl.lit(1).alias(rows.columns[0]))):
        changed.write_parquet(second)
        _in_files(world, table, {first: 1, second: changed.height})
        command("dataset", "verify", world.snapshot)
        command("dataset", "diff", world.snapshot, world.home / "other")
        command("dataset", "report", world.snapshot, "--to", world.home / "report")
        train = ("--model", "vbpr", "--snapshot", world.snapshot, "--epochs", 0, "--runs", world.home / "runs")
        assert command("train", *train).status == 1


def _in_files(world: Any, table: str, files: Mapping[Path, int]) -> None:
    """Make the manifest name these files, with their numbers of rows, as those of a table; and copy the snapshot."""
    shutil.rmtree(world.home / "other", ignore_errors=True)
    for digit, folder in (("1", world.snapshot), ("2", world.home / "other")):
        if folder != world.snapshot:
            shutil.copytree(world.snapshot, folder)
        document = json.loads((world.snapshot / "manifest.json").read_text())
        document["tables"][table] |= {
            "content_sha256": 64 * digit,
            "files": [
                {
                    "name": file.name,
                    "rows": n_rows,
                    "size_bytes": file.stat().st_size,
                    "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
                }
                for file, n_rows in files.items()
            ],
        }
        (folder / "manifest.json").write_bytes(world.signed(document))


@pytest.mark.parametrize("table", ["movies", "interactions", "frame_features"])
def test_no_table_that_claims_400_million_rows_is_read(
    table: str, world: Any, bomb: Path, command: Callable[..., Any]
) -> None:
    path = world.snapshot / f"{table}.parquet"
    shutil.copy(bomb, path)
    _resigned(world, table)
    for program, arguments in (
        ("dataset", ("publish", "--dataset", world.dataset, "--name", "new", "--root", world.home / "new")),
        ("train", ("--model", "vbpr", "--snapshot", world.snapshot, "--runs", world.home / "runs")),
        ("dataset", ("kcore", path, "--to", world.home / "core.parquet")),
        ("dataset", ("import", path, "--to", world.home / "imported")),
    ):
        done = command(program, *arguments)
        assert (done.status, f"{table}.parquet: claims 400,000,000 rows" in done.err) == (1, True), done.err


@pytest.mark.parametrize(
    "path", ["../../outside/canary.png", "{outside}/canary.png", "link.png", "pictures/../../x", ""]
)
def test_no_picture_outside_of_the_raw_folder_is_in_a_report_or_among_features(
    path: str, world: Any, command: Callable[..., Any], hidden_features: Callable[..., str]
) -> None:
    outside = world.home.parent / "outside"
    (world.raw / "link.png").symlink_to(outside / "canary.png")
    digest = hashlib.sha256((outside / "canary.png").read_bytes()).hexdigest()
    images = pl.read_parquet(world.raw / "images.parquet")
    images.with_columns(path=pl.lit(path.format(outside=outside)), image_sha256=pl.lit(digest)).write_parquet(
        world.raw / "images.parquet"
    )
    to = world.home / "report"
    assert command("dataset", "report", world.snapshot, "--raw", world.raw, "--to", to).status == 0
    assert "data:image" not in (to / "report.html").read_text()
    assert "its path leads out of it" in hidden_features(world)


@pytest.fixture
def hidden_features(tmp_path: Path) -> Callable[..., str]:
    """Return a function that decodes the raw pictures as an extraction does, and gives the reasons for failures."""
    from dataset.pictures.pool import PicturePool
    from dataset.pictures.protocol import Geometry
    from features.decoding import CropReader

    def decode(world: Any) -> str:
        rows = pl.read_parquet(world.raw / "images.parquet").select("image_sha256", "path").rows()
        with PicturePool() as pool:
            found = list(CropReader(pool, world.raw, Geometry(32, 32, "bilinear")).decode(rows[:2], True, 2))
        assert all(one.crop is None for one in found)
        return found[0].reason

    return decode
