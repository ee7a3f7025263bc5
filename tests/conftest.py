"""Small invented raw folders for every test that needs one, and what reads a report as a sceptic would."""

import json
import os
import random
import re
import shutil
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote

import polars as pl
import pytest
from cyclopts import App
from PIL import Image as PillowImage

from dataset.building.build import DatasetConfig, build
from dataset.cli import run
from dataset.files import sha256_of_file, write_json
from dataset.risk import uniqueness
from dataset.schema import RAW_TABLES
from dataset.tables import empty, write_table


class Done(NamedTuple):
    """How a command ended, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """A function that runs a command line (`app` of a package or module) with arguments, in this process."""

    def call(app: App, *arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["program", *map(str, arguments)])
        status = 0
        try:
            run(app)
        except SystemExit as stopped:
            status = int(stopped.code or 0)
        return Done(status, *capsys.readouterr())

    return call


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--long`, which also runs the tests marked `long` and tries more random moments in others."""
    parser.addoption("--long", action="store_true", help="also run the tests that are too long for every change")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", "long: too long for every change; runs with --long")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the long tests without `--long`."""
    if config.getoption("--long"):
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="too long for every change; run it with --long"))


@pytest.fixture(scope="session")
def is_long(pytestconfig: pytest.Config) -> bool:
    """Whether `--long` was given."""
    return bool(pytestconfig.getoption("--long"))


# Below the ports that the system assigns. Each process has its own order, so that processes (xdist workers, or two
# test runs on one machine) rarely try the same port at once.
_ports = iter(random.Random(os.getpid()).sample(range(20_000, 32_000, 4), 3_000))


def free_ports(count: int) -> int:
    """Return the first of `count` consecutive free ports (at most 4) that have not been returned before."""
    for port in _ports:
        try:
            for offset in range(count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port + offset))
        except OSError:
            continue
        return port
    raise AssertionError("no free ports")


@pytest.fixture(scope="session")
def ports() -> Callable[[int], int]:
    """Return a function that gives the first of some free ports in a row."""
    return free_ports


@pytest.fixture(scope="session", autouse=True)
def few_risk_draws() -> Iterator[None]:
    """Each publication in this process computes its risk figures from fewer random draws, which is faster.

    `tests/dataset/test_risk.py` tests the figures with as many draws as the product takes.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uniqueness, "MOST_DRAWS", 2_000)
        yield


def filled(rows: list[dict[str, object]], name: str) -> pl.DataFrame:
    """Return raw table `name` with these rows, columns that are not given null or empty."""
    schema = empty(RAW_TABLES[name]).schema
    table = pl.DataFrame(rows, schema_overrides={c: t for c, t in schema.items() if rows and c in rows[0]})
    missing = [
        pl.lit([] if isinstance(dtype, pl.List) else None, dtype).alias(column)
        for column, dtype in schema.items()
        if column not in table.columns
    ]
    return table.with_columns(missing).select(schema.names()).cast(dict(schema))


def _picture(path: Path, colour: tuple[int, int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.new("RGB", (64, 48), colour).save(path)


def write_raw(raw: Path, seed: int = 0, shuffle: bool = False) -> Path:
    """Write a raw folder: 12 users and 8 movies in a dense core, and some outside it."""
    rng = random.Random(seed)
    users, movies = [f"u{i:02}" for i in range(12)], [f"m{i}" for i in range(8)]
    ratings = [
        {
            "user_id": user,
            "movie_id": movie,
            "stars": rng.choice([None, 3.0, 4.0, 5.0]),
            "rated_on": date(2024, 1, 1) + timedelta(days=rng.randrange(300)),
        }
        for user in users
        for movie in movies
    ]
    ratings += [{"user_id": "rare", "movie_id": m, "stars": 4.0, "rated_on": None} for m in ("m0", "deleted")]
    frames = [{"frame_id": f"{m}f{n}", "movie_id": m, "kind": "still"} for m in [*movies, "m9"] for n in range(3)]
    likes = [
        {"user_id": user, "frame_id": f"{movie}f{rng.randrange(3)}", "source": "photo_page"}
        for user in users
        for movie in movies
    ] + [{"user_id": "rare", "frame_id": "m9f0", "source": "photo_page"}]
    images = []
    for number, frame in enumerate(frames[:-4]):
        path = Path("pictures") / f"{frame['frame_id']}.png"
        _picture(raw / path, (9 * number % 256, 50, 200))
        images.append(
            {
                "frame_id": frame["frame_id"],
                "image_sha256": sha256_of_file(raw / path),
                "format": "png",
                "width_px": 64,
                "height_px": 48,
                "size_bytes": (raw / path).stat().st_size,
                "path": path.as_posix(),
            }
        )
    rows = {
        "movies": [{"movie_id": m, "title": f"Movie {m}"} for m in [*movies, "m9"]],
        "ratings": ratings,
        "frames": frames,
        "images": images,
        "frame_likes": likes,
    }
    for name, schema in RAW_TABLES.items():
        table = filled(rows[name], name)
        table = table.sample(fraction=1, shuffle=True, seed=1) if shuffle else table
        write_table(table, schema, raw / f"{name}.parquet")
    write_json(raw / "provenance.json", {"source": "invented"})
    return raw


@pytest.fixture
def make_raw(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes the raw folder of `write_raw`."""
    return lambda seed=0, shuffle=False: write_raw(tmp_path / f"raw-{seed}-{shuffle}", seed, shuffle)


