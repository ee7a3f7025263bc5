"""No tampered manifest, description, run or table ends a command in a traceback, or makes it read files outside.

Every key of each document is dropped, replaced and retyped, and the document is signed again where it has a digest,
so that nothing but the check of its content stands in the way.
"""

import copy
import hashlib
import json
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from dataset.building.build import DatasetConfig, build
from dataset.cli import run
from dataset.description import read_description, write_description
from dataset.schema import FrameFeature
from dataset.snapshots.publish import publish
from dataset.tables import write_table

CANARY = "canary-7f3a91"
WIDTH = 8
HOSTILE: tuple[Any, ...] = (
    *(None, True, 0, 1, -1, 2**53, 2**63, 2**70, 10**400, 0.5, -0.0, float("nan"), float("inf")),
    *("", "x", "../../outside/canary", "..", "/", "C:\\x", "a/../../b", "con\x00", "\ud800", "x" * 100_000),
    *("\x1b]0;title\x07\x1b[31mred", "first\nsecond", "<script>alert(1)</script>", "{{ 7 * 7 }}", "0001-01-01", "NaN"),
    *([], {}, [None], [[]], {"": None}, {"x": {"x": {"x": []}}}, ["../../outside/canary"], [1e308] * 3),
)
JUDGED = {
    "dataset": "dataset.__main__",
    **{name: f"model.{name}" for name in ("evaluate", "recommend", "train", "compare")},
}


class Done(NamedTuple):
    status: int
    out: str
    err: str


class World(NamedTuple):
    """A whole small project: raw tables, a dataset and a snapshot with features, a run, and canaries outside."""

    home: Path

    @property
    def raw(self) -> Path:
        return self.home / "raw"

    @property
    def dataset(self) -> Path:
        return self.home / "dataset"

    @property
    def snapshot(self) -> Path:
        return self.home / "snapshots" / "toy" / "v0001"

    @property
    def run(self) -> Path:
        return self.home / "runs" / "bpr-toy-v0001-0"


def commanded(capsys: pytest.CaptureFixture[str], program: str, *arguments: object) -> Done:
    """Run a command in this process. It succeeds, or ends in one line; it prints nothing that a terminal obeys."""
    capsys.readouterr()
    before, sys.argv = sys.argv, [program, *map(str, arguments)]
    status = 0
    try:
        run(import_module(JUDGED[program]).app)
    except SystemExit as stopped:
        status = int(stopped.code or 0)
    finally:
        sys.argv = before
    done = Done(status, *capsys.readouterr())
    assert bool(status) == bool(done.err)
    assert done.err.count("\n") == (1 if status else 0), done.err
    assert len(done.err) < 2000
    assert "\x1b" not in done.out + done.err
    assert CANARY not in done.out + done.err
    return done


