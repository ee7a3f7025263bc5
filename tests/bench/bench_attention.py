"""What each attention of JIFR adds, as in Table 2, on the planted world of the tests.

    make bench ONLY=attention

In this world, 3 of 10 frames show a movie's theme. The weight of looks differs between users (0.15 or
0.85) or is the same for all (0.5). All have a penalty on P, as
`test_planted.py` does. Each result compares the item NDCG@15 or frame NDCG@3 of a variant with that of
JIFR_NA (both attentions `avg`). Values are means of 3 seeds, printed with their standard
deviation. It takes some minutes on one core.
"""

import importlib.util
from dataclasses import replace
from pathlib import Path

import torch
from run import Result

from model.evaluation.expectation import expected_ranking
from model.evaluation.metrics import ndcg
from model.evaluation.ranking import full_ranking, rank_liked_frames
from model.models.recommender import FrameScorer
from model.models.registry import default_config
from model.training.trainer import Trainer

TEST = Path(__file__).resolve().parents[1] / "model" / "test_planted.py"
SEEDS = 3
MIXTURES = {"mixed users": (0.15, 0.85), "alike users": (0.5, 0.5)}
VARIANTS = [("avg", "avg"), ("avg", "att"), ("att", "avg"), ("att", "att")]  # visual, rating


def measure() -> list[Result]:
    torch.set_num_threads(1)  # the tensors are small
    planted = _planted_test()
    results = []
    for users, mixture in MIXTURES.items():
        worlds = [planted.make_world(seed, mixture) for seed in range(SEEDS)]
        found = {
            variant: torch.tensor([_judge(planted, *variant, *one) for one in enumerate(worlds)])
            for variant in VARIANTS
        }
        base = found.pop(("avg", "avg")).mean(0)
        for (visual, rating), values in found.items():
            for task, value, deviation, without in zip(
                ("items", "frames"), values.mean(0).tolist(), values.std(0).tolist(), base.tolist(), strict=True
            ):
                what = f"visual {visual}, rating {rating}: {task}, {users}"
                print(f"  {what}: NDCG {value:.4f} ± {deviation:.4f} over seeds", flush=True)
                results.append(Result(what, 100 * value, "avg, avg", 100 * without, "%"))
    return results


def _judge(planted, visual, rating, seed, world):
    """Train a variant; return its item NDCG@15 and frame NDCG@3 on test."""
    config = replace(default_config("jifr"), visual_attention=visual, rating_attention=rating, **planted.PAPER)
    training = replace(planted.TRAINING, patience=8)
    trained = Trainer(world.data, world.validation, "jifr", config, training, seed).run()
    scorer = trained.model.scorer()
    assert isinstance(scorer, FrameScorer)
    items = ndcg(full_ranking(scorer, world.test, 15), 15).mean().item()
    frames = expected_ranking(rank_liked_frames(scorer, world.likes).counts, 3)
    return items, ndcg(frames, 3).mean().item()


def _planted_test():
    spec = importlib.util.spec_from_file_location("planted", TEST)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
