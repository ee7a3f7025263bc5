"""All models on a larger sandbox world: is JIFR's key frame better than a random one, and who ranks best?

    make bench ONLY=sandbox

No crawl is needed: the sandbox's truth tables are what a complete crawl would export. The pictures are
drawn and compressed; VGG-19 with random weights extracts their features at 96 × 96 pixels, a fifth of
the work. All models have the same training settings and their own default configs, and are evaluated
on test. The results compare JIFR's key frames with RND's; a paired t-test over users must give
p < 0.01. It takes some minutes.
"""

import io
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import torch
from PIL import Image
from run import Result
from scipy.stats import ttest_rel

from crawler.sandbox.pictures import encode
from crawler.sandbox.truth import truth
from crawler.sandbox.world import World, WorldConfig, generate_world
from dataset.building.build import DatasetConfig, build
from dataset.files import write_json
from dataset.pictures.operations import cut
from dataset.schema import RAW_TABLES
from dataset.tables import write_table
from features.config import ExtractorConfig
from features.extractor import Extractor
from model.data.tables import Tables, index_ids
from model.data.tensors import held_out_items, held_out_likes, training_data
from model.evaluation.expectation import expected_ranking
from model.evaluation.metrics import hit_ratio, ndcg
from model.evaluation.ranking import full_ranking, rank_liked_frames
from model.models.recommender import FrameScorer
from model.models.registry import MODELS, default_config
from model.training.config import TrainingConfig
from model.training.trainer import Trainer

WORLD = WorldConfig(seed=1, n_users=2500, n_movies=60)
TRAINING = TrainingConfig(epochs=60, batch_size=1024, learning_rate=5e-3, patience=8)
ITEM_K, FRAME_K, P_VALUE = 15, 3, 0.01
SIDE_PX = 96
_BATCH = 16


def measure() -> list[Result]:
    tables = _tables(generate_world(WORLD))
    ids = index_ids(tables)
    data, validation = training_data(tables, ids), held_out_items(tables, ids, "validation")
    items, likes = held_out_items(tables, ids, "test"), held_out_likes(tables, ids, "test")
    print(
        f"  {len(ids.users):,} users, {len(ids.movies):,} movies, {len(ids.frames):,} frames, "
        f"{len(data.positives.values):,} train interactions, {len(likes.users):,} test pairs with a like"
    )
    of_items, of_frames = {}, {}
    for name in MODELS:
        trained = Trainer(data, validation, name, default_config(name), TRAINING, seed=0).run()
        scorer = trained.model.scorer()
        of_items[name] = ndcg(full_ranking(scorer, items, ITEM_K), ITEM_K).mean().item()
        if isinstance(scorer, FrameScorer):
            ranks = expected_ranking(rank_liked_frames(scorer, likes).counts, FRAME_K)
            of_frames[name] = {metric.__name__: metric(ranks, FRAME_K) for metric in (hit_ratio, ndcg)}
        seconds = sum(epoch.seconds for epoch in trained.epochs)
        print(f"  trained {name}: {len(trained.epochs)} epochs, best {trained.best_epoch}, {seconds:.0f} s", flush=True)
    _print_order(f"items, NDCG@{ITEM_K} over all items", of_items)
    for metric in ("hit_ratio", "ndcg"):
        _print_order(
            f"key frames, {metric}@{FRAME_K}", {name: v[metric].mean().item() for name, v in of_frames.items()}
        )
    return [
        _compared(metric, of_frames["jifr"][metric], of_frames["random"][metric], likes.users)
        for metric in ("hit_ratio", "ndcg")
    ]


def _print_order(what: str, values: dict[str, float]) -> None:
    ordered = sorted(values.items(), key=lambda pair: -pair[1])
    print(f"  {what}: " + ", ".join(f"{name} {value:.4f}" for name, value in ordered), flush=True)


def _compared(metric: str, jifr: torch.Tensor, rnd: torch.Tensor, users: torch.Tensor) -> Result:
    """Compare the means of each user's pairs, so that every user has the same weight."""
    pairs = pl.DataFrame({"user": users.numpy(), "jifr": jifr.numpy(), "rnd": rnd.numpy()})
    by_user = pairs.group_by("user").mean().sort("user")
    test = ttest_rel(by_user["jifr"].to_numpy(), by_user["rnd"].to_numpy(), alternative="greater")
    print(f"  {metric}@{FRAME_K}, JIFR above RND: p = {test.pvalue:.1e}, {by_user.height:,} users")
    if not test.pvalue < P_VALUE:
        raise SystemExit(f"JIFR's key frames do not beat RND's: {metric}@{FRAME_K}, p = {test.pvalue:.3g}")
    return Result(
        f"JIFR's key frames, {metric}@{FRAME_K}", 100 * jifr.mean().item(), "RND", 100 * rnd.mean().item(), "%"
    )


def _tables(world: World) -> Tables:
    """Return the tables that a snapshot of the world would hold."""
    with tempfile.TemporaryDirectory() as name:
        raw, dataset = Path(name) / "raw", Path(name) / "dataset"
        for table, rows in truth(world, kinds=("still", "poster"), picture_size=None).items():
            write_table(rows, RAW_TABLES[table], raw / f"{table}.parquet")
        write_json(raw / "provenance.json", {"source": "the sandbox's truth", "is_invented": True})
        build(raw, dataset, DatasetConfig())
        read = {path.stem: pl.read_parquet(path) for path in dataset.glob("*.parquet") if path.stem != "quarantine"}
    features = _features(world, read["frames"]["frame_id"].to_list())
    return Tables(read["movies"], read["frames"], read["interactions"], read["frame_likes"], features)


def _features(world: World, frame_ids: list[str]) -> pl.DataFrame:
    """Draw the frames' pictures, and return VGG-19's features of them with random weights."""
    extractor = Extractor(ExtractorConfig(weights="random:0"))
    geometry = replace(extractor.geometry, resize_px=SIDE_PX * 8 // 7, crop_px=SIDE_PX)  # 256 to 224, in small
    features = []
    for start in range(0, len(frame_ids), _BATCH):
        pictures = [world.contents.frames[frame_id].picture for frame_id in frame_ids[start : start + _BATCH]]
        opened = (Image.open(io.BytesIO(encode(picture))).convert("RGB") for picture in pictures)
        crops = np.stack([np.asarray(cut(one, geometry)) for one in opened])  # (B, 96, 96, 3)
        features.append(extractor.features(crops).astype(np.float16))
    return pl.DataFrame(
        {"frame_id": frame_ids, "feature": np.concatenate(features)},
        schema={"frame_id": pl.String, "feature": pl.Array(pl.Float16, features[0].shape[1])},
    )
