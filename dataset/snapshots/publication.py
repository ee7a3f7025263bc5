"""What a publisher decides: what the card states, exactness of dates, train likes; what a new version may lose."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from dataset.dates import Dates
from dataset.errors import MissingInputError, UsageError
from dataset.snapshots.licences import parse_licence

Answers = dict[str, str | list[str]]
"""What the publisher answers, by the names that the fields have in Croissant's responsible-AI extension."""

NOT_RECORDED = "This is not recorded; ask the publisher of the dataset."

ANSWERABLE = {
    "dataCollection": "How were the data acquired?",
    "dataCollectionType": "In what way were the data collected?",
    "dataCollectionMissingData": "Is any information missing?",
    "dataCollectionRawData": "From what raw data was it made?",
    "dataImputationProtocol": "How were missing values filled in?",
    "dataPreprocessingProtocol": "How were the data prepared?",
    "dataAnnotationProtocol": "Who judged the movies and frames?",
    "dataAnnotationPlatform": "On what platform did they judge?",
    "dataAnnotationAnalysis": "How were the judgements examined?",
    "annotationsPerItem": "How many people judged each item?",
    "annotatorDemographics": "What is known of the people who judged?",
    "machineAnnotationTools": "What programs made annotations?",
    "dataBiases": "Whom and what does it favour?",
    "dataUseCases": "What can it be used for?",
    "dataLimitations": "What can it not show?",
    "dataSocialImpact": "What may its use do to people?",
    "personalSensitiveInformation": "Does it relate to people?",
    "dataReleaseMaintenancePlan": "How can someone be removed?",
}
"""The fields that a publisher can answer, and the question of each in the datasheet.

Source: https://docs.mlcommons.org/croissant/docs/croissant-rai-spec.html (version 1.0).
"""

_LISTS = ("dataCollectionType", "machineAnnotationTools", "annotatorDemographics")


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


def _readable_answers(file: Path) -> Path:
    read_answers(file)
    return file


Line = Annotated[str, AfterValidator(_one_line)]


@dataclass(frozen=True)
class PublicationConfig:
    """What the publisher of a snapshot decides, and states on its card.

    Attributes:
        licence: the licence: an SPDX name such as CC-BY-4.0, an address or a sentence
        publisher: the person or organisation that publishes the dataset
        contact: e-mail or web address for questions, and for people who want to be removed
        dates: how exactly the dates of people's acts are published (order: no dates, only the order of each user's
            ratings); by default the month, and as exactly as the source has them for invented people and imported files
        train_likes: also publish who likes which frames of train pairs (frame_likes_train), for kfr, an upper bound
        description: what the dataset is and is for, in a sentence or two
        answers: TOML file with what only you know of the data, by the fields that publishing names: dataBiases = "…"
    """

    licence: Annotated[Line, AfterValidator(_known_licence)] | None = None
    publisher: Line | None = None
    contact: Annotated[Line, AfterValidator(_reachable)] | None = None
    dates: Dates | None = None
    train_likes: bool = False
    description: Line | None = None
    answers: Annotated[Path, AfterValidator(_readable_answers)] | None = None


def read_answers(file: Path | None) -> Answers:
    """Return the answers in a publisher's file; an empty text is no answer.

    Args:
        file: a TOML file with one `field = "text"` per line (`ANSWERABLE`), or a list of texts where there can be
            several; None: no answers.

    Raises:
        MissingInputError: the file cannot be read.
        UsageError: it is not TOML, or a field is unknown or no text.
    """
    if file is None:
        return {}
    try:
        told: Mapping[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise MissingInputError(f"{file}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise UsageError(f"{file}: not a TOML file ({' '.join(str(error).split())})") from None
    answers: Answers = {}
    for key, value in told.items():
        name = key.removeprefix("rai:")
        if name not in ANSWERABLE:
            raise UsageError(f"{file}: no field {key!r} can be answered; there are {', '.join(ANSWERABLE)}")
        texts = value if isinstance(value, list) and name in _LISTS else [value]
        if not all(isinstance(text, str) for text in texts):
            several = ", or a list of texts" if name in _LISTS else ""
            raise UsageError(f'{file}: {key}: write a text{several}, such as {name} = "…"')
        lines = [line for text in texts if (line := " ".join(text.split()))]
        if lines:
            answers[name] = lines if name in _LISTS else lines[0]
    return answers


def with_answer(known: str, told: str | list[str]) -> str:
    """Return what is known, and after it what the publisher answers."""
    text = "; ".join(told) if isinstance(told, list) else told
    return " ".join(filter(None, ["" if text and known == NOT_RECORDED else known, text]))


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
