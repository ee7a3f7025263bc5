"""What pictures add: arms that take the place of the pictures, and what the report says of them."""

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import douban_keyframes as dk
import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dataset.errors import PipelineError, UsageError
from dataset.feature_sets import ARMS, require_set_name
from dataset.snapshots.snapshot import Snapshot
from model.data.arms import shuffled_rows, with_arm
from model.data.jagged import JaggedTensor
from model.data.tables import Tables
from model.data.tensors import Frames, ItemFeatures, TrainingData
from model.evaluate import main as evaluate_main
from model.experiment import main as experiment_main
from model.experiments.experiment import Folders, run_study
from model.experiments.studies.study import Study, StudyModel
from model.models.registry import MODELS
from model.report.pictures import arm_pairs
from model.train import main as train_main

VISUAL = [
    name for name, kind in MODELS.items() if kind.model_class.needs_features and not kind.model_class.needs_liked_pairs
]


def offsets_of(numbers: list[int]) -> torch.Tensor:
    return torch.tensor([0, *numbers]).cumsum(0)


def data_of(numbers: list[int], width: int = 5, seed: int = 0) -> TrainingData:
    """Return data with so many frames for each movie, and features that are all different."""
    vectors = torch.randn(sum(numbers), width, generator=torch.Generator().manual_seed(seed)) * 3 + 1
    texts = {"text": ItemFeatures(torch.ones(len(numbers), 2), torch.ones(len(numbers), dtype=torch.bool))}
    train = JaggedTensor(torch.tensor([0, 1]), torch.tensor([0]))
    return TrainingData(train, len(numbers), Frames(offsets_of(numbers), vectors.half()), texts)


def features_with(data: TrainingData, arm: str, folder: Path, seed: int = 0) -> torch.Tensor:
    features = with_arm(data, arm, seed, folder).frames.features
    assert features is not None
    assert (features.shape, features.dtype) == (data.frames.features.shape, data.frames.features.dtype)
    return features


@given(numbers=st.lists(st.integers(0, 6), min_size=1, max_size=12).filter(any), seed=st.integers(0, 5))
def test_shuffled_uses_each_picture_once_and_none_in_its_own_movie(numbers: list[int], seed: int) -> None:
    source = shuffled_rows(offsets_of(numbers), seed)
    assert sorted(source.tolist()) == list(range(sum(numbers)))
    owner = torch.repeat_interleave(torch.tensor(numbers))
    if 2 * max(numbers) <= sum(numbers):
        assert not (owner[source] == owner).any()
    elif sum(numbers) > 1:
        assert not (source == torch.arange(sum(numbers))).any()


