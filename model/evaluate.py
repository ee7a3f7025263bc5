"""Evaluation of a trained run on held-out data: `python -m model.evaluate --run <folder>`.

Metrics are computed per user (task `item`) or per user-movie pair (task `frame`), kept as the
`user_metrics` table, and averaged in `model.evaluation.uncertainty` and nowhere else. Their names:

- `hr`, `ndcg`: the paper's protocol, 1,000 sampled unrated items, as the exact expectation over
  infinitely many repeats (`model.evaluation.expectation`); for frames, all frames of the movie;
- `sampled_hr`, `sampled_ndcg`: the same with negatives that are really sampled, mean and standard
  deviation of 10 repeats (only with `--protocol sampled`): the check of the two above;
- `full_hr`, `full_ndcg`, `full_recall`, `full_precision`, `full_mrr`, `full_map`: all items but
  the known ones (`HeldOutItems.known`);
- `full_coverage`, `full_gini`, `full_arp`: of the same lists (`model.evaluation.beyond_accuracy`).

`model.evaluation.metrics` defines them. Users without a held-out interaction are left out, and counted.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl
import torch

from dataset.cli import ArgumentParser, progress, run, whole_number
from dataset.errors import TooLittleDataError, TrainingError
from dataset.schema import HELD_OUT_SPLITS
from model.data.indexed import Tables, held_out_items, held_out_likes, index_ids
from model.data.leakage import require_no_leak, require_separate_splits
from model.evaluation.beyond_accuracy import RecommendedLists
from model.evaluation.blocks import NotFiniteError, score_blocks, users_with_positives
from model.evaluation.collector import PROTOCOLS, EvaluationConfig, Judged, Protocol
from model.evaluation.expectation import expected_ranking
from model.evaluation.metrics import METRICS, RankDistribution
from model.evaluation.protocol import Placed, SampledNegatives, join_placed, place_block, place_frames
from model.evaluation.results import Evaluation
from model.experiments.run_folder import open_run, write_evaluation
from model.models.recommender import FrameScorer, Scorer
from model.training.device import use_device

__all__ = ["EvaluationConfig", "evaluate", "main"]

_PAPER = ("hr", "ndcg")
_MANY_SCORES = 20_000_000  # from so many on, a progress bar is shown


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
    """Judge a scorer on `split`, "validation" or "test"; `on_users` is told how many users are done.

    Frame metrics are there if the model ranks frames and the split has likes.

    Raises:
        TooLittleDataError: the split has no interaction.
        InvalidTableError: the splits are not disjoint, or likes are not of held-out pairs.
        TrainingError: a score is NaN or infinite; the message names the model, the user and the item.
    """
    config = config or EvaluationConfig()
    require_separate_splits(tables)
    ids = index_ids(tables)
    judged = Judged(tables, ids, config)
    try:
        _judge_items(judged, scorer, split, device, on_users)
        if isinstance(scorer, FrameScorer):
            _judge_frames(judged, scorer, split, device)
    except NotFiniteError as error:
        candidates = ids.movies if error.kind == "item" else ids.frames
        user, candidate = repr(ids.users[error.user]), repr(candidates[error.candidate])
        raise TrainingError(error.in_words(f"{model_name} (seed {seed})", user, candidate)) from None
    return judged.results(model_name, seed)


def _judge_items(judged: Judged, scorer: Scorer, split: str, device: str, on_users: Callable[[int], None]) -> None:
    """Rank all items in one pass over the users, under every protocol that is wanted."""
    ids, config = judged.ids, judged.config
    held_out = held_out_items(judged.tables, ids, split)
    users = users_with_positives(held_out)
    if not len(users):
        raise TooLittleDataError(
            f"interactions: 0 rows in split '{split}', so there is nothing to evaluate on; "
            "build the dataset with a larger share for it (python -m dataset build --help)"
        )
    train = held_out_items(judged.tables, ids, "validation").known
    require_no_leak(train, held_out)
    lists = RecommendedLists(config.item_ks, torch.bincount(train.values, minlength=len(ids.movies)))
    negatives = SampledNegatives(config.n_negatives, config.n_repeats * (config.protocol == "sampled"), config.seed)
    parts: list[Placed] = []
    repeats: list[list[Placed]] = [[] for _ in range(negatives.n_repeats)]
    for block in score_blocks(scorer, held_out, device):
        parts.append(place_block(block))
        lists.add(block.candidates())
        for repeat, placed in zip(repeats, negatives.place(block), strict=True):
            repeat.append(placed)
        on_users(len(block.scores))

    placed, k_max = join_placed(parts), max(config.item_ks)
    owners = pl.DataFrame({"user_id": ids.users[users.numpy()]}).with_columns(movie_id=pl.lit(""))
    n_left_out = len(ids.users) - len(users)
    if config.protocol != "full":
        exact = expected_ranking(placed.ranks, k_max, config.n_negatives)
        judged.add_ranking("item", {name: name for name in _PAPER}, exact, owners, n_left_out)
    if repeats:
        rankings = [expected_ranking(join_placed(repeat).ranks, k_max) for repeat in repeats]
        _add_sampled(judged, rankings, owners, n_left_out, negatives.sha256)
    full = expected_ranking(placed.ranks, k_max)
    judged.add_ranking("item", {f"full_{name}": name for name in METRICS}, full, owners, n_left_out)
    for k in config.item_ks:
        judged.add("item", "full_arp", k, owners, lists.average_popularity(k), n_left_out=n_left_out)
        for name, value in (("full_coverage", lists.coverage(k)), ("full_gini", lists.gini(k))):
            judged.add_fact("item", name, k, value=value, n_users=len(users), n_left_out=n_left_out)
    judged.add_ranks("item", placed, owners["user_id"], ids.movies[placed.items.numpy()], None)


def _add_sampled(
    judged: Judged, rankings: list[RankDistribution], owners: pl.DataFrame, n_left_out: int, negatives_sha256: str
) -> None:
    """Add each user's mean over the repeats, and the standard deviation of the mean over users between them."""
    for k in judged.config.item_ks:
        for name in _PAPER:
            values = torch.stack([METRICS[name](ranking, k) for ranking in rankings])  # (repeats, users)
            std = float(values.mean(1).std()) if len(values) > 1 else None
            facts = {"n_left_out": n_left_out, "std": std, "negatives_sha256": negatives_sha256}
            judged.add("item", f"sampled_{name}", k, owners, values.mean(0), **facts)


