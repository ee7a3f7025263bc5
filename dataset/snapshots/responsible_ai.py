"""The fields of Croissant's responsible-AI extension, filled from the datasheet's answers.

Source: https://docs.mlcommons.org/croissant/docs/croissant-rai-spec.html (version 1.0).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dataset.snapshots.datasheet import (
    Source,
    datasheet,
    describe_annotation,
    describe_biases,
    describe_dates,
    describe_impact,
    describe_limits,
    describe_privacy,
    describe_removal,
    describe_risk,
    describe_source,
    source_of,
)
from dataset.snapshots.feature_words import describe_extractor
from dataset.snapshots.manifest import Manifest
from dataset.snapshots.publication import NOT_RECORDED, with_answer

_TYPES: Mapping[Source, list[str]] = {
    "invented": ["Software Collection"],
    "crawl": ["Web Scraping", "User-generated content data"],
    "import": ["Secondary Data analysis"],
    "unknown": [],
}
"""How the data were collected, in the words of the extension."""


def responsible_ai(manifest: Manifest) -> dict[str, Any]:
    """Return the fields that are known or that the publisher answers, by their names in `croissant.json`."""
    return {f"rai:{name}": answer for name, answer in _answers(manifest).items() if answer and answer != NOT_RECORDED}


def unanswered(manifest: Manifest) -> list[str]:
    """Return the names of the fields that only the publisher can fill."""
    return [f"rai:{name}" for name, answer in _answers(manifest).items() if not answer or answer == NOT_RECORDED]


def _answers(manifest: Manifest) -> dict[str, Any]:
    known = _known(manifest)
    fields = [*known, *(name for name in manifest.answers if name not in known)]
    return {name: _with_answer(manifest, name, known.get(name, "")) for name in fields}


def _with_answer(manifest: Manifest, name: str, known: str | list[str]) -> str | list[str]:
    told = manifest.answers.get(name, "")
    if isinstance(known, str) and isinstance(told, str):
        return with_answer(known, told)
    return [text for one in (known, told) for text in ([one] if isinstance(one, str) else one) if text]


def _known(manifest: Manifest) -> dict[str, str | list[str]]:
    answers = {
        answer.question: answer.answer
        for section in datasheet(replace(manifest, answers={})).values()
        for answer in section
    }
    tools = [describe_extractor(made_by, is_full=True) for made_by in manifest.makers.values()]
    return {
        "dataCollection": describe_source(manifest),
        "dataCollectionType": _TYPES[source_of(manifest)],
        "dataCollectionMissingData": answers["Is any information missing?"],
        "dataPreprocessingProtocol": describe_dates(manifest),
        "dataAnnotationProtocol": describe_annotation(manifest),
        **({"machineAnnotationTools": tools} if tools else {}),
        "dataBiases": describe_biases(manifest),
        "dataUseCases": answers["What can it be used for?"],
        "dataLimitations": f"{answers['What should it not be used for?']} {describe_limits(manifest)}",
        "dataSocialImpact": describe_impact(manifest),
        "personalSensitiveInformation": f"{describe_privacy(manifest)} {describe_risk(manifest)}",
        "dataReleaseMaintenancePlan": describe_removal(manifest),
    }
