import os

import pytest

from model.experiments.memory import available_memory_bytes, peak_memory_bytes


def test_available_memory_is_positive_or_unknown() -> None:
    available = available_memory_bytes()
    assert available is None or available > 0


@pytest.mark.parametrize("error", [ValueError("unrecognized configuration name"), OSError("not supported")])
def test_available_memory_is_unknown_on_systems_without_the_setting(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on macOS, which has no `SC_AVPHYS_PAGES`."""

    def sysconf(name: str) -> int:
        raise error

    monkeypatch.setattr(os, "sysconf", sysconf)
    assert available_memory_bytes() is None


def test_available_memory_is_unknown_on_systems_without_sysconf(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows."""
    monkeypatch.delattr(os, "sysconf")
    assert available_memory_bytes() is None


def test_peak_memory_is_unknown_on_systems_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    def read_text(*_arguments: object, **_options: object) -> str:
        raise FileNotFoundError("/proc/self/status")

    monkeypatch.setattr("model.experiments.memory.Path.read_text", read_text)
    assert peak_memory_bytes() is None
