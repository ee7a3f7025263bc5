"""The most-liked frame: a picture's score is the number of its likes from train interactions.

It learns from likes, as no model of the paper does, but from none of a held-out pair. It ignores personal taste.
(The count on the site's page would hold the likes that the test asks for.)
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
    """Shows what most people like."""

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
