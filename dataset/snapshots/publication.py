"""What a publisher decides: what the card states, how exact dates are, train likes, and what a version may lose."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from dataset.dates import Dates
from dataset.snapshots.licences import parse_licence


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    if not line:
        raise ValueError("Input should not be empty")
    return line


def _known_licence(text: str) -> str:
    parse_licence(text)
    return text


def _reachable(text: str) -> str:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+|https?://\S+", text, re.IGNORECASE):
        raise ValueError("Input should be an e-mail or web address, such as data@example.org or https://example.org")
    return text


Line = Annotated[str, AfterValidator(_one_line)]


@dataclass(frozen=True)
class PublicationConfig:
    """What the publisher of a snapshot decides, and states on its card.

    Attributes:
        licence: the licence: an SPDX name such as CC-BY-4.0, an address or a sentence
        publisher: the person or organisation that publishes the dataset
        contact: e-mail or web address for questions, and for people who want to be removed
        description: what the dataset is and is for, in a sentence or two
        dates: how exactly the dates of people's acts are published (order: no dates, only the order of each user's
            ratings); by default the month, and as exactly as the source has them for invented people and imported files
        train_likes: also publish who likes which frames of train pairs (frame_likes_train), for kfr, an upper bound
    """

    licence: Annotated[Line, AfterValidator(_known_licence)] | None = None
    publisher: Line | None = None
    contact: Annotated[Line, AfterValidator(_reachable)] | None = None
    dates: Dates | None = None
    train_likes: bool = False
    description: Line | None = None


@dataclass(frozen=True)
class GateConfig:
    """When a new version is held instead of published.

    Attributes:
        max_loss: hold a version that loses a larger share of its parent's users, movies, interactions, frames, likes,
            features, or values of a column
        release: publish a held version: the start of its digest, as the message about it says
    """

    max_loss: Annotated[float, Field(ge=0, le=1)] = 0.05
    release: Annotated[str, Field(pattern="^[0-9a-f]{12,64}$")] | None = None
