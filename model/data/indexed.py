"""A snapshot's tables as contiguous indices and tensors: what models train on, and what judges them.

Leakage is impossible by type: `TrainingData` has no field that could hold a held-out
interaction or a like; `HeldOutItems` and `HeldOutLikes` are made apart, for evaluation alone.

Sizes: M users, N items (movies), L frames, F the width of a frame's feature.
"""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import torch
from torch import Tensor

from dataset.errors import InvalidTableError, MissingInputError, TooLittleDataError
from dataset.tables import require_references
from model.data.feature_cache import as_tensor


@dataclass(frozen=True)
class Tables:
    """The tables of a snapshot that the models use. `frame_features` is None without pictures."""

    movies: pl.DataFrame
    frames: pl.DataFrame
    interactions: pl.DataFrame
    frame_likes: pl.DataFrame
    frame_features: pl.DataFrame | None


@dataclass(frozen=True)
class Ids:
    """The identifier of every index: `users[user_idx]` is a user_id, and so on.

    Users and movies are sorted; frames are ordered by movie, so that the frames of one movie
    are neighbours. Where the snapshot has features, frames without one are left out: no visual
    model could rank them.
    """

    users: pl.Series
    movies: pl.Series
    frames: pl.Series


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths: row r is `values[offsets[r]:offsets[r + 1]]`, ascending.

    Attributes:
        offsets: (rows + 1,) int64.
        values: (n,) int64.
    """

    offsets: Tensor
    values: Tensor

    @property
    def lengths(self) -> Tensor:
        """(rows,) int64."""
        return self.offsets.diff()

    @property
    def owners(self) -> Tensor:
        """(n,) int64: the row of each value."""
        return torch.repeat_interleave(self.lengths)

    def mask(self, rows: Tensor, width: int) -> Tensor:
        """Return (n_rows, width) bool: whether a value is in the row."""
        positions, owners = expand(self.offsets, rows)
        mask = torch.zeros(len(rows), width, dtype=torch.bool)
        mask[owners, self.values[positions]] = True
        return mask


@dataclass(frozen=True)
class Frames:
    """The frames of each item: item i has the frames `offsets[i]`, …, `offsets[i + 1] - 1`.

    Attributes:
        offsets: (N + 1,) int64.
        features: (L, F) float16, or None where the snapshot has no features.
    """

    offsets: Tensor
    features: Tensor | None


@dataclass(frozen=True)
class TrainingData:
    """What a model may see: the train interactions and the frames of the items.

    Attributes:
        positives: for each of the M users, the items of her train interactions.
        n_items: N.
        frames: the frames of the items.
    """

    positives: Ragged
    n_items: int
    frames: Frames

    @property
    def n_users(self) -> int:
        """M, users without a train interaction included."""
        return len(self.positives.offsets) - 1


@dataclass(frozen=True)
class HeldOutItems:
    """The held-out user-item pairs of one split.

    Attributes:
        positives: for each user, the items of her held-out interactions.
        known: for each user, the items of the splits before this one: never candidates. For
            validation these are train; for test, train and validation. So validation knows
            nothing of test.
    """

    positives: Ragged
    known: Ragged


@dataclass(frozen=True)
class HeldOutLikes:
    """The held-out user-item pairs of one split with a like, and the frames that were liked.

    Attributes:
        users: (n_pairs,) int64.
        items: (n_pairs,) int64.
        liked: for each pair, the liked frames.
        frame_offsets: (N + 1,) int64, the frames of the items.
        n_left_out: likes of frames without a feature, which cannot be ranked.
    """

    users: Tensor
    items: Tensor
    liked: Ragged
    frame_offsets: Tensor
    n_left_out: int


def expand(offsets: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the positions of all values of `rows`, one row after the other, and whose they are.

    Args:
        offsets: (R + 1,) int64.
        rows: (n_rows,) int64, in any order; rows may be empty or repeat.

    Returns:
        (n,) int64 positions between 0 and `offsets[-1]`, and (n,) int64 owners: numbers into `rows`.
    """
    starts = offsets[rows]
    lengths = offsets[rows + 1] - starts
    owners = torch.repeat_interleave(lengths)
    before = lengths.cumsum(0) - lengths
    positions = torch.arange(len(owners), device=offsets.device) + (starts - before)[owners]
    return positions, owners


def ragged(rows: Tensor, values: Tensor, n_rows: int) -> Ragged:
    """Gather (n,) `values` by their (n,) `rows`, in ascending order."""
    order = torch.argsort(values, stable=True)
    order = order[torch.argsort(rows[order], stable=True)]
    offsets = torch.zeros(n_rows + 1, dtype=torch.int64)
    offsets[1:] = torch.bincount(rows, minlength=n_rows).cumsum(0)
    return Ragged(offsets, values[order])


