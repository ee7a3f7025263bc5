"""People who join after training, on real choices: every fifth person is left out of training and folded in.

    POSTERS_DATA=<folder> make bench ONLY=new_people      # or NEW_PEOPLE_MODELS=ease,bpr

The folder holds `interactions.parquet` (user_id, movie_id and a fixed split), as for `bench_posters.py`. The number is
their NDCG@15 over all films on test, given their train interactions; the peer is the same model trained with them.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import torch
from run import Result
from torch import Tensor

from model.data.tables import Ids, Tables, index_ids
from model.data.tensors import HeldOutItems, held_out_items, training_data, user_items
from model.evaluation.metrics import ndcg
from model.evaluation.ranking import full_ranking
from model.models.recommender import Recommender, Scorer
from model.models.registry import default_config
from model.training.config import TrainingConfig
from model.training.fold_in import fold_in
from model.training.trainer import Trainer

VARIABLE, MODELS = "POSTERS_DATA", "NEW_PEOPLE_MODELS"
EVERY, K, SEED = 5, 15, 0


def measure() -> Iterator[Result]:
    path = Path(os.environ.get(VARIABLE, "")) / "interactions.parquet"
    if not (os.environ.get(VARIABLE) and path.is_file()):
        print(f"new_people: left out; set {VARIABLE} to the folder with interactions.parquet")
        return
    rows = pl.read_parquet(path).with_columns(pl.col("user_id", "movie_id", "split").cast(pl.String))
    new = rows["user_id"].unique().sort().gather_every(EVERY)
    every, known = _tables(rows), _tables(rows.filter(~pl.col("user_id").is_in(new.implode())))
    theirs = rows.filter(pl.col("user_id").is_in(new.implode()))
    ids = replace(index_ids(every), users=new)
    histories, test = user_items(theirs.filter(split="train"), ids), _test(theirs, ids)
    for name in os.environ.get(MODELS, "ease,slim,itemknn,userknn,rp3beta,ials,bpr").split(","):
        model = _trained(name, known)
        started = time.perf_counter()
        twin = fold_in(model, histories, len(ids.movies), SEED)
        print(f"  {name}: {len(new)} people folded in in {time.perf_counter() - started:.1f} s")
        places = torch.from_numpy(index_ids(every).users.search_sorted(new).to_numpy().astype("int64"))
        with_them = _Some(_trained(name, every).scorer(), places)
        values = [float(ndcg(full_ranking(one, test, K), K).mean()) for one in (twin.scorer(), with_them)]
        yield Result(f"new people's NDCG@15, {name}", 100 * values[0], "trained with them", 100 * values[1], "%")


@dataclass(frozen=True)
class _Some(Scorer):
    """The scores of some users of another scorer."""

    scorer: Scorer
    places: Tensor

    def item_scores(self, users: Tensor) -> Tensor:
        return self.scorer.item_scores(self.places[users])


def _tables(rows: pl.DataFrame) -> Tables:
    """Return tables of interactions alone; all of them have the same movies."""
    none = {"frame_id": pl.String, "movie_id": pl.String, "kind": pl.String}
    movies = rows.select("movie_id").unique().sort("movie_id")
    return Tables(movies, pl.DataFrame(schema=none), rows, pl.DataFrame(schema=none), None)


def _test(rows: pl.DataFrame, ids: Ids) -> HeldOutItems:
    is_test = pl.col("split") == "test"
    return HeldOutItems(user_items(rows.filter(is_test), ids), user_items(rows.filter(~is_test), ids))


def _trained(name: str, tables: Tables) -> Recommender:
    ids = index_ids(tables)
    validation = held_out_items(tables, ids, "validation")
    data = training_data(tables, ids)
    return Trainer(data, validation, name, default_config(name), TrainingConfig(), SEED).run().model
