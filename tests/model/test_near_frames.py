"""Frames that are nearly equal to a liked one are one candidate with it."""

from dataclasses import replace

import polars as pl
import pytest
import torch

from model.bundles.possible_ranks import _frames
from model.data.tables import Tables, index_ids
from model.data.tensors import held_out_likes
from model.evaluation.expectation import expected_ranking
from model.evaluation.metrics import METRICS
from model.evaluation.ranking import rank_liked_frames
from model.models.recommender import FrameOnlyScorer


class Given(FrameOnlyScorer):
    """Scores by the place of a frame in its movie."""

    def __init__(self, scores: list[float]) -> None:
        self.scores = torch.tensor(scores)

    def frame_scores(self, users: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        return self.scores[frames % len(self.scores)]


def with_copies(tables: Tables, copies: dict[str, str]) -> Tables:
    """Say of every movie that some frames (f0, f1, f2) show nearly what others do; f0 is liked."""
    of = pl.col("frame_id").str.tail(2).replace_strict(copies, default=None, return_dtype=pl.String)
    movie = pl.col("frame_id").str.head(3)
    return replace(tables, frames=tables.frames.with_columns(duplicate_of=movie + of))


def hits(tables: Tables, scores: list[float]) -> tuple[float, int]:
    """Return HR@1 of the liked frames, and the number of candidates of a pair that are not liked."""
    ranked = rank_liked_frames(Given(scores), held_out_likes(tables, index_ids(tables), "test"))
    return float(METRICS["hr"](expected_ranking(ranked.counts, 1), 1).mean()), int(ranked.counts.n_negatives.max())


@pytest.mark.parametrize(
    ("copies", "scores", "rate", "others"),
    [
        ({}, [1, 2, 0], 0, 2),  # another frame is first
        ({"f1": "f0"}, [1, 2, 0], 1, 1),  # it is a copy of the liked one
        ({"f0": "f1"}, [1, 2, 0], 1, 1),  # and represents it
        ({"f1": "f0"}, [1, 0, 2], 0, 1),
        ({"f1": "f0", "f2": "f0"}, [0, 1, 2], 1, 0),
        ({"f2": "f1"}, [1, 2, 0], 0, 2),  # copies of each other that nobody likes
        ({"f1": "f0"}, [2, 2, 1], 1, 1),  # no tie with itself
        ({"f1": "f0"}, [2, 1, 2], 0.5, 1),
    ],
)
def test_a_copy_of_a_liked_frame_does_not_count_against_a_model(tables, copies, scores, rate, others) -> None:
    assert hits(with_copies(tables, copies), scores) == (pytest.approx(rate), others)


def test_two_liked_copies_are_one_like(tables: Tables) -> None:
    more = tables.frame_likes.with_columns(frame_id=pl.col("frame_id").str.head(3) + pl.lit("f1"))
    both = replace(tables, frame_likes=pl.concat([tables.frame_likes, more]))
    ids = index_ids(both)
    assert held_out_likes(both, ids, "test").liked.lengths.unique().tolist() == [2]
    merged = held_out_likes(with_copies(both, {"f1": "f0"}), ids, "test")
    assert merged.liked.lengths.unique().tolist() == [1]
    ranked = rank_liked_frames(Given([0, 2, 1]), merged)
    assert ranked.counts.negatives_above.max() == 0
    assert ranked.counts.n_positives.unique().tolist() == [1]


@pytest.mark.parametrize("copies", [{}, {"f1": "f0"}, {"f0": "f1"}, {"f2": "f1"}, {"f1": "f0", "f2": "f0"}])
def test_a_bundle_s_check_counts_the_same_candidates(tables: Tables, copies) -> None:
    more = tables.frame_likes.with_columns(frame_id=pl.col("frame_id").str.head(3) + pl.lit("f1"))
    both = with_copies(replace(tables, frame_likes=pl.concat([tables.frame_likes, more])), copies)
    ranked = rank_liked_frames(Given([0, 2, 1]), held_out_likes(both, index_ids(both), "test"))
    expected = _frames(both).rows
    assert expected.height == len(ranked.candidates)
    assert sorted(expected["frame_id"]) == sorted(index_ids(both).frames[ranked.candidates.numpy()])
    of_each = ranked.counts.n_negatives[ranked.counts.owners]
    assert sorted(expected["n_negatives"]) == sorted(of_each.tolist())
