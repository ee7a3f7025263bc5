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
    numbers = dataset.field2token_id["item_id"]
    vectors, texts = (
        {item: np.float32(weights[number]).tolist() for item, number in numbers.items() if number}
        for weights in map(dataset.get_preload_weight, ("iid", "text_iid"))
    )
    return {"rows": splits, "titles": titles, "vectors": vectors, "texts": texts}


def by_cornac(folder: str, form: str) -> dict[str, object]:
    from cornac.data import FeatureModality, ImageModality, Reader
    from cornac.eval_methods import BaseMethod

    rows = {split: Reader().read(f"{folder}/{split}.tsv", fmt=form) for split in SPLITS}
    ids = Path(folder, "image_feat_ids.txt").read_text(encoding="utf-8").split("\n")[:-1]
    images = ImageModality(features=np.load(f"{folder}/image_feat.npy"), ids=ids, normalized=False)
    ids = Path(folder, "text_feat_ids.txt").read_text(encoding="utf-8").split("\n")[:-1]
    texts = FeatureModality(features=np.load(f"{folder}/text_feat.npy"), ids=ids, normalized=False)
    every = [row for split in SPLITS for row in rows[split]]
    method = BaseMethod.from_splits(train_data=every, test_data=every, fmt=form, item_image=images, item_feature=texts)
    items = method.train_set.iid_map
    vectors = {item: images.features[number].tolist() for item, number in items.items()}
    of_texts = {item: texts.features[number].tolist() for item, number in items.items()}
    return {"rows": rows, "vectors": vectors, "texts": of_texts}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    read = {"recbole": by_recbole, "cornac": by_cornac}[sys.argv[1]]
    print(json.dumps(read(str(Path(sys.argv[2])), sys.argv[3])))
