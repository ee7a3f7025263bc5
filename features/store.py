"""The feature store: features by picture, so that no picture is computed twice, in any dataset.

    <root>/<extractor id>/extractor.json       who made these features
    <root>/<extractor id>/<shard>.parquet      image_sha256, feature: Array[f16, width]

A shard is written atomically and named by the pictures in it. Interrupted runs leave whole
shards behind and nothing else.
"""

import hashlib
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from dataset.errors import InvalidTableError
from dataset.files import atomic_path, write_json
from features.extractor import ExtractorIdentity

DEFAULT_ROOT = Path("data/features")


class FeatureStore:
    """The features of one extractor.

    Args:
        root: the folder of all stores.
        identity: the extractor that made the features.
    """

    def __init__(self, root: Path, identity: ExtractorIdentity) -> None:
        self.path = root / identity.extractor_id
        if not (self.path / "extractor.json").is_file():
            write_json(self.path / "extractor.json", asdict(identity))

    def known(self) -> set[str]:
        """Return the SHA-256 of every picture with a feature here."""
        if not self._shards():
            return set()
        return set(self._scan().select("image_sha256").collect()["image_sha256"])

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
        name = hashlib.sha256("".join(image_sha256).encode()).hexdigest()[:24]
        with atomic_path(self.path / f"{name}.parquet") as temporary:
            shard.write_parquet(temporary, compression="zstd")

    def read(self, image_sha256: pl.Series) -> pl.DataFrame:
        """Return `image_sha256`, `feature` of the pictures asked for that have a feature, each once."""
        if not self._shards():
            return pl.DataFrame(schema={"image_sha256": pl.String, "feature": pl.Array(pl.Float16, 1)})
        wanted = self._scan().filter(pl.col("image_sha256").is_in(image_sha256.unique().implode()))
        return wanted.collect().unique("image_sha256", keep="first", maintain_order=True)

    def _shards(self) -> list[Path]:
        return sorted(self.path.glob("*.parquet"))

    def _scan(self) -> pl.LazyFrame:
        return pl.scan_parquet(self._shards())
