"""Groups pictures that are nearly equal: the same picture in other sizes, formats or qualities.

A picture is known by the mean colours of 9 x 9 cells (`dataset.pictures.protocol.Checked.cells`). Two pictures are
nearly equal if

1. their difference hashes differ in few bits. A bit says whether a cell is brighter than its neighbour on the left
   (64 bits) or above (64 bits), as in Krawetz 2013, "Kind of Like That", and the package `dhash`. Here it must be
   brighter by a quarter of the picture's own contrast, so the noise of a JPEG flips no bits where a picture is flat;
2. their cells differ by at most 4 levels, and by at most a quarter of the contrast (root mean squares). A shift of a
   whole channel by up to 6 levels, as a JPEG of low quality has it, does not count. Without this condition, dark
   pictures with a few lights would be equal, and so would one product in two colours.

The hash has eight words of 16 bits. Hashes that differ in at most seven bits agree in at least one word, and the mean
levels of nearly equal pictures are near each other. So a picture is compared only with those that share a word with it
and are about as bright: no pair is missed, and memory grows with the number of pictures.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from dataset.pictures.protocol import CELLS_PER_SIDE

Cells = npt.NDArray[np.uint8]
Hashes = npt.NDArray[np.uint16]
Rows = npt.NDArray[np.int64]
Levels = npt.NDArray[np.float32]

_N_WORDS = 8
_BRIGHTER = 0.25
_DIFFERENT = 0.25
_LEVELS = 4
_SHIFT = 6
_BLOCK = 1 << 14


def near_groups(cells: Cells, near_bits: int) -> Rows:
    """Return for each picture the row of the picture that represents its group, (n,).

    Every member is nearly equal to its representative, so groups do not grow by chains of small differences. The
    first rows become representatives first: sort the rows by preference.

    Args:
        cells: (n, 243), the cells of each picture; equal rows may repeat.
        near_bits: how many bits of the hashes may differ, at most 7.
    """
    of_group: Rows = np.full(len(cells), -1)
    for row, near in _near_hashes(cells, near_bits, of_group):
        of_group[row] = row
        for start in range(0, len(near), _BLOCK):
            block = near[start : start + _BLOCK]
            of_group[block[_is_close(cells[block], cells[row])]] = row
    return of_group


def difference_hashes(cells: Cells) -> Hashes:
    """Return the difference hashes of pictures, (n, 8) words of 16 bits, one per column of cells.

    Args:
        cells: (n, 243), the cells of each picture.
    """
    hashes = np.empty((len(cells), _N_WORDS), dtype=np.uint16)
    for start in range(0, len(cells), _BLOCK):
        grey = _by_cell(cells[start : start + _BLOCK]).mean(axis=2).reshape(-1, CELLS_PER_SIDE, CELLS_PER_SIDE)
        step = _BRIGHTER * grey.std(axis=(1, 2), keepdims=True)
        from_left = np.diff(grey, axis=2)[:, 1:] > step
        from_above = np.diff(grey, axis=1)[:, :, 1:] > step
        octets = np.packbits(np.stack([from_left, from_above], axis=1), axis=2)[:, :, 0]  # a bit for each of 8 rows
        hashes[start : start + _BLOCK] = octets[:, 0].astype(np.uint16) << 8 | octets[:, 1]
    return hashes


def blank_rows(cells: Cells, levels: int) -> npt.NDArray[np.bool_]:
    """Return which pictures are blank, (n,): no channel differs by more than `levels` between two cells.

    Args:
        cells: (n, 243), the cells of each picture.
        levels: the largest difference.
    """
    by_channel = cells.reshape(-1, CELLS_PER_SIDE**2, 3)
    found: npt.NDArray[np.bool_] = (by_channel.max(axis=1) - by_channel.min(axis=1)).max(axis=1) <= levels
    return found


def _near_hashes(cells: Cells, near_bits: int, of_group: Rows) -> Iterator[tuple[int, Rows]]:
    """Yield each row that has no group when its turn comes, and the others whose hashes are near."""
    hashes = difference_hashes(cells)
    whole = hashes.view(np.uint64)
    mean, reach = _brightness(cells)
    lowest, highest = np.maximum(mean - reach, 0), np.minimum(mean + reach, 255)
    index = []
    for word in hashes.T.astype(np.int32) << 8:
        order = np.argsort(word | mean, kind="stable")
        keys = (word | mean)[order]
        first, last = np.searchsorted(keys, word | lowest, "left"), np.searchsorted(keys, word | highest, "right")
        index.append((first, last, order.astype(np.int32), whole[order]))
    for row in range(len(cells)):
        if of_group[row] >= 0:
            continue
        parts = [(slice(first[row], last[row]), rows, of_rows) for first, last, rows, of_rows in index]
        n_bits = np.bitwise_count(np.concatenate([of_rows[part] for part, _, of_rows in parts]) ^ whole[row])
        rows = np.concatenate([rows[part] for part, rows, _ in parts])
        near = np.unique(rows[n_bits[:, 0] + n_bits[:, 1] <= near_bits])
        yield row, near[(of_group[near] < 0) & (near != row)]


def _brightness(cells: Cells) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return the mean level of each picture, and by how much that of a nearly equal one may differ, both (n,)."""
    mean, reach = (np.empty(len(cells), dtype=np.int32) for _ in range(2))
    for start in range(0, len(cells), _BLOCK):
        levels = _by_cell(cells[start : start + _BLOCK])
        mean[start : start + _BLOCK] = levels.mean(axis=(1, 2)).astype(np.int32)
        reach[start : start + _BLOCK] = _SHIFT + 2 + _tolerance(levels)  # 2: both means are rounded
    return mean, reach


def _is_close(cells: Cells, to: Cells) -> npt.NDArray[np.bool_]:
    """Return which pictures are nearly equal to another one by their cells."""
    wanted = _by_cell(to)
    difference = _by_cell(cells) - wanted
    difference -= difference.mean(axis=1, keepdims=True).clip(-_SHIFT, _SHIFT)
    is_close: npt.NDArray[np.bool_] = np.sqrt((difference**2).mean(axis=(1, 2))) <= _tolerance(wanted)
    return is_close


def _tolerance(levels: Levels) -> Levels:
    """Return by how much a picture that is nearly equal to another one may differ from it, (n,)."""
    contrast = np.sqrt(levels.var(axis=1).mean(axis=1))
    tolerance: Levels = np.minimum(_DIFFERENT * contrast, _LEVELS)
    return tolerance


def _by_cell(cells: Cells) -> Levels:
    """Return cells as levels, (n, 81, 3)."""
    return cells.reshape(-1, CELLS_PER_SIDE**2, 3).astype(np.float32)
