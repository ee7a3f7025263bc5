"""The paragraph on the methods of an experiment: data, models, seeds, protocol and tests, with citations."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataset.snapshots.citation import cite
from dataset.snapshots.feature_words import describe_extractor
from dataset.snapshots.manifest import Manifest
from dataset.wording import Wording
from model.models.names import is_own
from model.models.recommender import TrainableRecommender
from model.models.registry import MODELS
from model.report.model_styles import arm_of, in_order, style_of
from model.report.paper.latex import latex, markdown
from model.report.paper.references import ADAM, HOLM, NDCG, VGG, bibtex, key_of
from model.report.repeats import Repeats
from model.training.config import TrainingConfig

_SPLITS = {
    "random": "drawn uniformly at random",
    "per-user": "drawn per user at random",
    "temporal": "by time, the newest for testing",
    "stable": "by a keyed hash of the pair",
    "given": "as published with the data",
    "leave-one-out": "leave-one-out: each user's newest interaction for testing, the one before it for validation",
    "leave-one-out-random": "leave-one-out: one interaction of each user for testing and one for validation, drawn at "
    "random",
    "cut-off": "by cut-offs in time",
}
_SEEDED = ("random", "per-user", "stable", "leave-one-out-random")
_PROTOCOLS = {
    "full": "For each user, the test {items} are ranked among all {items} that are new to the user.",
    "exact": "For each user, the test {items} are ranked against NEGATIVES {items} that are new to the user; we report "
    "the expectation over all samples of negatives, computed exactly.",
    "sampled": "For each user, the test {items} are ranked against NEGATIVES sampled {items} that are new to the user, "
    "REPEATS times.",
}


_ARMS = {
    "shuffled": "pictures that were shuffled among and within the {items}",
    "noise": "noise of the features' mean and variance",
    "constant": "one constant feature",
    "mean": "the mean feature of the {item} for each of its pictures",
}

_START, _END = "\ue000", "\ue001"
"""The signs around citations in a text; both are for private use, so no name has them."""


@dataclass(frozen=True)
class Methods:
    """The methods in words: as LaTeX with citations, as Markdown, and the BibTeX of what is cited."""

    latex: str
    markdown: str
    bibtex: str


def methods(manifest: Manifest, experiment: Mapping[str, Any], wording: Wording, over_all: bool = False) -> Methods:
    """Return the methods of an experiment.

    Args:
        manifest: the snapshot's manifest.
        experiment: the content of `experiment.json`.
        wording: what items are called.
        over_all: whether the reported metrics are over all items, whatever the protocol was.
    """
    runs: Sequence[Mapping[str, Any]] = [run for run in experiment["runs"] if "recommendations" not in run]
    given: Sequence[Mapping[str, Any]] = [run for run in experiment["runs"] if "recommendations" in run]
    repeats = Repeats.of(experiment)
    names = {run["label"]: run["model"] for run in runs}
    models = in_order({label for label in names if arm_of(label) is None})
    arms = list(dict.fromkeys(arm for label in names if (arm := arm_of(label))))
    judged = experiment.get("evaluation") or {}
    entry = cite(manifest)
    sentences = [
        _data(manifest, wording, entry.partition("{")[2].partition(",")[0]),
        _split(manifest, wording),
        *_folds(experiment.get("folds")),
        *_features(runs),
        f"We compare {_listed([_cited(model, names[model]) for model in models])}.",
        *_arms(arms, wording),
        *_given(given),
        *_training(runs, manifest.statistics["n_train_interactions"]),
        *_protocol({**judged, "protocol": "full"} if over_all else judged, manifest, wording, repeats),
        *_tests(len(models) + len({run["label"] for run in given}), judged, repeats),
    ]
    text = " ".join(sentences)
    keys = [key for part in text.split(_START)[1:] for key in part.partition(_END)[0].split(",")]
    return Methods(
        _with_citations(text, latex, lambda key: rf"\cite{{{key}}}", "~"),
        _with_citations(text, markdown, lambda key: f"[@{key}]", " "),
        bibtex(keys, entry),
    )


def _with_citations(text: str, written: Callable[[str], str], cited: Callable[[str], str], space: str) -> str:
    first, *rest = text.split(_START)
    parts = [written(first)]
    for part in rest:
        key, _, after = part.partition(_END)
        parts[-1] = parts[-1].rstrip() + space
        parts += [cited(key), written(after)]
    return "".join(parts) + "\n"


def _reference(key: str) -> str:
    return f" {_START}{key}{_END}"


def _cited(label: str, model: str) -> str:
    key = key_of(model)
    title = style_of(label).title.replace(_START, "").replace(_END, "")
    return title + (_reference(key) if key else "")


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _data(manifest: Manifest, wording: Wording, key: str) -> str:
    n = manifest.statistics
    frames = f" and {n['n_frames']:,} pictures of {wording.items}" if n.get("n_frames") else ""
    likes = (
        f"; {n['n_test_frame_likes']:,} likes of pictures are held out for testing"
        if n.get("n_test_frame_likes")
        else ""
    )
    return (
        f"We use {manifest.label} (content digest {manifest.content_digest[:12]}){_reference(key)}: "
        f"{n['n_users']:,} users, {n['n_movies']:,} {wording.items}, {n['n_interactions']:,} "
        f"interactions{frames}{likes}."
    )


def _split(manifest: Manifest, wording: Wording) -> str:
    n, config = manifest.statistics, manifest.config
    split = config.get("split") or {}
    core = [config.get("k_user"), config.get("k_item")]
    kept = (
        f"Users with at least {core[0]} and {wording.items} with at least {core[1]} interactions are kept. "
        if all(core)
        else ""
    )
    how = _SPLITS.get(str(split.get("strategy")), "as the dataset has it")
    seed = f" (seed {split['seed']})" if split.get("strategy") in _SEEDED else ""
    return (
        f"{kept}The split is {how}{seed}: {n['n_train_interactions']:,} interactions for training, "
        f"{n['n_validation_interactions']:,} for validation and {n['n_test_interactions']:,} for testing."
    )


def _features(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what the pictures are described by, if a model reads features."""
    made_by = {describe_extractor(run["extractor"]): run["extractor"] for run in runs if run.get("extractor")}
    if not made_by or not any(_reads_features(run["model"]) for run in runs):
        return []
    is_vgg = any(str(extractor.get("architecture", "")).endswith("vgg19") for extractor in made_by.values())
    return [f"Models that read pictures use {_listed(list(made_by))}{_reference(VGG) if is_vgg else ''}."]


