"""People who were not in training: what they are recommended, for every model of the registry."""

from collections.abc import Callable
from functools import cache

import polars as pl
import pytest
import torch
from torch import Tensor

from dataset.errors import TooLittleDataError, UsageError
from model.data.jagged import JaggedTensor, group_by_row
from model.data.loading import SnapshotData, data_from_tables
from model.data.tables import Tables
from model.experiments.new_people import NewPeople, new_people
from model.models.recommender import FrameScorer, Recommender
from model.models.registry import MODELS, default_config
from model.training.config import TrainingConfig
from model.training.fold_in import FoldInConfig, fold_in
from model.training.trainer import Trainer

TRAINING = TrainingConfig(epochs=20, batch_size=32, learning_rate=0.02, n_negatives=4)
SHORT = FoldInConfig(steps=60, learning_rate=0.05)
TAKES = [name for name, kind in MODELS.items() if kind.model_class.takes_new_people()]
REFUSES = [name for name in MODELS if name not in TAKES]
FITTED = [name for name in TAKES if MODELS[name].model_class.user_parameters]
SOME = torch.tensor([17, 4, 29, 0, 8])

Trained = Callable[[str], Recommender]


@pytest.fixture(scope="module")
def data(tables: Tables) -> SnapshotData:
    return data_from_tables(tables, "toy v0001")


@pytest.fixture(scope="module")
def trained(data: SnapshotData) -> Trained:
    """Return a function that trains a model by name, once for all tests, which leave it as it is."""

    @cache
    def trained(name: str) -> Recommender:
        return Trainer(data.training, None, name, default_config(name), TRAINING, 0).run().model

    return trained


def histories_of(users: Tensor, positives: JaggedTensor) -> JaggedTensor:
    rows = [positives.values[positives.offsets[user] : positives.offsets[user + 1]] for user in users]
    owners = torch.repeat_interleave(torch.tensor([len(row) for row in rows]))
    return group_by_row(owners, torch.cat(rows), len(rows))


def folded(model: Recommender, histories: JaggedTensor) -> Tensor:
    """Return the scores of all items for the people of `histories`."""
    return fold_in(model, histories, 24, 0, SHORT).scorer().item_scores(torch.arange(len(histories.lengths)))


@pytest.mark.parametrize("name", TAKES)
def test_train_users_who_come_again_are_recommended_what_the_trained_model_recommends_them(
    name: str, trained: Trained, data: SnapshotData
) -> None:
    model, histories = trained(name), histories_of(SOME, data.training.positives)
    before, again = model.scorer().item_scores(SOME).double(), folded(model, histories).double()
    unseen = ~data.training.positives.mask(SOME, data.training.n_items)
    if name == "random":
        assert again.shape == before.shape
    elif name not in FITTED:
        torch.testing.assert_close(again[unseen], before[unseen], rtol=1e-4, atol=1e-4)
    else:
        pairs = [torch.stack([one[row], other[row]]) for one, other, row in zip(before, again, unseen, strict=True)]
        alike = [float(torch.corrcoef(pair)[0, 1]) for pair in pairs]
        assert min(alike) > 0.8
        assert sum(alike) / len(alike) > 0.9


@pytest.mark.parametrize("name", TAKES)
def test_folding_in_changes_nothing_of_the_model_and_a_seed_repeats_it(
    name: str, trained: Trained, data: SnapshotData
) -> None:
    model, histories, few = trained(name), histories_of(SOME, data.training.positives), FoldInConfig(epochs=2, steps=2)
    model.zero_grad()
    before = {key: tensor.clone() for key, tensor in [*model.named_parameters(), *model.named_buffers()]}
    first, second = (fold_in(model, histories, data.training.n_items, 7, few).scorer() for _ in range(2))
    after = dict([*model.named_parameters(), *model.named_buffers()])
    assert before.keys() == after.keys()
    assert all(torch.equal(after[key], tensor) for key, tensor in before.items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    people = torch.arange(len(SOME))
    assert torch.equal(first.item_scores(people), second.item_scores(people))
    if isinstance(first, FrameScorer):
        assert first.frame_scores(people, people).shape == people.shape


@pytest.mark.parametrize("name", REFUSES)
def test_a_model_that_takes_no_new_people_says_so_in_one_line(name: str, trained: Trained, data: SnapshotData) -> None:
    with pytest.raises(UsageError, match="cannot recommend to people who were not in training") as refused:
        fold_in(trained(name), histories_of(SOME, data.training.positives), data.training.n_items, 0)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["ease", "bpr", "jifr"])
