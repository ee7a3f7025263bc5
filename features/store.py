"""The feature store: features by picture, so that no picture is computed twice for any dataset.

    <root>/weights.json                          the SHA-256 of the weights used so far
    <root>/<extractor id>/extractor.json         the extractor of these features
    <root>/<extractor id>/<shard>.parquet        image_sha256, feature: Array[f16, width]
    <root>/<extractor id>/failures/<sha256>.txt  why a picture has no feature

A shard is written atomically. Its name contains the SHA-256 of its pictures' names and of its bytes, so
a corrupt shard is detected; it is renamed to `.corrupt`. An interrupted run leaves only complete shards.
"""

import hashlib
import io
import logging
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

_log = logging.getLogger(__name__)

_STALE_PART_S = 600
_READERS = 4


class FeatureStore:
    """The features of one extractor.

    Args:
        root: the folder of the stores of all extractors.
        identity: the extractor.
    """

    def __init__(self, root: Path, identity: ExtractorIdentity) -> None:
        self.path, self.identity = root / identity.extractor_id, identity
        if not (self.path / "extractor.json").is_file():
            write_json(self.path / "extractor.json", asdict(identity))
        for part in self.path.glob(".*.part"):  # left by runs that were killed
            with suppress(OSError):
                if time.time() - part.stat().st_mtime > _STALE_PART_S:
                    part.unlink()

    def shards_of(self, image_sha256: pl.Series) -> tuple[dict[Path, list[str]], list[str]]:
        """Return the shards that hold these pictures, each picture once, and the names of corrupt shards."""
        wanted = set(image_sha256)
        found: dict[Path, list[str]] = {}
        corrupt: list[str] = []
        shards = sorted(self.path.glob("*.parquet"))
        with ThreadPoolExecutor(_READERS) as pool:
            for path, names in zip(shards, pool.map(_pictures_in, shards), strict=True):
                if names is None:
                    path.rename(path.with_suffix(".corrupt"))
                    _log.warning("corrupt shard renamed: %s", path)
                    corrupt.append(path.name)
                elif here := [name for name in names if name in wanted]:
                    found[path] = here
                    wanted.difference_update(here)
        return found, corrupt

    def failures(self) -> dict[str, str]:
        """Return the reason for the failure of each picture that could not be decoded."""
        files = sorted((self.path / "failures").glob("*.txt"))
        return {file.stem: file.read_text(encoding="utf-8").strip() for file in files}

    def add(self, image_sha256: list[str], features: npt.NDArray[np.float16]) -> None:
        """Write one shard, atomically.

        Args:
            image_sha256: n pictures.
            features: (n, width) float16.

        Raises:
            InvalidTableError: a feature is not finite in float16.
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
        for picture in image_sha256:  # it may have failed before
            (self.path / "failures" / f"{picture}.txt").unlink(missing_ok=True)

    def has_done(self, image_sha256: list[str]) -> bool:
        """Return whether these pictures, except failed ones, were written as one shard; no shard is read."""
        failures = self.path / "failures"
        readable = [name for name in image_sha256 if not (failures / f"{name}.txt").exists()]
        return any(self.path.glob(f"{_digest_of_names(readable)}-*.parquet"))

    def receive(self, name: str, content: bytes) -> None:
        """Write a file of another store of the same extractor; a shard whose bytes do not match its name is refused.

        Raises:
            InvalidTableError: the shard is corrupt.
        """
        path = self.path / name
        if path.suffix == ".parquet" and not _is_intact(path, content):
            raise InvalidTableError(f"{path}: was received corrupt; run the same command again")
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)

    def add_failure(self, image_sha256: str, reason: str) -> None:
        """Record why a picture has no feature."""
        write_text(self.path / "failures" / f"{image_sha256}.txt", reason + "\n")

    def read(self, shard: Path) -> tuple[list[str], npt.NDArray[np.float16]]:
        """Return the pictures and the features, (n, width) float16, of a shard.

        Raises:
            InvalidTableError: the shard is corrupt.
        """
        content = shard.read_bytes()
        if not _is_intact(shard, content):
            raise InvalidTableError(f"{shard}: corrupt since this run started; run the same command again")
        rows = pl.read_parquet(io.BytesIO(content))
        return rows["image_sha256"].to_list(), rows["feature"].to_numpy()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _digest_of_names(image_sha256: list[str]) -> str:
    return _digest("".join(image_sha256).encode())


def _is_intact(shard: Path, content: bytes) -> bool:
    return shard.stem.endswith(f"-{_digest(content)}")


def _pictures_in(shard: Path) -> list[str] | None:
    """Return the pictures of a shard; None if it is corrupt."""
    content = shard.read_bytes()
    if not _is_intact(shard, content):
        return None
    return pl.read_parquet(io.BytesIO(content), columns=["image_sha256"])["image_sha256"].to_list()