def _arms(arms: Sequence[str], wording: Wording) -> list[str]:
    """Return what models are given in place of their pictures, to measure what pictures add."""
    if not arms:
        return []
    listed = _listed([wording.fill(_ARMS[arm]) for arm in arms])
    return [f"To measure what pictures add, models that read pictures are also trained and tested with {listed}."]


def _training(runs: Sequence[Mapping[str, Any]], n_train: int) -> list[str]:
    seeds = sorted({run["seed"] for run in runs})
    times = "once" if len(seeds) == 1 else f"{len(seeds)} times"
    listed = f"seed{'' if len(seeds) == 1 else 's'} {_listed([str(seed) for seed in seeds])}"
    said = [f"Each model is trained {times} ({listed})."]
    trained = [run for run in runs if _is_trained(run["model"])]
    if trained and all(run["training"] == trained[0]["training"] for run in trained):
        t = trained[0]["training"]
        steps = [_steps(run["model"], t, n_train) for run in trained]
        batches, rates = (_range([values[place] for values in steps]) for place in (0, 1))
        said.append(
            f"Models that are trained on pairs use Adam{_reference(ADAM)} with a learning rate of "
            f"{rates} and batches of {batches} positives{_compared(trained)}, for at most {t['epochs']} epochs. "
            f"Training stops after {t['patience']} validations "
            f"without a better NDCG@{t['validation_k']}, and the best epoch is kept."
        )
    return said


