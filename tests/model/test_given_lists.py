"""Recommendations of other tools are judged as a model's, and refused where a number would not be what it says."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import torch

from dataset.errors import InvalidTableError, MissingInputError, PipelineError, TooLittleDataError, UsageError
from dataset.snapshots.snapshot import Snapshot
from model import evaluate as command
from model.data.tables import Tables, index_ids
from model.data.tensors import held_out_items
from model.evaluation.config import EvaluationConfig, ListColumns
from model.evaluation.evaluate import evaluate
from model.evaluation.given_lists import evaluate_lists, open_lists, possible
from model.evaluation.list_file import read_lists
from model.evaluation.results import EVALUATION_TABLES
from model.experiments.compare import compare_runs
from model.experiments.recommendations import judge_recommendations
from model.experiments.run_folder import open_run
from model.models.recommender import Scorer

CONFIG = EvaluationConfig(item_ks=(1, 2, 3, 5), n_bootstrap=50, n_negatives=4, n_repeats=3)
FULL = replace(CONFIG, protocol="full")


class Tied(Scorer):
    """A scorer with many equal scores."""

    def item_scores(self, users: torch.Tensor) -> torch.Tensor:
        return ((users[:, None] * 7 + torch.arange(24)[None, :] * 5) % 6).float()


@pytest.fixture
def exported(tables: Tables, tmp_path: Path) -> Callable[..., Path]:
    """A function that writes the ranking of `Tied`: what a split's users have not seen yet, best first."""

    def export(split: str = "test", top: int | None = None, kind: str = "score", name: str = "lists.parquet") -> Path:
        ids = index_ids(tables)
        scores = Tied().item_scores(torch.arange(len(ids.users))).double()
        known = held_out_items(tables, ids, split).known
        scores[known.owners, known.values] = torch.nan
        rows = pl.DataFrame(
            {
                "user": ids.users.to_frame().select(pl.col("user_id").repeat_by(len(ids.movies)).explode()).to_series(),
                "item": pl.concat([ids.movies] * len(ids.users)),
                "score": scores.flatten().numpy(),
            }
        ).filter(pl.col("score").is_not_nan())
        rows = rows.sort("user", "score", "item", descending=[False, True, False])
        rank = pl.col("score").rank("min", descending=True).over("user").cast(pl.Int64).alias("rank")
        rows = rows.with_columns(rank)
        if top is not None:
            rows = rows.group_by("user", maintain_order=True).head(top)
        return write(rows.drop("rank" if kind == "score" else "score"), tmp_path / name)

    return export


def write(rows: pl.DataFrame, path: Path) -> Path:
    if path.suffix == ".parquet":
        rows.write_parquet(path)
    else:
        rows.write_csv(path, separator="\t" if path.suffix == ".tsv" else ",")
    return path


def judged(path: Path, tables: Tables, config: EvaluationConfig, split: str = "test"):
    return evaluate_lists(open_lists(read_lists(path), tables, split), tables, split, "tied", config)


@pytest.mark.parametrize("kind", ["score", "rank"])
@pytest.mark.parametrize("name", ["lists.parquet", "lists.tsv", "lists.csv"])
def test_a_model_s_full_ranking_gives_its_own_numbers_ties_included(
    tables: Tables, exported: Callable[..., Path], kind: str, name: str
) -> None:
    ours = evaluate(Tied(), tables, "test", "tied", 0, replace(CONFIG, protocol="sampled"))
    theirs = judged(exported(kind=kind, name=name), tables, replace(CONFIG, protocol="sampled"))
    for table in EVALUATION_TABLES:
        assert getattr(theirs, table).equals(getattr(ours, table)), table


def test_validation_takes_lists_that_hold_test_items_too(tables: Tables, exported: Callable[..., Path]) -> None:
    ours = evaluate(Tied(), tables, "validation", "tied", 0, CONFIG)
    assert judged(exported("validation"), tables, CONFIG, "validation").metrics.equals(ours.metrics)