@pytest.fixture
def make_dataset(make_raw: Callable[..., Path], tmp_path: Path) -> Callable[[], Path]:
    """Return a function that builds a small dataset folder."""
    return lambda: build(make_raw(), tmp_path / "dataset", DatasetConfig()).path


@pytest.fixture(scope="session")
def raw_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, once for all tests that only read it."""
    return write_raw(tmp_path_factory.mktemp("raw"))


@pytest.fixture(scope="session")
def s3_environment() -> Callable[[str], dict[str, str]]:
    """Return a function that gives the variables which make an address on this machine the S3 server."""
    return lambda url: {
        "AWS_ENDPOINT_URL": url,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "anybody",
        "AWS_SECRET_ACCESS_KEY": "anything",
    }


class _Page(HTMLParser):
    """The numbers of a page with their origins, and the text that is neither a number with one nor a name."""

    _NAMES = ("code", "cite", "time", "svg", "style", "title", "th", "summary")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.numbers: list[tuple[dict[str, str | None], str]] = []
        self.text = ""
        self._inside: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in (*self._NAMES, "data"):
            self._inside.append(tag)
        if tag == "data":
            self.numbers.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        if tag in self._inside:
            del self._inside[len(self._inside) - 1 - self._inside[::-1].index(tag) :]

    def handle_data(self, data: str) -> None:
        if "data" in self._inside:
            attrs, text = self.numbers.pop()
            self.numbers.append((attrs, text + data))
        elif not self._inside:
            self.text += data


def _ask(origin: str, folders: tuple[Path, ...], documents: Mapping[str, Any]) -> float:
    """Answer a number's question from the files alone, with code that shares nothing with the page's."""
    place, _, what = origin.partition("#")
    place, _, query = place.partition("?")
    file, _, inner = place.partition("/")
    path = next((folder / file for folder in folders if (folder / file).is_file()), None)
    if file.endswith(".json"):
        content = documents[file] if path is None else json.loads(path.read_text())
        if not inner:
            for key in what.split("/"):
                content = content[unquote(key)]
            return content
        table = pl.DataFrame(content[inner])
    else:
        assert path is not None, f"{file} is in none of {folders}"
        table = pl.read_parquet(path)
    for column, value in parse_qsl(query, keep_blank_values=True):
        dtype = table.schema[column]
        wanted = pl.lit(value).cast(dtype if dtype.is_numeric() else pl.String)
        table = table.filter((pl.col(column) if dtype.is_numeric() else pl.col(column).cast(pl.String)) == wanted)
    if what == "n":
        return table.height
    how, _, column = what.rstrip(")").rpartition("(")
    assert how or table.height == 1, f"{origin}: {table.height} rows"
    return table.select(getattr(pl.col(column), how or "first")()).item()


@pytest.fixture(scope="session")
def ask_again() -> Callable[..., int]:
    """Return a function that asks every number of a page again and returns how many there are.

    It also fails on a number in the text that carries no origin, but for the names in `_FIXED`.
    """

    def ask_again(page: str, *folders: Path, documents: Mapping[str, Any] | None = None) -> int:
        read = _Page(page)
        for attrs, text in read.numbers:
            origin, base = str(attrs["data-from"]), attrs.get("data-base")
            value = _ask(origin, folders, documents or {})
            other = _ask(base, folders, documents or {}) if base is not None else 0
            made = {None: value, "negative": -value, "total": value + other}
            if other:
                made |= {"share": value / other, "gain": value / other - 1}
            value = made[attrs.get("data-operation")]
            assert float(str(attrs["value"])) == pytest.approx(value, rel=1e-12, abs=1e-15), origin
            assert _agrees(text, value), f"{origin} is {value}, the page shows {text!r}"
        loose = re.sub("|".join(_FIXED), "", read.text)
        assert not re.findall(r"\S*\d\S*", loose)
        return len(read.numbers)

    return ask_again


_FIXED = (
    r"\b(?:HR|NDCG|Recall|Precision|MAP|MRR)@(?:\d+|K)",
    r"95\s%",
    r"K = \d+",
    r"\b2019\b",
    r"1 to 5 train interactions",
    r"(?:VGG|SHA)-\d+",
    r"(?:Fig\.|Figure|Table|Eq\.)\s\d",
)


def _agrees(text: str, value: float) -> bool:
    """Return whether a text is a value, rounded to the digits it shows."""
    shown = text.replace(",", "").replace("−", "-").replace("\u202f", "").replace(" ", "")
    if shown.startswith("<"):
        return value < float(shown[1:])
    scale = 100 if shown.endswith("%") else 2**-20 if shown.endswith("MiB") else 1
    shown = shown.rstrip("%MiB")
    return abs(float(shown) - value * scale) <= 0.5 * 10 ** -len(shown.partition(".")[2]) + 1e-9


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium; tests are skipped without one, unless REQUIRE_BROWSER says that there must be one."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None and os.environ.get("REQUIRE_BROWSER"):
        pytest.fail("no Chromium on this machine, and REQUIRE_BROWSER is set")
    if path is None:
        pytest.skip("no Chromium on this machine (Debian: apt install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def look_at(browser: Any) -> Callable[[Path], dict[str, Any]]:
    """Return a function that opens a page on a phone and on a desk, light and dark, and says what it found."""

    def look_at(page: Path) -> dict[str, Any]:
        complaints, requests, widths, seen = [], [], [], []
        for width, scheme in ((390, "light"), (390, "dark"), (1280, "light"), (1280, "dark")):
            tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            tab.on("console", lambda message: complaints.append(message.text))
            tab.on("pageerror", lambda error: complaints.append(str(error)))
            tab.on("request", lambda request: requests.append(request.url))
            tab.goto(page.as_uri())
            tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
            widths.append(tab.evaluate("document.documentElement.scrollWidth") - width)
            seen.append(tab.evaluate(_LOOK))
            tab.close()
        outside = [url for url in requests if not url.startswith(("data:", page.as_uri()))]
        found = {
            key: [one for view in seen for one in view[key]] if isinstance(value, list) else max(v[key] for v in seen)
            for key, value in seen[0].items()
        }
        return {**found, "complaints": complaints, "requests": outside, "sideways": max(widths)}

    return look_at


_LOOK = (Path(__file__).parent / "look.js").read_text(encoding="utf-8")
