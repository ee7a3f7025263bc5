"""The most-liked frame, by likes of train pairs or, as an upper bound, by all likes that the site shows.

A picture's score is the number of its likes: the same for everyone. `MostLiked` counts those of train interactions, and
none of a held-out pair. The count on the site's page holds the likes that the test asks for: `MostLikedUpperBound` uses
it, to show how far popularity alone could reach.
"""

from dataclasses import dataclass

from torch import Tensor

from dataset.errors import MissingInputError
from model.data.tensors import TrainingData
from model.models.frames.ranker import FrameRanker


@dataclass(frozen=True)
class MostLikedConfig:
    """No settings."""


class MostLiked(FrameRanker):
    """Shows what most people of train like (the column `train_like_count`)."""

    learns_from_likes = True

    def score(self, data: TrainingData) -> Tensor:
        """Return the numbers of likes.

        Raises:
            MissingInputError: no likes were collected.
        """
        if data.frames.train_likes is None:
            raise MissingInputError(
                "most_liked: the snapshot has no train_like_count, because no likes were collected or it is older than "
                "that column; build and publish it again from a crawl with likes"
            )
        return data.frames.train_likes.double()


class MostLikedUpperBound(FrameRanker):
    """Shows what most people on the site like (the column `like_count`), test likes included."""

    sees_held_out_likes = True
    upper_bound = "the site's like counts hold the likes that the test asks for"

    def score(self, data: TrainingData) -> Tensor:
        """Return the numbers of likes.

        Raises:
            MissingInputError: the site showed no counts.
        """
        if data.frames.like_counts is None:
            raise MissingInputError(
                "most_liked_upper_bound: no frame of the snapshot has a like_count, the number of likes on its page; "
                "only a crawl reads them"
            )
        return data.frames.like_counts.double()