def _untied(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(rank=pl.int_range(1, pl.len() + 1).over("user")).drop("score")


@pytest.mark.parametrize("top", [5, 6, 9])
def test_cut_lists_give_what_the_full_ranking_gives_up_to_their_length(
    tables: Tables, exported: Callable[..., Path], tmp_path: Path, top: int
) -> None:
    whole = _untied(pl.read_parquet(exported()))
    cut = whole.group_by("user", maintain_order=True).head(top)
    full, part = (
        judged(write(rows, tmp_path / f"{number}.parquet"), tables, FULL) for number, rows in enumerate((whole, cut))
    )
    assert part.metrics.equals(full.metrics)
    assert part.user_metrics.equals(full.user_metrics)


@pytest.mark.parametrize("config", [CONFIG, replace(FULL, item_ks=(3, 4)), replace(CONFIG, protocol="sampled")])
def test_metrics_that_cut_lists_cannot_give_are_refused(
    tables: Tables, exported: Callable[..., Path], config: EvaluationConfig
) -> None:
    with pytest.raises(UsageError, match=r"longest list has 3 items.*K up to 3 follow.*export longer lists"):
        judged(exported(top=3), tables, config)


@pytest.mark.parametrize(
    ("top", "ks", "protocol"), [(None, (1, 2, 3, 5), "exact"), (3, (1, 2, 3), "full"), (1, (1,), "full")]
)
def test_what_is_possible_follows_from_the_length(
    tables: Tables, exported: Callable[..., Path], top: int | None, ks: tuple[int, ...], protocol: str
) -> None:
    left = possible(open_lists(read_lists(exported(top=top)), tables, "test"), CONFIG)
    assert (left.item_ks, left.protocol) == (ks, protocol)


@pytest.mark.parametrize("config", [replace(CONFIG, item_ks=(5, 10)), replace(CONFIG, protocol="sampled")])
def test_nothing_is_possible_with_lists_that_are_too_short(
    tables: Tables, exported: Callable[..., Path], config: EvaluationConfig
) -> None:
    with pytest.raises(UsageError, match="longest list has 4 items"):
        possible(open_lists(read_lists(exported(top=4)), tables, "test"), config)


def test_a_user_without_a_list_counts_as_0_however_small_the_catalogue(tables: Tables, tmp_path: Path) -> None:
    """Two users, four items, K = 3: an item that is not listed would have a rank within K if it came last."""
    pairs = [("a", "w", "train"), ("a", "x", "test"), ("b", "w", "train"), ("b", "x", "test"), ("b", "y", "test")]
    small = replace(
        tables,
        movies=pl.DataFrame({"movie_id": ["w", "x", "y", "z"]}),
        frames=tables.frames.clear(),
        frame_likes=tables.frame_likes.clear(),
        frame_features=None,
        interactions=pl.DataFrame(pairs, schema=["user_id", "movie_id", "split"], orient="row"),
    )
    listed = pl.DataFrame({"user": ["b", "b", "b"], "item": ["z", "x", "y"], "rank": [1, 2, 3]})
    path = write(listed, tmp_path / "lists.csv")
    lists = open_lists(read_lists(path), small, "test")
    assert (lists.facts["n_judged_users"], lists.facts["n_without_list"], lists.is_full) == (2, 1, False)
    result = evaluate_lists(lists, small, "test", "x", replace(FULL, item_ks=(3,)))
    recall = result.user_metrics.filter(metric="full_recall").sort("user_id")["value"].to_list()
    assert recall == [0.0, 1.0]
    assert result.metrics.filter(metric="full_recall")["value"].to_list() == [0.5]
    short = open_lists(read_lists(write(listed.head(2), path)), small, "test")
    values = evaluate_lists(short, small, "test", "x", replace(FULL, item_ks=(2,))).user_metrics
    assert values.filter(metric="full_recall").sort("user_id")["value"].to_list() == [0.0, 0.5]


def _changed(column: str, value: object) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda rows: rows.with_columns(
        pl.when(pl.int_range(pl.len()) == 3).then(pl.lit(value)).otherwise(pl.col(column)).alias(column)
    )


def _seen(rows: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([rows, pl.DataFrame({"user": ["u00"], "item": ["m00"], "score": [0.5]})])


def _with_rank(ranks: Sequence[int]) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda rows: rows.head(2).with_columns(score=pl.Series([2.0, 1.0]), rank=pl.Series(ranks))


BAD = {
    "NaN": (_changed("score", float("nan")), InvalidTableError, r"column 'score': 1 of .* no finite numbers.* nan"),
    "infinity": (_changed("score", float("inf")), InvalidTableError, "1 of .* no finite numbers"),
    "no number": (_changed("score", None), InvalidTableError, "1 of .* no finite numbers.* None"),
    "no user": (_changed("user", None), InvalidTableError, "column 'user': 1 of .* no id"),
    "no item": (_changed("item", ""), InvalidTableError, "column 'item': 1 of .* no id"),
    "unknown item": (
        _changed("item", "m99"),
        InvalidTableError,
        r"1 of .* not in the snapshot .*'m00'.* 'm99' to user",
    ),
    "twice": (
        lambda rows: pl.concat([rows, rows.head(1)]),
        InvalidTableError,
        "2 rows recommend an item more than once",
    ),
    "seen": (_seen, InvalidTableError, r"1 of .* in an earlier split.* 'm00' to user 'u00'"),
    "only unknown users": (
        lambda rows: rows.with_columns(pl.format("x{}", "user").alias("user")),
        TooLittleDataError,
        "none of its users",
    ),
    "no rows": (lambda rows: rows.clear(), TooLittleDataError, "no recommendation"),
    "no score": (lambda rows: rows.drop("score"), InvalidTableError, r"no column of scores or ranks.*--rank-column"),
    "no such column": (lambda rows: rows.rename({"user": "who"}), InvalidTableError, "--user-column"),
    "contradiction": (_with_rank([2, 1]), InvalidTableError, "better score but a worse rank"),
    "text": (lambda rows: rows.with_columns(score=pl.lit("high")), InvalidTableError, "no finite numbers.*'high'"),
}


@pytest.mark.parametrize("name", ["lists.parquet", "lists.tsv"])
@pytest.mark.parametrize("case", BAD)
def test_lists_that_cannot_be_judged_are_refused_in_one_line(
    tables: Tables, exported: Callable[..., Path], tmp_path: Path, case: str, name: str
) -> None:
    change, error, words = BAD[case]
    rows = change(pl.read_parquet(exported(top=5)).unique(["user", "item"], maintain_order=True))
    path = write(rows, tmp_path / name)
    if name.endswith("tsv"):
        words = words.replace("None", "None|''|nan").replace(r".* nan", ".*(NaN|nan)")
    with pytest.raises(error, match=words) as refused:
        judged(path, tables, replace(FULL, item_ks=(1,)))
    assert "\n" not in str(refused.value)


def test_a_file_that_is_missing_is_named() -> None:
    with pytest.raises(MissingInputError, match="no such recommendations file"):
        read_lists(Path("nowhere.csv"))


def test_columns_of_other_names_and_ids_that_are_numbers_are_read(tmp_path: Path) -> None:
    rows = pl.DataFrame({"u": [7, 7, 8], "i": [1, 2, 1], "s": [0.5, 0.5, 1.0], "score": [1.0, 2.0, 3.0]})
    path = write(rows, tmp_path / "lists.parquet")
    read = read_lists(path, ListColumns(user_column="u", item_column="i", score_column="s")).rows
    assert read.rows() == [("7", "1", 1), ("7", "2", 1), ("8", "1", 1)]


def test_a_rank_that_is_named_decides(tmp_path: Path) -> None:
    rows = pl.DataFrame({"user": ["a", "a"], "item": ["x", "y"], "score": [1.0, 2.0], "place": [1, 2]})
    path = write(rows, tmp_path / "lists.csv")
    assert read_lists(path, ListColumns(rank_column="place")).rows["place"].to_list() == [1, 2]
    assert read_lists(path).rows["place"].to_list() == [2, 1]


def test_scores_that_differ_in_the_last_bits_are_no_ties(tmp_path: Path) -> None:
    rows = pl.DataFrame({"user": ["a", "a"], "item": ["x", "y"], "score": [1.0, 1.0 + 2**-50]})
    assert read_lists(write(rows, tmp_path / "lists.parquet")).rows["place"].to_list() == [2, 1]


@pytest.fixture
def published(publish_tables: Callable[[Tables], Snapshot], tables: Tables) -> Snapshot:
    return publish_tables(tables)


def test_the_results_stand_beside_the_runs_and_are_compared_with_them(
    published: Snapshot, tables: Tables, exported: Callable[..., Path], tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    ours = judge_recommendations(exported(), "tied", published, config=CONFIG, runs=runs)
    theirs = judge_recommendations(exported(top=3, name="top.tsv"), "top-3", published, config=CONFIG, runs=runs)
    compared = compare_runs([ours.folder, theirs.folder])
    assert set(compared["k"]) == {1, 2, 3}
    assert set(compared["metric"]) >= {"full_ndcg", "full_hr", "full_recall"}
    assert not compared["metric"].str.contains("^(hr|ndcg)$").any()
    again = judge_recommendations(exported(top=2, name="other.csv"), "top-3", published, config=CONFIG, runs=runs)
    assert again.folder != theirs.folder
    with pytest.raises(PipelineError, match="there is no model to load"):
        open_run(ours.folder)


@pytest.mark.parametrize(("name", "words"), [("bpr", "is a model of this program"), ("a/b", "letters, digits")])
def test_a_name_that_would_be_mistaken_is_refused(
    published: Snapshot, exported: Callable[..., Path], tmp_path: Path, name: str, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        judge_recommendations(exported(), name, published, runs=tmp_path / "runs")


def test_the_command_says_what_it_found_and_what_it_left_out(
    run_command, published: Snapshot, exported: Callable[..., Path], tmp_path: Path
) -> None:
    rows = pl.read_parquet(exported(top=12)).filter(pl.col("user") != "u03")
    strangers = pl.DataFrame({"user": ["nobody", "nobody"], "item": ["m00", "m01"], "score": [1.0, 2.0]})
    path = write(pl.concat([rows, strangers]), tmp_path / "mine.tsv")
    done = run_command(
        command.app, "--recommendations", path, "--name", "mine", "--snapshot", published.path, "--runs", tmp_path / "r"
    )
    assert done.returncode == 0, done.stderr
    assert "left out: 2 rows of 1 users who are not in the snapshot" in done.stdout
    assert "1 of 30 users have no list, and count as 0" in done.stdout
    assert (
        "not given, as the lists have at most 12 items: metrics over sampled items and metrics at K = 15" in done.stdout
    )
    assert "item full NDCG@10" in done.stdout


@pytest.mark.parametrize(
    "options", [[], ["--run", "a", "--recommendations", "b", "--name", "c"], ["--recommendations", "b"]]
)
def test_either_a_run_or_recommendations_with_a_name_are_evaluated(run_command, options: list[str]) -> None:
    done = run_command(command.app, *options)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
