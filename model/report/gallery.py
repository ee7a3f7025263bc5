"""The case gallery: what was recommended to some users, shown in pictures (paper, Fig. 5)."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import torch
from PIL import Image as PillowImage

from dataset.schema import Image
from dataset.tables import read_table
from model.interactions import Ids, Tables
from model.jifr import JIFR
from model.recommender import FrameScorer

_THUMBNAIL_PX = (260, 180)
_SHOWN_MOVIES = 5
_SHOWN_FRAMES = 8


class Thumbnails:
    """Small JPEG copies of frames as data URLs; None for a frame whose picture is not at hand.

    Args:
        raw: the raw folder with `images.parquet` and the pictures; None where there is none.
    """

    def __init__(self, raw: Path | None) -> None:
        self._raw = raw
        self._paths: dict[str, str] = {}
        if raw is not None and (raw / "images.parquet").is_file():
            images = read_table(raw / "images.parquet", Image)
            self._paths = dict(images.select("frame_id", "path").iter_rows())

    def of(self, frame_id: str) -> str | None:
        """Return the thumbnail of a frame as a `data:` URL."""
        path = self._paths.get(frame_id)
        if path is None or self._raw is None:
            return None
        try:
            with PillowImage.open(self._raw / path) as picture:
                small = picture.convert("RGB")
        except OSError:
            return None
        small.thumbnail(_THUMBNAIL_PX)
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=80, optimize=True)
        return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


@dataclass(frozen=True)
class ShownFrame:
    """A frame in the gallery. `attention` is its weight α among the movie's frames.

    Where `picture` is None, `missing` says why.
    """

    title: str
    picture: str | None
    missing: str
    attention: float | None = None
    is_liked: bool = False
    is_key: bool = False
    is_hit: bool = False


@dataclass(frozen=True)
class Case:
    """One user: what she watched, what is recommended to her, and one movie frame by frame."""

    user: str
    watched: list[ShownFrame]
    recommended: list[ShownFrame]
    movie: str
    frames: list[ShownFrame]
    is_right: bool
    habit_share: float


def choose_cases(
    jifr: JIFR, tables: Tables, ids: Ids, recommendations: pl.DataFrame, thumbnails: Thumbnails
) -> list[Case]:
    """Return up to four cases: users with test likes, two whose key frame is right and two where it is not.

    Of each kind, the first by user id and movie id are taken, so that nobody picks the flattering ones.

    Args:
        jifr: the trained model.
        tables: the snapshot's tables.
        ids: the identifiers of indices.
        recommendations: `Recommendation` rows of all users.
        thumbnails: where pictures come from.
    """
    scorer = jifr.scorer()
    likes = tables.frame_likes.filter(pl.col("split").cast(pl.String) == "test").sort("user_id", "movie_id")
    wanted, cases, seen = {True: 2, False: 2}, [], set()
    for (user, movie), group in likes.group_by(["user_id", "movie_id"], maintain_order=True):
        if user in seen or not any(wanted.values()):
            continue
        case = _case(
            jifr, scorer, tables, ids, str(user), str(movie), set(group["frame_id"]), recommendations, thumbnails
        )
        if case is not None and wanted[case.is_right]:
            wanted[case.is_right] -= 1
            seen.add(user)
            cases.append(case)
    return sorted(cases, key=lambda case: not case.is_right)


def _case(
    jifr: JIFR,
    scorer: FrameScorer,
    tables: Tables,
    ids: Ids,
    user: str,
    movie: str,
    liked: set[str],
    recommendations: pl.DataFrame,
    thumbnails: Thumbnails,
) -> Case | None:
    """Return a case, or None where the movie has too few frames to make choosing one hard."""
    frames = _scored_frames(jifr, scorer, ids, user, movie)
    if len(frames) < 3 or not liked & {frame for frame, _, _ in frames}:
        return None
    titles = dict(tables.movies.select("movie_id", "title").iter_rows())
    mine = tables.interactions.filter(pl.col("user_id") == user)
    in_test = set(mine.filter(pl.col("split").cast(pl.String) == "test")["movie_id"])
    watched = mine.filter(pl.col("split").cast(pl.String) == "train").sort("rated_on", "movie_id", descending=True)
    top = recommendations.filter(pl.col("user_id") == user).sort("rank").head(_SHOWN_MOVIES)
    key = frames[0][0]
    user_idx, movie_idx = _index(ids.users, user), _index(ids.movies, movie)
    return Case(
        user=user[:8],
        watched=[_poster(jifr, ids, m, titles, thumbnails) for m in watched["movie_id"].head(_SHOWN_MOVIES)],
        recommended=[
            _shown(titles[m], frame, thumbnails, is_hit=m in in_test)
            for m, frame in top.select("movie_id", "key_frame_id").iter_rows()
        ],
        movie=titles[movie],
        frames=[
            _shown(titles[movie], frame, thumbnails, attention, is_liked=frame in liked, is_key=frame == key)
            for frame, _, attention in frames[:_SHOWN_FRAMES]
        ],
        is_right=key in liked,
        habit_share=float(jifr.rating_attention(torch.tensor([user_idx]), torch.tensor([movie_idx]))),
    )


def _scored_frames(
    jifr: JIFR, scorer: FrameScorer, ids: Ids, user: str, movie: str
) -> Sequence[tuple[str, float, float]]:
    """Return (frame id, the user's score, visual attention) of a movie's frames, best score first."""
    frames, _, attention = jifr.visual_attention(torch.tensor([_index(ids.movies, movie)]))
    users = torch.full_like(frames, _index(ids.users, user))
    scores = scorer.frame_scores(users, frames)
    rows = zip((ids.frames[int(f)] for f in frames), scores.tolist(), attention.tolist(), strict=True)
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def _poster(jifr: JIFR, ids: Ids, movie: str, titles: dict[str, str], thumbnails: Thumbnails) -> ShownFrame:
    """Return the frame of a movie with the most visual attention."""
    frames, _, attention = jifr.visual_attention(torch.tensor([_index(ids.movies, movie)]))
    best = ids.frames[int(frames[attention.argmax()])] if len(frames) else None
    return _shown(titles[movie], best, thumbnails)


def _shown(
    title: str,
    frame: str | None,
    thumbnails: Thumbnails,
    attention: float | None = None,
    is_liked: bool = False,
    is_key: bool = False,
    is_hit: bool = False,
) -> ShownFrame:
    picture, missing = (None, "no frames") if frame is None else (thumbnails.of(frame), "picture not on disk")
    return ShownFrame(title, picture, missing, attention, is_liked, is_key, is_hit)


def _index(ids: pl.Series, value: str) -> int:
    found = ids.index_of(value)
    if found is None:
        raise KeyError(value)
    return found
