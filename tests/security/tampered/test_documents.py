"""No tampered manifest, description or run ends a command in a traceback, or makes it read files outside.

Every key of each document is dropped, replaced and retyped, and the document is signed again where it has a digest,
so that nothing but the check of its content stands in the way.
"""

import copy
import hashlib
import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from crawler.commands.options import SiteOptions
from dataset.errors import PipelineError

CANARY = "canary-7f3a91"
HOSTILE: tuple[Any, ...] = (
    *(None, True, 0, 1, -1, 2**53, 2**63, 2**70, 10**400, 0.5, -0.0, float("nan"), float("inf")),
    *("", "x", "../../outside/canary", "..", "/", "C:\\x", "a/../../b", "con\x00", "\ud800", "x" * 100_000),
    *("\x1b]0;title\x07\x1b[31mred", "first\nsecond", "<script>alert(1)</script>", "{{ 7 * 7 }}", "0001-01-01", "NaN"),
    *([], {}, [None], [[]], {"": None}, {"x": {"x": {"x": []}}}, ["../../outside/canary"], [1e308] * 3),
)


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


RAW_JSON = (
    *(b"", b"\x00", b"null", b"[]", b"{", b"1e999", b'{"a":' * 5000, b"[" * 100_000, b'"\\ud800"', b"\xff\xfe{}"),
    *(b'{"format_version": 1}', b'{"format_version": 1e400}', b'{"format_version": NaN}', b'{"format_version": true}'),
)


def test_no_tampered_manifest_ends_in_a_traceback_or_is_taken_at_its_word(
    world: Any, is_long: bool, command: Callable[..., Any]
) -> None:
    file = world.snapshot / "manifest.json"
    document, seen = json.loads(file.read_text()), set()
    tampered = [world.signed(one) for one in mutations(document, 40 if is_long else 1, seed=1)]
    for number, content in enumerate([*RAW_JSON, *tampered]):
        file.write_bytes(content)
        shown = command("dataset", "show", world.snapshot).status
        seen |= {shown, command("dataset", "verify", world.snapshot).status}
        command("dataset", "list", "--root", world.home / "snapshots")
        if shown == 0 and (is_long or number % 48 == 0):
            to = world.home / "report"
            command("dataset", "report", world.snapshot, "--raw", world.raw, "--to", to)
            assert all(CANARY.encode() not in path.read_bytes() for path in to.rglob("*") if path.is_file())
    assert len(tampered) > 165
    assert seen == {0, 1}


@pytest.mark.parametrize(
    "name", ["../evil", "..", "a/b", "/tmp/evil", "", ".hidden", "a\\b", "C:evil", "x\x1b", "a" * 300]
)
def test_no_name_in_a_manifest_leads_out_of_the_folder(name: str, world: Any, command: Callable[..., Any]) -> None:
    file = world.snapshot / "manifest.json"
    document = json.loads(file.read_text())
    file.write_bytes(world.signed(document | {"name": name}))
    for what, *more in (
        ["show"],
        ["verify"],
        ["report", "--to", world.home / "report"],
        ["pull", "--to", world.home / "new"],
    ):
        assert command("dataset", what, world.snapshot, *more).status == 1
    assert not (world.home / "new").exists()


@pytest.mark.parametrize(
    "name", ["../../../../outside/canary", "{outside}/canary", "splits/../../canary", "./../x", "a\\..\\b"]
)
@pytest.mark.parametrize("where", ["tables", "files"])
def test_no_file_in_a_manifest_is_outside_of_the_folder(
    where: str, name: str, world: Any, command: Callable[..., Any]
) -> None:
    file, name = world.snapshot / "manifest.json", name.format(outside=world.home.parent / "outside")
    document = json.loads(file.read_text())
    if where == "tables":
        document["tables"]["movies"]["files"][0]["name"] = name
    else:
        document["files"][name] = hashlib.sha256(CANARY.encode()).hexdigest()
    file.write_bytes(world.signed(document))
    for what, *more in (
        ["show"],
        ["verify"],
        ["report", "--to", world.home / "report"],
        ["pull", "--to", world.home / "new"],
    ):
        done = command("dataset", what, world.snapshot, *more)
        assert (done.status, "relative name without '..'" in done.err) == (1, True), done.err


def test_no_folder_outside_is_listed(world: Any, command: Callable[..., Any]) -> None:
    (world.snapshot / "linked").symlink_to(world.home.parent / "outside")
    for what, *more in (["verify"], ["pull", "--to", world.home / "new"]):
        done = command("dataset", what, world.snapshot, *more)
        assert "leads out of the folder" in done.err or (what, done.status) == ("pull", 0), done.err
        assert "canary" not in done.out + done.err
    assert not list(world.home.glob("new/**/canary*"))


@pytest.mark.parametrize("linked", ["movies.parquet", "README.md", "manifest.json", "splits"])
def test_no_link_in_a_snapshot_is_followed_out_of_it(linked: str, world: Any, command: Callable[..., Any]) -> None:
    outside = world.home.parent / "outside" / "moved"
    shutil.move(world.snapshot / linked, outside)
    (world.snapshot / linked).symlink_to(outside)
    done = command("dataset", "verify", world.snapshot)
    assert (done.status, "leads out of the folder" in done.err) == (1, True), done.err
    if linked == "movies.parquet":
        done = command("dataset", "report", world.snapshot, "--to", world.home / "report")
        assert (done.status, "leads out of the snapshot's folder" in done.err) == (1, True), done.err


