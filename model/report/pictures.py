"""What pictures add: each model with its pictures against the same model with an arm in their place."""

from collections.abc import Collection
from dataclasses import dataclass

from dataset.feature_sets import ARMS, MAIN, split_arm
from dataset.report.numbers import NumberSource
from dataset.wording import Wording
from model.report.headlines import TASKS, Difference, difference_in, headline_k, ranked, where_of
from model.report.model_styles import arm_of, features_of, style_of

ARMS_FILE = "arms.parquet"
_WORDS = {
    "shuffled": (
        "shuffled pictures",
        "Shuffled: the {items} exchange their pictures, and those of {a_item} change places.",
    ),
    "noise": ("noise", "Noise: random vectors with the mean and spread of the features."),
    "constant": ("one vector everywhere", "Constant: the mean of all features, for every frame."),
    "mean": ("means", "Mean: every frame of {a_item} has the mean of these frames."),
}
"""For each arm: what the model has instead of its pictures, and what that is (for `Wording.fill`)."""


@dataclass(frozen=True)
class Gain:
    """What a model's pictures add to a task, and what is ranked, in words."""

    what: str
    k: int
    difference: Difference


@dataclass(frozen=True)
class PictureGain:
    """A model with its pictures against the same model with an arm.

    Attributes:
        title: the model's title.
        arm: what it has instead of its pictures, in words.
        about: what that is.
        gains: what its pictures add, for each task that it was evaluated on.
    """

    title: str
    arm: str
    about: str
    gains: list[Gain]


def arm_pairs(labels: Collection[str]) -> list[tuple[str, str]]:
    """Return the pairs of labels of a model with its pictures and of the same model with an arm, arms in one order."""
    pairs = []
    for label in sorted(labels):
        if arm_of(label):
            model, features = label.rpartition(" ")[0], features_of(label) or ""
            real = f"{model} features={split_arm(features)[0] or MAIN}"
            pairs.append((real if real in labels else model, label))
    return sorted(pairs, key=lambda pair: (ARMS.index(arm_of(pair[1]) or ""), pair))


def picture_gains(numbers: NumberSource, wording: Wording) -> list[PictureGain]:
    """Return what pictures add to each model, best model first; the arms of the first kind come before the others."""
    if not numbers.has(ARMS_FILE):
        return []
    order = {model: place for task in reversed(TASKS) for place, model in enumerate(ranked(numbers, task))}
    rows = numbers.rows(ARMS_FILE)
    pairs = arm_pairs({*rows["model"], *rows["other"]})
    pairs.sort(key=lambda pair: (ARMS.index(arm_of(pair[1]) or ""), order.get(pair[0], 0)))
    found = []
    for real, arm in pairs:
        gains = []
        for task, (what, _) in TASKS.items():
            k = headline_k(numbers, task)
            told = difference_in(ARMS_FILE, numbers, real, arm, **where_of(numbers, task, "ndcg", k))
            gains += [Gain(wording.fill(what), k, told)] if told else []
        if gains:
            words, about = map(wording.fill, _WORDS[arm_of(arm) or ""])
            found.append(PictureGain(style_of(real).title, words, about, gains))
    return found
