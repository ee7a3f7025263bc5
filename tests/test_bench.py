"""The benchmarks that most machines cannot run in earnest run here at toy sizes, every line of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def _bench(name: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "tests/bench/run.py", name], cwd=ROOT, capture_output=True, text=True, timeout=280,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_a_gpu_its_benchmark_says_so_and_ends_well() -> None:
    assert "no CUDA GPU" in _bench("gpu")


def test_the_gpu_benchmark_has_rows_for_every_model_evaluation_and_agreement() -> None:
    said = _bench("gpu", BENCH_GPU_DEVICE="cpu", BENCH_GPU_TINY="1")
    for row in ("jifr, batches of", "acf, batches of", "bpr, batches of", "the paper's protocol", "apart"):
        assert row in said


def test_the_benchmark_of_threads_has_a_row_for_each_number_of_threads() -> None:
    said = _bench("threads", BENCH_THREADS_TINY="1")
    assert said.count("1 threads") == 3


@pytest.mark.parametrize(("only", "needs_peers"), [("gpu", False), ("threads", False), ("kcore", True), ("", True)])
def test_benchmarks_without_peers_do_not_install_them(only: str, needs_peers: bool) -> None:
    planned = subprocess.run(
        ["make", "--dry-run", "--always-make", "bench", f"ONLY={only}"], cwd=ROOT, capture_output=True, text=True,
        timeout=60, check=True,
    )  # fmt: skip
    assert ("peers.txt" in planned.stdout) == needs_peers
