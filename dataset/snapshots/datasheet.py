"""The datasheet of a snapshot: what it is for, where it comes from, and what it means for the people in it.

The answers follow from the snapshot's provenance: a crawl of a real site, a crawl of an invented one and an imported
file differ. Where only the publisher can know the answer, it says so.

Source of the questions: Gebru et al. 2021, "Datasheets for Datasets", Communications of the ACM 64 (12).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dataset.dates import IN_WORDS
from dataset.risk import words
from dataset.snapshots.manifest import Manifest
from dataset.snapshots.publication import ANSWERABLE, NOT_RECORDED, with_answer
from dataset.wording import wording_of

Source = Literal["invented", "crawl", "import", "unknown"]

PURPOSE = (
    "Which users watched which movies, and which frames (stills, posters) of a movie each user likes: a dataset for "
    "recommending a movie together with a personalised key frame, the picture that represents it."
)
FEATURES_SHOW_PICTURES = (
    "Features are not anonymous: published work reconstructs recognisable pictures from the outputs of fully connected "
    "layers such as VGG's fc7 (Mahendran and Vedaldi 2015; Dosovitskiy and Brox 2016). Whatever rights others have in "
    "the pictures, treat the features as if they were small copies of them."
)
_FEATURES_SHOW_TEXTS = (
    "Largely: published work reconstructs short texts from the vectors of sentence encoders (Morris et al. 2023, Text "
    "Embeddings Reveal (Almost) As Much As Text). manifest.json names the columns of the text."
)
NO_PERSON = "All users are invented. This dataset describes no real person."


@dataclass(frozen=True)
class Answer:
    """A question of the datasheet, and the answer."""

    question: str
    answer: str


_LEFT_OUT = (
    "A user of one interaction has it in train, and one of two has no validation. Who has only training interactions "
    "is not judged"
)
_RULES = {
    "random": "{shares} of the interactions, drawn at random (seed {seed})",
    "per-user": "{shares} of each user's interactions, drawn at random (seed {seed}); at least one stays in train",
    "temporal": (
        "the newest interactions: {shares}. Train is older than validation, and validation older than test; "
        "interactions of the moment at a cut are in random order (seed {seed})"
    ),
    "stable": "about {shares} of the interactions, by a hash of the pair (key {seed}); a pair stays as the data grow",
    "given": "as the imported data say; where these have no validation, it is drawn from train (seed {seed})",
    "leave-one-out": (
        "of each user, {one}, by time; interactions of the same moment are in random order (seed {seed}). {left_out}"
    ),
    "leave-one-out-random": "of each user, {one}, in random order (seed {seed}). {left_out}",
    "cut-off": (
        "everything from {test_from} on is test; {validation}. An interaction at a cut-off is on its later side, and "
        "one of which only the day is known is at the start of its day"
    ),
}


def source_of(manifest: Manifest) -> Source:
    """Return where a snapshot's data come from."""
    if manifest.provenance.get("is_invented"):
        return "invented"
    source = manifest.provenance.get("source")
    return source if source in ("crawl", "import") else "unknown"


def describe_source(manifest: Manifest) -> str:
    """Return where the data come from, in one or two sentences."""
    told = manifest.provenance
    if source_of(manifest) == "invented":
        return (
            "The data were read from the sandbox, an invented site on the publisher's machine: its people, films and "
            f"pictures do not exist.{_missing(told)}"
        )
    if source_of(manifest) == "crawl":
        return (
            f"The data were read from public pages of {_site(told)}{_period(told)}, by a crawler that did not log in, "
            f"obeyed robots.txt and waited between its requests.{_missing(told)}"
        )
    if source_of(manifest) == "import":
        videos = told.get("videos") or {}
        with_these = (
            f" and {folder}"
            for folder, is_given in (
                ("a folder of pictures", told.get("has_pictures")),
                (f"frames of {videos.get('used', 0):,} videos", videos),
            )
            if is_given
        )
        return f"The publisher imported a file of their own ({told.get('file', 'unnamed')}){''.join(with_these)}."
    return f"The source is not recorded beyond its name: {told.get('source', 'unknown')}."


