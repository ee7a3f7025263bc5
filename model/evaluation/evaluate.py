"""Evaluates a scorer on held-out data.

Metrics are computed per user (task `item`) or per user-movie pair (task `frame`) and kept in the
`user_metrics` table; `model.evaluation.uncertainty` averages them. Their names:

- `hr`, `ndcg`: the paper's protocol, 1,000 sampled unrated items, as the exact expectation over
  infinitely many repeats (`model.evaluation.expectation`); for frames, all frames of the movie;
- `sampled_hr`, `sampled_ndcg`: the same with negatives that are really drawn, as mean and standard
  deviation over the repeats (only with protocol `sampled`); they verify `hr` and `ndcg`;
- `full_hr`, `full_ndcg`, `full_recall`, `full_precision`, `full_mrr`, `full_map`: all items except
  the known ones (`HeldOutItems.known`);
- `full_coverage`, `full_gini`, `full_arp`: properties of the recommended lists (`model.evaluation.beyond_accuracy`).

`model.evaluation.metrics` defines them. Users without a held-out interaction are left out, and counted.
"""

from collections.abc import Callable

import polars as pl
import torch
from torch import Tensor

from dataset.errors import TooLittleDataError, TrainingError
from model.data.leakage import require_no_leak, require_separate_splits
from model.data.tables import Tables, index_ids
from model.data.tensors import held_out_items, held_out_likes
from model.evaluation.beyond_accuracy import RecommendedLists, TopItems
from model.evaluation.config import EvaluationConfig
from model.evaluation.expectation import expected_ranking
from model.evaluation.metric_collector import MetricCollector
from model.evaluation.metrics import METRICS, RankDistribution
from model.evaluation.ranking import RankedPositives, SampledNegatives, concat_ranked, rank_block, rank_liked_frames
from model.evaluation.results import Evaluation
from model.evaluation.score_blocks import NotFiniteError, ScoreBlock, map_blocks, users_with_positives
from model.models.recommender import FrameScorer, Scorer

PAPER_METRICS = ("hr", "ndcg")


def evaluate(
    scorer: Scorer,
    tables: Tables,
    split: str,
    model_name: str,
    seed: int,
    config: EvaluationConfig | None = None,
    device: str = "cpu",
    on_users: Callable[[int], None] = lambda n: None,
) -> Evaluation:
    """Evaluate a scorer on `split`, "validation" or "test".

    Items are evaluated if the scorer ranks items; frames if it ranks frames and the split has likes. `on_users` is
    called with the number of users that each block adds.

    Raises:
        TooLittleDataError: the split has no interactions, or no likes for a scorer that ranks frames only.
        InvalidTableError: the splits overlap, or a like does not belong to a held-out pair of its split.
        TrainingError: a score is NaN or infinite; the message names the model, the user and the item.
    """
    config = config or EvaluationConfig()
    require_separate_splits(tables)
    ids = index_ids(tables)
    collector = MetricCollector(tables, ids, config)
    try:
        if scorer.ranks_items:
            add_item_metrics(collector, scorer, split, device, on_users)
        if isinstance(scorer, FrameScorer):
            _add_frame_metrics(collector, scorer, split, device)
    except NotFiniteError as error:
        candidates = ids.movies if error.kind == "item" else ids.frames
        user, candidate = repr(ids.users[error.user]), repr(candidates[error.candidate])
        raise TrainingError(error.message(f"{model_name} (seed {seed})", user, candidate)) from None
    return collector.results(model_name, seed)


