"""VGG-19 fc7: the chosen precision against fp32 as usually written, and end to end against forward only."""

import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import torch
from PIL import Image
from run import Result
from torchvision.models import vgg19

from features.extract import BATCH_SIZE, extract
from features.extractor import Extractor

N_PICTURES, N_FORWARD = 160, 64


def measure() -> list[Result]:
    torch.manual_seed(0)
    inputs = torch.randn(BATCH_SIZE, 3, 224, 224)
    extractor = Extractor("random:0")
    extractor.check_precision(inputs[:1])
    usual = vgg19(weights=None, init_weights=False).eval()
    with torch.inference_mode():
        usual_rate = _rate(lambda: usual(inputs))
    forward_rate = _rate(lambda: extractor.features(inputs))
    end_to_end_rate = _end_to_end(extractor)
    precision = extractor.identity.precision
    return [
        Result(f"VGG-19 forward, {precision}", forward_rate, "fp32 as usually written", usual_rate, "img/s"),
        Result(f"VGG-19 from JPEG to Parquet, {precision}", end_to_end_rate, "forward only", forward_rate, "img/s"),
    ]


def _rate(forward: object) -> float:
    forward()  # type: ignore[operator]
    started = time.perf_counter()
    for _ in range(N_FORWARD // BATCH_SIZE):
        forward()  # type: ignore[operator]
    return N_FORWARD / (time.perf_counter() - started)


def _end_to_end(extractor: Extractor) -> float:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        raw, dataset = _made_pictures(folder)
        started = time.perf_counter()
        extract(raw, dataset, extractor, folder / "store", lambda _n: None)
        return N_PICTURES / (time.perf_counter() - started)


def _made_pictures(folder: Path) -> tuple[Path, Path]:
    """Write 1280 x 720 JPEGs (smooth noise, so that they compress as photographs do) and their tables."""
    from dataset.files import sha256_of_file, write_json
    from dataset.schema import Frame
    from dataset.schema import Image as ImageSchema
    from dataset.tables import empty, write_table

    rng = np.random.default_rng(0)
    raw, dataset, images = folder / "raw", folder / "dataset", []
    raw.mkdir()
    for number in range(N_PICTURES):
        small = Image.fromarray(rng.integers(0, 256, (90, 160, 3), dtype=np.uint8))
        path = raw / f"{number}.jpg"
        small.resize((1280, 720), Image.Resampling.BICUBIC).save(path, quality=90)
        images.append((str(number), sha256_of_file(path), "jpeg", 1280, 720, path.stat().st_size, path.name))
    table = pl.DataFrame(images, schema=empty(ImageSchema).schema, orient="row")
    write_table(table, ImageSchema, raw / "images.parquet")
    columns = {"frame_id": table["frame_id"], "movie_id": pl.Series(["m"] * N_PICTURES), "kind": ["still"] * N_PICTURES}
    frames = pl.DataFrame(columns, schema_overrides={"kind": empty(Frame).schema["kind"]})
    missing = [pl.lit(None, t).alias(c) for c, t in empty(Frame).schema.items() if c not in columns]
    write_table(frames.with_columns(missing), Frame, dataset / "frames.parquet")
    write_json(dataset / "dataset.json", {})
    return raw, dataset
