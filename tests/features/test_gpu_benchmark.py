"""The benchmark of extraction on a GPU runs on a processor at tiny sizes, so that a card is not spent on typos."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from features import gpu_decoding

BENCH = Path(__file__).resolve().parents[1] / "bench"


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[tuple[str, float, float]]]]:
    monkeypatch.syspath_prepend(str(BENCH))
    monkeypatch.setenv("BENCH_GPU_DEVICE", "cpu")
    monkeypatch.setenv("BENCH_GPU_TINY", "1")
    monkeypatch.setattr(torch, "compile", lambda network, **_: network)
    before = set(sys.modules)

    def measure() -> list[tuple[str, float, float]]:
        import gpu_extraction  # type: ignore[import-not-found]

        return [(row.what, row.ours, row.peers) for row in gpu_extraction.rows()]

    yield measure
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(BENCH)):
            del sys.modules[name]


@pytest.mark.parametrize("decoding", ["gpu", "fast"])
def test_every_row_is_measured_on_a_processor_too(
    decoding: str, rows: Callable[[], list[tuple[str, float, float]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    if decoding == "gpu":
        monkeypatch.setattr("features.extractor.is_available", lambda *_: True)
        monkeypatch.setattr(
            gpu_decoding, "decode", lambda jpegs, _device: [torch.ops.image.decode_jpeg(one, 3, False) for one in jpegs]
        )
    found = rows()
    assert all(ours > 0 and peers > 0 for _, ours, peers in found)
    words = " / ".join(what for what, _, _ in found)
    expected = ["forward, eager, batch", "forward, compiled", "decoding, 1 processes", f"device, {decoding} decoding"]
    for part in [*expected, "JPEG files to Parquet", "a whole run"]:
        assert part in words
