from collections.abc import Callable
from pathlib import Path

import pytest

from dataset.errors import TrainingError
from dataset.snapshots.snapshot import Snapshot
from model.data import memory
from model.data.memory import available_memory_bytes, require_memory
from model.data.tables import Tables
from model.evaluate import app as evaluate
from model.experiments.memory import peak_memory_bytes
from model.train import app as train


def test_available_memory_is_positive_or_unknown() -> None:
    available = available_memory_bytes()
    assert available is None or available > 0


@pytest.mark.parametrize("text", [None, "", "MemTotal: 8 kB\n", "MemAvailable: many kB\n"])
def test_available_memory_is_unknown_on_systems_that_do_not_report_it(
    text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on macOS and Windows, which have no `/proc`."""
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    if text is not None:
        (tmp_path / "meminfo").write_text(text)
    assert available_memory_bytes() is None
    require_memory(1 << 60, "a model", "use another")  # unknown: nothing is refused


@pytest.mark.parametrize(
    ("limit", "used", "cached", "expected"),
    [("max", 0, 0, 8 << 20), (f"{6 << 20}", 2 << 20, 1 << 20, 5 << 20), (f"{1 << 20}", 2 << 20, 0, 0)],
)
def test_a_containers_limit_counts_and_cached_files_do_not(
    limit: str, used: int, cached: int, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 9999 kB\nMemAvailable:    8192 kB\n")
    for name, content in {"max": limit, "current": used, "stat": f"anon 1\ninactive_file {cached}\n"}.items():
        (tmp_path / f"memory.{name}").write_text(f"{content}\n")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_CONTAINER", tmp_path)
    assert available_memory_bytes() == expected
    with pytest.raises(
        TrainingError, match=r"^a model needs about 2\.0 GiB of memory, and 0\.0 GiB are left; use another$"
    ):
        require_memory(2 << 30, "a model", "use another")


def test_peak_memory_is_unknown_on_systems_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    def read_text(*_arguments: object, **_options: object) -> str:
        raise FileNotFoundError("/proc/self/status")

    monkeypatch.setattr("model.experiments.memory.Path.read_text", read_text)
    assert peak_memory_bytes() is None


def test_commands_refuse_ease_in_one_line_where_its_matrix_does_not_fit(
    tables: Tables,
    publish_tables: Callable[..., Snapshot],
    run_command: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Training before it takes memory, and evaluation, perhaps on another machine, before it reads the weights."""
    monkeypatch.chdir(tmp_path)
    snapshot = str(publish_tables(tables).path)
    commands = [
        (train, "--model", "ease", "--snapshot", snapshot),
        (evaluate, "--run", "data/runs/ease-toy-v0001-0"),
    ]
    assert [run_command(*one)[0] for one in commands] == [0, 0]
    monkeypatch.setattr(memory, "available_memory_bytes", lambda: 1 << 20)
    for one in commands:
        status, _, told = run_command(*one)
        assert (status, told.count("\n")) == (1, 1)
        assert "ease: its matrix of 24 × 24 items needs about" in told
        assert "train slim or itemknn" in told
