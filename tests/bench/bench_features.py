"""VGG-19 fc7: decoding, the chosen precision against fp32 as usually written, end to end against forward only, memory.

The same command uses a GPU if there is one.
"""

import hashlib
import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import torch
from decode_rates import n_physical_cores, rate_in_line, rate_of_processes
from PIL import Image
from run import Result
from torchvision.models import vgg19

from dataset.schema import Frame
from dataset.schema import Image as ImageSchema
from dataset.tables import empty, write_table
from features.config import ExtractOptions, ExtractorConfig
from features.extract import extract
from features.extractor import PRECISIONS, Extractor

GFLOP_AN_IMAGE = 39.3  # 19.6 G multiply-adds
N_TO_DECODE, N_DISTINCT = 400, 100
MATRIX = 4096
END_TO_END_S, MOST_PICTURES, N_MEMORY = 60, 8000, (400, 1600)
MEMORY_LIMIT_MIB = 4096

# Extracts with a small network, so that many pictures take seconds. Prints the peak memory of process and decoders.
_MEMORY = """
import resource, sys
from pathlib import Path
from dataset.pictures.pool import PicturePool
from features.extract import extract
from features.config import ExtractOptions, ExtractorConfig
from features.extractor import Extractor
extractor = Extractor(ExtractorConfig("mobilenet_v3_small", "random:0", "fp32"), "cpu")
close, peaks = PicturePool.close, []
def measured_close(pool):
    pids = pool.process_ids
    peaks.extend(int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0]) for pid in pids)
    close(pool)
PicturePool.close = measured_close
extract(Path(sys.argv[1]), None, extractor, Path(sys.argv[1]) / "store", lambda n: None)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + sum(peaks)) / 1024)
"""


def measure() -> list[Result]:
    extractor = Extractor(ExtractorConfig(weights="random:0"))
    options = ExtractOptions().resolve(extractor.device.type)
    size, precision = options.batch_size, extractor.identity.precision
    crops = np.random.default_rng(0).integers(0, 256, (size, 224, 224, 3), dtype=np.uint8)
    usual_rate = _usual_rate(crops, extractor.device)
    forward_rate = _rate(lambda: extractor.features(crops), size)
    results = [_decoding()]
    results.append(Result(f"VGG-19 forward, {precision}", forward_rate, "fp32 as usually written", usual_rate, "img/s"))
    if precision != "fp32":
        plain = Extractor(ExtractorConfig(weights="random:0", precision="fp32"))
        rate = _rate(lambda: plain.features(crops), size)
        results.append(Result("VGG-19 forward, fp32", rate, "fp32 as usually written", usual_rate, "img/s"))
    peak = _peak(PRECISIONS[precision], extractor.device)
    matrix = f"a {MATRIX} x {MATRIX} matrix product"
    results.append(Result(f"VGG-19 forward, {precision}", forward_rate * GFLOP_AN_IMAGE, matrix, peak, "GFLOP/s"))
    end_to_end_rate = _end_to_end(extractor, min(MOST_PICTURES, round(END_TO_END_S * forward_rate)))
    results.append(Result("VGG-19, JPEG files to Parquet", end_to_end_rate, "forward only", forward_rate, "img/s"))
    few, many = (_memory(n_pictures) for n_pictures in N_MEMORY)
    results.append(Result(f"memory of {N_MEMORY[1]:,} pictures", many, "limit", MEMORY_LIMIT_MIB, "MiB"))
    results.append(Result("", many, f"of {N_MEMORY[0]:,} pictures", few, "MiB"))
    return results


def _decoding() -> Result:
    n_cores = n_physical_cores()
    with tempfile.TemporaryDirectory() as name:
        make_pictures(Path(name), N_TO_DECODE)
        in_line, processes = rate_in_line(Path(name)), rate_of_processes(Path(name), n_cores)
    return Result(f"decoding, {n_cores} processes", processes, f"{n_cores} x one in line", n_cores * in_line, "img/s")


def _usual_rate(crops: np.ndarray, device: torch.device) -> float:
    """Return the rate of VGG-19 as most scripts run it: fp32, contiguous."""
    usual = vgg19(weights=None, init_weights=False).eval().to(device)
    inputs = torch.from_numpy(crops).permute(0, 3, 1, 2).contiguous().float().div(255).to(device)
    with torch.inference_mode():
        return _rate(lambda: usual(inputs).cpu(), len(crops))


def _rate(forward: Callable[[], object], n_images: int) -> float:
    """Return images per second: the mean of three runs, after one to warm up."""
    forward()
    started = time.perf_counter()
    for _ in range(3):
        forward()
    return 3 * n_images / (time.perf_counter() - started)


def _peak(dtype: torch.dtype, device: torch.device) -> float:
    matrix = torch.randn(MATRIX, MATRIX, device=device).to(dtype)
    with torch.inference_mode():
        return _rate(lambda: (matrix @ matrix)[0, 0].item(), 1) * 2 * MATRIX**3 / 1e9


def _end_to_end(extractor: Extractor, n_pictures: int) -> float:
    """Return pictures per second, start, check against fp32 and end included; they are a small part of a minute."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_pictures(folder, n_pictures)
        started = time.perf_counter()
        extract(folder, None, extractor, folder / "store", lambda _n: None)
        return n_pictures / (time.perf_counter() - started)


def _memory(n_pictures: int) -> float:
    with tempfile.TemporaryDirectory() as name:
        make_pictures(Path(name), n_pictures)
        done = subprocess.run([sys.executable, "-c", _MEMORY, name], capture_output=True, text=True, check=True)
        return float(done.stdout)


def make_pictures(raw: Path, n_pictures: int, size_px: tuple[int, int] = (1280, 720)) -> None:
    """Write JPEGs (smooth noise, so that they compress as photographs do) and their tables."""
    rng = np.random.default_rng(0)
    images, contents = [], []
    for number in range(n_pictures):
        if number < N_DISTINCT:
            small = Image.fromarray(rng.integers(0, 256, (size_px[1] // 8, size_px[0] // 8, 3), dtype=np.uint8))
            file = io.BytesIO()
            small.resize(size_px, Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
            contents.append((file.getvalue(), hashlib.sha256(file.getvalue())))
        content, digest = contents[number % N_DISTINCT][0], contents[number % N_DISTINCT][1].copy()
        if number >= N_DISTINCT:  # the same picture with bytes appended: the store sees another file
            content += f"{number}".encode()
            digest.update(f"{number}".encode())
        (raw / f"{number}.jpg").write_bytes(content)
        images.append((f"{number:06}", digest.hexdigest(), "jpeg", *size_px, len(content), f"{number}.jpg"))
    table = pl.DataFrame(images, schema=empty(ImageSchema).schema, orient="row")
    write_table(table, ImageSchema, raw / "images.parquet")
    columns = {"frame_id": table["frame_id"], "movie_id": ["m"] * n_pictures, "kind": ["still"] * n_pictures}
    frames = pl.DataFrame(columns, schema_overrides={"kind": empty(Frame).schema["kind"]})
    missing = [pl.lit(None, t).alias(c) for c, t in empty(Frame).schema.items() if c not in columns]
    write_table(frames.with_columns(missing), Frame, raw / "frames.parquet")