def _judge_frames(judged: Judged, scorer: FrameScorer, split: str, device: str) -> None:
    """Rank the frames of each held-out pair with a like; pairs whose liked frames have no feature are left out."""
    ids = judged.ids
    likes = held_out_likes(judged.tables, ids, split)
    if not len(likes.users):
        return
    placed = place_frames(scorer, likes, device)
    owners = pl.DataFrame({"user_id": ids.users[likes.users.numpy()], "movie_id": ids.movies[likes.items.numpy()]})
    of_split = judged.tables.frame_likes.filter(pl.col("split").cast(pl.String) == split)
    n_left_out = of_split.select("user_id", "movie_id").n_unique() - owners.height
    ranking = expected_ranking(placed.ranks, max(judged.config.frame_ks))
    judged.add_ranking("frame", {name: name for name in _PAPER}, ranking, owners, n_left_out)
    movies = owners["movie_id"][placed.ranks.owners.numpy()]
    judged.add_ranks("frame", placed, owners["user_id"], movies, ids.frames[placed.items.numpy()])


def main(argv: Sequence[str]) -> None:
    """Evaluate a run and write its result tables into its folder."""
    arguments = _parser().parse_args(argv)
    use_device(arguments.device)
    config = EvaluationConfig(protocol=arguments.protocol, n_repeats=arguments.repeats, seed=arguments.seed)
    opened = open_run(arguments.run, arguments.snapshot, arguments.device)
    n_users = len(opened.ids.users)
    with progress("users") as bar:
        line = bar.add_task(
            f"Judging {opened.model_name}",
            total=n_users,
            visible=n_users * len(opened.ids.movies) > _MANY_SCORES,
            note="",
        )
        evaluation = evaluate(
            opened.model.scorer(), opened.tables, arguments.split, opened.model_name, opened.seed, config,
            arguments.device, lambda n: bar.advance(line, n),
        )  # fmt: skip
    written = write_evaluation(arguments.run, arguments.split, evaluation)
    print(f"{opened.model_name} on {opened.snapshot_label}, {arguments.split} split:")
    print(_in_words(evaluation.metrics, arguments.protocol))
    print(f"All metrics: {written}")


def _in_words(metrics: pl.DataFrame, protocol: Protocol) -> str:
    """Return a line for each of the headline metrics."""
    prefix = "full_" if protocol == "full" else ""
    wanted = [("item", f"{prefix}{name}", 15) for name in _PAPER] + [("frame", name, 3) for name in _PAPER]
    if protocol == "sampled":
        wanted[2:2] = [("item", f"sampled_{name}", 15) for name in _PAPER]
    lines = []
    for task, metric, k in wanted:
        unit = "users" if task == "item" else "user-movie pairs"
        chosen = metrics.filter(pl.col("task").cast(pl.String) == task, pl.col("metric") == metric, pl.col("k") == k)
        for row in chosen.iter_rows(named=True):
            name = metric.upper().replace("FULL_", "full ").replace("SAMPLED_", "sampled ")
            details = f"95 % interval {row['ci_low']:.4f} to {row['ci_high']:.4f}; {row['n_users']:,} {unit}"
            details += f", {row['n_left_out']:,} without a held-out positive left out" if row["n_left_out"] else ""
            details += f"; {row['std']:.4f} between repeats" if row["std"] is not None else ""
            details += f"; negatives {row['negatives_sha256'][:12]}" if row["negatives_sha256"] else ""
            lines.append(f"  {task} {name}@{k}  {row['value']:.4f}  ({details})")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = ArgumentParser(prog="python -m model.evaluate", description="Evaluate a trained run on held-out data.")
    parser.add_argument("--run", type=Path, required=True, help="the folder of a run (python -m model.train makes it)")
    parser.add_argument("--snapshot", type=Path, help="its snapshot, if it has been moved since")
    parser.add_argument("--split", choices=HELD_OUT_SPLITS[::-1], default="test", help="which interactions to rank")
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        default="exact",
        help="exact: the paper's 1,000 negatives, in expectation, and all items; sampled: with really sampled ones "
        "too; full: all items only",
    )
    parser.add_argument(
        "--repeats", type=whole_number(), default=10, help="samplings of negatives (--protocol sampled)"
    )
    parser.add_argument("--seed", type=whole_number(0), default=0, help="of the sampled negatives and the intervals")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    return parser


if __name__ == "__main__":
    run(main, "python -m model.evaluate")
