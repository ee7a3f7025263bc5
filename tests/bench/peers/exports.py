"""Reads what `export` wrote with RecBole's own dataset and Cornac's own Reader; prints the rows as JSON.

exports.py recbole <folder> <name> | exports.py cornac <folder> UIR|UIRT
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np

SPLITS = ("train", "valid", "test")


def by_recbole(folder: str, name: str) -> dict[str, object]:
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation

    places = {"data_path": folder, "checkpoint_dir": f"{folder}/saved", "show_progress": False}
    config = Config("BPR", name, [f"{folder}/{name}/{name}.yaml"], places)
    dataset = create_dataset(config)
    token = {field: dataset.field2id_token[field] for field in ("user_id", "item_id", "movie_title")}
    feat = dataset.inter_feat
    columns = [dataset.id2token(field, feat[field]).tolist() for field in ("user_id", "item_id")]
    columns += [feat[field].tolist() for field in ("rating", "timestamp") if field in feat]
    rows, ends = list(zip(*columns, strict=True)), np.cumsum([0, *dataset.file_size_list])
    items = dataset.item_feat
    titles = {
        token["item_id"][item]: " ".join(token["movie_title"][word] for word in words if word)
        for item, words in zip(items["item_id"], items["movie_title"], strict=True)
        if item
    }
    splits = {split: rows[start:end] for split, start, end in zip(SPLITS, ends[:-1], ends[1:], strict=True)}
    data_preparation(config, dataset)
    return {"rows": splits, "titles": titles}


def by_cornac(folder: str, form: str) -> dict[str, object]:
    from cornac.data import Reader

    return {"rows": {split: Reader().read(f"{folder}/{split}.tsv", fmt=form) for split in SPLITS}}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    read = {"recbole": by_recbole, "cornac": by_cornac}[sys.argv[1]]
    print(json.dumps(read(str(Path(sys.argv[2])), sys.argv[3])))
