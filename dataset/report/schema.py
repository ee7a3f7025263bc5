"""The schemas of the tables that a snapshot's report page draws."""

import dataframely as dy

from dataset.placeholders.frames import KINDS

OTHER = "other"


class Distribution(dy.Schema):
    """One bin of a histogram: `n` values are between `low` and `high`, both included."""

    distribution = dy.String(primary_key=True, min_length=1)
    low = dy.UInt32(primary_key=True)
    high = dy.UInt32()
    n = dy.UInt32()


class Concentration(dy.Schema):
    """The share of all interactions that belong to the `n` most popular movies or most active users.

    `n` is `top_share` of all movies or users, rounded, and at least 1.
    """

    of = dy.Enum(["movie", "user"], primary_key=True)
    top_share = dy.Float64(primary_key=True, min=0, max=1)
    n = dy.UInt32(min=1)
    share = dy.Float64(min=0, max=1)


class PictureGroup(dy.Schema):
    """A group of nearly equal pictures that say nothing, or that several items share (kind `other`).

    `picture` is the SHA-256 of the one that represents all nearly equal ones, and `frame_id` a frame that shows one of
    the group. Frames that were left out of the dataset as placeholders are counted too.
    """

    picture = dy.String(primary_key=True, regex="^[0-9a-f]{64}$")
    kind = dy.Enum([*KINDS, OTHER], primary_key=True)
    frame_id = dy.String(min_length=1)
    n_frames = dy.UInt32(min=1)
    n_items = dy.UInt32(min=1)
