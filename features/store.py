"""The feature store: features by picture, so that no picture is computed twice, in any dataset.

    <root>/weights.json                          the SHA-256 of the weights used so far
    <root>/<extractor id>/extractor.json         who made these features
    <root>/<extractor id>/<shard>.parquet        image_sha256, feature: Array[f16, width]
    <root>/<extractor id>/failures/<sha256>.txt  why a picture has no feature

A shard is written atomically and named by the SHA-256 of its pictures' names and of its bytes:
one that is corrupt or has rotted is found, and set aside as `.corrupt`. Interrupted runs leave
whole shards behind and nothing else.
"""

import hashlib
import io
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from dataset.errors import InvalidTableError
from dataset.files import atomic_path, write_json, write_text
from features.config import ExtractorIdentity

DEFAULT_ROOT = Path("data/features")
_STALE_PART_S = 600
_READERS = 4


class FeatureStore:
    """The features of one extractor.

    Args:
        root: the folder of all stores.
        identity: the extractor that made the features.
    """

    def __init__(self, root: Path, identity: ExtractorIdentity) -> None:
        self.path, self.identity = root / identity.extractor_id, identity
        if not (self.path / "extractor.json").is_file():
            write_json(self.path / "extractor.json", asdict(identity))
        for part in self.path.glob(".*.part"):  # of runs that were killed
            with suppress(OSError):
                if time.time() - part.stat().st_mtime > _STALE_PART_S:
                    part.unlink()

    def shards_of(self, image_sha256: pl.Series) -> tuple[dict[Path, list[str]], list[str]]:
        """Return which shard holds which of these pictures, each once, and which shards were set aside as corrupt."""
        wanted = set(image_sha256)
        found: dict[Path, list[str]] = {}
        corrupt: list[str] = []
        shards = sorted(self.path.glob("*.parquet"))
        with ThreadPoolExecutor(_READERS) as pool:
            for path, names in zip(shards, pool.map(_pictures_in, shards), strict=True):
                if names is None:
                    path.rename(path.with_suffix(".corrupt"))
                    corrupt.append(path.name)
                elif here := [name for name in names if name in wanted]:
                    found[path] = here
                    wanted.difference_update(here)
        return found, corrupt

    def failures(self) -> dict[str, str]:
        """Return the pictures that could not be decoded, with the reason."""
        files = sorted((self.path / "failures").glob("*.txt"))
        return {file.stem: file.read_text(encoding="utf-8").strip() for file in files}

    def add(self, image_sha256: list[str], features: npt.NDArray[np.float16]) -> None:
        """Write one shard, atomically.

        Args:
            image_sha256: n pictures.
            features: (n, width) float16.

        Raises:
            InvalidTableError: a feature is not finite (it does not fit into float16).
        """
        bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
        if len(bad):
            raise InvalidTableError(
                f"{self.path}: the feature of picture {image_sha256[bad[0]]} is not finite in float16 "
                f"({len(bad)} of {len(image_sha256)} pictures); use other weights"
            )
        vector = pl.Array(pl.Float16, features.shape[1])
        shard = pl.DataFrame({"image_sha256": image_sha256, "feature": pl.Series(features, dtype=vector)})
        content = io.BytesIO()
        shard.write_parquet(content, compression="zstd", compression_level=1)
        name = f"{_digest_of_names(image_sha256)}-{_digest(content.getvalue())}.parquet"
        with atomic_path(self.path / name) as temporary:
            temporary.write_bytes(content.getvalue())
        for picture in image_sha256:  # one that failed before
            (self.path / "failures" / f"{picture}.txt").unlink(missing_ok=True)

    def has_done(self, image_sha256: list[str]) -> bool:
        """Return whether these pictures, less those that failed, were written as one shard, without reading it."""
        failures = self.path / "failures"
        readable = [name for name in image_sha256 if not (failures / f"{name}.txt").exists()]
        return any(self.path.glob(f"{_digest_of_names(readable)}-*.parquet"))

    def add_failure(self, image_sha256: str, reason: str) -> None:
        """Remember why a picture has no feature."""
        write_text(self.path / "failures" / f"{image_sha256}.txt", reason + "\n")

    def read(self, shard: Path) -> tuple[list[str], npt.NDArray[np.float16]]:
        """Return the pictures and the features, (n, width) float16, of a shard.

        Raises:
            InvalidTableError: it is not whole.
        """
        content = shard.read_bytes()
        if not _is_whole(shard, content):
            raise InvalidTableError(f"{shard}: corrupt since this run began; run the same command again")
        rows = pl.read_parquet(io.BytesIO(content))
        return rows["image_sha256"].to_list(), rows["feature"].to_numpy()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _digest_of_names(image_sha256: list[str]) -> str:
    return _digest("".join(image_sha256).encode())


def _is_whole(shard: Path, content: bytes) -> bool:
    return shard.stem.endswith(f"-{_digest(content)}")


def _pictures_in(shard: Path) -> list[str] | None:
    """Return the pictures of a shard; None where it is corrupt."""
    content = shard.read_bytes()
    if not _is_whole(shard, content):
        return None
    return pl.read_parquet(io.BytesIO(content), columns=["image_sha256"])["image_sha256"].to_list()
