"""What data name cannot command a terminal that shows it, or run in a browser that opens a report."""

import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from cyclopts import App

from crawler.__main__ import app as crawler_app
from crawler.commands.status import status
from crawler.kinds import PERSONAL_KINDS
from crawler.ledger.ledger import Ledger
from crawler.page import Key
from crawler.scope import Source
from dataset.__main__ import app
from dataset.building.build import DatasetConfig, build
from dataset.cli import printable, run, say
from dataset.report.dataset_report import write_dataset_report
from dataset.report.page import render
from dataset.schema import RAW_TABLES
from dataset.snapshots.publication import PublicationConfig
from dataset.snapshots.publish import publish
from dataset.snapshots.snapshot import open_snapshot
from dataset.tables import write_table
from flows.__main__ import app as flows_app

OBEYED = "\x1b]0;owned\x07\x1b[2J\x9b31m\rx\x08\x7f\u202e\u2066\u200f\ud800"
SIGNS = "\x00\x07\x08\x0b\r\x1b\x7f\x85\x9b\u061c\u200f\u2028\u202e\u2066\ud800"
SCRIPTS = (
    "<script>document.title = 'owned'</script>",
    '"><img src=x onerror="document.title=\'owned\'">',
    "</style></title><svg onload=\"document.title='owned'\">",
    "javascript:document.title='owned'",
)


def publish_with(raw: Path, home: Path, text: str, publisher: str | None = None) -> Path:
    """Publish a snapshot whose titles, ids and addresses hold a text."""
    shutil.copytree(raw, home / "raw")
    for name, changes in (
        ("movies", [pl.lit(text).alias("title"), pl.lit([text]).alias("genres")]),
        ("frames", [pl.lit(text).alias("image_url")]),
        ("ratings", [(pl.col("user_id") + pl.lit(text)).alias("user_id")]),
        ("frame_likes", [(pl.col("user_id") + pl.lit(text)).alias("user_id")]),
    ):
        table = pl.read_parquet(home / "raw" / f"{name}.parquet").with_columns(changes)
        write_table(table, RAW_TABLES[name], home / "raw" / f"{name}.parquet")
    build(home / "raw", home / "dataset", DatasetConfig())
    return publish(home / "dataset", "toy", home / "snapshots", PublicationConfig(text, publisher))[0].path


@pytest.mark.parametrize("sign", list(SIGNS))
def test_no_sign_that_a_terminal_obeys_is_printed(sign: str, capsys: pytest.CaptureFixture[str]) -> None:
    say(f"a{sign}b", f"c{sign}")
    out = capsys.readouterr().out
    assert sign not in out
    assert "\\" in out
    assert printable("豆瓣\t《花样年华》\n\u3000👩‍👩‍👧 café −") == "豆瓣\t《花样年华》\n\u3000👩‍👩‍👧 café −"


