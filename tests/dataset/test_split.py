import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset.errors import TooLittleDataError, UsageError
from dataset.schema import ImplicitFeedback
from dataset.split import SplitConfig, split_randomly
from dataset.tables import empty

pairs = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=80, unique=True)


def feedback(edges: list[tuple[int, int]]) -> pl.DataFrame:
    table = pl.DataFrame([(str(u), str(m)) for u, m in edges], schema=["user_id", "movie_id"], orient="row")
    return table.with_columns(stars=pl.lit(None, pl.Float32), rated_on=pl.lit(None, pl.Date))


@settings(deadline=None)
@given(pairs, st.integers(0, 3))
def test_splits_are_disjoint_complete_and_of_exact_size(edges: list[tuple[int, int]], seed: int) -> None:
    split = split_randomly(feedback(edges), SplitConfig(seed=seed))
    n = len(edges)
    counts = dict(split["split"].cast(pl.String).value_counts().iter_rows())
    assert split.select("user_id", "movie_id").sort("user_id", "movie_id").rows() == sorted(
        feedback(edges)[:, :2].rows()
    )
    assert counts.get("test", 0) == round(0.2 * n)
    assert counts.get("validation", 0) == round(0.1 * n)


@settings(deadline=None)
@given(pairs, st.randoms(use_true_random=False))
def test_the_split_does_not_depend_on_the_order_of_rows(edges: list[tuple[int, int]], random: object) -> None:
    shuffled = list(edges)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert split_randomly(feedback(edges), SplitConfig()).equals(split_randomly(feedback(shuffled), SplitConfig()))


def test_another_seed_gives_another_split() -> None:
    rows = feedback([(u, m) for u in range(10) for m in range(10)])
    assert not split_randomly(rows, SplitConfig(seed=1)).equals(split_randomly(rows, SplitConfig(seed=2)))


def test_nothing_to_split_is_an_error_with_a_remedy() -> None:
    with pytest.raises(TooLittleDataError, match="lower k"):
        split_randomly(empty(ImplicitFeedback), SplitConfig())


@pytest.mark.parametrize(("validation", "test"), [(-0.1, 0.2), (0.5, 0.5)])
def test_shares_that_leave_no_training_data_are_refused(validation: float, test: float) -> None:
    with pytest.raises(UsageError, match="leave some for training"):
        SplitConfig(validation_share=validation, test_share=test)
