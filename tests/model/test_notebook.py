"""The notebook: its cells run in order, from a snapshot to a chart."""

import re
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

from dataset.snapshots.snapshot import Snapshot
from model.data.tables import Tables

NOTEBOOK = Path(__file__).resolve().parents[2] / "model" / "notebook.py"


def test_the_notebook_runs_from_a_snapshot_to_a_chart(
    publish_below: Callable[[Path, Tables], Snapshot],
    tables: Tables,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    publish_below(tmp_path / "data", tables)
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(NOTEBOOK), run_name="__main__")
    told = capsys.readouterr().out
    assert (tmp_path / "notebook.pdf").read_bytes().startswith(b"%PDF")
    for words in ("toy v0001", "jifr", "vbpr", "is_real", "key_frame_id", "The chart is notebook.pdf."):
        assert words in told


def test_the_notebook_has_cells_of_words_and_of_code() -> None:
    cells = re.split(r"^# %%", NOTEBOOK.read_text(encoding="utf-8"), flags=re.M)[1:]
    words = [cell for cell in cells if cell.startswith(" [markdown]")]
    assert len(words) == len(cells) - len(words) + 1
    for cell in words:
        assert all(line.startswith("#") or not line for line in cell.splitlines()[1:])