def test_no_title_id_or_licence_commands_the_terminal(
    raw_once: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = OBEYED[:-1].replace("\r", "")
    one = publish_with(raw_once, tmp_path / "one", text, f"Lab{text}")
    other = publish_with(raw_once, tmp_path / "other", text.replace("owned", "taken"))
    named = tmp_path / f"no{OBEYED[:4]}where"
    for arguments in (
        ["show", one], ["list", "--root", one.parents[1]], ["verify", one], ["diff", one, other], ["show", named],
        ["build", "--raw", named], ["export", one, "--to", tmp_path / "exported"],
    ):  # fmt: skip
        monkeypatch.setattr(sys, "argv", ["dataset", *map(str, arguments)])
        with suppress(SystemExit):
            run(app)
        done = capsys.readouterr()
        assert done.out + done.err
        assert not set(SIGNS) & set(done.out + done.err), arguments


def crawled(folder: Path, text: str) -> Path:
    """Return a crawl with a failure whose cause holds a text, as the site's headers and statuses may."""
    crawl = folder / f"crawl{text}"
    with Ledger.open(crawl, Source("sandbox", {"seed": 1}), PERSONAL_KINDS) as ledger:
        key = Key("movie", "1")
        ledger.add_pages([key])
        page = ledger.page(key)
        assert page is not None
        ledger.mark(page, "failed", f"the content type is {text}", 1e9)
    return crawl


@pytest.mark.parametrize(
    ("app", "arguments"),
    [
        (crawler_app, ["status", "--crawl", "CRAWL"]),
        (crawler_app, ["export", "--crawl", "CRAWL", "--to", "FOLDER/raw"]),
        (crawler_app, ["forget", "nobody", "--crawl", "CRAWL"]),
        (crawler_app, ["forget", "TEXT", "--crawl", "CRAWL"]),
        (crawler_app, ["ratings", "--users", "TEXT", "--crawl", "CRAWL", "--site-file", "FOLDER/TEXT"]),
        (crawler_app, ["reparse", "--crawl", "FOLDER/TEXT"]),
        (crawler_app, ["TEXT"]),
        (flows_app, ["forget", "TEXT", "--crawl", "CRAWL"]),
        (flows_app, ["forget", "nobody", "--crawl", "CRAWL"]),
        (flows_app, ["serve", "--config", "FOLDER/TEXT"]),
        (flows_app, ["serve", "--TEXT"]),
        (flows_app, ["extract-features", "--runner", "TEXT"]),
    ],
)
def test_no_command_of_crawler_or_flows_passes_on_what_a_terminal_obeys(
    app: App, arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = OBEYED[:-1]
    places = {"CRAWL": str(crawled(tmp_path, text)), "FOLDER": f"{tmp_path}", "TEXT": text}
    for name, place in places.items():
        arguments = [argument.replace(name, place) for argument in arguments]
    monkeypatch.setattr("flows.server.home.prefect_home", lambda: tmp_path / "home")
    monkeypatch.setattr(sys, "argv", ["command", *arguments])
    with suppress(SystemExit):
        run(app)
    done = capsys.readouterr()
    assert done.out + done.err
    assert not set(SIGNS) & set(done.out + done.err)


def test_no_cause_of_a_failure_commands_a_terminal_that_watches(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("crawler.commands.status.time", SimpleNamespace(time=time.time, sleep=stop))
    status(crawl=crawled(tmp_path, OBEYED[:-1]), watch=True)
    shown = capsys.readouterr().out
    assert r"\x1b]0;owned" in "".join(shown.split("\n"))
    assert not set(SIGNS) & set(shown)


def test_no_script_in_a_title_runs_in_a_report(
    raw_once: Path, tmp_path: Path, browser: Any, look_at: Callable[[Path], dict[str, Any]]
) -> None:
    snapshot = open_snapshot(publish_with(raw_once, tmp_path, " ".join(SCRIPTS), " ".join(SCRIPTS)))
    page = write_dataset_report(snapshot, tmp_path / "raw", tmp_path / "report")
    assert look_at(page)["complaints"] == []
    tab = browser.new_page()
    tab.goto(page.as_uri())
    assert tab.title() != "owned"
    tab.close()


def test_no_script_runs_in_a_report_even_if_somebody_puts_one_there(
    raw_once: Path, tmp_path: Path, browser: Any
) -> None:
    snapshot = open_snapshot(publish_with(raw_once, tmp_path, "title"))
    page = write_dataset_report(snapshot, None, tmp_path / "report")
    policy = '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
    html = page.read_text()
    assert html.index(policy) < html.index("<title>")
    payloads = [*SCRIPTS[:3], "<script src='data:text/javascript,document.title=1'></script>"]
    asked = "<img src='http://127.0.0.1:9/x'><link rel='stylesheet' href='http://127.0.0.1:9/y'>"
    page.write_text(html.replace("<main", f"{''.join(payloads)}{asked}<main"))
    tab, requests = browser.new_page(), []
    tab.on("requestfinished", lambda request: requests.append(request.url))
    tab.goto(page.as_uri())
    assert tab.title() not in ("owned", "1")
    assert [url for url in requests if url.startswith("http")] == []
    tab.close()


def test_the_report_of_an_experiment_has_the_same_policy() -> None:
    template = Path(sys.modules[render.__module__].__file__ or "").parents[2] / "model/report/templates/report.html.j2"
    assert '{% extends "base.html.j2" %}' in template.read_text()