def test_movies_of_equal_size_exchange_all_their_pictures_in_another_order() -> None:
    source = shuffled_rows(offsets_of([4] * 30), 0).view(30, 4)
    assert (source // 4 == source[:, :1] // 4).all()
    assert len({tuple(row % 4) for row in source.tolist() for row in [np.array(row)]}) > 10


def test_another_seed_shuffles_otherwise_and_the_same_seed_in_the_same_way() -> None:
    offsets = offsets_of([3, 0, 1, 5, 2] * 5)
    assert torch.equal(shuffled_rows(offsets, 1), shuffled_rows(offsets, 1))
    assert not torch.equal(shuffled_rows(offsets, 1), shuffled_rows(offsets, 2))


def test_noise_has_the_mean_and_spread_of_the_features_and_nothing_else_of_them(tmp_path: Path) -> None:
    data = data_of([3] * 1500)
    noise, real = features_with(data, "noise", tmp_path).float(), data.frames.features.float()
    torch.testing.assert_close(noise.mean(0), real.mean(0), atol=0.3, rtol=0)
    torch.testing.assert_close(noise.std(0), real.std(0), atol=0.2, rtol=0)
    assert abs(float(torch.corrcoef(torch.stack([noise[:, 0], real[:, 0]]))[0, 1])) < 0.1
    assert torch.equal(noise, features_with(data, "noise", tmp_path).float())
    assert not torch.equal(noise, features_with(data, "noise", tmp_path, seed=1).float())


def test_constant_is_one_vector_and_mean_is_that_of_the_movie(tmp_path: Path) -> None:
    data = data_of([2, 0, 3])
    constant, mean = (features_with(data, arm, tmp_path).float() for arm in ("constant", "mean"))
    real = data.frames.features.float()
    torch.testing.assert_close(constant, real.mean(0).expand(5, -1), atol=2e-3, rtol=1e-3)
    of_movies = torch.stack([real[:2].mean(0)] * 2 + [real[2:].mean(0)] * 3)
    torch.testing.assert_close(mean, of_movies, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_leaves_all_but_the_features_of_frames_as_they_are(arm: str, tmp_path: Path) -> None:
    data = data_of([2, 0, 3])
    before = data.frames.features.clone()
    given = with_arm(data, arm, 0, tmp_path)
    assert torch.equal(data.frames.features, before)
    assert given.frames.offsets is data.frames.offsets
    assert (given.positives, given.modalities) == (data.positives, data.modalities)


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_takes_no_memory_for_a_second_copy_and_leaves_no_file(arm: str, tmp_path: Path) -> None:
    data = data_of([40] * 400, width=256)  # 16,000 x 256 x 2 bytes: 8 MiB
    size = data.frames.features.numel() * 2
    tracemalloc.start()
    features_with(data, arm, tmp_path / "cache")
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert taken < (size if arm in ("shuffled", "mean") else 3 * size)  # noise and moments: blocks in wider numbers
    assert not list(tmp_path.rglob("*.*"))


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_is_in_memory_where_the_folder_cannot_be_written(arm: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    data = data_of([2, 3])
    assert torch.equal(features_with(data, arm, tmp_path / "file"), features_with(data, arm, tmp_path))


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("model", VISUAL)
def test_every_model_that_reads_pictures_trains_and_ranks_with_every_arm(model: str, arm: str, snapshots: Path) -> None:
    data = dk.load(dk.open_snapshot(snapshots).with_features(arm))
    run = dk.train(model, data, settings={"epochs": 1} if MODELS[model].model_class.ranks_items else {})
    metrics = dk.evaluate(run, data, "test").metrics
    assert metrics.height
    assert metrics["value"].is_finite().all()


@pytest.mark.parametrize("arm", ["constant", "mean"])
def test_frames_of_equal_features_are_ranked_as_by_guessing(arm: str, snapshots: Path) -> None:
    snapshot = dk.open_snapshot(snapshots)
    found = {}
    for features, model in ((arm, "jifr"), (arm, "visrank"), ("main", "random")):
        data = dk.load(snapshot.with_features(features))
        run = dk.train(model, data, settings={"epochs": 2} if model == "jifr" else {})
        metrics = dk.evaluate(run, data, "test").metrics
        found[model] = metrics.filter(task="frame", metric="ndcg", k=1)["value"][0]
    assert found["jifr"] == pytest.approx(1 / 3, abs=1e-6)
    assert found["visrank"] == pytest.approx(1 / 3, abs=1e-6)


def test_a_run_carries_its_arm_in_name_and_hash_and_opens_with_the_same_features(
    snapshots: Path, tmp_path: Path, capsys
) -> None:
    options = ["--model", "vbpr", "--snapshot", str(snapshots), "--epochs", "1", "--runs", str(tmp_path)]
    for features in ("main", "shuffled", "main:shuffled", "noise"):
        train_main([*options, "--features", features, "--seed", "3"])
    names = sorted(folder.name for folder in tmp_path.iterdir() if folder.is_dir())
    assert [name.rpartition("-")[0] for name in names] == [
        "vbpr-toy-v0001-3",
        "vbpr-toy-v0001-noise-3",
        "vbpr-toy-v0001-shuffled-3",
    ]
    (folder,) = tmp_path.glob("*shuffled*/")
    assert json.loads((folder / "config.json").read_text())["features"] == "shuffled"
    trained_on = dk.load(dk.open_snapshot(snapshots).with_features("shuffled"), 3).training.frames.features
    assert torch.equal(dk.open_run(folder)[1].training.frames.features, trained_on)
    capsys.readouterr()
    evaluate_main(["--run", str(folder)])
    assert "ndcg" in capsys.readouterr().out.lower()


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ("blurred", "no feature set 'blurred'"),
        ("main:blurred", "write a feature set and one of shuffled, noise, constant, mean"),
        ("clip:shuffled", "no feature set 'clip'"),
        ("shuffled:shuffled", "write a feature set and one of"),
    ],
)
def test_an_unknown_arm_or_set_is_an_error_of_one_line(features: str, words: str, snapshots: Path) -> None:
    with pytest.raises(UsageError, match=words):
        dk.open_snapshot(snapshots).with_features(features)


def test_pictures_that_are_not_there_have_no_arm(publish_tables, tables: Tables) -> None:
    snapshot = publish_tables(replace(tables, frame_features=None))
    with pytest.raises(UsageError, match="has no frame features, so nothing can take their place"):
        snapshot.with_features("shuffled")


@pytest.mark.parametrize("arm", ARMS)
def test_no_feature_set_can_have_the_name_of_an_arm(arm: str) -> None:
    with pytest.raises(UsageError, match="choose another"):
        require_set_name(arm)


def test_an_arm_is_paired_with_the_model_on_the_set_whose_place_it_takes() -> None:
    labels = {"bpr", "jifr", "jifr features=noise", "vbpr features=main", "vbpr features=clip"}
    labels |= {"vbpr features=shuffled", "vbpr features=clip:shuffled", "jifr mine", "jifr mine features=shuffled"}
    assert arm_pairs(labels) == [
        ("jifr mine", "jifr mine features=shuffled"),
        ("vbpr features=clip", "vbpr features=clip:shuffled"),
        ("vbpr features=main", "vbpr features=shuffled"),
        ("jifr", "jifr features=noise"),
    ]


@pytest.fixture(scope="module")
def compared(snapshots: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Snapshot]:
    """An experiment on arms, by the command: the page, its folder and the snapshot."""
    folder = tmp_path_factory.mktemp("arms")
    options = ["--models", "jifr,vbpr,bpr,visrank", "--features", "shuffled,noise", "--set", "epochs=8"]
    places = ["--to", str(folder / "experiment"), "--runs", str(folder / "runs")]
    experiment_main(["--snapshot", str(snapshots), *options, *places, "--jobs", "1", "--threads", "1"])
    page = (folder / "experiment" / "report.html").read_text("utf-8")
    return page, folder / "experiment", dk.open_snapshot(snapshots)


def test_models_that_read_pictures_run_with_and_without_them_and_others_once(compared) -> None:
    labels = set(pl.read_parquet(compared[1] / "metrics.parquet")["model"])
    arms = {f"{model} features={arm}" for model in ("jifr", "vbpr", "visrank") for arm in ("shuffled", "noise")}
    assert labels == {"jifr", "vbpr", "visrank", "bpr"} | arms


def test_arms_are_compared_with_their_own_model_alone_and_corrected_for_that(compared) -> None:
    comparisons, arms = (pl.read_parquet(compared[1] / f"{name}.parquet") for name in ("comparisons", "arms"))
    assert not any("features=" in label for label in {*comparisons["model"], *comparisons["other"]})
    items = arms.filter(task="item", metric="ndcg", k=15)
    assert items.height == 6
    assert set(items["model"]) == {"jifr", "vbpr", "visrank"}
    assert (items["other"].str.split(" ").list.first() == items["model"]).all()
    least = items.sort("p_value").row(0, named=True)
    assert least["p_holm"] == pytest.approx(min(1, 6 * least["p_value"]))


def test_the_report_begins_with_what_pictures_add_and_all_its_numbers_are_found(compared, ask_again) -> None:
    page, folder, snapshot = compared
    first = page.partition('<ul class="headlines">')[2].partition("</li>")[0]
    assert "with shuffled pictures" in first or "than with shuffled pictures" in first
    assert ask_again(page, folder, snapshot.path, documents={"paper.json": {}}) > 50
    assert page.count("more than chance") > 1
    assert "on each feature set" not in page  # an arm takes the place of the one set that there is


def test_the_report_says_in_words_that_a_model_is_as_good_without_its_pictures(compared) -> None:
    page, folder, _ = compared
    text = " ".join(page.split())
    for row in pl.read_parquet(folder / "arms.parquet").filter(metric="ndcg").iter_rows(named=True):
        if (row["task"], row["k"]) in (("item", 15), ("frame", 3)) and row["other"].endswith("shuffled"):
            words = "as well with shuffled pictures as with its own" if not row["is_real"] else "than with shuffled"
            assert words in text


def test_the_tables_for_a_paper_have_the_arms_and_none_of_them_in_bold(compared) -> None:
    tables = compared[1] / "tables"
    results = pl.read_csv(tables / "items.csv")
    assert {"JIFR", "JIFR (shuffled)", "JIFR (noise)", "BPR"} <= set(results["model"])
    for line in (tables / "items.md").read_text("utf-8").splitlines():
        assert not (line.startswith("| JIFR (") and ("**" in line or "<u>" in line))
    for name in ("items_pictures", "key_frames_pictures"):
        rows = pl.read_csv(tables / f"{name}.csv")
        assert "JIFR (shuffled)" in rows["in place of pictures"].to_list()
        assert (tables / f"{name}.tex").is_file()
    assert "shuffled among and within the" in (tables / "methods.md").read_text("utf-8")


def test_a_study_file_takes_arms_and_compares_each_with_its_model_beside_a_baseline(
    snapshots: Path, tmp_path: Path
) -> None:
    study = tmp_path / "study.toml"
    study.write_text(
        'features = ["main", "shuffled"]\n[training]\nepochs = 1\n[statistics]\nbaseline = "bpr"\n'
        "[models.bpr]\n[models.vbpr]\n"
    )
    from model.experiments.studies.study_file import read_study

    snapshot, folder = dk.open_snapshot(snapshots), tmp_path / "experiment"
    run_study(snapshot, read_study(study)[0], folder, Folders(tmp_path / "runs"), None)
    assert set(pl.read_parquet(folder / "comparisons.parquet")["other"]) == {"vbpr"}
    assert set(pl.read_parquet(folder / "arms.parquet")["other"]) == {"vbpr features=shuffled"}


def test_an_arm_is_no_best_model(snapshots: Path, tmp_path: Path) -> None:
    study = Study((StudyModel("visrank", "visrank"),), features=("shuffled",), jobs=1, threads=1)
    report = run_study(dk.open_snapshot(snapshots), study, tmp_path / "experiment", Folders(tmp_path / "runs"), None)
    assert not (tmp_path / "experiment" / "comparisons.parquet").exists()
    page = " ".join(report.read_text("utf-8").split())
    assert "<strong>VisRank (shuffled)</strong> ranks" not in page
    assert "Only one model was evaluated" in page


def test_new_pictures_are_refused_by_a_run_without_its_pictures(snapshots: Path, tmp_path: Path) -> None:
    options = ["--model", "vbpr", "--snapshot", str(snapshots), "--epochs", "1", "--runs", str(tmp_path)]
    train_main([*options, "--features", "shuffled"])
    from model.experiments.run_folder import open_run

    (folder,) = tmp_path.glob("*shuffled*/")
    new = pl.DataFrame({"frame_id": ["new"], "movie_id": ["m00"], "feature": [[0.0]]})
    with pytest.raises(PipelineError, match="trained without its pictures"):
        open_run(folder, new_frames=new)