def _missing(told: Mapping[str, Any]) -> str:
    """Return in a sentence how many pages could not be read; nothing if all were."""
    states = [state for of_kind in (told.get("pages") or {}).values() for state in of_kind.items()]
    n_missing = sum(n for state, n in states if state in ("failed", "refused"))
    n_all = sum(n for _, n in states)
    return f" {n_missing:,} of {n_all:,} pages could not be read, so what they show is missing." if n_missing else ""


def describe_sampling(manifest: Manifest) -> str:
    """Return how the people in a snapshot were sampled, and what that favours."""
    if source_of(manifest) in ("import", "unknown"):
        return NOT_RECORDED
    users = (
        " The table users says for each person how they were found, in which month their list was read, and whether it "
        "was read to its end."
        if "users" in manifest.tables
        else ""
    )
    return (
        "They are not a random sample of the site's users. Most were found through the newest comments on a few movies "
        "that the publisher named, or were named by the publisher. This favours people who write comments, who are "
        "active at the time of the crawl, who mark many movies, and who like movies of the sort that was named. People "
        f"with fewer interactions than the k-core asks for are left out.{users}"
    )


def describe_biases(manifest: Manifest) -> str:
    """Return whom and what a snapshot favours, as far as this is known."""
    if source_of(manifest) == "invented":
        return f"The simulator decides who is active, what is popular and what people like. {_core(manifest)}"
    sampling = describe_sampling(manifest)
    return NOT_RECORDED if sampling == NOT_RECORDED else f"{sampling} {_core(manifest)}"


def describe_annotation(manifest: Manifest) -> str:
    """Return who judged movies and frames, and how."""
    invented = " Here, a simulator did so in their place." if source_of(manifest) == "invented" else ""
    stars = "Users rated movies, or marked them as watched, for themselves; nobody was hired or asked to."
    if "frame_likes" not in manifest.tables:
        return f"{stars}{invented}"
    return (
        f"{stars} A like of a frame is a click on the picture's Like button on its own page. No click is no judgement: "
        f"most people never open a picture's page.{invented}"
    )


def describe_limits(manifest: Manifest) -> str:
    """Return what a snapshot cannot show."""
    invented = "Nobody in it exists, so it proves nothing about people. " if source_of(manifest) == "invented" else ""
    likes = (
        "Likes of frames are few, so figures about frames have wide intervals. "
        if "frame_likes" in manifest.tables
        else ""
    )
    return (
        f"{invented}That a person did not rate or like something does not mean that they dislike it. {likes}It shows "
        "what people chose among what they were shown, not what they would have chosen among all movies."
    )


def describe_impact(manifest: Manifest) -> str:
    """Return what the use of a snapshot may do to people."""
    people = "" if source_of(manifest) == "invented" else "It shows what people watch, which can reveal more of them. "
    return (
        f"{people}A recommender that is trained on it repeats what is popular in it, and may hide films that few "
        "people know. Pictures that are chosen for a person can mislead them about what a movie is like."
    )


def _core(manifest: Manifest) -> str:
    k_user, k_item = (manifest.config.get(k, 0) for k in ("k_user", "k_item"))
    if max(k_user, k_item) <= 1:
        return wording_of(manifest.provenance).of_tables("The build kept all users and movies with an interaction.")
    return wording_of(manifest.provenance).of_tables(
        f"The build kept users with at least {k_user} and movies with at least {k_item} interactions (the k-core), so "
        "active users and popular movies are over-represented."
    )


def describe_privacy(manifest: Manifest) -> str:
    """Return what a snapshot says about people, and how their privacy is protected."""
    if source_of(manifest) == "invented":
        return NO_PERSON
    pseudonyms = {
        "crawl": "User ids are keyed pseudonyms (HMAC-SHA256); the key never leaves the publisher.",
        "import": "User ids are those of the imported file; the publisher is responsible for what they reveal.",
        "unknown": "Where the user ids come from is not recorded; the publisher is responsible for what they reveal.",
    }
    return (
        f"{pseudonyms[source_of(manifest)]} No table has a column for names of users, avatars or comment texts. "
        f"{describe_dates(manifest)} "
        "Someone who knows part of what a person watched or liked may still recognise them. "
        "Do not try to identify people, and do not join these tables with others that name them."
    )