def test_people_are_recommended_the_movies_of_the_group_that_they_watch(
    name: str, trained: Trained, data: SnapshotData
) -> None:
    """Three movies of a group are enough; nobody in training has watched exactly these."""
    histories = group_by_row(torch.tensor([0, 0, 0, 1, 1, 1]), torch.tensor([0, 9, 21, 1, 10, 16]), 2)
    scores = folded(trained(name), histories).masked_fill(histories.mask(torch.arange(2), 24), -torch.inf)
    assert (scores[0].topk(3).indices % 3 == 0).all()
    assert (scores[1].topk(3).indices % 3 == 1).all()


def rows(*pairs: tuple[str, str]) -> pl.DataFrame:
    return pl.DataFrame(pairs, schema=["user_id", "movie_id"], orient="row")


def same(one: NewPeople, other: NewPeople) -> bool:
    return (
        one.ids.users.equals(other.ids.users)
        and torch.equal(one.histories.values, other.histories.values)
        and torch.equal(one.histories.offsets, other.histories.offsets)
    )


def test_neither_order_nor_repeated_rows_matter(data: SnapshotData) -> None:
    pairs = [("zoe", "m03"), ("amy", "m21"), ("zoe", "m00"), ("amy", "m09")]
    one = new_people(rows(*pairs), data)
    assert one.ids.users.to_list() == ["amy", "zoe"]
    assert one.histories.values.tolist() == [9, 21, 0, 3]
    for other in (pairs[::-1], pairs + pairs, [*pairs, pairs[1], pairs[1]]):
        assert same(one, new_people(rows(*other), data))


def test_unknown_movies_are_counted_and_people_without_a_known_one_are_named(data: SnapshotData) -> None:
    found = new_people(rows(("amy", "m00"), ("amy", "x1"), ("bob", "x1"), ("bob", "x2"), ("bob", "x2")), data)
    assert found.ids.users.to_list() == ["amy"]
    assert (found.n_interactions, found.n_of_unknown_items, found.unknown_items.to_list()) == (4, 3, ["x1", "x2"])
    assert found.left_out.to_list() == ["bob"]
    told = " ".join(found.words())
    assert "3 of 4 interactions were left out: 2 movies are not in the snapshot, for example 'x1'" in told
    assert "1 people were left out, for example 'bob'" in told


@pytest.mark.parametrize("interactions", [rows(("amy", "x1"), ("bob", "x2")), rows(("a", "m00")).clear()])
def test_nobody_with_a_known_movie_is_an_error_in_one_line(interactions: pl.DataFrame, data: SnapshotData) -> None:
    with pytest.raises(TooLittleDataError, match=r"none of 2 is with an item of toy|0 rows; give at least one"):
        new_people(interactions, data)


def test_train_interactions_of_a_user_of_the_snapshot_count_too(data: SnapshotData, tables: Tables) -> None:
    found = new_people(rows(("u03", "m01"), ("new", "m02")), data)
    watched = tables.interactions.filter(user_id="u03", split="train")["movie_id"].to_list()
    assert found.n_known == 1
    assert found.histories.values[found.histories.offsets[1] :].tolist() == sorted(
        {1, *(int(movie[1:]) for movie in watched)}
    )
