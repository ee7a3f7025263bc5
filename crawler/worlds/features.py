"""Drawn features of the frames: seeded whole numbers, so that they have the same bits on every machine.

They take the place of a network's where neither pictures nor torch are wanted. A feature is that of its picture: the
centre of the picture's scene, and what makes the picture differ from others of the scene.
"""

import numpy as np
import numpy.typing as npt
import polars as pl

from crawler.worlds import words
from crawler.worlds.catalogue import N_FILLERS, N_LOOKS
from crawler.worlds.draws import streams, whole
from crawler.worlds.world import DrawnWorld

_SEED = 2019  # of the bank of pictures, which all worlds share
_CENTRE, _WITHIN = 4, 8  # how far apart scenes are, and pictures of one scene; in sixteenths


def bank_features(pictures_per_scene: int, width: int) -> npt.NDArray[np.float16]:
    """Return (scenes, pictures, F) float16: the features of the pictures of every scene, multiples of 1/16."""
    for_centres, for_pictures = streams(_SEED, 2)
    centres = whole(2 * _CENTRE + 1, for_centres, (N_LOOKS + N_FILLERS, 1, width)) - _CENTRE
    within = whole(2 * _WITHIN + 1, for_pictures, (N_LOOKS + N_FILLERS, pictures_per_scene, width)) - _WITHIN
    return ((centres + within) / 16).astype(np.float16)


def frame_features(world: DrawnWorld, width: int = 64) -> pl.DataFrame:
    """Return `frame_id` and `feature`, `width` float16, of each frame, as `features import` reads them."""
    vectors = bank_features(world.preset.pictures_per_scene, width)[world.frames.scenes, world.frames.pictures]
    return pl.DataFrame(
        {"frame_id": words.frame_ids(world.frames), "feature": vectors.astype(np.float32)},
        schema={"frame_id": pl.String, "feature": pl.Array(pl.Float32, width)},
    )