def describe_dates(manifest: Manifest) -> str:
    """Return how exact the dates of people's acts are, in one sentence."""
    return f"Dates of people's acts: {IN_WORDS[manifest.dates]}."


def describe_risk(manifest: Manifest) -> str:
    """Return what a pseudonym is worth in this snapshot: how many people a few known points single out."""
    if not manifest.risk_figures:
        return f"How many people are singled out is {words.NOT_COMPUTED}."
    invented = (
        "The users are invented, so the figures only show the method. " if source_of(manifest) == "invented" else ""
    )
    return f"{invented}{words.in_short(manifest.risk_figures)} {words.how(manifest.risk_figures)}".strip()


def describe_removal(manifest: Manifest) -> str:
    """Return how a person, or the owner of a picture, can have their data removed."""
    if source_of(manifest) == "invented":
        return "Nobody needs to: all users are invented."
    whom = manifest.contact or "the publisher, who has not stated a contact here"
    how = {
        "crawl": "The publisher can delete a person from the crawl for good (`python -m crawler forget`)",
        "import": "The publisher can delete the person's rows from the imported file",
        "unknown": "The publisher can delete the person's rows",
    }
    return (
        f"Write to {whom}. {how[source_of(manifest)]}, build the dataset again and publish a new version without them. "
        "Published versions never change, so the publisher then has to delete the older versions too; if you hold a "
        "copy of one, delete it. The same holds for the owner of a picture from which a feature was computed."
    )


def datasheet(manifest: Manifest) -> dict[str, list[Answer]]:
    """Return the questions and answers of a snapshot's datasheet, by section."""
    sections = {
        "Motivation": _motivation(manifest),
        "Composition": _composition(manifest),
        "Collection": _collection(manifest),
        "Uses": _uses(manifest),
        "Maintenance": _maintenance(manifest),
    }
    answers = {ANSWERABLE[name]: told for name, told in manifest.answers.items() if name in ANSWERABLE}
    asked = {question for pairs in sections.values() for question in pairs}
    if further := {question: "" for question in answers if question not in asked}:
        sections["Further answers of the publisher"] = further
    return {
        title: [Answer(question, with_answer(known, answers.get(question, ""))) for question, known in pairs.items()]
        for title, pairs in sections.items()
    }


def _motivation(manifest: Manifest) -> dict[str, str]:
    research = (
        "To research how to recommend a movie together with a personalised key frame, the picture that represents it "
        "to one person."
    )
    purpose = {
        "invented": "To try programs and models without a real site. Results on it say nothing about real people.",
        "crawl": research,
        "import": f"{research} Why the data exist that the publisher brought into this form is for them to say.",
        "unknown": research,
    }
    who = manifest.publisher or "The publisher is not named"
    reach = f" ({manifest.contact})" if manifest.contact else ""
    return {
        "For what purpose was the dataset created?": purpose[source_of(manifest)],
        "Who created it?": f"{who}{reach}, with the program douban-keyframes {manifest.code_version}.",
    }


def _composition(manifest: Manifest) -> dict[str, str]:
    core = _core(manifest)
    sample = {
        "invented": f"The sandbox made its world from a seed. {core}",
        "crawl": f"Yes. It holds users and movies that the crawl reached from the ids it started with. {core}",
        "import": f"How the imported file was sampled is for the publisher to say. {core}",
        "unknown": f"How the source was sampled is not recorded. {core}",
    }
    dropped = sum(row["rows"] for row in manifest.quarantined)
    missing = (
        "Each column's description says what a null means. "
        f"The build dropped {dropped:,} rows, which are counted by reason under “How it was built”."
    )
    return {
        "Is it a sample of a larger set?": sample[source_of(manifest)],
        "Is any information missing?": missing,
        "Whom and what does it favour?": describe_biases(manifest),
        "Are there recommended splits?": f"Yes, the column `split`. {_likes(manifest)}"
        + (f" How it was split: {rule}" if (rule := split_in_words(manifest.config)) else ""),
        "Does it relate to people?": describe_privacy(manifest),
        "Can people be identified from it?": f"{describe_dates(manifest)} {describe_risk(manifest)} All figures are "
        "under “How easily people are found”.",
    }


