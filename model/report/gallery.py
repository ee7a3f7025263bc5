"""The gallery as the page shows it: pictures, attention, scores, and which models chose each frame (paper, Fig. 5)."""

from dataclasses import dataclass

import polars as pl

from dataset.report.numbers import Number, NumberSource
from dataset.report.thumbnails import Thumbnails
from model.report.gallery_cases import KINDS
from model.report.model_styles import in_order, style_of

_SHOWN_FRAMES = 8
_REFERENCE = "jifr"


@dataclass(frozen=True)
class ShownFrame:
    """A frame in the gallery.

    Attributes:
        title: the movie's title.
        id: the movie's id.
        picture: a `data:` URL, or None.
        missing: why there is no picture.
        attention: the weight that JIFR's visual attention gives it, α.
        score: how much JIFR expects the user to like it.
        chosen_by: titles of the models whose key frame it is.
        is_liked: whether the user liked it.
        is_key: whether it is JIFR's key frame.
        is_hit: whether its movie is in the user's test set.
    """

    title: str
    id: str
    picture: str | None
    missing: str
    attention: Number | None = None
    score: Number | None = None
    chosen_by: tuple[str, ...] = ()
    is_liked: bool = False
    is_key: bool = False
    is_hit: bool = False


@dataclass(frozen=True)
class ShownCase:
    """One case: a user, a movie and its frames, the kind of case and how common this kind is.

    Attributes:
        kind: a key of `KINDS`.
        words: what happens in cases of this kind.
        user: the first characters of the user_id.
        shown: the movie, with its title and id.
        n_alike: the number of pairs of this kind.
        n_pairs: the number of all pairs.
        habit_share: the weight of habit for this pair; looks have the rest.
        is_right: whether the user likes JIFR's key frame.
        frames: the frames to show.
        n_more: the number of the movie's other frames.
        watched: the movies that the user watched last, each as a frame.
        recommended: the movies recommended to the user, each as its key frame.
    """

    kind: str
    words: str
    user: str
    shown: ShownFrame
    n_alike: Number | None
    n_pairs: Number | None
    habit_share: Number | None
    is_right: bool
    frames: list[ShownFrame]
    n_more: int
    watched: list[ShownFrame]
    recommended: list[ShownFrame]


def gallery(numbers: NumberSource, titles: dict[str, str], thumbnails: Thumbnails) -> list[ShownCase]:
    """Return the cases of an experiment; the list may be empty.

    Args:
        numbers: a source that has `cases`, `case_frames` and `case_movies`.
        titles: the movies' titles by id.
        thumbnails: the pictures.
    """
    cases = numbers.rows("cases.parquet")
    if cases.is_empty():
        return []
    shown = [_case(numbers, row, titles, thumbnails) for row in cases.sort("case").iter_rows(named=True)]
    return sorted(shown, key=lambda case: list(KINDS).index(case.kind))


def _case(numbers: NumberSource, row: dict[str, object], titles: dict[str, str], thumbnails: Thumbnails) -> ShownCase:
    number, movie = row["case"], str(row["movie_id"])
    shown = ShownFrame(titles[movie], movie, None, "")
    frames = _frames(numbers, number, shown, thumbnails)
    movies = numbers.rows("case_movies.parquet", case=number).sort("role", "rank")
    strips: dict[str, list[ShownFrame]] = {"watched": [], "recommended": []}
    for role, movie_id, frame, is_hit in movies.select("role", "movie_id", "frame_id", "is_hit").iter_rows():
        picture, missing = (None, "no frames") if frame is None else (thumbnails.of(frame), "picture not on disk")
        strips[role].append(ShownFrame(titles[movie_id], movie_id, picture, missing, is_hit=is_hit))
    return ShownCase(
        kind=str(row["kind"]),
        words=KINDS[str(row["kind"])],
        user=str(row["user_id"])[:8],
        shown=shown,
        is_right=any(frame.is_key and frame.is_liked for frame in frames),
        frames=frames[:_SHOWN_FRAMES],
        n_more=max(0, len(frames) - _SHOWN_FRAMES),
        n_alike=numbers.of("cases.parquet", "n_alike", case=number),
        n_pairs=numbers.of("cases.parquet", "n_pairs", case=number),
        habit_share=numbers.of("cases.parquet", "habit_share", case=number),
        watched=strips["watched"],
        recommended=strips["recommended"],
    )


def _frames(numbers: NumberSource, case: object, movie: ShownFrame, thumbnails: Thumbnails) -> list[ShownFrame]:
    """Return a movie's frames: first those to show, then the rest, both in JIFR's order.

    Frames that a model chose or the user liked are shown before others.
    """
    file = "case_frames.parquet"
    rows = numbers.rows(file, case=case)
    first = rows.filter(pl.col("rank") == 1)
    keys: dict[str, list[str]] = {}
    for model in in_order(set(first["model"])):
        keys.setdefault(first.filter(pl.col("model") == model)["frame_id"][0], []).append(style_of(model).title)
    frames = []
    for frame, rank, is_liked in (
        rows.filter(model=_REFERENCE).sort("rank").select("frame_id", "rank", "is_liked").iter_rows()
    ):
        where = {"case": case, "model": _REFERENCE, "frame_id": frame}
        frames.append(
            ShownFrame(
                movie.title,
                movie.id,
                thumbnails.of(frame),
                "picture not on disk",
                attention=numbers.of(file, "attention", **where),
                score=numbers.of(file, "score", **where),
                chosen_by=tuple(keys.get(frame, ())),
                is_liked=is_liked,
                is_key=rank == 1,
            )
        )
    matters = [frame.is_liked or bool(frame.chosen_by) for frame in frames]
    room = max(0, _SHOWN_FRAMES - sum(matters))
    kept = set([n for n, m in enumerate(matters) if m] + [n for n, m in enumerate(matters) if not m][:room])
    return [f for n, f in enumerate(frames) if n in kept] + [f for n, f in enumerate(frames) if n not in kept]
