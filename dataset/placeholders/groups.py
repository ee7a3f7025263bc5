"""Groups pictures that are nearly equal: the same picture in other sizes, formats or qualities.

A picture is known by the mean colours of 9 x 9 cells (`dataset.pictures.protocol.Checked.cells`). Two pictures are
nearly equal if

1. their difference hashes differ in few bits. A bit says whether a cell is brighter than its neighbour on the left
   (64 bits) or above (64 bits), as in Krawetz 2013, "Kind of Like That", and the package `dhash`. Here it must be
   brighter by a quarter of the picture's own contrast, so the noise of a JPEG flips no bits where a picture is flat;
2. their cells differ by less than a quarter of the contrast. Dark pictures with a few lights have similar hashes.

The hash has eight words of 16 bits. Hashes that differ in at most seven bits agree in a word, so a picture is
compared only with those that share a word with it: no pair is missed, and memory grows with the number of pictures.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from dataset.pictures.protocol import CELLS_PER_SIDE

Cells = npt.NDArray[np.uint8]
Hashes = npt.NDArray[np.uint16]
Rows = npt.NDArray[np.int64]

_N_WORDS = 8
_BRIGHTER = 0.25
_DIFFERENT = 0.25
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
    hashes = difference_hashes(cells)
    wide = hashes.view(np.uint64)
    for row, alike in _sharing_a_word(hashes, of_group):
        of_group[row] = row
        n_bits = np.bitwise_count(wide[alike] ^ wide[row]).sum(axis=1, dtype=np.uint16)
        near = alike[n_bits <= near_bits]
        for start in range(0, len(near), _BLOCK):
            block = near[start : start + _BLOCK]
            of_group[block[_is_close(cells[block], cells[row])]] = row
    return of_group


def difference_hashes(cells: Cells) -> Hashes:
    """Return the difference hashes of pictures, (n, 8) words of 16 bits; a word has bits of all parts of the picture.

    Args:
        cells: (n, 243), the cells of each picture.
    """
    hashes = np.empty((len(cells), _N_WORDS), dtype=np.uint16)
    side = CELLS_PER_SIDE
    for start in range(0, len(cells), _BLOCK):
        block = slice(start, start + _BLOCK)
        grey = cells[block].reshape(-1, side, side, 3).mean(axis=3, dtype=np.float32)
        step = _BRIGHTER * grey.std(axis=(1, 2), keepdims=True)
        from_left = np.diff(grey, axis=2)[:, 1:] > step
        from_above = np.diff(grey, axis=1)[:, :, 1:] > step
        bits = np.stack([from_left, from_above], axis=1).reshape(-1, 16, _N_WORDS).transpose(0, 2, 1)
        hashes[block] = np.packbits(bits, axis=2).view(np.uint16)[:, :, 0]
    return hashes


def blank_rows(cells: Cells, levels: int) -> npt.NDArray[np.bool_]:
    """Return which pictures are blank, (n,): no channel differs by more than `levels` between two cells.

    Args:
        cells: (n, 243), the cells of each picture.
        levels: the largest difference.
    """
    by_channel = cells.reshape(len(cells), -1, 3)
    found: npt.NDArray[np.bool_] = (by_channel.max(axis=1) - by_channel.min(axis=1)).max(axis=1) <= levels
    return found


def _sharing_a_word(hashes: Hashes, of_group: Rows) -> Iterator[tuple[int, Rows]]:
    """Yield each row that has no group yet, and the rows without a group that share a word with it."""
    order = np.argsort(hashes, axis=0, kind="stable")
    ordered = np.take_along_axis(hashes, order, axis=0)
    ends = [
        np.stack([np.searchsorted(ordered[:, word], hashes[:, word], side) for word in range(_N_WORDS)], axis=1)
        for side in ("left", "right")
    ]
    rows_by_word = np.ascontiguousarray(order.T)
    for row in range(len(hashes)):
        if of_group[row] >= 0:
            continue
        parts = [of_word[i:j] for of_word, i, j in zip(rows_by_word, ends[0][row], ends[1][row], strict=True)]
        alike = np.concatenate(parts)
        yield row, alike[of_group[alike] < 0]


def _is_close(cells: Cells, to: Cells) -> npt.NDArray[np.bool_]:
    """Return which pictures differ from another one by less than a quarter of its contrast (root mean squares)."""
    wanted = to.astype(np.float32)
    contrast = (wanted.reshape(-1, 3) - wanted.reshape(-1, 3).mean(axis=0)).reshape(-1)
    difference = cells.astype(np.float32) - wanted
    is_close: npt.NDArray[np.bool_] = (difference**2).mean(axis=1) <= _DIFFERENT**2 * (contrast**2).mean()
    return is_close
