"""A drawn world's pairs and frames as tensors, without files, for the benchmark `worlds`."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from crawler.worlds.features import bank_features
from crawler.worlds.world import DrawnWorld
from model.data.arms import with_arm
from model.data.jagged import JaggedTensor, group_by_row
from model.data.tensors import Frames, HeldOutItems, HeldOutLikes, TrainingData
from model.evaluation.expectation import expected_ranking
from model.evaluation.metrics import ndcg
from model.evaluation.ranking import full_ranking, rank_liked_frames
from model.models.recommender import FrameScorer, Scorer
from model.models.registry import default_config
from model.training.config import TrainingConfig
from model.training.trainer import Trainer

K, FRAMES_K, WIDTH = 15, 3, 64
TRAINING = TrainingConfig(epochs=100, patience=6, validate_every=2)


class Sets:
    """The train, validation and test pairs of a world after the 5-core, split 70/10/20, with its frames' features.

    `likes` are those of test pairs.
    """

    def __init__(self, world: DrawnWorld, seed: int) -> None:
        pairs = _k_core(world.watched.users, world.watched.movies)
        watched_users, watched_movies = world.watched.users[pairs], world.watched.movies[pairs]
        self.movies, items = np.unique(watched_movies, return_inverse=True)
        self.users, users = np.unique(watched_users, return_inverse=True)
        chance = np.random.default_rng(seed).random(len(users))
        train, validation, test = chance < 0.7, (chance >= 0.7) & (chance < 0.8), chance >= 0.8
        n = len(self.users)

        def of(which: np.ndarray) -> JaggedTensor:
            return group_by_row(torch.from_numpy(users[which]), torch.from_numpy(items[which]), n)

        self.training = TrainingData(of(train), len(self.movies), self._frames(world))
        self.validation = HeldOutItems(of(validation), of(train))
        self.test = HeldOutItems(of(test), of(train | validation))
        self.likes = self._likes(world, pairs, users, items, test)

    def shuffled(self, seed: int) -> TrainingData:
        """Return the training data with the features of other movies' frames."""
        return with_arm(self.training, "shuffled", seed, Path("data/bench/worlds"))

    def _frames(self, world: DrawnWorld) -> Frames:
        self._kept_frames = np.flatnonzero(np.isin(world.frames.movies, self.movies))
        counts = np.bincount(world.frames.movies[self._kept_frames], minlength=world.preset.n_movies)[self.movies]
        bank = bank_features(world.preset.pictures_per_scene, WIDTH)
        features = bank[world.frames.scenes[self._kept_frames], world.frames.pictures[self._kept_frames]]
        return Frames(torch.from_numpy(np.concatenate([[0], np.cumsum(counts)])), torch.from_numpy(features))

    def _likes(
        self, world: DrawnWorld, pairs: np.ndarray, users: np.ndarray, items: np.ndarray, test: np.ndarray
    ) -> HeldOutLikes:
        place = np.full(len(world.watched.users), -1)
        place[pairs] = np.arange(len(pairs))
        of_pair = place[world.likes.watched]
        judged = (of_pair >= 0) & test[of_pair]
        liked_pairs, owners = np.unique(of_pair[judged], return_inverse=True)
        frames = np.searchsorted(self._kept_frames, world.likes.frames[judged])
        return HeldOutLikes(
            torch.from_numpy(users[liked_pairs]),
            torch.from_numpy(items[liked_pairs]),
            group_by_row(torch.from_numpy(owners), torch.from_numpy(frames), len(liked_pairs)),
            self.training.frames.offsets,
        )


def trained(
    data: TrainingData,
    sets: Sets,
    name: str,
    settings: dict[str, float],
    seed: int,
    device: str = "cpu",
    training: TrainingConfig = TRAINING,
) -> tuple[Scorer, float]:
    """Return the scorer of a trained model, and its NDCG@15 on validation."""
    config = replace(default_config(name), **settings)
    run = Trainer(data, sets.validation, name, config, training, seed, device).run()
    scorer = run.model.scorer()
    return scorer, float(ndcg(full_ranking(scorer, sets.validation, K, device), K).mean())


def people_ndcg(scorer: Scorer, sets: Sets, device: str = "cpu") -> Tensor:
    """Return NDCG@15 over all items of each person with a test pair."""
    return ndcg(full_ranking(scorer, sets.test, K, device), K)


def frames_ndcg(scorer: Scorer, sets: Sets, device: str = "cpu") -> Tensor:
    """Return NDCG@3 of the liked frames, for each person with a like in a test pair: the mean of their pairs."""
    assert isinstance(scorer, FrameScorer)
    counts = rank_liked_frames(scorer, sets.likes, device).counts
    of_pairs = ndcg(expected_ranking(counts, FRAMES_K), FRAMES_K)
    _, owners = torch.unique(sets.likes.users, return_inverse=True)
    return torch.zeros(int(owners.max()) + 1).index_add(0, owners, of_pairs.float()) / torch.bincount(owners)


def _k_core(users: np.ndarray, items: np.ndarray, k: int = 5) -> np.ndarray:
    """Return the places of the pairs whose user and item have at least `k` of them."""
    places = np.arange(len(users))
    while True:
        of_users, of_items = users[places], items[places]
        kept = (np.bincount(of_users)[of_users] >= k) & (np.bincount(of_items)[of_items] >= k)
        if kept.all():
            return places
        places = places[kept]
