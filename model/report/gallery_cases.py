"""Chooses the gallery's cases by rule: pairs of a user and a movie, failures included (paper, Fig. 5).

Of each kind it takes the first pair by user id and movie id for which the choice is hard (at least
four frames, at most half of them liked), and it takes each user once. So nobody can select examples
that make a model look good.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl
import torch

from dataset.moments import moment
from dataset.tables import empty, read_table, write_table
from model.data.tables import Ids, Tables
from model.models.recommender import FrameScorer, Recommender
from model.models.visual.jifr import JIFR
from model.schema import Case, CaseFrame, CaseMovie, Recommendation, UserMetric

KINDS = {
    "attention helps": "JIFR chooses a frame that this person likes; without attention it would not",
    "attention hurts": "Without attention, the model would choose a frame that this person likes; JIFR does not",
    "right": "JIFR chooses a frame that this person likes",
    "wrong": "JIFR chooses a frame that this person did not like",
    "looks decide": "Looks have more weight here than for most pairs",
    "habit decides": "Habit has more weight here than for most pairs",
}
"""The kinds of cases, in the order of the report, and what happens in each."""

_FEWEST_FRAMES = 4
_SHOWN_MOVIES = 5
_REFERENCE, _PLAIN = "jifr", "jifr_na"


def write_cases(destination: Path, models: Mapping[str, Recommender], seed: int, tables: Tables, ids: Ids) -> list[str]:
    """Write `cases`, `case_frames` and `case_movies` into the experiment's folder; return the kinds found.

    The tables are empty without a trained JIFR or without test likes. The folder must hold the
    experiment's `user_metrics` and `recommendations`.

    Args:
        destination: the experiment's folder.
        models: the trained models of one seed.
        seed: that seed.
        tables: the snapshot's tables.
        ids: the ids of all indices.
    """
    cases, frames, movies = [], [], []
    jifr = models.get(_REFERENCE)
    if isinstance(jifr, JIFR) and tables.frame_likes.height:
        scorers = {name: scorer for name, model in models.items() if (scorer := _frame_scorer(name, model)) is not None}
        recommended = read_table(destination / "recommendations.parquet", Recommendation)
        chosen = _choose(_pairs(destination, seed, tables, ids, jifr))
        for number, (kind, pair, n_alike, n_pairs) in enumerate(chosen, 1):
            user, movie = str(pair["user_id"]), str(pair["movie_id"])
            cases.append((number, kind, user, movie, n_alike, n_pairs, pair["habit_share"]))
            frames += [(number, *row) for row in _case_frames(jifr, scorers, tables, ids, user, movie)]
            movies += [(number, *row) for row in _case_movies(jifr, tables, ids, user, recommended)]
    for name, schema, rows in (
        ("cases", Case, cases),
        ("case_frames", CaseFrame, frames),
        ("case_movies", CaseMovie, movies),
    ):
        write_table(
            pl.DataFrame(rows, schema=empty(schema).schema, orient="row"), schema, destination / f"{name}.parquet"
        )
    return [str(case[1]) for case in cases]


def newest_first(interactions: pl.DataFrame) -> pl.DataFrame:
    """Return a user's interactions from the newest on, also where only their order is published; undated ones last."""
    return interactions.sort(moment(), "rated_rank", "movie_id", descending=True, nulls_last=True)


def _pairs(destination: Path, seed: int, tables: Tables, ids: Ids, jifr: JIFR) -> pl.DataFrame:
    """Return the test pairs with likes: whether JIFR and JIFR_NA are right, the weight of habit, whether it is hard."""
    judged = read_table(destination / "user_metrics.parquet", UserMetric).filter(
        pl.col("task").cast(pl.String) == "frame", pl.col("metric") == "hr", pl.col("k") == 1, pl.col("seed") == seed
    )
    pairs = judged.filter(model=_REFERENCE).select("user_id", "movie_id", is_right=pl.col("value") >= 0.5)
    plain = judged.filter(model=_PLAIN).select("user_id", "movie_id", plain_right=pl.col("value") >= 0.5)
    n_frames = tables.frames.filter(pl.col("frame_id").is_in(ids.frames.implode())).group_by("movie_id").len("n_frames")
    likes = tables.frame_likes.filter(pl.col("split").cast(pl.String) == "test")
    n_liked = likes.group_by("user_id", "movie_id").len("n_liked")
    keys = ["user_id", "movie_id"]
    pairs = pairs.join(plain, on=keys, how="left").join(n_frames, on="movie_id").join(n_liked, on=keys).sort(keys)
    hard = (pl.col("n_frames") >= _FEWEST_FRAMES) & (pl.col("n_liked") * 2 <= pl.col("n_frames"))
    shares = [_habit_share(jifr, ids, user, movie) for user, movie in pairs.select(keys).iter_rows()]
    return pairs.with_columns(is_hard=hard, habit_share=pl.Series(shares, dtype=pl.Float64))


