"""The page of all bundles: what was verified, in order, with the steps; nothing that a bundle names is obeyed."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from dataset.tables import read_table
from model import bundle, leaderboard
from model.schema import Entry

Run = Callable[..., tuple[int, str, str]]
SCRIPT = "<script>document.title = 'owned'</script>"
QUIET = {
    "emptyCharts": 0, "namelessCharts": 0, "brokenImages": 0, "lazyImages": 0, "namelessImages": 0, "overlaps": [],
    "clipped": [], "outside": [], "silentTables": [], "complaints": [], "requests": [], "sideways": 0, "charts": 0,
    "images": 0,
}  # fmt: skip


@pytest.fixture
def command(run_command: Run, study_home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a module's command in the folder of the study; return exit status, stdout and stderr."""
    monkeypatch.chdir(study_home)
    return lambda module, *arguments: run_command(module.app, *map(str, arguments))


@pytest.fixture
def bundles(study_home: Path, tmp_path: Path) -> Path:
    """A folder with the study's bundle, one of one run with a hostile name, a copy, and a file that is no bundle."""
    folder = tmp_path / "bundles"
    shutil.copytree(study_home / "data/bundles", folder)
    shutil.copy(folder / "study-toy-v0001.zip", folder / "z-copy.zip")
    (folder / "broken.zip").write_bytes(b"no archive")
    named = folder / f"{SCRIPT.replace('/', '_')}.zip"
    bundle.main([str(next((study_home / "data/runs").glob("random-*"))), "--to", str(named)])
    return folder


def test_the_page_shows_what_was_verified_in_order_and_why_a_file_is_not_shown(
    command: Run, bundles: Path, look_at: Callable[[Path], dict[str, Any]]
) -> None:
    status, out, err = command(leaderboard, bundles)
    assert (status, err) == (0, "")
    assert "study-toy-v0001.zip: verified" in out
    assert "broken.zip: refused: is not a ZIP file" in out
    assert "z-copy.zip: refused: the same file as study-toy-v0001.zip" in out
    entries = read_table(bundles / "leaderboard.parquet", Entry)
    assert entries["is_verified"].all()
    page = (bundles / "leaderboard.html").read_text()
    items = page.split("<h3>Items</h3>")[1].split("</table>")[0]
    shown = re.findall(r'metric=full_ndcg&amp;k=5#value">([\d.]+)<', items)
    expected = entries.filter(pl.col("task") == "item", metric="full_ndcg", k=5)["value"]
    assert [float(value) for value in shown] == pytest.approx(expected.sort(descending=True).to_list(), abs=1e-4)
    assert (items.count("✓ verified"), items.count(">best<")) == (3, 1)
    assert entries.filter(pl.col("task") == "item", metric="full_ndcg", k=5)["p_best"].null_count() == 1
    assert all(words in page for words in ("python -m model.experiment study.toml", "[models.popular]", "broken.zip"))
    assert look_at(bundles / "leaderboard.html") == QUIET
    assert "<script" not in page


def test_a_bundle_whose_snapshot_is_not_here_is_shown_as_not_verified(
    command: Run, bundles: Path, tmp_path: Path
) -> None:
    status, out, _ = command(leaderboard, bundles, "--snapshots", bundles, "--to", tmp_path / "site/v1.2.html")
    assert (status, "study-toy-v0001.zip: not verified: its snapshot is not here" in out) == (0, True)
    page = (tmp_path / "site/v1.2.html").read_text()
    assert 'href="./../bundles/study-toy-v0001.zip"' in page
    assert (tmp_path / "site/v1.2.parquet").is_file()
    assert "✓ verified" not in page
    assert ">best<" not in page
    assert "not compared" in page


def test_a_page_is_not_overwritten_and_a_folder_without_bundles_is_said(
    command: Run, bundles: Path, tmp_path: Path
) -> None:
    (bundles / "leaderboard.html").write_text("mine")
    status, _, err = command(leaderboard, bundles)
    assert (status, "pass --replace" in err, (bundles / "leaderboard.html").read_text()) == (2, True, "mine")
    assert command(leaderboard, bundles, "--to", tmp_path / "page.txt")[0] == 2
    (tmp_path / "empty").mkdir()
    for folder, words in (("nowhere", "no such folder"), (tmp_path / "empty", "no bundle there")):
        status, _, err = command(leaderboard, folder)
        assert (status, err.count("\n"), words in err) == (1, 1, True)
