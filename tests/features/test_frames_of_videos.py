"""Frames from videos become features as any picture does: from the videos to a snapshot."""

from pathlib import Path

import polars as pl
import pytest
from films import film, noise

from dataset.building.build import DatasetConfig, build
from dataset.formats.importing import import_ratings
from dataset.formats.ratings import RatingsFormat
from dataset.formats.videos import Videos
from dataset.snapshots.publish import publish
from features.config import ExtractOptions, ExtractorConfig
from features.extract import extract, plan
from features.extractor import Extractor
from features.store import FeatureStore

pytest.importorskip("av")


def test_frames_of_videos_get_features_and_are_published_with_their_seconds(tmp_path: Path) -> None:
    for number, item in enumerate("abc"):
        film(tmp_path / "v" / f"{item}.mp4", noise(20, number, size=(80, 60)))
    (tmp_path / "r.csv").write_text("user,item\n" + "".join(f"u{n},{item}\n" for n in range(6) for item in "abc"))
    columns, raw = RatingsFormat(user_column="user", item_column="item"), tmp_path / "raw"
    import_ratings(tmp_path / "r.csv", columns, None, raw, videos=Videos(tmp_path / "v", video_frames=2))
    dataset = build(raw, tmp_path / "dataset", DatasetConfig(k_user=0, k_item=0)).path
    extractor = Extractor(ExtractorConfig("mobilenet_v3_small", "random:0", "fp32"), "cpu")
    options = ExtractOptions(batch_size=4, n_decoders=1)
    store = FeatureStore(tmp_path / "store", extractor.identity)
    assert plan(raw, dataset, store).missing.height == 6
    assert extract(raw, dataset, extractor, tmp_path / "store", lambda _: None, options).n_features == 6
    snapshot, _ = publish(dataset, "films", tmp_path / "snapshots")
    shown = snapshot.read("frame_features").join(snapshot.read("frames"), on="frame_id").sort("frame_id")
    assert shown.select("frame_id", "time_s").rows() == [
        (f"{item}-t000{second:.3f}", second) for item in "abc" for second in (0.5, 1.5)
    ]
    assert pl.read_parquet(raw / "quarantine.parquet").is_empty()
