"""The reference snapshots: drawn worlds in three sizes with frozen splits and features, which nobody exists in (CC0).

Their rows are the same on every machine and with any number of threads: whatever is drawn comes from whole numbers
(`crawler.worlds.draws`), the split from a hash of the pair, and the features are multiples of 1/16. The digest of a
reference says so. It covers the columns that make it what it is (`COLUMNS`), so it stays the same when a later version
of this program adds a column or a setting, which changes the snapshot's content digest. The bytes of the Parquet files
depend on the version of the library that writes them.
"""

import hashlib
import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import polars as pl

from crawler.worlds.features import frame_features
from crawler.worlds.presets import PRESETS, Preset
from crawler.worlds.tables import write_raw
from crawler.worlds.world import DrawnWorld, draw_world
from dataset.building.build import DatasetConfig, build
from dataset.building.dataset_folder import Addition, add_feature_set, frames_sha256
from dataset.building.split import SplitConfig
from dataset.description import FEATURE_FILES
from dataset.errors import InvalidSnapshotError
from dataset.feature_schema import FrameFeature
from dataset.progress import stage
from dataset.schema import Quarantine, SnapshotFrame
from dataset.snapshots import DEFAULT_ROOT
from dataset.snapshots.digest import TableDigest
from dataset.snapshots.publication import PublicationConfig
from dataset.snapshots.publish import publish
from dataset.snapshots.snapshot import Snapshot
from dataset.tables import empty, read_table, write_table

Size = Literal["small", "medium", "large"]

SEED = 2019
"""The seed of the worlds and the key of the splits."""

WIDTH = 64
"""The numbers per feature."""


COLUMNS = {
    "movies": ("movie_id", "title", "original_title", "year", "genres", "directors"),
    "frames": ("frame_id", "movie_id", "kind"),
    "interactions": ("user_id", "movie_id", "stars", "rated_on", "split"),
    "frame_likes": ("user_id", "movie_id", "frame_id", "split"),
    "frame_features": ("frame_id", "feature"),
}
"""The columns of each table whose values are frozen."""


@dataclass(frozen=True)
class Reference:
    """A reference: what is drawn, and the digest of its rows (`digest_of`)."""

    preset: Preset
    digest: str


REFERENCES: dict[Size, Reference] = {
    "small": Reference(PRESETS["demo"], "d7177e9149797ffc52f45f5e67af1be74879ec0e4baae023abe8e41e79f21249"),
    "medium": Reference(PRESETS["paper"], "293361c598ad6a04d0f22ac5b38d877ad46359539d18ef39f2270b547268e2ec"),
    "large": Reference(
        replace(PRESETS["paper"], name="large", n_users=16_500, n_movies=12_850),
        "78923eeb0dcb38d0c80e0e0764a928464cf114236712f489ee942dc3922463b4",
    ),
}
"""The references; `large` is `paper` with about the users and movies of the paper's own dataset."""


@stage("Drawing a reference snapshot")
def publish_reference(size: Size, root: str | Path = DEFAULT_ROOT) -> tuple[Snapshot, bool]:
    """Draw a world, build it, and publish it as `reference-<size>`.

    Returns:
        The snapshot, and whether it is new (False: it is there already).

    Raises:
        InvalidSnapshotError: its content is not the reference's; nothing is published.
        PipelineError: a file cannot be written.
    """
    reference = REFERENCES[size]
    world = draw_world(reference.preset, SEED)
    with tempfile.TemporaryDirectory(prefix="douban-keyframes-") as scratch:
        raw, dataset = Path(scratch, "raw"), Path(scratch, "dataset")
        write_raw(world, raw)
        build(raw, dataset, DatasetConfig(split=SplitConfig(seed=SEED, strategy="stable")))
        _add_features(world, dataset)
        stated = PublicationConfig(
            licence="CC0-1.0",
            publisher="The douban-keyframes authors",
            description=f"The {size} reference snapshot: an invented world, to test and teach with.",
        )
        name = f"reference-{size}"
        made, _ = publish(dataset, name, Path(scratch, "snapshots"), stated)
        if (digest := digest_of(made)) != reference.digest:
            raise InvalidSnapshotError(
                f"{name}: its digest here is {digest}, and should be {reference.digest}, so results on it could not be "
                "compared with others; install the libraries of requirements.lock, and report this"
            )
        return publish(dataset, name, root, stated)


def digest_of(snapshot: Snapshot) -> str:
    """Return the SHA-256 of the frozen columns of a snapshot's tables (`dataset.snapshots.digest`)."""
    digests = {}
    for name, columns in COLUMNS.items():
        rows = snapshot.read(name).select(columns)
        table = TableDigest(rows.schema)
        table.update(rows)
        digests[name] = table.hexdigest()
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()


def _add_features(world: DrawnWorld, dataset: Path) -> None:
    """Add the drawn features of the frames that the dataset has."""
    drawn = frame_features(world, WIDTH)

    def write(folder: Path) -> tuple[None, Addition]:
        kept = read_table(folder / "frames.parquet", SnapshotFrame).select("frame_id")
        table = kept.join(drawn, on="frame_id", how="inner", maintain_order="left").select(
            "frame_id",
            image_sha256=pl.lit(None, pl.String),
            feature=pl.col("feature").cast(pl.Array(pl.Float16, WIDTH)),
        )
        features, quarantine = FEATURE_FILES
        write_table(table, FrameFeature, folder / features)
        write_table(empty(Quarantine), Quarantine, folder / quarantine)
        numbers = table["feature"].explode().to_numpy().astype("<f2").tobytes()
        made_by = {
            "imported": "drawn by crawler.worlds.features",
            "file": f"{world.preset.name}-{world.seed}",
            "file_sha256": hashlib.sha256(numbers).hexdigest(),
            "width": WIDTH,
            "dtype": "float16",
            "dtype_in_file": "float16",
            "vectors_of": "frames",
        }
        return None, Addition(made_by)

    add_feature_set(dataset, None, frames_sha256(dataset), write)
