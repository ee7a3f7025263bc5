"""The first frame: a movie's poster, or else the first picture in the site's list.

Posters come before other pictures, and each of the two groups is in the site's order. Pictures whose place is not known
share the ranks after the others of their group.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dataset.errors import MissingInputError
from model.data.tensors import TrainingData
from model.models.frames.ranker import FrameRanker, earlier_is_higher


@dataclass(frozen=True)
class FirstFrameConfig:
    """No settings."""


class FirstFrame(FrameRanker):
    """Shows what a site shows that knows nothing about its visitors."""

    def score(self, data: TrainingData) -> Tensor:
        """Return scores that fall with the place, those of posters above all others.

        Raises:
            MissingInputError: the data do not say which pictures are posters.
        """
        posters, places = data.frames.is_poster, data.frames.places
        if posters is None:
            raise MissingInputError("first_frame: the data do not say which pictures are posters; publish again")
        order = earlier_is_higher(torch.full(posters.shape, -1) if places is None else places)
        return order + posters * (1 - order.min()) if len(order) else order