def add_item_metrics(
    collector: MetricCollector,
    scorer: Scorer,
    split: str,
    device: str,
    on_users: Callable[[int], None],
    rank: Callable[[ScoreBlock], RankedPositives] = rank_block,
    listed: Callable[[ScoreBlock], Tensor] = ScoreBlock.candidates,
) -> None:
    """Add the item metrics of every protocol that the config asks for, from one pass over the users.

    Args:
        collector: gets the metrics.
        scorer: scores the items.
        split: "validation" or "test".
        device: "cpu" or "cuda".
        on_users: is called with the number of users that each block adds.
        rank: ranks the positives of a block.
        listed: returns the (B, N) scores of what may be recommended, −inf for the rest.
    """
    ids, config = collector.ids, collector.config
    held_out = held_out_items(collector.tables, ids, split)
    users = users_with_positives(held_out)
    if not len(users):
        raise TooLittleDataError(
            f"interactions: 0 rows in split '{split}', so there is nothing to evaluate on; "
            "build the dataset with a larger share for it (python -m dataset build --help)"
        )
    train = held_out_items(collector.tables, ids, "validation").known
    require_no_leak(train, held_out)
    lists = RecommendedLists(config.item_ks, torch.bincount(train.values, minlength=len(ids.movies)))
    negatives = SampledNegatives(config.n_negatives, config.n_repeats * (config.protocol == "sampled"), config.seed)
    parts: list[RankedPositives] = []
    repeats: list[list[RankedPositives]] = [[] for _ in range(negatives.n_repeats)]

    def ranked_block(block: ScoreBlock) -> tuple[ScoreBlock, RankedPositives, TopItems]:
        return block, rank(block), lists.top(listed(block))

    for block, ranked_positives, top in map_blocks(ranked_block, scorer, held_out, device):
        parts.append(ranked_positives)
        lists.add(top)
        for repeat, ranked in zip(repeats, negatives.rank_block(block), strict=True):
            repeat.append(ranked)
        on_users(len(block.scores))

    positives, k_max = concat_ranked(parts), max(config.item_ks)
    owners = pl.DataFrame({"user_id": ids.users[users.numpy()]}).with_columns(movie_id=pl.lit(""))
    n_left_out = len(ids.users) - len(users)
    if config.protocol != "full":
        exact = expected_ranking(positives.counts, k_max, config.n_negatives)
        collector.add_ranking("item", {name: name for name in PAPER_METRICS}, exact, owners, n_left_out)
    if repeats:
        rankings = [expected_ranking(concat_ranked(repeat).counts, k_max) for repeat in repeats]
        _add_sampled_metrics(collector, rankings, owners, n_left_out, negatives.sha256)
    full = expected_ranking(positives.counts, k_max)
    collector.add_ranking("item", {f"full_{name}": name for name in METRICS}, full, owners, n_left_out)
    for k in config.item_ks:
        collector.add("item", "full_arp", k, owners, lists.average_popularity(k), n_left_out=n_left_out)
        for name, value in (("full_coverage", lists.coverage(k)), ("full_gini", lists.gini(k))):
            collector.add_metrics_row("item", name, k, value=value, n_users=len(users), n_left_out=n_left_out)
    collector.add_ranks("item", positives, owners["user_id"], ids.movies[positives.candidates.numpy()], None)


def _add_sampled_metrics(
    collector: MetricCollector,
    rankings: list[RankDistribution],
    owners: pl.DataFrame,
    n_left_out: int,
    negatives_sha256: str,
) -> None:
    """Add each user's mean over the repeats, and the standard deviation between repeats of the mean over users."""
    for k in collector.config.item_ks:
        for name in PAPER_METRICS:
            values = torch.stack([METRICS[name](ranking, k) for ranking in rankings])  # (repeats, users)
            std = float(values.mean(1).std()) if len(values) > 1 else None
            facts = {"n_left_out": n_left_out, "std": std, "negatives_sha256": negatives_sha256}
            collector.add("item", f"sampled_{name}", k, owners, values.mean(0), **facts)


def _add_frame_metrics(collector: MetricCollector, scorer: FrameScorer, split: str, device: str) -> None:
    """Add the frame metrics. Held-out pairs whose liked frames all lack a feature are left out, and counted."""
    ids = collector.ids
    likes = held_out_likes(collector.tables, ids, split)
    if not len(likes.users):
        if scorer.ranks_items:
            return
        raise TooLittleDataError(
            f"frame_likes: 0 rows in split '{split}' with a rankable frame, and this model ranks frames only; "
            "choose a model that ranks movies, such as --model ease"
        )
    ranked = rank_liked_frames(scorer, likes, device)
    owners = pl.DataFrame({"user_id": ids.users[likes.users.numpy()], "movie_id": ids.movies[likes.items.numpy()]})
    of_split = collector.tables.frame_likes.filter(pl.col("split").cast(pl.String) == split)
    n_left_out = of_split.select("user_id", "movie_id").n_unique() - owners.height
    ranking = expected_ranking(ranked.counts, max(collector.config.frame_ks))
    collector.add_ranking("frame", {name: name for name in PAPER_METRICS}, ranking, owners, n_left_out)
    movies = owners["movie_id"][ranked.counts.owners.numpy()]
    collector.add_ranks("frame", ranked, owners["user_id"], movies, ids.frames[ranked.candidates.numpy()])
