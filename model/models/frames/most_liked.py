"""The most-liked frame: a picture scores as many likes as people of train interactions gave it.

It knows likes, which no model of the paper does, but none of a held-out pair: what other people like, without taste.
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
