"""The report's comparison of models on cold movies."""

import polars as pl
import pytest

from dataset.report.numbers import NumberSource
from model.report.cold import cold_movies


def slices(*rows: tuple[str, int, int, int, float]) -> NumberSource:
    """Return a source with rows of a model, its seed, the bounds and the value; each group has 7 held-out pairs."""
    names = ["model", "seed", "low", "high", "value"]
    fixed = {"task": "item", "slice_by": "item_popularity", "metric": "ndcg", "k": 15, "n_positives": 7}
    table = pl.DataFrame(rows, schema=names, orient="row").with_columns(
        *(pl.lit(value).alias(name) for name, value in fixed.items()),
        ci_low=pl.col("value") / 2,
        ci_high=2 * pl.col("value"),
    )
    return NumberSource({"slices.parquet": table}, {})


def test_models_are_compared_on_movies_with_no_and_with_few_train_interactions() -> None:
    numbers = slices(
        ("bpr", 0, 0, 0, 0.1), ("vbpr", 0, 0, 0, 0.2), ("vbpr", 1, 0, 0, 0.4),
        ("bpr", 0, 1, 5, 0.5), ("vbpr", 0, 1, 5, 0.3), ("vbpr", 1, 1, 5, 0.3), ("bpr", 0, 6, 9, 0.6),
    )  # fmt: skip
    found = cold_movies(numbers, 15, ["bpr", "vbpr"])
    assert found is not None
    assert found.table.columns == ["no train interaction", "from", "to", "1 to 5 train interactions", "from", "to"]
    shown = {row.label: [cell.value for cell, _ in row.cells if cell] for row in found.table.rows}
    assert shown["BPR"] == pytest.approx([0.1, 0.05, 0.2, 0.5, 0.25, 1.0])
    assert shown["VBPR"] == pytest.approx([0.3, 0.15, 0.6, 0.3, 0.15, 0.6])
    leaders = [(words, best, value.value, n.value) for words, best, value, n in found.leaders]
    assert leaders == [
        ("no train interaction", "VBPR", pytest.approx(0.3), 7),
        ("1 to 5 train interactions", "BPR", 0.5, 7),
    ]


@pytest.mark.parametrize(
    "numbers", [NumberSource({}, {}), slices(), slices(("bpr", 0, 6, 9, 0.5)), slices(("bpr", 0, 3, 9, 0.5))]
)
def test_without_a_cold_movie_there_is_no_comparison(numbers: NumberSource) -> None:
    assert cold_movies(numbers, 15, ["bpr"]) is None


def test_a_model_without_a_value_has_an_empty_cell() -> None:
    found = cold_movies(slices(("vbpr", 0, 0, 0, 0.2)), 15, ["bpr", "vbpr"])
    assert found is not None
    assert [cell for cell, _ in found.table.rows[0].cells] == [None] * 3