@pytest.fixture(scope="module")
def original(raw_once: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(tmp_path_factory.mktemp("original") / "home")
    shutil.copytree(raw_once, world.raw)
    build(world.raw, world.dataset, DatasetConfig())
    frames = pl.read_parquet(world.dataset / "frames.parquet").select("frame_id").sort("frame_id")
    vectors = torch.rand(frames.height, WIDTH, generator=torch.Generator().manual_seed(0)).half().tolist()
    features = pl.Series(vectors, dtype=pl.Array(pl.Float16, WIDTH))
    table = frames.with_columns(image_sha256=pl.lit("0" * 64), feature=features)
    write_table(table, FrameFeature, world.dataset / "frame_features.parquet")
    extractor = {"architecture": "made", "node": "none", "weights": "random:0", "is_random": True}
    write_description(world.dataset, read_description(world.dataset) | {"extractor": extractor})
    publish(world.dataset, "toy", world.home / "snapshots")
    outside = world.home.parent / "outside"
    outside.mkdir()
    (outside / "canary").write_text(CANARY)
    (outside / "manifest.json").write_text(json.dumps({"name": CANARY}))
    Image.new("RGB", (64, 48), (1, 2, 3)).save(outside / "canary.png")
    return world


@pytest.fixture
def world(original: World, tmp_path: Path) -> World:
    """A copy of everything."""
    shutil.copytree(original.home.parent, tmp_path / "all")
    return World(tmp_path / "all" / "home")


@pytest.fixture(scope="module")
def trained(original: World) -> World:
    """The same, with a trained run."""
    arguments = ["--model", "bpr", "--set", "dim=4", "--snapshot", str(original.snapshot), "--epochs", "1"]
    before, sys.argv = sys.argv, ["train", *arguments, "--runs", str(original.home / "runs")]
    try:
        run(import_module("model.train").app)
    finally:
        sys.argv = before
    return original


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every key of a document, and of the first element of each list."""
    if path:
        yield path
    keys = list(value) if isinstance(value, dict) else range(min(1, len(value))) if isinstance(value, list) else ()
    for key in keys:
        yield from places(value[key], (*path, key))


def mutations(document: dict[str, Any], n: int, seed: int) -> list[dict[str, Any]]:
    """Return copies of a document: at every place, the key is dropped, and its value is replaced `n` times."""
    rng, found = random.Random(seed), []
    for path in places(document):
        for hostile in ("DROP", *rng.sample(HOSTILE, min(n, len(HOSTILE)))):
            changed = copy.deepcopy(document)
            inner: Any = changed
            for key in path[:-1]:
                inner = inner[key]
            if hostile == "DROP":
                del inner[path[-1]]
            else:
                inner[path[-1]] = hostile
            found.append(changed)
    return found


def signed(manifest: dict[str, Any]) -> bytes:
    """Return a manifest's bytes with its own digest."""

    def written(digest: str) -> bytes:
        return (json.dumps(manifest | {"manifest_sha256": digest}, indent=2, ensure_ascii=True) + "\n").encode()

    return written(hashlib.sha256(written("")).hexdigest()) if "manifest_sha256" in manifest else written("")


RAW_JSON = (
    *(b"", b"\x00", b"null", b"[]", b"{", b"1e999", b'{"a":' * 5000, b"[" * 100_000, b'"\\ud800"', b"\xff\xfe{}"),
    *(b'{"format_version": 1}', b'{"format_version": 1e400}', b'{"format_version": NaN}', b'{"format_version": true}'),
)


def test_no_tampered_manifest_ends_in_a_traceback_or_is_taken_at_its_word(
    world: World, is_long: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    file = world.snapshot / "manifest.json"
    document, reported, seen = json.loads(file.read_text()), 0, set()
    tampered = [signed(one) for one in mutations(document, 40 if is_long else 2, seed=1)]
    for content in [*RAW_JSON, *tampered]:
        file.write_bytes(content)
        for command in ("verify", "show"):
            seen.add(commanded(capsys, "dataset", command, world.snapshot).status)
        commanded(capsys, "dataset", "list", "--root", world.home / "snapshots")
        if commanded(capsys, "dataset", "show", world.snapshot).status == 0 and (is_long or reported < 12):
            reported += 1
            to = world.home / "report"
            commanded(capsys, "dataset", "report", world.snapshot, "--raw", world.raw, "--to", to)
            assert all(CANARY.encode() not in path.read_bytes() for path in to.rglob("*") if path.is_file())
    assert len(tampered) > 165
    assert seen == {0, 1}


@pytest.mark.parametrize(
    "name", ["../evil", "..", "a/b", "/tmp/evil", "", ".hidden", "a\\b", "C:evil", "x\x1b", "a" * 300]
)
def test_no_name_in_a_manifest_leads_out_of_the_folder(
    name: str, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    file = world.snapshot / "manifest.json"
    document = json.loads(file.read_text())
    file.write_bytes(signed(document | {"name": name}))
    for command in (
        ["show"],
        ["verify"],
        ["report", "--to", world.home / "report"],
        ["pull", "--to", world.home / "new"],
    ):
        assert commanded(capsys, "dataset", command[0], world.snapshot, *command[1:]).status == 1
    assert not (world.home / "new").exists()


@pytest.mark.parametrize(
    "name", ["../../../../outside/canary", "{outside}/canary", "splits/../../canary", "./../x", "a\\..\\b"]
)
@pytest.mark.parametrize("where", ["tables", "files"])
def test_no_file_in_a_manifest_is_outside_of_the_folder(
    where: str, name: str, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    file, name = world.snapshot / "manifest.json", name.format(outside=world.home.parent / "outside")
    document = json.loads(file.read_text())
    if where == "tables":
        document["tables"]["movies"]["files"][0]["name"] = name
    else:
        document["files"][name] = hashlib.sha256(CANARY.encode()).hexdigest()
    file.write_bytes(signed(document))
    for command in (
        ["show"],
        ["verify"],
        ["report", "--to", world.home / "report"],
        ["pull", "--to", world.home / "new"],
    ):
        done = commanded(capsys, "dataset", command[0], world.snapshot, *command[1:])
        assert (done.status, "relative name without '..'" in done.err) == (1, True), done.err


@pytest.mark.parametrize("linked", ["movies.parquet", "README.md", "manifest.json", "splits"])
def test_no_link_in_a_snapshot_is_followed_out_of_it(
    linked: str, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = world.home.parent / "outside" / "moved"
    shutil.move(world.snapshot / linked, outside)
    (world.snapshot / linked).symlink_to(outside)
    done = commanded(capsys, "dataset", "verify", world.snapshot)
    assert (done.status, "leads out of the folder" in done.err) == (1, True), done.err
    if linked == "movies.parquet":
        done = commanded(capsys, "dataset", "report", world.snapshot, "--to", world.home / "report")
        assert (done.status, "leads out of the snapshot's folder" in done.err) == (1, True), done.err


def test_no_tampered_description_is_published_or_ends_in_a_traceback(
    world: World, is_long: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    file = world.dataset / "dataset.json"
    document, published = json.loads(file.read_text()), 0
    tampered = [json.dumps(one).encode() for one in mutations(document, 40 if is_long else 1, seed=2)]
    for content in [*RAW_JSON, *tampered]:
        file.write_bytes(content)
        root = world.home / "new"
        done = commanded(capsys, "dataset", "publish", "--dataset", world.dataset, "--name", "new", "--root", root)
        if done.status == 0:
            published += 1
            (version,) = (root / "new").glob("v*")
            assert commanded(capsys, "dataset", "verify", version).status == 0
            assert commanded(capsys, "dataset", "show", version).status == 0
        shutil.rmtree(root, ignore_errors=True)
    assert published < len(tampered) / 2


def test_no_tampered_run_ends_in_a_traceback(
    trained: World, world: World, is_long: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained.home / "runs", world.home / "runs", dirs_exist_ok=True)
    file = world.run / "config.json"
    document = json.loads(file.read_text())
    again = ["--model", "bpr", "--set", "dim=4", "--epochs", 1, "--snapshot", trained.snapshot, "--resume"]
    keys = ("model", "config", "training", "seed", "snapshot", "extractor", "code_version")
    tampered = [
        json.dumps(one).encode() for one in mutations({k: document[k] for k in keys}, 40 if is_long else 3, seed=3)
    ]
    for content in [*RAW_JSON, *tampered]:
        file.write_bytes(content)
        shutil.copy(trained.run / "checkpoint.pt", world.run)
        for program in ("evaluate", "recommend"):
            commanded(capsys, program, "--run", world.run)
        commanded(
            capsys,
            "compare",
            "--runs",
            world.run,
            trained.run,
            "--split",
            "validation",
            "--to",
            world.home / "c.parquet",
        )
        commanded(capsys, "train", *again, "--runs", world.home / "runs")
    assert len(tampered) > 34


def test_no_weights_are_used_with_the_config_of_another_training(
    trained: World, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained.home / "runs", world.home / "runs", dirs_exist_ok=True)
    other = ["--model", "bpr", "--set", "dim=4", "--snapshot", trained.snapshot, "--epochs", 2]
    assert commanded(capsys, "train", *other, "--runs", world.home / "other").status == 0
    for name in ("model.pt", "checkpoint.pt"):
        shutil.copy(world.home / "other" / world.run.name / name, world.run)
    for program in ("evaluate", "recommend"):
        done = commanded(capsys, program, "--run", world.run)
        assert (done.status, "model.pt: is not of the training that" in done.err) == (1, True), done.err
    done = commanded(
        capsys, "train", "--model", "bpr", "--set", "dim=4", "--snapshot", trained.snapshot, "--epochs", 1,
        "--resume", "--runs", world.home / "runs",
    )  # fmt: skip
    assert (done.status, "checkpoint.pt: is not of the training that" in done.err) == (1, True), done.err


class _Runs:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, (CANARY,))


@pytest.mark.parametrize("state", [_Runs(), {"x": _Runs()}, [1], "text", None, b"bytes"])
def test_no_error_recommends_to_load_weights_without_protection(
    state: Any, trained: World, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained.home / "runs", world.home / "runs", dirs_exist_ok=True)
    torch.save(state, world.run / "model.pt")
    done = commanded(capsys, "evaluate", "--run", world.run)
    assert done.status == 1
    assert "model.pt: cannot be read" in done.err
    assert "weights_only" not in done.err


def _write_bomb(path: Path, rows: int) -> None:
    """Write a Parquet file of few bytes that claims many rows."""
    present = pq.read_schema(path)
    schema = pa.schema([field.with_nullable(True) for field in present])
    part = schema.empty_table()
    part = pa.table({name: pa.nulls(1_000_000, schema.field(name).type) for name in schema.names}, schema=schema)
    with pq.ParquetWriter(path, schema) as writer:
        for _ in range(rows // 1_000_000):
            writer.write_table(part)


def _garbage(content: bytes, rng: random.Random) -> Iterator[bytes]:
    yield from (b"", b"PAR1", b"PAR1PAR1", content[: len(content) // 2], content[:-1], content + b"x", b"\x00" * 1000)
    for _ in range(20):
        broken = bytearray(content)
        for _ in range(rng.choice((1, 8, 64))):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        yield bytes(broken)


def _resigned(world: World, table: str) -> None:
    """Make the manifest and the description say that a changed table is the published one."""
    path = world.snapshot / f"{table}.parquet"
    document = json.loads((world.snapshot / "manifest.json").read_text())
    entry = document["tables"][table]["files"][0]
    entry |= {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "size_bytes": path.stat().st_size}
    (world.snapshot / "manifest.json").write_bytes(signed(document))
    shutil.copy(path, world.dataset)
    written = json.loads((world.dataset / "dataset.json").read_text())
    written["tables"][f"{table}.parquet"] = entry["sha256"]
    (world.dataset / "dataset.json").write_text(json.dumps(written))


TABLES = ("movies", "frames", "interactions", "frame_likes", "frame_features")


def _ask_all(world: World, capsys: pytest.CaptureFixture[str], table: str) -> None:
    raw = {"interactions": "ratings"}.get(table, table)
    if (world.raw / f"{raw}.parquet").is_file():
        shutil.copy(world.snapshot / f"{table}.parquet", world.raw / f"{raw}.parquet")
        commanded(capsys, "dataset", "build", "--raw", world.raw, "--to", world.home / "built")
    commanded(capsys, "dataset", "verify", world.snapshot)
    commanded(capsys, "dataset", "diff", world.snapshot, world.snapshot)
    commanded(capsys, "dataset", "publish", "--dataset", world.dataset, "--name", "new", "--root", world.home / "new")
    train = ("--model", "vbpr", "--snapshot", world.snapshot, "--epochs", 0, "--runs", world.home / "runs")
    commanded(capsys, "train", *train)
    if table != "frame_features":
        commanded(capsys, "dataset", "report", world.snapshot, "--to", world.home / "report")


@pytest.mark.parametrize("table", TABLES)
def test_no_broken_parquet_file_ends_in_a_traceback(
    table: str, world: World, is_long: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    path = world.snapshot / f"{table}.parquet"
    whole = path.read_bytes()
    contents = list(_garbage(whole, random.Random(len(table))))
    for content in contents if is_long else contents[::4]:
        path.write_bytes(content)
        _resigned(world, table)
        _ask_all(world, capfd, table)


@pytest.mark.parametrize("table", TABLES)
def test_no_table_of_another_schema_ends_in_a_traceback(
    table: str, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
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
        _ask_all(world, capsys, table)


@pytest.mark.parametrize("table", ["movies", "interactions", "frame_features"])
def test_no_table_that_claims_400_million_rows_is_read(
    table: str, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    path = world.snapshot / f"{table}.parquet"
    _write_bomb(path, 400_000_000)
    assert path.stat().st_size < 5_000_000
    _resigned(world, table)
    for program, arguments in (
        ("dataset", ("publish", "--dataset", world.dataset, "--name", "new", "--root", world.home / "new")),
        ("train", ("--model", "vbpr", "--snapshot", world.snapshot, "--runs", world.home / "runs")),
        ("dataset", ("kcore", path, "--to", world.home / "core.parquet")),
        ("dataset", ("import", path, "--to", world.home / "imported")),
    ):
        done = commanded(capsys, program, *arguments)
        assert (done.status, f"{table}.parquet: claims 400,000,000 rows" in done.err) == (1, True), done.err


@pytest.mark.parametrize(
    "path", ["../../outside/canary.png", "{outside}/canary.png", "link.png", "pictures/../../x", ""]
)
def test_no_picture_outside_of_the_raw_folder_is_in_a_report_or_among_features(
    path: str, world: World, capsys: pytest.CaptureFixture[str], hidden_features: Callable[..., str]
) -> None:
    outside = world.home.parent / "outside"
    (world.raw / "link.png").symlink_to(outside / "canary.png")
    digest = hashlib.sha256((outside / "canary.png").read_bytes()).hexdigest()
    images = pl.read_parquet(world.raw / "images.parquet")
    images.with_columns(path=pl.lit(path.format(outside=outside)), image_sha256=pl.lit(digest)).write_parquet(
        world.raw / "images.parquet"
    )
    to = world.home / "report"
    assert commanded(capsys, "dataset", "report", world.snapshot, "--raw", world.raw, "--to", to).status == 0
    assert "data:image" not in (to / "report.html").read_text()
    assert "its path leads out of it" in hidden_features(world)


@pytest.fixture
def hidden_features(tmp_path: Path) -> Callable[..., str]:
    """Return a function that decodes the raw pictures as an extraction does, and gives the reasons for failures."""
    from dataset.pictures.pool import PicturePool
    from dataset.pictures.protocol import Geometry
    from features.decoding import CropReader

    def decode(world: World) -> str:
        rows = pl.read_parquet(world.raw / "images.parquet").select("image_sha256", "path").rows()
        with PicturePool() as pool:
            found = list(CropReader(pool, world.raw, Geometry(32, 32, "bilinear")).decode(rows[:2], True, 2))
        assert all(one.crop is None for one in found)
        return found[0].reason

    return decode