def _compared(trained: Sequence[Mapping[str, Any]]) -> str:
    """Return what positives are compared with: sampled negatives for BPR's loss, all items for a softmax."""
    n, names = trained[0]["training"]["n_negatives"], {run["label"]: run["model"] for run in trained}
    softmax = {run["label"] for run in trained if run["config"].get("loss") == "softmax"}
    if not softmax:
        return f" with {n} negatives per positive"
    if len(softmax) == len(names):
        return " with a softmax loss"
    listed = _listed([style_of(label).title for label in in_order(softmax)])
    return f" with {n} negatives per positive, or with a softmax loss ({listed})"


def _folds(folds: Mapping[str, Any] | None) -> list[str]:
    """Return how the models are judged on folds."""
    if not folds:
        return []
    return [
        f"The test split is not used: the training and validation interactions are dealt anew to {folds['k']} folds "
        f"(seed {folds['seed']}). Each fold is judged once, the next one is for validation and for choosing settings, "
        "and the others are for training."
    ]


def _given(given: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return whose recommendations come from another tool."""
    names = list(dict.fromkeys(run["label"] for run in given))
    if not names:
        return []
    return [f"The recommendations of {_listed(names)} come from another tool and are judged in the same way."]


def _protocol(judged: Mapping[str, Any], manifest: Manifest, wording: Wording, repeats: Repeats) -> list[str]:
    said = (
        [
            wording.fill(_PROTOCOLS[judged["protocol"]])
            .replace("NEGATIVES", f"{judged['n_negatives']:,}")
            .replace("REPEATS", str(judged["n_repeats"]))
        ]
        if judged.get("protocol") in _PROTOCOLS
        else []
    )
    if manifest.statistics.get("n_test_frame_likes"):
        said.append(
            f"For key frames, all pictures of the {wording.item} are ranked for each test pair of a user and "
            f"{wording.a_item} with a liked picture. Likes are used for evaluation only, "
            "unless a model is said to learn from them."
        )
    means = _listed(["users", *repeats.kinds.split(" and ")])
    return [*said, f"We report HR@K and NDCG@K{_reference(NDCG)} on {repeats.judged_on}, as means over {means}."]


def _tests(n_models: int, judged: Mapping[str, Any], repeats: Repeats) -> list[str]:
    resamples = f" of {judged['n_bootstrap']:,} resamples" if judged else ""
    said = [f"Intervals of 95 % are percentiles{resamples} of the users (bootstrap)."]
    if n_models > 1:
        said.append(
            f"Whether two models differ is tested with a paired t-test over users on their means over {repeats.kinds}; "
            f"p-values are corrected for all pairs that were compared{_reference(HOLM)}, and differences with p < 0.05 "
            "count as significant."
        )
    return said


def _reads_features(model: str) -> bool:
    """Return whether a model reads features of frames; an unknown model does not."""
    return _is_known(model) and MODELS[model].model_class.needs_features


def _is_trained(model: str) -> bool:
    """Return whether a model is trained on pairs, in epochs."""
    return _is_known(model) and issubclass(MODELS[model].model_class, TrainableRecommender)


def _is_known(model: str) -> bool:
    """Return whether a model is ours, or of the user's own."""
    return model in MODELS or is_own(model)


def _steps(model: str, training: Mapping[str, Any], n_train: int) -> tuple[float, float]:
    """Return the batch size and the learning rate of a model, which follow from the data unless they are set."""
    known = {key: training[key] for key in ("batch_size", "learning_rate") if training.get(key) is not None}
    factor = getattr(MODELS[model].model_class, "batch_factor", 1)
    return TrainingConfig(**known).steps_of(n_train, factor)


def _range(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