def with_new_frames(tables: Tables, new: pl.DataFrame) -> Tables:
    """Return `tables` with `NewFrame` rows as further frames of their movies.

    Raises:
        InvalidTableError: a movie is unknown, a frame is known, or a feature has another width or is not finite.
        MissingInputError: the snapshot has no features to go with them.
    """
    if tables.frame_features is None:
        raise MissingInputError("the snapshot has no frame features, so no picture can be scored; publish it with some")
    require_references(new, tables.movies, ["movie_id"], "new frames", "the snapshot's movies")
    known = new.join(tables.frames, on="frame_id", how="semi")
    if known.height:
        raise InvalidTableError(
            f"new frames: {known.height:,} of {new.height:,} are in the snapshot already, for example "
            f"{known['frame_id'][0]!r}; leave them out"
        )
    kind = tables.frame_features.schema["feature"]
    if new.schema["feature"] != kind:
        raise InvalidTableError(
            f"new frames: features are {new.schema['feature']}, the snapshot's are {kind}; "
            "extract both with the same extractor"
        )
    finite = np.isfinite(new["feature"].to_numpy()).all(1)
    if not finite.all():
        raise InvalidTableError(
            f"new frames: {int((~finite).sum()):,} of {new.height:,} features are not finite, for example of frame "
            f"{new['frame_id'][int(finite.argmin())]!r}; extract them again"
        )
    frames = pl.concat([tables.frames, new.select("frame_id", "movie_id")], how="diagonal")
    features = pl.concat([tables.frame_features, new.select("frame_id", "feature")], how="diagonal")
    return replace(tables, frames=frames, frame_features=features)


def index_ids(tables: Tables) -> Ids:
    """Return the index of all users, movies and frames.

    Users of any split are in it, so that one who has held-out interactions only is judged too
    (on the scores of an untrained embedding) rather than dropped.
    """
    frames = tables.frames.select("frame_id", "movie_id")
    if tables.frame_features is not None:
        frames = frames.join(tables.frame_features.select("frame_id"), on="frame_id", how="semi")
    return Ids(
        users=tables.interactions["user_id"].unique().sort(),
        movies=tables.movies["movie_id"].sort(),
        frames=frames.sort("movie_id", "frame_id")["frame_id"],
    )


def training_data(tables: Tables, ids: Ids) -> TrainingData:
    """Return what a model may see, the train interactions alone.

    Raises:
        TooLittleDataError: there is no train interaction.
    """
    positives = _user_items(tables, ids, ["train"])
    if not len(positives.values):
        raise TooLittleDataError(
            "interactions: 0 rows in split 'train', so there is nothing to learn from; "
            "bring more ratings or lower k (python -m dataset build --help)"
        )
    return TrainingData(positives, len(ids.movies), _frames(tables, ids))


def held_out_items(tables: Tables, ids: Ids, split: str) -> HeldOutItems:
    """Return the held-out interactions of `split`, "validation" or "test"."""
    before = {"validation": ["train"], "test": ["train", "validation"]}[split]
    return HeldOutItems(_user_items(tables, ids, [split]), _user_items(tables, ids, before))


def held_out_likes(tables: Tables, ids: Ids, split: str) -> HeldOutLikes:
    """Return the likes of `split`, "validation" or "test", by user-item pair."""
    likes = tables.frame_likes.filter(pl.col("split") == split)
    rankable = likes.filter(pl.col("frame_id").is_in(ids.frames.implode())).sort("user_id", "movie_id", "frame_id")
    pairs = rankable.select("user_id", "movie_id").unique(maintain_order=True)
    of_pair = rankable.select("user_id", "movie_id").join(
        pairs.with_row_index("pair"), on=["user_id", "movie_id"], how="left", maintain_order="left"
    )["pair"]
    frames = _index(rankable["frame_id"], ids.frames)
    return HeldOutLikes(
        users=_index(pairs["user_id"], ids.users),
        items=_index(pairs["movie_id"], ids.movies),
        liked=ragged(_tensor(of_pair), frames, pairs.height),
        frame_offsets=_frame_offsets(tables, ids),
        n_left_out=likes.height - rankable.height,
    )


def _user_items(tables: Tables, ids: Ids, splits: list[str]) -> Ragged:
    rows = tables.interactions.filter(pl.col("split").cast(pl.String).is_in(splits))
    return ragged(_index(rows["user_id"], ids.users), _index(rows["movie_id"], ids.movies), len(ids.users))


def _frames(tables: Tables, ids: Ids) -> Frames:
    features = None
    if tables.frame_features is not None and len(ids.frames):
        table = tables.frame_features
        row_of_frame = _index(ids.frames, table["frame_id"]).numpy()
        vectors = table["feature"].to_numpy()
        in_order = np.array_equal(row_of_frame, np.arange(len(vectors)))  # as `feature_cache` maps them
        features = as_tensor(vectors if in_order else vectors[row_of_frame])
    return Frames(_frame_offsets(tables, ids), features)


def _frame_offsets(tables: Tables, ids: Ids) -> Tensor:
    movie_of_frame = ids.frames.to_frame("frame_id").join(tables.frames, on="frame_id", maintain_order="left")
    return ragged(
        _index(movie_of_frame["movie_id"], ids.movies), torch.arange(len(ids.frames)), len(ids.movies)
    ).offsets


def _index(values: pl.Series, ids: pl.Series) -> Tensor:
    """Return (n,) int64: where each of `values` is in `ids`, in which all of them occur once."""
    position = pl.DataFrame({"id": ids}).with_row_index("position")
    found = pl.DataFrame({"id": values}).join(position, on="id", how="left", maintain_order="left")
    return _tensor(found["position"])


def _tensor(values: pl.Series) -> Tensor:
    return torch.from_numpy(values.cast(pl.Int64).to_numpy().copy())
