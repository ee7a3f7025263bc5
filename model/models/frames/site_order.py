"""The site's own order: a picture scores higher the earlier it comes in the site's list of the movie's pictures.

The site has one list for each kind of picture; the first of each kind share a rank.
"""

from dataclasses import dataclass

from torch import Tensor

from dataset.errors import MissingInputError
from model.data.tensors import TrainingData
from model.models.frames.ranker import FrameRanker, earlier_is_higher


@dataclass(frozen=True)
class SiteOrderConfig:
    """No settings."""


class SiteOrder(FrameRanker):
    """Keeps the order of the site."""

    needs_places = True

    def score(self, data: TrainingData) -> Tensor:
        """Return scores that fall with the place.

        Raises:
            MissingInputError: no place is known.
        """
        if data.frames.places is None:
            raise MissingInputError(
                "site_order: the snapshot has no frame with a position, as an import and older crawls have none; "
                "use --model first_frame"
            )
        return earlier_is_higher(data.frames.places)
