"""Chooses which frames of a video to take, by their times alone."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence

_MIN_SCENE_S = 0.5
"""A scene that is shorter (a flash, a frame of a cross-fade) is part of the one that follows it."""


def evenly_spaced(shown: Sequence[int], end: int, n: int) -> list[int]:
    """Return the timestamps of the frames on screen in the middle of each of `n` equal parts of a video.

    A video of fewer frames gives each of its frames once.

    Args:
        shown: the timestamps at which frames appear, sorted.
        end: when the last one disappears, in the same unit.
        n: how many frames to choose.
    """
    start, length = shown[0], max(end - shown[0], 0)
    times = [start + length * (2 * part + 1) // (2 * n) for part in range(n)]
    return sorted({shown[max(bisect_right(shown, time) - 1, 0)] for time in times})


def scene_starts(changes: Iterable[tuple[int, float]], threshold: float, ticks_per_s: float) -> list[int]:
    """Return the timestamps at which scenes start, in order.

    Args:
        changes: for each frame, its timestamp and how much it differs from the frame before it.
        threshold: a frame that differs by at least this much starts a scene.
        ticks_per_s: how many units of the timestamps are a second.
    """
    starts: list[int] = []
    for time, change in changes:
        if starts and change < threshold:
            continue
        if starts and time - starts[-1] < _MIN_SCENE_S * ticks_per_s:
            starts.pop()
        starts.append(time)
    return starts


def thinned(times: Sequence[int], n: int) -> list[int]:
    """Return at most `n` of the times: the first, and others at equal steps in the list."""
    return [times[len(times) * part // n] for part in range(n)] if len(times) > n else list(times)
