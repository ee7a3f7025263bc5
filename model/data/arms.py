"""The arms of an experiment on what pictures add: what models are given in place of the features of frames.

- `shuffled`: the frames exchange their features, by one permutation. The movies that have frames are put in a random
  order, and the frames of each too; then every place takes the features of the place that lies a number of places
  further on, in a circle. So a movie gets the pictures of another movie (or of several, where their numbers of frames
  differ), in a random order; each feature is used once, and each movie has as many frames as before. No frame keeps a
  feature of its own movie, unless one movie has more than half of all frames.
- `noise`: normal draws with the mean and the standard deviation of each dimension.
- `constant`: the mean of all features, for every frame.
- `mean`: the mean of the features of the frame's movie. So only the differences within a movie are lost.

Training, validation and test see the same features, and so does a run that is opened again: they follow from the seed
of the run. Movies without frames stay without. The features of items, such as texts, are not touched.

The permutation and the draws cost no memory: the new features are in a file that has no name and is mapped, so the
system may write them out. A view of permuted rows is no choice, because models read blocks of neighbouring rows.
"""

import itertools
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dataset.errors import UsageError
from model.data.feature_cache import as_tensor
from model.data.memory import require_memory
from model.data.tensors import Frames, TrainingData

_ROWS_AT_ONCE = 4096
Block = tuple[slice, npt.NDArray[np.floating]]


def with_arm(data: TrainingData, arm: str, seed: int, folder: Path) -> TrainingData:
    """Return the data with other features of the frames.

    Args:
        data: the data, with features.
        arm: one of `dataset.feature_sets.ARMS`.
        seed: for the permutation and the draws.
        folder: where the new features are mapped, if it can be written; otherwise they are in memory.

    Raises:
        UsageError: no frame has a feature.
        TrainingError: the new features are in memory, and do not fit.
    """
    features = data.frames.features
    if features is None or not len(features):
        raise UsageError(f"no frame has a feature, so nothing can take its place ({arm})")
    return replace(data, frames=replace(data.frames, features=_ARMS[arm](features, data.frames, seed, folder)))


def without_held_out(features: Tensor, offsets: Tensor, is_held_out: Tensor, folder: Path) -> Tensor:
    """Return features in which each held-out frame has the mean of its movie's other frames, or else of all others.

    So nothing that is trained on them depends on the held-out pictures.

    Args:
        features: (L, F).
        offsets: (N + 1,) int64, the frames of the items.
        is_held_out: (L,) bool.
        folder: as for `with_arm`.
    """
    old, hidden, starts = features.numpy(), is_held_out.numpy(), offsets.numpy()
    shown = np.flatnonzero(~hidden)
    total = np.zeros(old.shape[1])
    for rows in _slices(len(shown)):
        total += old[shown[rows]].sum(0, dtype=np.float64)
    of_all = total / max(1, len(shown))

    def blocks() -> Iterator[Block]:
        for rows in _slices(len(old)):
            yield rows, old[rows]
        for row in np.flatnonzero(hidden):
            item = np.searchsorted(starts, row, side="right") - 1
            others = np.arange(starts[item], starts[item + 1])
            others = others[~hidden[others]]
            yield slice(row, row + 1), (old[others].mean(0, dtype=np.float32) if len(others) else of_all)[None]

    return _mapped(features, folder, blocks())


def shuffled_rows(offsets: Tensor, seed: int) -> Tensor:
    """Return (L,) int64: for each frame, the frame whose feature it is given.

    Args:
        offsets: (N + 1,) int64, the frames of the items (`Frames.offsets`).
        seed: for the orders and the number of places.
    """
    rng, starts = np.random.default_rng(seed), offsets.numpy()
    lengths = np.diff(starts)
    items = rng.permutation(np.flatnonzero(lengths))
    places = [starts[item] + rng.permutation(lengths[item]) for item in items]
    ends, most = np.cumsum([len(place) for place in places]), int(lengths.max())
    n_frames = int(ends[-1])
    whole = ends[(ends >= most) & (ends <= n_frames - most)]  # so that movies of equal size exchange all they have
    shift = int(rng.choice(whole)) if len(whole) else min(most, n_frames // 2)
    in_order = np.concatenate(places)
    source = np.empty(n_frames, dtype=np.int64)
    source[in_order] = np.roll(in_order, -shift)
    return torch.from_numpy(source)


def _shuffled(features: Tensor, frames: Frames, seed: int, folder: Path) -> Tensor:
    old, source = features.numpy(), shuffled_rows(frames.offsets, seed).numpy()
    return _mapped(features, folder, ((rows, old[source[rows]]) for rows in _slices(len(old))))


def _noise(features: Tensor, frames: Frames, seed: int, folder: Path) -> Tensor:
    mean, deviation = _moments(features.numpy())

    def drawn() -> Iterator[Block]:
        rng = np.random.default_rng(seed)
        for rows in _slices(len(features)):
            normal = rng.standard_normal((rows.stop - rows.start, len(mean)), dtype=np.float32)
            yield rows, mean + deviation * normal

    return _mapped(features, folder, drawn())


def _constant(features: Tensor, frames: Frames, seed: int, folder: Path) -> Tensor:
    mean, _ = _moments(features.numpy())
    return torch.from_numpy(mean).to(features.dtype).expand(len(features), -1)  # one row of memory


def _mean(features: Tensor, frames: Frames, seed: int, folder: Path) -> Tensor:
    old, offsets = features.numpy(), frames.offsets.numpy()

    def of_items() -> Iterator[Block]:
        for start, stop in itertools.pairwise(offsets.tolist()):
            if stop > start:
                yield slice(start, stop), old[start:stop].mean(0, keepdims=True, dtype=np.float32)

    return _mapped(features, folder, of_items())


_ARMS: dict[str, Callable[[Tensor, Frames, int, Path], Tensor]] = {
    "shuffled": _shuffled,
    "noise": _noise,
    "constant": _constant,
    "mean": _mean,
}


def _slices(n_rows: int) -> Iterator[slice]:
    for start in range(0, n_rows, _ROWS_AT_ONCE):
        yield slice(start, min(start + _ROWS_AT_ONCE, n_rows))


def _moments(features: npt.NDArray[np.floating]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the (F,) mean and standard deviation of each dimension."""
    mean, square = np.zeros((2, features.shape[1]))
    for rows in _slices(len(features)):
        mean += features[rows].sum(0, dtype=np.float64) / len(features)
    for rows in _slices(len(features)):
        square += np.square(features[rows] - mean).sum(0) / len(features)
    return mean.astype(np.float32), np.sqrt(square).astype(np.float32)


def _mapped(features: Tensor, folder: Path, blocks: Iterator[Block]) -> Tensor:
    """Return the blocks as one tensor of the shape and type of `features`, on a mapped file that nobody else sees."""
    new = _empty(features, folder)
    largest = np.finfo(new.dtype).max
    for rows, block in blocks:
        new[rows] = np.clip(block, -largest, largest)
    return as_tensor(new)


def _empty(features: Tensor, folder: Path) -> npt.NDArray[np.floating]:
    shape, dtype = tuple(features.shape), features.numpy().dtype
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            return np.memmap(file, dtype, "w+", shape=shape)
    except OSError:
        size = features.numel() * dtype.itemsize
        require_memory(size, "the features of an arm", f"make {folder} writable, so that they are on the disk")
        return np.empty(shape, dtype)