def _choose(pairs: pl.DataFrame) -> Iterator[tuple[str, dict[str, object], int, int]]:
    """Yield each kind with its pair, the number of pairs of this kind, and the number of all pairs."""
    if pairs.is_empty():
        return
    right, plain = pl.col("is_right"), pl.col("plain_right")
    kinds = {"attention helps": right & ~plain, "attention hurts": ~right & plain, "right": right, "wrong": ~right}
    looks, habit = pairs["habit_share"].quantile(0.1), pairs["habit_share"].quantile(0.9)
    if looks != habit:
        kinds |= {"looks decide": pl.col("habit_share") <= looks, "habit decides": pl.col("habit_share") >= habit}
    seen: set[object] = set()
    for kind, condition in kinds.items():
        alike = pairs.filter(condition)
        candidates = alike.filter("is_hard", ~pl.col("user_id").is_in(list(seen)))
        if candidates.height:
            pair = candidates.row(0, named=True)
            seen.add(pair["user_id"])
            yield kind, pair, alike.height, pairs.height


def _case_frames(
    jifr: JIFR, scorers: Mapping[str, FrameScorer], tables: Tables, ids: Ids, user: str, movie: str
) -> Iterator[tuple[str, str, int, float, float | None, bool]]:
    """Yield model, frame, rank, score, attention and whether the user likes it, for all frames of a movie."""
    frames, _, attention = jifr.visual_attention(torch.tensor([_index(ids.movies, movie)]))
    names = [ids.frames[int(frame)] for frame in frames]
    weight = dict(zip(names, attention.tolist(), strict=True))
    mine = tables.frame_likes.filter(pl.col("user_id") == user, pl.col("movie_id") == movie)
    liked = set(mine["frame_id"])
    users = torch.full_like(frames, _index(ids.users, user))
    for model, scorer in scorers.items():
        scores = dict(zip(names, scorer.frame_scores(users, frames).double().tolist(), strict=True))
        for rank, name in enumerate(sorted(names, key=lambda frame: (-scores[frame], frame)), 1):
            yield model, name, rank, scores[name], weight[name] if model == _REFERENCE else None, name in liked


def _case_movies(
    jifr: JIFR, tables: Tables, ids: Ids, user: str, recommended: pl.DataFrame
) -> Iterator[tuple[str, int, str, str | None, bool]]:
    """Yield role, rank, movie, frame and whether the user has it in test, for movies watched last and recommended."""
    mine = tables.interactions.filter(pl.col("user_id") == user).with_columns(pl.col("split").cast(pl.String))
    watched = newest_first(mine.filter(split="train"))
    for rank, movie in enumerate(watched["movie_id"].head(_SHOWN_MOVIES), 1):
        frames, _, attention = jifr.visual_attention(torch.tensor([_index(ids.movies, movie)]))
        best = ids.frames[int(frames[attention.argmax()])] if len(frames) else None
        yield "watched", rank, movie, best, False
    in_test = set(mine.filter(split="test")["movie_id"])
    top = recommended.filter(pl.col("user_id") == user).sort("rank").head(_SHOWN_MOVIES)
    for rank, movie, frame in top.select("rank", "movie_id", "key_frame_id").iter_rows():
        yield "recommended", rank, movie, frame, movie in in_test


def _frame_scorer(name: str, model: Recommender) -> FrameScorer | None:
    scorer = model.scorer()
    return scorer if isinstance(scorer, FrameScorer) and name != "random" else None


def _habit_share(jifr: JIFR, ids: Ids, user: str, movie: str) -> float:
    users, items = torch.tensor([_index(ids.users, user)]), torch.tensor([[_index(ids.movies, movie)]])
    return float(jifr.rating_attention(users, items))


def _index(ids: pl.Series, value: str) -> int:
    found = ids.index_of(value)
    if found is None:
        raise KeyError(value)
    return found
