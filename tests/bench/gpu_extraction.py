"""Extraction on a GPU, against the limits of that card and of its machine: rows of `make bench ONLY=gpu`.

Environment: BENCH_GPU_DEVICE (cuda), BENCH_GPU_TINY (1: sizes for a test), BENCH_GPU_PICTURES (16000) end to end.
"""

import copy
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from bench_features import GFLOP_AN_IMAGE, make_pictures
from decode_rates import pictures_of, rate_in_line, rate_of_processes
from run import Result

from dataset.pictures.pool import PicturePool
from features.ahead import one_ahead
from features.batches import BatchMaker
from features.config import ExtractOptions, ExtractorConfig
from features.decoding import CropReader
from features.extract import extract
from features.extractor import PRECISIONS, Extractor

START_LIMIT_S = 8.0
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    network: str = "vgg19"
    precision: Literal["auto", "fp32"] = "auto"
    batches: tuple[int, int] = (128, 512)
    repeats: int = 10
    matrix: int = 8192
    processes: tuple[int, ...] = (4, 8, 15)
    decode_s: float = 3.0
    n_decoded: int = 4096
    n_end_to_end: int = int(os.environ.get("BENCH_GPU_PICTURES", "16000"))
    n_start: int = 1500
    size_px: tuple[int, int] = (1280, 720)


TINY = Sizes("mobilenet_v3_small", "fp32", (2, 4), 1, 64, (1, 2), 0.2, 12, 12, 6, (320, 240))


def rows() -> Iterator[Result]:
    """Yield the rows: forward, decoding, files to table, start."""
    device = os.environ.get("BENCH_GPU_DEVICE", "cuda")
    sizes = TINY if os.environ.get("BENCH_GPU_TINY") == "1" else Sizes()
    extractor = Extractor(ExtractorConfig(sizes.network, "random:0", sizes.precision), device)
    limit = _matrix_rate(extractor, sizes) / (GFLOP_AN_IMAGE * 1e9)
    best = 0.0
    for what, rate in _forward_rates(extractor, sizes):
        best = max(best, rate)
        yield Result(f"{sizes.network} forward, {what}", rate, "matrix products alone", limit, "img/s")
    with tempfile.TemporaryDirectory() as name:
        raw = Path(name)
        make_pictures(raw, max(sizes.n_end_to_end, sizes.n_start), sizes.size_px)
        in_line = rate_in_line(raw, sizes.decode_s)
        for n_processes in sizes.processes:
            rate = rate_of_processes(raw, n_processes, sizes.decode_s)
            peer = f"{n_processes} x one in line"
            yield Result(f"decoding, {n_processes} processes", rate, peer, n_processes * in_line, "img/s")
        rate, n_cores = _batch_rate(extractor, raw, sizes), os.cpu_count() or 1
        what = f"batches on the device, {extractor.decoding} decoding"
        yield Result(what, rate, f"{n_cores} x one in line", n_cores * in_line, "img/s")
        started = time.perf_counter()
        extract(raw, None, extractor, raw / "store", lambda _n: None, _options(extractor, sizes))
        rate = sizes.n_end_to_end / (time.perf_counter() - started)
        yield Result(f"{sizes.n_end_to_end:,} JPEG files to Parquet", rate, "forward only", best, "img/s")
    yield Result(f"a whole run of {sizes.n_start:,} pictures", _whole_run_s(device, sizes), "limit", START_LIMIT_S, "s")


def _options(extractor: Extractor, sizes: Sizes) -> ExtractOptions:
    is_gpu = extractor.device.type == "cuda"
    return ExtractOptions() if is_gpu else ExtractOptions(batch_size=sizes.batches[1], n_decoders=sizes.processes[-1])


def _matrix_rate(extractor: Extractor, sizes: Sizes) -> float:
    """Return the floating-point operations per second of a large matrix product."""
    dtype = torch.bfloat16 if extractor.identity.precision == "bf16" else torch.float32
    matrix = torch.randn(sizes.matrix, sizes.matrix, device=extractor.device).to(dtype)
    return 2 * sizes.matrix**3 / _seconds(lambda: matrix @ matrix, extractor.device, 2 * sizes.repeats)


def _forward_rates(extractor: Extractor, sizes: Sizes) -> Iterator[tuple[str, float]]:
    """Yield what was measured, and pictures per second: as torch runs it, compiled, and as the extractor runs it."""
    side, dtype = extractor.geometry.crop_px, PRECISIONS[extractor.identity.precision]
    extractor.forward(torch.zeros((1, side, side, 3), dtype=torch.uint8, device=extractor.device))
    plain: Callable[[torch.Tensor], torch.Tensor] = copy.deepcopy(extractor._reference).eval().to(dtype)
    for what in ("eager", "compiled", "extractor"):
        for size in sizes.batches[what == "compiled" :]:
            crops = torch.randint(256, (size, side, side, 3), dtype=torch.uint8, device=extractor.device)
            words = what
            if what == "compiled":
                started = time.perf_counter()
                plain = torch.compile(plain, dynamic=False)
                with torch.inference_mode():
                    plain(_inputs(crops, dtype))
                words = f"compiled in {time.perf_counter() - started:.0f} s"
            with torch.inference_mode():
                run = (
                    partial(extractor.forward, crops) if what == "extractor" else partial(plain, _inputs(crops, dtype))
                )
                yield f"{words}, batch {size}", size / _seconds(run, extractor.device, sizes.repeats)


def _inputs(crops: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return crops.permute(0, 3, 1, 2).float().div_(255).sub_(0.5).to(dtype)


def _seconds(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Return the seconds of one call, after three to warm up."""
    for number in range(3 + repeats):
        if number == 3:
            _wait(device)
            started = time.perf_counter()
        work()
    _wait(device)
    return (time.perf_counter() - started) / repeats


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _batch_rate(extractor: Extractor, raw: Path, sizes: Sizes) -> float:
    """Return how many pictures per second come to the device as crops, once the processes run."""
    options = _options(extractor, sizes).resolve(extractor.device.type, 80 << 30)
    number, started = 0, 0.0
    with PicturePool(options.n_decoders) as pool:
        reader = CropReader(pool, raw, extractor.geometry)
        maker = BatchMaker(reader, extractor.decoding, extractor.device, options.batch_size)
        for batch in one_ahead(maker.batches(pictures_of(raw)[: sizes.n_decoded])):
            if started:
                number += len(batch.names)
            else:
                started = time.perf_counter()
        return number / (time.perf_counter() - started)


def _whole_run_s(device: str, sizes: Sizes) -> float:
    """Return the seconds of the command, from its start to its end, for a few pictures."""
    with tempfile.TemporaryDirectory() as name:
        make_pictures(Path(name), sizes.n_start, sizes.size_px)
        command = [sys.executable, "-m", "features", "extract", "--raw", name, "--all-pictures", "--device", device]
        command += ["--extractor", sizes.network, "--weights", "random:0", "--precision", sizes.precision]
        command += ["--store", f"{name}/store"]
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, cwd=_ROOT)
        return time.perf_counter() - started
