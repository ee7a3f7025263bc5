"""Judges recommendations of any tool as a model's: the same protocol, the same tables.

If the lists hold every candidate of every user that is judged, they are a full ranking, and all metrics follow from
them. Otherwise they are cut, and only metrics over all items at a K up to the length of the longest list follow: the
rank of an item that is not listed is not known, only that it is worse. Such an item counts as ranked below any K, and
so does everything for a user without a list.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import polars as pl
import torch
from torch import Tensor

from dataset.errors import InvalidTableError, TooLittleDataError, UsageError
from dataset.reading.table import shown
from model.data.jagged import row_positions
from model.data.leakage import require_separate_splits
from model.data.tables import Ids, Tables, index_ids
from model.data.tensors import HeldOutItems, held_out_items
from model.evaluation.config import EvaluationConfig
from model.evaluation.evaluate import add_item_metrics, evaluate
from model.evaluation.list_file import ListFile
from model.evaluation.metric_collector import MetricCollector
from model.evaluation.ranking import RankedPositives, rank_block
from model.evaluation.results import Evaluation
from model.evaluation.score_blocks import ScoreBlock, users_with_positives
from model.models.recommender import Scorer

_UNLISTED = -torch.inf


@dataclass(frozen=True)
class GivenLists(Scorer):
    """The lists of a snapshot's users, as a scorer: the score of an item is its place, negative.

    Attributes:
        offsets: (M + 1,) int64: the rows of each user.
        items: (n,) int64.
        places: (n,) float64, 1 for a user's best items.
        n_items: N.
        facts: what was found in the file, see `open_lists`.
        is_full: whether every candidate of every user that is judged is listed.
    """

    offsets: Tensor
    items: Tensor
    places: Tensor
    n_items: int
    facts: dict[str, int]
    is_full: bool

    def item_scores(self, users: Tensor) -> Tensor:
        """Return (B, N) float64; items that are not listed have a score below all others."""
        positions, rows = row_positions(self.offsets, users)
        scores = torch.full((len(users), self.n_items), -1.0 - self.n_items, dtype=torch.float64)
        scores[rows, self.items[positions]] = -self.places[positions]
        return scores

    def is_listed(self, users: Tensor, items: Tensor) -> Tensor:
        """Return (n,) bool: whether each of (n,) users has each of (n,) items in the list."""
        owners = torch.repeat_interleave(self.offsets.diff())
        return torch.isin(users * self.n_items + items, owners * self.n_items + self.items)


def open_lists(file: ListFile, tables: Tables, split: str) -> GivenLists:
    """Match a file's lists with a snapshot, for the evaluation of a split.

    `facts` counts `n_rows` of the file, `n_unknown_users` and `n_unknown_rows` (of users who are not in the snapshot;
    these rows are left out), `n_judged_users` (users with a held-out item), `n_without_list` of them, `longest` (the
    length of the longest list) and `n_shorter` (judged users with a shorter list, among them those without one).

    Raises:
        InvalidTableError: an item is not in the snapshot, or a user already has it in an earlier split.
        TooLittleDataError: no user of the file is in the snapshot, or none with an item in the split has a list; or the
            split has no interaction.
    """
    ids = index_ids(tables)
    numbered = file.rows.join(_numbers(ids.users, "user"), on="user_id", how="left", maintain_order="left")
    numbered = numbered.join(_numbers(ids.movies, "movie"), on="movie_id", how="left", maintain_order="left")
    known = numbered.filter(pl.col("user").is_not_null())
    if known.is_empty():
        raise TooLittleDataError(
            f"{file.path}: none of its users is in the snapshot; it has for example {shown(file.rows['user_id'][0])}, "
            f"the snapshot {shown(ids.users[0])}"
        )
    _refuse_items(file, known.filter(pl.col("movie").is_null()), known.height, f"not in the snapshot ({_example(ids)})")
    held_out = held_out_items(tables, ids, split)
    users = users_with_positives(held_out)
    if not len(users):
        raise TooLittleDataError(f"interactions: 0 rows in split '{split}', so there is nothing to evaluate on")
    _refuse_seen(file, known, held_out, len(ids.movies))
    rows = known.sort("user", "movie")
    owners = torch.from_numpy(rows["user"].to_numpy().copy())
    lengths = torch.bincount(owners, minlength=len(ids.users))
    judged, longest = lengths[users], int(lengths.max())
    if not judged.any():
        raise TooLittleDataError(f"{file.path}: none of the {len(users):,} users with a {split} item has a list")
    n_candidates = len(ids.movies) - held_out.known.lengths[users]
    facts = {
        "n_rows": file.rows.height,
        "n_unknown_users": numbered.filter(pl.col("user").is_null())["user_id"].n_unique(),
        "n_unknown_rows": numbered.height - known.height,
        "n_judged_users": len(users),
        "n_without_list": int((judged == 0).sum()),
        "longest": longest,
        "n_shorter": int((judged < torch.clamp_max(n_candidates, longest)).sum()),
    }
    return GivenLists(
        torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]),
        torch.from_numpy(rows["movie"].to_numpy().copy()),
        torch.from_numpy(rows["place"].to_numpy().copy()).double(),
        len(ids.movies),
        facts,
        bool((judged == n_candidates).all()),
    )


def possible(lists: GivenLists, config: EvaluationConfig) -> EvaluationConfig:
    """Return what of `config` the lists can give: over all items, and at every K up to their length, if they are cut.

    Raises:
        UsageError: no K is left, or sampled negatives are asked for.
    """
    if lists.is_full:
        return config
    ks = tuple(k for k in config.item_ks if k <= lists.facts["longest"])
    if not ks or config.protocol == "sampled":
        _refuse_cut(lists, config)
    return replace(config, item_ks=ks, protocol="full")


def evaluate_lists(
    lists: GivenLists,
    tables: Tables,
    split: str,
    name: str,
    config: EvaluationConfig,
    seed: int = 0,
    on_users: Callable[[int], None] = lambda n: None,
) -> Evaluation:
    """Evaluate recommendations on `split` as `model.evaluation.evaluate` does a model.

    Args:
        lists: the recommendations, opened for this split.
        tables: of the snapshot.
        split: "validation" or "test".
        name: how results call them.
        config: the protocol; see `possible`.
        seed: the seed that the tool was run with.
        on_users: is called with the number of users that each block adds.

    Raises:
        UsageError: the lists are cut, and `config` asks for metrics that do not follow from them.
    """
    if lists.is_full:
        return evaluate(lists, tables, split, name, seed, config, on_users=on_users)
    if config.protocol != "full" or max(config.item_ks) > lists.facts["longest"]:
        _refuse_cut(lists, config)
    require_separate_splits(tables)
    ids = index_ids(tables)
    users = users_with_positives(held_out_items(tables, ids, split))
    k_max = max(config.item_ks)

    def ranked(block: ScoreBlock) -> RankedPositives:
        found = rank_block(block)
        counts = found.counts
        is_unlisted = ~lists.is_listed(users[counts.owners], found.candidates)
        n_above = counts.n_negatives[counts.owners - block.first_owner].clamp_min(k_max)
        above = torch.where(is_unlisted, n_above, counts.negatives_above)
        tied = counts.negatives_tied.masked_fill(is_unlisted, 0)
        return RankedPositives(replace(counts, negatives_above=above, negatives_tied=tied), found.candidates)

    def listed(block: ScoreBlock) -> Tensor:
        return block.candidates().masked_fill_(block.scores < -lists.n_items, _UNLISTED)

    collector = MetricCollector(tables, ids, config)
    add_item_metrics(collector, lists, split, "cpu", on_users, ranked, listed)
    return collector.results(name, seed)


def _refuse_cut(lists: GivenLists, config: EvaluationConfig) -> None:
    longest, ks = lists.facts["longest"], ", ".join(map(str, config.item_ks))
    raise UsageError(
        f"recommendations: the longest list has {longest:,} items, and not every item is listed, so only metrics over "
        f"all items (--protocol full) at K up to {longest:,} follow from them; asked for protocol {config.protocol} at "
        f"K = {ks}: export longer lists, or every item"
    )


def _refuse_items(file: ListFile, bad: pl.DataFrame, n_rows: int, what: str) -> None:
    if bad.height:
        user, item = bad.sort("user_id", "movie_id").row(0)[:2]
        raise InvalidTableError(
            f"{file.path}: {bad.height:,} of {n_rows:,} rows recommend an item that is {what}, for example "
            f"{shown(item)} to user {shown(user)}"
        )


def _refuse_seen(file: ListFile, known: pl.DataFrame, held_out: HeldOutItems, n_items: int) -> None:
    """Refuse lists with items of earlier splits: they are no candidates, and would push others down."""
    seen = held_out.known.owners * n_items + held_out.known.values
    pairs = torch.from_numpy((known["user"] * n_items + known["movie"]).to_numpy().copy())
    is_seen = pl.Series(torch.isin(pairs, seen).numpy())
    what = "in an earlier split, so the user already has it (leave out train items; for test, validation items too)"
    _refuse_items(file, known.filter(is_seen), known.height, what)


def _numbers(ids: pl.Series, name: str) -> pl.DataFrame:
    return pl.DataFrame({f"{name}_id": ids}).with_row_index(name).with_columns(pl.col(name).cast(pl.Int64))


def _example(ids: Ids) -> str:
    return f"which has for example {shown(ids.movies[0])}"
