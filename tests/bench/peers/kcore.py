"""`kcore.py recbole|elliot <codes.parquet> <k>`: another library's k-core loop on integer codes `u` and `i`."""

import json
import sys
import time

import duckdb


def recbole(table, k):
    """Run RecBole 1.2.1's own `Dataset._filter_by_inter_num`, without the rest of its set-up."""
    import logging

    from recbole.data.dataset.dataset import Dataset

    dataset = Dataset.__new__(Dataset)
    dataset.config = {"user_inter_num_interval": f"[{k},inf)", "item_inter_num_interval": f"[{k},inf)"}
    dataset.logger = logging.getLogger("recbole")
    dataset.uid_field, dataset.iid_field = "u", "i"
    dataset.user_feat = dataset.item_feat = None
    dataset.inter_feat = table
    dataset._filter_by_inter_num()
    return len(dataset.inter_feat)


def elliot(table, k):
    """Repeat a grouped filter of users and one of items until neither drops a row.

    Elliot is on no package index; this restates the iterative k-core of its releases (`prefiltering`,
    Anelli et al. 2021), without the copies and counts for its log. Later code of theirs counts by value.
    """
    while True:
        rows = len(table)
        for side in ("u", "i"):
            table = table.groupby(side).filter(lambda group: len(group) >= k)
        if len(table) == rows:
            return rows


loop, path, k = sys.argv[1], sys.argv[2], int(sys.argv[3])
pairs = duckdb.sql(f"select * from '{path}'").df()
started = time.perf_counter()
kept = {"recbole": recbole, "elliot": elliot}[loop](pairs, k)
print(json.dumps({"kept": kept, "seconds": time.perf_counter() - started}))
