"""Features are exported as other libraries read them, and imported again without a changed bit."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from dataset.__main__ import main as dataset_main
from dataset.errors import InvalidTableError, MissingInputError, UsageError
from dataset.formats.exporting import export
from dataset.snapshots.publish import publish
from features.importing import import_features
from features.vectors.config import VectorsConfig

WIDTH = 5
ITEMS = [f"m{movie}" for movie in range(8)]
FRAMES = [f"{item}f{n}" for item in ITEMS for n in range(3)]


def give(dataset: Path, ids: list[str], vectors: np.ndarray, name: str | None = None, dtype: str = "float32") -> None:
    source = dataset.parent / "given.npy"
    np.save(source, vectors)
    (dataset.parent / "given.txt").write_text("\n".join(ids))
    import_features(source, dataset, VectorsConfig(ids=dataset.parent / "given.txt", dtype=dtype), name)


def vectors_of(ids: list[str]) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((len(ids), WIDTH)).astype(np.float32)


@pytest.mark.parametrize("form", ["uir", "uirt", "lightgcn"])
@pytest.mark.parametrize("of", ["items", "frames"])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_what_is_exported_is_imported_again_bit_by_bit(built: Path, tmp_path: Path, form, of, dtype) -> None:
    ids = np.random.default_rng(3).permutation(ITEMS if of == "items" else FRAMES).tolist()
    vectors = vectors_of(ids)
    vectors[1, 0] = -0.0
    give(built, ids, vectors, dtype=dtype)
    kept = (built / "frame_features.parquet").read_bytes()
    export(built, tmp_path / "out", form, features=of)
    name = "image_feat" if of == "items" else "frame_feat"
    matrix = np.load(tmp_path / "out" / f"{name}.npy")
    assert matrix.dtype == np.float32
    if of == "items":
        listed = VectorsConfig(ids=tmp_path / "out" / "image_feat_ids.txt", dtype=dtype)
        order = listed.ids.read_text().split("\n")[:-1]
    else:
        listed = VectorsConfig(ids=tmp_path / "out" / "frame_feat_ids.tsv", id_column="frame_id", dtype=dtype)
        order = pl.read_csv(listed.ids, separator="\t")["frame_id"].to_list()
    stored = vectors.astype(dtype).astype(np.float32)
    assert matrix.tobytes() == stored[[ids.index(one) for one in order]].tobytes()
    import_features(tmp_path / "out" / f"{name}.npy", built, listed)
    again = pl.read_parquet(built / "frame_features.parquet")
    assert again.equals(pl.read_parquet(kept))


def test_an_items_row_is_the_mean_of_its_frames_and_of_the_others_if_it_has_none(built: Path, tmp_path: Path) -> None:
    vectors = vectors_of(FRAMES[:-4])  # the last item has none, the one before it two
    give(built, FRAMES[:-4], vectors)
    done = export(built, tmp_path, "uir", features="items")
    matrix = np.load(tmp_path / "image_feat.npy")
    means = np.stack([vectors[3 * n : 3 * n + 3].mean(0) for n in range(7)])
    assert done.n_filled == {"image": 1}
    assert np.allclose(matrix[:7], means, rtol=1e-6)
    assert np.allclose(matrix[7], means.mean(0), rtol=1e-5)


def test_mmrec_gets_its_documented_files(built: Path, tmp_path: Path, capsys) -> None:
    """Source: github.com/enoche/MMRec, `src/utils/dataset.py` and `src/common/abstract_recommender.py`."""
    vectors = vectors_of(ITEMS)
    give(built, ITEMS, vectors)
    dataset_main(["export", str(built), "--to", str(tmp_path / "out"), "--format", "mmrec", "--name", "toy"])
    folder = tmp_path / "out" / "toy"
    assert (folder / "toy.inter").read_text().startswith("userID\titemID\tx_label\n")
    pairs = pl.read_csv(folder / "toy.inter", separator="\t")
    users, items = (pl.read_csv(folder / f"{side}_id_mapping.csv", separator="\t") for side in "ui")
    assert (users.columns, items.columns) == (["user_id", "userID"], ["movie_id", "itemID"])
    assert sorted(items["itemID"]) == list(range(8)) == sorted(pairs["itemID"].unique())
    assert sorted(users["userID"]) == list(range(12)) == sorted(pairs["userID"].unique())
    named = pairs.join(users, on="userID").join(items, on="itemID")
    ours = pl.read_parquet(built / "interactions.parquet")
    for label, split in enumerate(("train", "validation", "test")):
        expected = ours.filter(pl.col("split") == split).select("user_id", "movie_id")
        assert set(named.filter(x_label=label).select("user_id", "movie_id").rows()) == set(expected.rows())
    matrix = np.load(folder / "image_feat.npy", allow_pickle=False)
    numbers = dict(items.rows())
    assert matrix.tobytes() == vectors[[ITEMS.index(item) for item in sorted(ITEMS, key=numbers.get)]].tobytes()
    settings = (folder / "toy.yaml").read_text()
    named = dict(line.split(": ") for line in settings.splitlines() if not line.startswith("#"))
    assert (named["USER_ID_FIELD"], named["ITEM_ID_FIELD"]) == ("userID", "itemID")
    assert named["inter_splitting_label"] == "x_label"
    assert named["inter_file_name"] == '"toy.inter"'
    assert {named["vision_feature_file"], named["text_feature_file"]} == {"image_feat.npy", "text_feat.npy"}


def test_recbole_gets_an_itememb_file(built: Path, tmp_path: Path) -> None:
    vectors = vectors_of(ITEMS)
    give(built, ITEMS, vectors)
    export(built, tmp_path, "recbole", "toy", features="items")
    head, *lines = (tmp_path / "toy" / "toy.itememb").read_text().splitlines()
    assert head == "iid:token\titem_emb:float_seq"
    read = {line.split("\t")[0]: [np.float32(value) for value in line.split("\t")[1].split(" ")] for line in lines}
    assert np.array([read[item] for item in ITEMS]).tobytes() == vectors.tobytes()
    settings = (tmp_path / "toy" / "toy.yaml").read_text()
    assert "additional_feat_suffix: [itememb]" in settings
    assert "itememb: [iid, item_emb]}" in settings


def test_a_named_feature_set_is_exported_as_asked(built: Path, tmp_path: Path) -> None:
    give(built, ITEMS, vectors_of(ITEMS))
    give(built, ITEMS, vectors_of(ITEMS)[:, :2] + 1, "clip")
    export(built, tmp_path, "uir", features="items", feature_set="clip")
    assert np.array_equal(np.load(tmp_path / "image_feat.npy"), vectors_of(ITEMS)[:, :2] + 1)


def give_text(dataset: Path, ids: list[str], vectors: np.ndarray, name: str = "text") -> None:
    np.save(dataset.parent / "text.npy", vectors)
    (dataset.parent / "text.txt").write_text("\n".join(ids))
    config = VectorsConfig(ids=dataset.parent / "text.txt", ids_are="items", dtype="float32")
    import_features(dataset.parent / "text.npy", dataset, config, modality=name)


@pytest.mark.parametrize("form", ["uir", "uirt", "lightgcn"])
def test_a_modality_that_is_exported_is_imported_again_bit_by_bit(built: Path, tmp_path: Path, form: str) -> None:
    ids = np.random.default_rng(3).permutation(ITEMS).tolist()
    vectors = vectors_of(ids)
    vectors[1, 0] = -0.0
    give_text(built, ids, vectors)
    before = pl.read_parquet(built / "item_features-text.parquet")
    done = export(built, tmp_path / "out", form, modality="text")
    matrix, listed = np.load(tmp_path / "out" / "text_feat.npy"), tmp_path / "out" / "text_feat_ids.txt"
    order = listed.read_text().split("\n")[:-1]
    assert matrix.tobytes() == vectors[[ids.index(one) for one in order]].tobytes()
    assert done.n_filled == {"text": 0}
    assert not (tmp_path / "out" / "image_feat.npy").exists()
    import_features(
        tmp_path / "out" / "text_feat.npy", built, VectorsConfig(ids=listed, dtype="float32"), modality="text"
    )
    assert pl.read_parquet(built / "item_features-text.parquet").equals(before)


def test_mmrec_gets_texts_in_the_order_of_the_item_numbers_without_being_asked(
    built: Path, tmp_path: Path, capsys
) -> None:
    """Source: github.com/enoche/MMRec, `src/common/abstract_recommender.py`: row i is of the item number i."""
    ids, vectors = ITEMS[:-1], vectors_of(ITEMS[:-1])
    give_text(built, ids, vectors)
    dataset_main(["export", str(built), "--to", str(tmp_path / "out"), "--format", "mmrec", "--name", "toy"])
    folder = tmp_path / "out" / "toy"
    assert not (folder / "image_feat.npy").exists()  # MMRec trains on what is there
    assert "1 items have no text feature; their row is the mean of the others" in capsys.readouterr().out
    numbers = dict(pl.read_csv(folder / "i_id_mapping.csv", separator="\t").rows())
    matrix = np.load(folder / "text_feat.npy", allow_pickle=False)
    assert (matrix.dtype, matrix.shape) == (np.float32, (8, WIDTH))
    for item, vector in zip(ids, vectors, strict=True):
        assert matrix[numbers[item]].tobytes() == vector.tobytes()
    assert np.allclose(matrix[numbers[ITEMS[-1]]], vectors.mean(0), rtol=1e-5)
    give(built, ITEMS, vectors_of(ITEMS))
    export(built, tmp_path / "both", "mmrec", "toy")
    assert {path.name for path in (tmp_path / "both" / "toy").glob("*.npy")} == {"image_feat.npy", "text_feat.npy"}
    give_text(built, ids, vectors[:, :2], "plots")
    export(built, tmp_path / "plots", "mmrec", "toy", features="none", modality="plots")
    assert np.load(tmp_path / "plots" / "toy" / "text_feat.npy").shape == (8, 2)


def test_recbole_gets_a_file_of_embeddings_per_kind(built: Path, tmp_path: Path) -> None:
    give(built, ITEMS, vectors_of(ITEMS))
    give_text(built, ITEMS, vectors_of(ITEMS)[:, :3])
    export(built, tmp_path, "recbole", "toy", features="items", modality="text")
    head, *lines = (tmp_path / "toy" / "toy.textemb").read_text().splitlines()
    assert head == "text_iid:token\ttext_emb:float_seq"
    assert len(lines) == 8
    settings = (tmp_path / "toy" / "toy.yaml").read_text().splitlines()
    assert "additional_feat_suffix: [itememb, textemb]" in settings
    assert "alias_of_item_id: [iid, text_iid]" in settings
    assert "preload_weight: {iid: item_emb, text_iid: text_emb}" in settings
    assert any("itememb: [iid, item_emb], textemb: [text_iid, text_emb]}" in line for line in settings)


def test_a_published_snapshot_exports_its_modalities(built: Path, tmp_path: Path) -> None:
    give_text(built, ITEMS, vectors_of(ITEMS))
    snapshot, _ = publish(built, "mine", tmp_path / "snapshots")
    export(snapshot.path, tmp_path / "out", "uir", modality="text")
    assert np.load(tmp_path / "out" / "text_feat.npy").tobytes() == vectors_of(ITEMS).tobytes()


def test_without_features_the_export_has_the_files_that_it_had(built: Path, tmp_path: Path) -> None:
    give(built, ITEMS, vectors_of(ITEMS))
    for form in ("recbole", "lightgcn", "uir"):
        export(built, tmp_path / form, form, "toy")
        assert not [path for path in (tmp_path / form).rglob("*") if "feat" in path.name or "emb" in path.name]


@pytest.mark.parametrize(
    ("form", "options", "error", "words"),
    [
        ("mmrec", {}, MissingInputError, "features extract"),
        ("uir", {"features": "items"}, MissingInputError, "features extract"),
        ("uir", {"features": "items", "feature_set": "x"}, MissingInputError, "frame_features-x"),
        ("mmrec", {"features": "frames"}, UsageError, "features of items only"),
        ("recbole", {"features": "frames"}, UsageError, "features of items only"),
        ("uir", {"feature_set": "clip"}, UsageError, "add --features"),
        ("uir", {"features": "items", "feature_set": "../x"}, UsageError, "valid name"),
        ("uir", {"modality": "text"}, MissingInputError, "features text"),
        ("mmrec", {"modality": "plots"}, MissingInputError, "item_features-plots"),
        ("recbole", {"modality": "../x"}, UsageError, "valid name"),
    ],
)
def test_features_that_cannot_be_exported_end_in_one_line(built, tmp_path, form, options, error, words) -> None:
    with pytest.raises(error, match=words):
        export(built, tmp_path / "out", form, **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("form", "modality"), [("uir", "image"), ("recbole", "item")])
def test_two_kinds_of_features_never_share_a_file(built: Path, tmp_path: Path, form: str, modality: str) -> None:
    give(built, ITEMS, vectors_of(ITEMS))
    give_text(built, ITEMS, vectors_of(ITEMS), modality)
    with pytest.raises(UsageError, match="is also that of --features"):
        export(built, tmp_path / "out", form, features="items", modality=modality)
    assert not (tmp_path / "out").exists()


def test_a_damaged_feature_table_ends_in_one_line(built: Path, tmp_path: Path) -> None:
    for table in (pl.DataFrame({"frame_id": ["m0f0"]}), pl.DataFrame({"x": [1]})):
        table.write_parquet(built / "frame_features.parquet")
        with pytest.raises(InvalidTableError):
            export(built, tmp_path / "out", "uir", features="items")
