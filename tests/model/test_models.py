"""One suite for all models, on a small dataset with an obvious pattern."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
import torch

from dataset.errors import UsageError
from model.data.tables import Tables, index_ids
from model.data.tensors import held_out_items, held_out_likes, training_data
from model.evaluation.expectation import expected_ranking
from model.evaluation.metrics import hit_ratio
from model.evaluation.ranking import full_ranking, rank_liked_frames
from model.models.recommender import FittedRecommender, FrameScorer, Recommender, TrainableRecommender
from model.models.registry import MODELS, default_config, make_model
from model.training.config import TrainingConfig
from model.training.trainer import Trainer

TRAINING = TrainingConfig(epochs=40, batch_size=32, learning_rate=0.02, n_negatives=4)
RANKS_ITEMS = [name for name, kind in MODELS.items() if kind.model_class.ranks_items]
LEARNING = [
    name for name, kind in MODELS.items() if issubclass(kind.model_class, TrainableRecommender | FittedRecommender)
]
OF_FRAMES_ONLY = {"mean_frame", "first_frame", "site_order", "most_liked", "most_liked_upper_bound", "kfr"}
PROJECTS_PICTURES = {
    "jifr_plus",
    "jifr",
    "jifr_visual",
    "jifr_rating",
    "jifr_na",
    "cdl",
    "freedom",
    "bm3",
}  # to where users are
RANKS_FRAMES = PROJECTS_PICTURES | OF_FRAMES_ONLY | {"random", "visrank"}
DRAWN = {"random", "ials", "kfr"}  # besides those that train on pairs: what a seed changes


Trained = Callable[[str], Recommender]


def _train(name: str, tables: Tables, seed: int = 0, epochs: int = TRAINING.epochs) -> Recommender:
    data = training_data(tables, index_ids(tables))
    return Trainer(data, None, name, default_config(name), replace(TRAINING, epochs=epochs), seed).run().model


@pytest.fixture(scope="module")
def trained(tables: Tables) -> Trained:
    """Return a function that trains a model by name, once for all tests, which leave it as it is."""
    return cache(lambda name: _train(name, tables))


def _scores(model: Recommender, tables: Tables) -> list[torch.Tensor]:
    scorer, ids = model.scorer(), index_ids(tables)
    scores = [scorer.item_scores(torch.arange(len(ids.users)))] if scorer.ranks_items else []
    if isinstance(scorer, FrameScorer):
        scores.append(scorer.frame_scores(torch.arange(6), torch.arange(6)))
    return scores


@pytest.mark.parametrize("name", [name for name in LEARNING if name in RANKS_ITEMS])
def test_a_trained_model_ranks_the_held_out_movies_of_the_users_group_first(
    name: str, trained: Trained, tables: Tables
) -> None:
    held_out = held_out_items(tables, index_ids(tables), "test")
    found = hit_ratio(full_ranking(trained(name).scorer(), held_out, 1), 1)
    assert found.mean() == 1.0  # the one other unseen movie of the group is known from validation


@pytest.mark.parametrize("name", [name for name in [*LEARNING, "visrank"] if name in RANKS_FRAMES])
def test_a_trained_visual_model_finds_the_frame_that_shows_the_group(
    name: str, trained: Trained, tables: Tables
) -> None:
    likes = held_out_likes(tables, index_ids(tables), "test")
    scorer = trained(name).scorer()
    assert isinstance(scorer, FrameScorer)
    ranking = expected_ranking(rank_liked_frames(scorer, likes).counts, 1)
    assert hit_ratio(ranking, 1).mean() > 0.9


@pytest.mark.parametrize("name", MODELS)
def test_exactly_the_models_with_a_score_for_pictures_rank_frames(name: str, trained: Trained) -> None:
    scorer = trained(name).scorer()
    assert isinstance(scorer, FrameScorer) == (name in RANKS_FRAMES)
    assert scorer.ranks_items == (name in RANKS_ITEMS) == (name not in OF_FRAMES_ONLY)


@pytest.mark.parametrize("name", sorted(OF_FRAMES_ONLY))
def test_a_ranker_of_frames_refuses_to_rank_movies(name: str, trained: Trained) -> None:
    with pytest.raises(UsageError, match="ranks the key frames of a movie, but no movies"):
        trained(name).scorer().item_scores(torch.arange(2))


@pytest.mark.parametrize("name", MODELS)
def test_equal_seeds_give_equal_scores_and_other_seeds_others(name: str, tables: Tables) -> None:
    first, again, other = (_scores(_train(name, tables, seed, epochs=5), tables) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    depends = name in DRAWN or issubclass(MODELS[name].model_class, TrainableRecommender)
    assert torch.equal(first[0], other[0]) != depends


@pytest.mark.parametrize("name", RANKS_ITEMS)
def test_scores_do_not_depend_on_the_other_users_of_a_batch(name: str, trained: Trained) -> None:
    scorer = trained(name).scorer()
    together, alone = scorer.item_scores(torch.arange(8)), scorer.item_scores(torch.tensor([5]))
    torch.testing.assert_close(together[5], alone[0])


@pytest.mark.parametrize("name", MODELS)
def test_loaded_weights_give_the_same_scores(name: str, trained: Trained, tables: Tables) -> None:
    fresh = make_model(name, default_config(name), training_data(tables, index_ids(tables)), seed=99)
    fresh.load_state_dict(trained(name).state_dict())
    assert all(torch.equal(a, b) for a, b in zip(_scores(trained(name), tables), _scores(fresh, tables), strict=True))


@pytest.mark.parametrize("name", [name for name in MODELS if not MODELS[name].model_class.needs_features])
def test_a_model_that_needs_no_features_trains_without_them(name: str, tables: Tables) -> None:
    without = replace(tables, frame_features=None)
    assert torch.isfinite(_scores(_train(name, without), without)[0]).all()


def test_popular_scores_are_the_numbers_of_train_interactions(trained: Trained, tables: Tables) -> None:
    train = tables.interactions.filter(split="train")
    expected = [train.filter(movie_id=movie).height for movie in index_ids(tables).movies]
    assert _scores(trained("popular"), tables)[0][3].tolist() == expected


def test_random_scores_are_uniform() -> None:
    from model.models.basic.random import _uniform

    scores = _uniform(12345, torch.arange(300)[:, None], torch.arange(400)[None, :]).flatten()
    counts = torch.histc(scores.float(), bins=20, min=0, max=1)
    assert ((counts - 6000) ** 2 / 6000).sum() < 43.8  # chi-square with 19 degrees, p = 0.001
    assert len(scores.unique()) == 300 * 400


def test_an_unknown_model_is_refused_with_the_list_of_names() -> None:
    with pytest.raises(UsageError, match="'jifrr' is unknown; choose one of jifr, jifr_visual, jifr_rating, jifr_na"):
        default_config("jifrr")


@pytest.mark.parametrize(
    ("name", "expected"), [("ease", 24 * 24), ("popular", 24), ("ials", (30 + 24) * 64), ("bpr", (30 + 24) * 64)]
)
def test_all_numbers_that_a_model_has_learnt_count_as_its_weights(name: str, expected: int, trained: Trained) -> None:
    assert trained(name).n_weights == expected


@pytest.mark.parametrize("name", LEARNING)
def test_every_model_that_learns_has_weights(name: str, trained: Trained) -> None:
    assert trained(name).n_weights > 0
