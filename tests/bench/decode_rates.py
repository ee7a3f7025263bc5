"""Rates of decoding, for benchmarks: one picture after the other in line, and decoder processes with an idle parent."""

import itertools
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import astuple
from pathlib import Path

import polars as pl

from dataset.pictures.operations import crop
from dataset.pictures.pool import PicturePool
from dataset.pictures.protocol import Geometry

GEOMETRY = Geometry(256, 224, "bilinear")
CHUNK_SIZE = 16


def rate_in_line(raw: Path, seconds: float = 4.0) -> float:
    """Return pictures per second of one decoder, called in this process."""
    pictures = itertools.cycle(pictures_of(raw))
    number, started = 0, time.perf_counter()
    while number < 3 or time.perf_counter() - started < seconds:
        image_sha256, path = next(pictures)
        crop(raw / path, image_sha256, astuple(GEOMETRY), True)
        number += 1
    return number / (time.perf_counter() - started)


def rate_of_processes(raw: Path, n_processes: int, seconds: float = 8.0) -> float:
    """Return pictures per second of a pool whose results nobody uses; starting the processes does not count."""

    def chunks() -> Iterator[Sequence[tuple[str, str]]]:
        pictures = itertools.cycle(pictures_of(raw))
        while not stopped_at or time.perf_counter() < stopped_at[0]:
            yield list(itertools.islice(pictures, CHUNK_SIZE))

    stopped_at: list[float] = []
    n_to_warm_up, number, started, ended = 2 * n_processes, 0, 0.0, 0.0
    with PicturePool(n_processes) as pool:
        for done, chunk in enumerate(pool.crops(raw, chunks(), CHUNK_SIZE, GEOMETRY, fast=True)):
            if done == n_to_warm_up:
                started = time.perf_counter()
                stopped_at.append(started + seconds)
            elif done > n_to_warm_up and (not number or time.perf_counter() < stopped_at[0]):
                number += len(chunk)
                ended = time.perf_counter()
    return number / (ended - started)


def pictures_of(raw: Path) -> list[tuple[str, str]]:
    """Return the SHA-256 and paths of the pictures of a raw folder."""
    return pl.read_parquet(raw / "images.parquet").select("image_sha256", "path").rows()


def n_physical_cores() -> int:
    """Return how many cores this process may use; threads that share a core count once."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    siblings = [Path(f"/sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list") for number in allowed]
    return len({file.read_text() if file.is_file() else str(file) for file in siblings})