def _likes(manifest: Manifest) -> str:
    if "frame_likes_train" in manifest.tables:
        return "Frame likes of train pairs are in frame_likes_train, for upper bounds only; frame_likes has the others."
    return "Frame likes exist for validation and test only."


def _collection(manifest: Manifest) -> dict[str, str]:
    consent = {
        "invented": "There is nobody to ask: all users are invented.",
        "crawl": "No. They put their ratings and likes on public pages, and were neither asked nor told.",
        "import": NOT_RECORDED,
        "unknown": NOT_RECORDED,
    }
    return {
        "How were the data acquired?": describe_source(manifest),
        "How were the people in it chosen?": describe_sampling(manifest),
        "Who judged the movies and frames?": describe_annotation(manifest),
        "Did the people in it consent?": consent[source_of(manifest)],
        "How can someone be removed?": describe_removal(manifest),
    }


def _uses(manifest: Manifest) -> dict[str, str]:
    unfit = {
        "invented": "Conclusions about real people, films or pictures.",
        "crawl": "Identifying or profiling people, or decisions about them.",
        "import": "Identifying or profiling people, or decisions about them.",
        "unknown": "Identifying or profiling people, or decisions about them.",
    }
    answers = {
        "What can it be used for?": "Research on recommendation from implicit feedback and from pictures, and on "
        "choosing a picture for a person.",
        "What should it not be used for?": unfit[source_of(manifest)],
        "What can it not show?": describe_limits(manifest),
        "What may its use do to people?": describe_impact(manifest),
    }
    if manifest.extractors:
        answers["Can pictures be recovered from the features?"] = FEATURES_SHOW_PICTURES
    if manifest.item_features:
        answers["Can texts be recovered from the features?"] = _FEATURES_SHOW_TEXTS
    return answers


def _maintenance(manifest: Manifest) -> dict[str, str]:
    whom = manifest.contact or "The publisher has not stated a contact"
    return {
        "Who maintains it, and how can they be reached?": f"{manifest.publisher or 'The publisher'}: {whom}.",
        "Will it be updated?": "A published version never changes. A correction or a removal is a new version with its "
        "own number and content digest; `python -m dataset diff` shows the difference.",
    }


def _site(provenance: Mapping[str, Any]) -> str:
    site = provenance.get("site")
    return str(site) if site else "the site"


def _period(provenance: Mapping[str, Any]) -> str:
    first, last = (str(provenance.get(key) or "")[:10] for key in ("first_request_at", "last_request_at"))
    if not first:
        return ""
    return f" on {first}" if first == last else f" from {first} to {last}"


def split_in_words(config: Mapping[str, Any]) -> str:
    """Return how a dataset was split, empty if its configuration does not say it.

    Args:
        config: the configuration of `dataset.json` or a manifest, see `dataset.building.build.DatasetConfig`.
    """
    split = config.get("split")
    strategy = split.get("strategy") if isinstance(split, Mapping) else None
    if not isinstance(split, Mapping) or not isinstance(strategy, str) or strategy not in _RULES:
        return ""
    validation, test = split.get("validation_share", 0.0), split.get("test_share", 0.0)
    if not isinstance(validation, int | float) or not isinstance(test, int | float):  # the text of a stranger
        return ""
    facts = {
        "shares": f"{validation:.4g} for validation and {test:.4g} for test",
        "seed": split.get("seed"),
        "one": _one(validation > 0, test > 0),
        "left_out": _LEFT_OUT,
        "test_from": _moment(split.get("test_from")),
        "validation": f"before it, everything from {_moment(split.get('validation_from'))} on is validation"
        if split.get("validation_from")
        else f"of what is before it, the newest {validation:.4g} are validation",
    }
    return f"{strategy}: {_RULES[strategy].format_map(facts)}."


def _one(has_validation: bool, has_test: bool) -> str:
    match has_validation, has_test:
        case True, True:
            return "the last interaction is test and the one before it validation"
        case False, True:
            return "the last interaction is test"
        case True, False:
            return "the last interaction is validation"
    return "none is held out"


def _moment(text: object) -> str:
    """Return a moment without its zone, which is UTC."""
    return f"{str(text).removesuffix('+00:00').removesuffix(' 00:00:00')} (UTC)"
