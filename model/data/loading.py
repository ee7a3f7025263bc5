"""Loads a snapshot into memory for training and evaluation."""

from dataclasses import dataclass, replace

from torch import Tensor

from dataset.progress import stage
from dataset.schema import TRAIN_LIKES
from dataset.snapshots.snapshot import Snapshot
from dataset.tables import require_references
from model.data.arms import with_arm, without_held_out
from model.data.feature_cache import cache_folder, frame_features, item_features
from model.data.folds import fold_of
from model.data.tables import Ids, Tables, index_ids
from model.data.tensors import HeldOutItems, TrainingData, held_out_frames, held_out_items, training_data


@dataclass(frozen=True)
class SnapshotData:
    """A snapshot in memory.

    Attributes:
        label: the snapshot's name and version, for example "sandbox v0001".
        tables: the tables that evaluation reads.
        ids: the user, movie and frame id of every index.
        training: all that a model may train on.
        validation: the held-out interactions that decide when training stops; None if there are none.
        shown_features: (L, F), the features with which frames are ranked; None if they are those of training. People's
            own pictures of held-out pairs are hidden from training, and from the scores of items.
    """

    label: str
    tables: Tables
    ids: Ids
    training: TrainingData
    validation: HeldOutItems | None
    shown_features: Tensor | None = None


@stage("Loading the snapshot")
def load(snapshot: Snapshot, seed: int = 0) -> SnapshotData:
    """Read a snapshot for training and evaluation. Features are memory-mapped, not read.

    Args:
        snapshot: the snapshot, with the features that models read.
        seed: that of the run, from which an arm's features follow.
    """
    return with_features_of(snapshot, data_from_tables(read_tables(snapshot), snapshot.label), seed)


def with_features_of(snapshot: Snapshot, data: SnapshotData, seed: int) -> SnapshotData:
    """Return the data with what the snapshot's arm puts in place of the features, and held-out pictures hidden."""
    folder = cache_folder(snapshot)
    if snapshot.arm is not None:
        data = replace(data, training=with_arm(data.training, snapshot.arm, seed, folder))
    frames, hidden = data.training.frames, held_out_frames(data.tables, data.ids)
    if hidden is None or frames.features is None:
        return data
    features = without_held_out(frames.features, frames.offsets, hidden, folder)
    training = replace(data.training, frames=replace(frames, features=features))
    return replace(data, training=training, shown_features=frames.features)


def read_tables(snapshot: Snapshot) -> Tables:
    """Read the tables that models use, with the features of the snapshot's `feature_set` and of all modalities.

    Of a snapshot with a `fold`, the splits are those of the fold.

    Raises:
        UsageError: no feature set is chosen, and the snapshot has several and no main one.
        InvalidSnapshotError: a file is not the published one.
        InvalidTableError: a table is invalid, or names a movie or frame that is not there.
    """
    feature_table = snapshot.with_features(snapshot.feature_set).feature_table
    movies, frames, interactions, frame_likes = (
        snapshot.read(name) for name in ("movies", "frames", "interactions", "frame_likes")
    )
    require_references(frames, movies, ["movie_id"], "frames", "movies")
    require_references(interactions, movies, ["movie_id"], "interactions", "movies")
    require_references(frame_likes, frames, ["frame_id", "movie_id"], "frame_likes", "frames")
    tables = Tables(
        movies=movies,
        frames=frames,
        interactions=interactions,
        frame_likes=frame_likes,
        frame_features=frame_features(snapshot, feature_table) if feature_table else None,
        frame_likes_train=snapshot.read(TRAIN_LIKES) if snapshot.has(TRAIN_LIKES) else None,
        item_features={name: item_features(snapshot, name) for name in snapshot.manifest.item_features},
    )
    return fold_of(tables, snapshot.fold) if snapshot.fold else tables


def data_from_tables(tables: Tables, label: str) -> SnapshotData:
    """Return the training and evaluation data of tables in memory."""
    ids = index_ids(tables)
    validation = held_out_items(tables, ids, "validation")
    has_validation = len(validation.positives.values) > 0
    return SnapshotData(label, tables, ids, training_data(tables, ids), validation if has_validation else None)
