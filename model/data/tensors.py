"""A snapshot's splits as tensors of contiguous indices: training data, held-out items and held-out likes.

The types prevent leakage: `TrainingData` has no field that could hold a held-out interaction or a
held-out like. `HeldOutItems` and `HeldOutLikes` are built separately, and only evaluation takes them.
The likes of train pairs and the site's like counts are there too, but only a model that declares them is given them
(`model.models.registry.data_for`).

Sizes: M users, N items (movies), L frames, F the width of a frame's feature.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import torch
from torch import Tensor

from dataset.errors import TooLittleDataError
from model.data.feature_cache import as_tensor
from model.data.jagged import JaggedTensor, group_by_row
from model.data.tables import Ids, Tables, require_train_likes


@dataclass(frozen=True)
class Frames:
    """The frames of each item: item i has the frames `offsets[i]`, …, `offsets[i + 1] - 1`.

    Attributes:
        offsets: (N + 1,) int64.
        features: (L, F) float16 or float32, None if the snapshot has no features.
        is_poster: (L,) bool.
        places: (L,) int64, the place of each frame in the site's list of its item's pictures of its kind, from 0;
            −1 where it is not known. None if no place is known.
        train_likes: (L,) int64, the likes of each frame that belong to train interactions. None if they were not
            collected, and for every model that does not declare `learns_from_likes`.
        like_counts: (L,) int64, the likes of each frame on the site, those of test pairs among them. None if they are
            not known, and for every model that does not declare `sees_held_out_likes`.
    """

    offsets: Tensor
    features: Tensor | None
    is_poster: Tensor | None = None
    places: Tensor | None = None
    train_likes: Tensor | None = None
    like_counts: Tensor | None = None


@dataclass(frozen=True)
class ItemFeatures:
    """The features of the items of one modality, such as text.

    Attributes:
        vectors: (N, F) float16 or float32; 0 where an item has none.
        is_known: (N,) bool; whether an item has one.
    """

    vectors: Tensor
    is_known: Tensor


@dataclass(frozen=True)
class TrainLikes:
    """Who likes which frame, in train pairs.

    Attributes:
        users: (n,) int64.
        frames: (n,) int64; their items are train items of the users.
    """

    users: Tensor
    frames: Tensor


@dataclass(frozen=True)
class TrainingData:
    """All that a model may train on: the train interactions, the frames of the items and the items' features.

    Attributes:
        positives: for each of the M users, the items of their train interactions.
        n_items: N.
        frames: the frames of the items.
        modalities: the features of the items, by modality; a model may read none, one or several.
        likes: the likes of train pairs. None if the snapshot does not have them, and for every model that does not
            declare `learns_from_likes`.
    """

    positives: JaggedTensor
    n_items: int
    frames: Frames
    modalities: Mapping[str, ItemFeatures] = field(default_factory=dict)
    likes: TrainLikes | None = None

    @property
    def n_users(self) -> int:
        """M, including users without a train interaction."""
        return len(self.positives.offsets) - 1


@dataclass(frozen=True)
class HeldOutItems:
    """The held-out user-item pairs of one split.

    Attributes:
        positives: for each user, the items of their held-out interactions.
        known: for each user, the items of the earlier splits, which are never candidates: train for
            validation; train and validation for test. So validation does not depend on test.
    """

    positives: JaggedTensor
    known: JaggedTensor


@dataclass(frozen=True)
class HeldOutLikes:
    """The held-out user-item pairs of one split that have a like, and the liked frames.

    If the snapshot has features, likes of frames without a feature are left out.

    Attributes:
        users: (n_pairs,) int64.
        items: (n_pairs,) int64.
        liked: for each pair, the liked frames; of those that are nearly equal, the first.
        frame_offsets: (N + 1,) int64, the frames of the items.
        groups: (L,) int64, the group of each frame: frames of one item with the same group show nearly the same
            picture. None if no two do.
    """

    users: Tensor
    items: Tensor
    liked: JaggedTensor
    frame_offsets: Tensor
    groups: Tensor | None = None


def training_data(tables: Tables, ids: Ids) -> TrainingData:
    """Return all that a model may train on.

    Raises:
        TooLittleDataError: there are no train interactions.
        InvalidTableError: a like in `frame_likes_train` is of no train pair.
    """
    positives = _user_items(tables, ids, ["train"])
    if not len(positives.values):
        raise TooLittleDataError(
            "interactions: 0 rows in split 'train', so there is nothing to learn from; "
            "add more ratings or lower k (python -m dataset build --help)"
        )
    modalities = {name: _item_features(table, ids) for name, table in tables.item_features.items()}
    return TrainingData(positives, len(ids.movies), _frames(tables, ids), modalities, _train_likes(tables, ids))


def held_out_items(tables: Tables, ids: Ids, split: str) -> HeldOutItems:
    """Return the held-out interactions of `split`, "validation" or "test"."""
    before = {"validation": ["train"], "test": ["train", "validation"]}[split]
    return HeldOutItems(_user_items(tables, ids, [split]), _user_items(tables, ids, before))


def held_out_likes(tables: Tables, ids: Ids, split: str) -> HeldOutLikes:
    """Return the likes of `split`, "validation" or "test", per user-item pair."""
    likes = tables.frame_likes.filter(pl.col("split") == split)
    rankable = likes.filter(pl.col("frame_id").is_in(ids.frames.implode())).sort("user_id", "movie_id", "frame_id")
    pairs = rankable.select("user_id", "movie_id").unique(maintain_order=True)
    of_pair = rankable.select("user_id", "movie_id").join(
        pairs.with_row_index("pair"), on=["user_id", "movie_id"], how="left", maintain_order="left"
    )["pair"]
    frames = _index(rankable["frame_id"], ids.frames)
    groups, pair = _groups(tables, ids), _tensor(of_pair)
    if groups is not None:
        first = pl.DataFrame({"pair": pair.numpy(), "group": groups[frames].numpy()}).select(
            pl.struct("pair", "group").is_first_distinct()
        )
        is_first = torch.from_numpy(first.to_series().to_numpy().copy())
        pair, frames = pair[is_first], frames[is_first]
    return HeldOutLikes(
        users=_index(pairs["user_id"], ids.users),
        items=_index(pairs["movie_id"], ids.movies),
        liked=group_by_row(pair, frames, pairs.height),
        frame_offsets=_frame_offsets(tables, ids),
        groups=groups,
    )


def held_out_frames(tables: Tables, ids: Ids) -> Tensor | None:
    """Return which frames are of a held-out pair whose user posted them, (L,) bool; None if there are none."""
    if "is_held_out" not in tables.frames.columns:
        return None
    hidden = tables.frames.filter(pl.col("is_held_out"))["frame_id"]
    found = ids.frames.is_in(hidden.implode())
    return torch.from_numpy(found.to_numpy().copy()) if found.any() else None


def _groups(tables: Tables, ids: Ids) -> Tensor | None:
    """Return the group of nearly equal frames that each frame belongs to, (L,) int64; None if all are alone."""
    if "duplicate_of" not in tables.frames.columns or tables.frames["duplicate_of"].null_count() == len(tables.frames):
        return None
    known = tables.frames.select("frame_id", group=pl.coalesce("duplicate_of", "frame_id"))
    of_frames = ids.frames.to_frame("frame_id").join(known, on="frame_id", how="left", maintain_order="left")
    return _tensor(of_frames["group"].rank("dense"))


def _user_items(tables: Tables, ids: Ids, splits: list[str]) -> JaggedTensor:
    return user_items(tables.interactions.filter(pl.col("split").cast(pl.String).is_in(splits)), ids)


def user_items(rows: pl.DataFrame, ids: Ids) -> JaggedTensor:
    """Return the items of each user by rows of `user_id` and `movie_id`, all of which `ids` has."""
    return group_by_row(_index(rows["user_id"], ids.users), _index(rows["movie_id"], ids.movies), len(ids.users))


def _frames(tables: Tables, ids: Ids) -> Frames:
    features = None
    if tables.frame_features is not None and len(ids.frames):
        table = tables.frame_features
        row_of_frame = _index(ids.frames, table["frame_id"]).numpy()
        vectors = table["feature"].to_numpy()
        in_order = np.array_equal(row_of_frame, np.arange(len(vectors)))  # true for cached features
        features = as_tensor(vectors if in_order else vectors[row_of_frame])
    facts = ids.frames.to_frame("frame_id").join(tables.frames, on="frame_id", how="left", maintain_order="left")
    return Frames(
        _frame_offsets(tables, ids),
        features,
        torch.from_numpy((facts["kind"].cast(pl.String) == "poster").fill_null(False).to_numpy().copy()),
        _known(facts, "position", -1),
        _known(facts, "train_like_count", 0),
        _known(facts, "like_count", 0),
    )


def _known(facts: pl.DataFrame, column: str, missing: int) -> Tensor | None:
    """Return an optional column with `missing` for null; None if it has no value."""
    if column not in facts.columns or facts[column].null_count() == facts.height:
        return None
    return _tensor(facts[column].cast(pl.Int64).fill_null(missing))


def _train_likes(tables: Tables, ids: Ids) -> TrainLikes | None:
    if tables.frame_likes_train is None:
        return None
    require_train_likes(tables)
    table = tables.frame_likes_train
    likes = table.filter(pl.col("frame_id").is_in(ids.frames.implode())).sort("user_id", "frame_id")
    return TrainLikes(_index(likes["user_id"], ids.users), _index(likes["frame_id"], ids.frames))


def _item_features(table: pl.DataFrame, ids: Ids) -> ItemFeatures:
    items, vectors = _index(table["movie_id"], ids.movies), as_tensor(table["feature"].to_numpy())
    if torch.equal(items, torch.arange(len(ids.movies))):  # cached features of all items stay on their memory
        return ItemFeatures(vectors, torch.ones(len(items), dtype=torch.bool))
    placed = vectors.new_zeros((len(ids.movies), vectors.shape[1]))
    placed[items] = vectors
    return ItemFeatures(placed, torch.zeros(len(ids.movies), dtype=torch.bool).index_fill(0, items, True))


def _frame_offsets(tables: Tables, ids: Ids) -> Tensor:
    movie_of_frame = ids.frames.to_frame("frame_id").join(tables.frames, on="frame_id", maintain_order="left")
    return group_by_row(
        _index(movie_of_frame["movie_id"], ids.movies), torch.arange(len(ids.frames)), len(ids.movies)
    ).offsets


def _index(values: pl.Series, ids: pl.Series) -> Tensor:
    """Return (n,) int64 positions of `values` in `ids`; every value must occur there exactly once."""
    position = pl.DataFrame({"id": ids}).with_row_index("position")
    found = pl.DataFrame({"id": values}).join(position, on="id", how="left", maintain_order="left")
    return _tensor(found["position"])


def _tensor(values: pl.Series) -> Tensor:
    return torch.from_numpy(values.cast(pl.Int64).to_numpy().copy())