def test_no_tampered_description_is_published_or_ends_in_a_traceback(
    world: Any, is_long: bool, command: Callable[..., Any]
) -> None:
    file = world.dataset / "dataset.json"
    document, published = json.loads(file.read_text()), 0
    tampered = [json.dumps(one).encode() for one in mutations(document, 40 if is_long else 1, seed=2)]
    for content in [*RAW_JSON, *tampered]:
        file.write_bytes(content)
        root = world.home / "new"
        done = command("dataset", "publish", "--dataset", world.dataset, "--name", "new", "--root", root)
        if done.status == 0:
            published += 1
            (version,) = (root / "new").glob("v*")
            assert command("dataset", "verify", version).status == 0
            assert command("dataset", "show", version).status == 0
        shutil.rmtree(root, ignore_errors=True)
    assert 0 < published < len(tampered)


def test_no_tampered_run_ends_in_a_traceback(
    trained: Any, world: Any, is_long: bool, command: Callable[..., Any]
) -> None:
    shutil.copytree(trained.home / "runs", world.home / "runs", dirs_exist_ok=True)
    file = world.run / "config.json"
    document = json.loads(file.read_text())
    again = ["--model", "bpr", "--set", "dim=4", "--epochs", 1, "--snapshot", trained.snapshot, "--resume"]
    keys = ("model", "config", "training", "seed", "snapshot", "extractor", "code_version")
    tampered = [
        json.dumps(one).encode() for one in mutations({k: document[k] for k in keys}, 40 if is_long else 1, seed=3)
    ]
    for content in [*RAW_JSON, *tampered]:
        file.write_bytes(content)
        for program in ("evaluate", "recommend"):
            command(program, "--run", world.run)
        command(
            "compare",
            "--runs",
            world.run,
            trained.run,
            "--split",
            "validation",
            "--to",
            world.home / "c.parquet",
        )
        command("train", *again, "--runs", world.home / "runs")
    assert len(tampered) > 34


def test_no_weights_are_used_with_the_config_of_another_training(
    trained: Any, world: Any, command: Callable[..., Any]
) -> None:
    shutil.copytree(trained.home / "runs", world.home / "runs", dirs_exist_ok=True)
    other = ["--model", "bpr", "--set", "dim=4", "--snapshot", trained.snapshot, "--epochs", 2]
    assert command("train", *other, "--runs", world.home / "other").status == 0
    weights = next((world.home / "other").glob("*/model.pt"))
    shutil.copy(weights, world.run)
    for program in ("evaluate", "recommend"):
        done = command(program, "--run", world.run)
        assert (done.status, "model.pt: is not of the training that" in done.err) == (1, True), done.err
    (world.run / "model.pt").rename(world.run / "checkpoint.pt")
    done = command("train", "--model", "bpr", "--set", "dim=4", "--snapshot", trained.snapshot, "--epochs", 1,
        "--resume", "--runs", world.home / "runs",
    )  # fmt: skip
    assert (done.status, "checkpoint.pt: is not of the training that" in done.err) == (1, True), done.err


class _Runs:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, (CANARY,))


@pytest.mark.parametrize("state", [_Runs(), {"x": _Runs()}, [1], "text", None, b"bytes"])
def test_no_error_recommends_to_load_weights_without_protection(
    state: Any, trained: Any, world: Any, command: Callable[..., Any]
) -> None:
    shutil.copytree(trained.home / "runs", world.home / "runs", dirs_exist_ok=True)
    torch.save(state, world.run / "model.pt")
    done = command("evaluate", "--run", world.run)
    assert done.status == 1
    assert "model.pt: cannot be read" in done.err
    assert "weights_only" not in done.err


def test_no_tampered_site_file_ends_in_a_traceback_or_names_another_host(tmp_path: Path, is_long: bool) -> None:
    whole = {
        **{name: f"http://127.0.0.1:{port}" for port, name in enumerate(("movie", "www", "images"), 9001)},
        "seed_movie_ids": ["1000001", "1000002"],
        "probe_movie_id": "1000001",
        "pid": 1,
        "config": {"seed": 0, "n_users": 10},
    }
    options = SiteOptions(site_file=tmp_path / "site.json")
    tampered = [json.dumps(one).encode() for one in mutations(whole, 40 if is_long else 6, seed=4)]
    hosts = [{**whole, "www": host} for host in ("http://example.org", "http://h\\@127.0.0.1", "file:///etc", "//x")]
    for content in [*RAW_JSON, *tampered, *(json.dumps(one).encode() for one in hosts)]:
        options.site_file.write_bytes(content)
        message = ""
        try:
            site, _, movies = options.resolve()
            assert site.is_loopback
            assert all(movie.isdecimal() for movie in movies)
        except PipelineError as error:
            message = str(error)
        assert "\n" not in message
        assert len(message) < 2000
        assert CANARY not in message
    assert options.site_file.write_text(json.dumps(whole))
    assert options.resolve()[2] == ["1000001", "1000002"]
