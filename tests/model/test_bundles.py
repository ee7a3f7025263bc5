"""Results are packed into a bundle, and a bundle with a number that does not follow from its ranks is refused."""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from bundle_files import HOSTILE, METRICS, archived, as_parquet, changes, forged, huge, of_one_run, read

from dataset.errors import InvalidBundleError, InvalidSnapshotError
from dataset.files import write_json
from dataset.snapshots.snapshot import Snapshot, open_snapshot
from dataset.tables import read_table, write_table
from model import bundle, evaluate, train, verify_results
from model.bundles.contents import TABLES
from model.bundles.reading import open_bundle
from model.bundles.recomputed import comparisons_of
from model.bundles.verify import NOT_DETECTED, verify_bundle
from model.experiments.run_folder import read_description
from model.experiments.runs.naming import evaluation_digest
from model.schema import UserMetric

MOVIES = 30


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(run_command: Run, study_home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a module's command in the folder; return exit status, stdout and stderr."""
    monkeypatch.chdir(study_home)
    return lambda module, *arguments: run_command(module.app, *map(str, arguments))


@pytest.fixture
def honest(study_home: Path) -> Path:
    return study_home / "data/bundles/study-toy-v0001.zip"


@pytest.fixture
def snapshot(study_home: Path) -> Snapshot:
    return open_snapshot(study_home / "data/snapshots/toy/v0001")


def test_an_honest_bundle_is_confirmed_and_says_what_it_cannot_detect(command: Run, honest: Path) -> None:
    status, out, err = command(verify_results, honest)
    assert (status, err) == (0, "")
    assert "confirmed for toy v0001" in out
    assert all(words in out for words in NOT_DETECTED)
    status, out, _ = command(verify_results, honest, "--runs", "data/runs")
    assert (status, out.count("its weights give the same"), NOT_DETECTED[0] in out) == (0, 2, False)


def test_a_bundle_that_is_written_again_is_not_changed(honest: Path, snapshot: Snapshot, tmp_path: Path) -> None:
    verify_bundle(open_bundle(forged(read(honest), tmp_path / "same.zip")), snapshot)
    verify_bundle(open_bundle(forged(of_one_run(read(honest)), tmp_path / "one.zip")), snapshot)


def test_the_same_runs_give_the_same_bytes(command: Run, honest: Path, tmp_path: Path) -> None:
    assert command(bundle, "data/experiments/study/toy-v0001", "--to", tmp_path / "again.zip")[0] == 0
    assert (tmp_path / "again.zip").read_bytes() == honest.read_bytes()


@pytest.mark.parametrize("rows", [[-1], pytest.param([0, 1, 5, 20, -2], marks=pytest.mark.long)])
@pytest.mark.parametrize("name", TABLES)
def test_one_changed_number_is_refused_although_all_digests_were_made_again(
    name: str, rows: list[int], honest: Path, snapshot: Snapshot, tmp_path: Path
) -> None:
    content = read(honest) if name in ("held_out_ranks", "comparisons") else of_one_run(read(honest))
    rows = [row for row in rows if row < content[name].height]
    for what, table in changes(content[name], rows):
        try:
            verify_bundle(open_bundle(forged(content | {name: table}, tmp_path / "forged.zip")), snapshot)
        except InvalidBundleError:
            continue
        pytest.fail(f"{name}: {what} was not found")


def test_a_rank_below_every_k_counts(honest: Path, snapshot: Snapshot, tmp_path: Path) -> None:
    content = read(honest)
    ranks = content["held_out_ranks"].with_row_index()
    deep = ranks.filter(pl.col("task") == "item", pl.col("negatives_tied") == 0, pl.col("positives_before") == 2)
    row = deep.filter(pl.col("negatives_above").is_between(15, pl.col("n_negatives") - 1))["index"][0]
    changed = pl.col("negatives_above") + (pl.col("index") == row).cast(pl.UInt32)
    table = ranks.with_columns(changed).drop("index")
    with pytest.raises(InvalidBundleError, match="does not follow from the ranks"):
        verify_bundle(open_bundle(forged(content | {"held_out_ranks": table}, tmp_path / "forged.zip")), snapshot)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("snapshot", "content_digest"), "0" * 64),
        (("baselines",), ["nobody"]),
        (("runs", 0, "label"), "another"),
        (("runs", 0, "seed"), 7),
        (("runs", 0, "evaluation", "item_ks"), [1, 6]),
        (("runs", 0, "evaluation", "item_ks"), [1]),
        (("runs", -1, "evaluation", "frame_ks"), [1]),
        (("runs", 0, "evaluation", "protocol"), "full"),
        (("runs", 0, "evaluation", "n_negatives"), 9),
        (("runs", 0, "evaluation", "n_bootstrap"), 21),
        (("runs", 0, "evaluation", "seed"), 1),
        (("runs",), []),
    ],
)  # fmt: skip
def test_a_changed_manifest_is_refused_if_the_numbers_do_not_follow_from_it(
    where: tuple[Any, ...], value: Any, honest: Path, snapshot: Snapshot, tmp_path: Path
) -> None:
    content = read(honest)
    *way, last = where
    part = content["manifest"]
    for key in way:
        part = part[key]
    part[last] = value
    with pytest.raises((InvalidBundleError, InvalidSnapshotError)):
        verify_bundle(open_bundle(forged(content, tmp_path / "forged.zip")), snapshot)


def test_a_bundle_of_another_snapshot_is_refused(command: Run, honest: Path, snapshots: Path) -> None:
    status, _, err = command(verify_results, honest, "--snapshot", snapshots / "toy/v0001")
    assert (status, err.count("\n"), "is not that of the bundle's snapshot, toy v0001" in err) == (1, 1, True)
    moved = command(verify_results, honest, "--snapshot", "data/nowhere")
    assert moved[0] == 1


def test_weights_tell_ranks_that_were_changed_together_with_all_that_follows(
    command: Run, honest: Path, tmp_path: Path
) -> None:
    """A forger gives one model the ranks of another; only the weights tell."""
    content = read(honest)
    for name in ("held_out_ranks", "candidate_ranks", "user_metrics", "metrics"):
        own = content[name].filter(pl.col("model") != "popular")
        others = own.filter(pl.col("task") == "item").with_columns(model=pl.lit("popular"))
        content[name] = pl.concat([own, others])
    opened = open_bundle(forged(content, tmp_path / "before.zip"))
    content["comparisons"] = comparisons_of(opened.tables["user_metrics"], ("popular",))
    path = forged(content, tmp_path / "forged.zip")
    assert command(verify_results, path)[0] == 0
    status, _, err = command(verify_results, path, "--runs", "data/runs")
    assert (status, err.count("\n"), "popular, seed 0: ranks" in err, "from the weights" in err) == (1, 1, True, True)
    settings = read(honest)
    settings["manifest"]["runs"][0]["training"]["patience"] = 7
    status, _, err = command(verify_results, forged(settings, path), "--runs", "data/runs")
    assert (status, "popular, seed 0: training is not that of" in err) == (1, True)
    status, _, err = command(verify_results, path, "--runs", tmp_path)
    assert (status, "no run there has the weights" in err) == (1, True)


@pytest.mark.parametrize("words", HOSTILE)
def test_a_hostile_archive_is_refused_in_one_line(words: str, command: Run, honest: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(honest) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    path = archived(HOSTILE[words](files), tmp_path / "hostile.zip")
    status, out, err = command(verify_results, path)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert words in err
    assert sorted(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"metrics": b"no table"}, "metrics.parquet: cannot be read as Parquet"),
        ({"metrics": huge}, "metrics.parquet: claims 1,200,000 rows"),
        ({"metrics": METRICS}, "metrics.parquet: "),
        ({"value": float("nan")}, "metrics.parquet: column 'value' breaks the rule 'nan'"),
        ({"value": float("inf")}, "metrics.parquet: column 'value' breaks the rule 'inf'"),
        ({"value": "text"}, "metrics.parquet: "),
        ({"format_version": 2}, "format_version: "),
        ({"surplus": 1}, "surplus: "),
        ({"item_ks": [1, 10**9]}, "item_ks.1: "),
        ({"item_ks": [float("inf")]}, "item_ks.0: "),
        ({"n_bootstrap": 10**12}, "n_bootstrap: "),
        ({"name": "../../etc"}, "snapshot.name: "),
        ({"study.toml": b"\xff"}, "study.toml: is not UTF-8"),
        ({"study.toml": b"#" * (1 << 21)}, "study.toml: 2,097,152 bytes are too many"),
        ({"study.toml": None}, "disagree on whether there is a study"),
    ],
)  # fmt: skip
def test_hostile_content_is_refused_in_one_line(
    content: dict[str, Any], words: str, command: Run, honest: Path, tmp_path: Path
) -> None:
    bundled = read(honest)
    ((name, value),) = content.items()
    value = value() if callable(value) else value
    if name == "metrics":
        del bundled[name]
        bundled["metrics.parquet"] = as_parquet(value) if isinstance(value, pl.DataFrame) else value
    elif name == "value":
        bundled["metrics"] = bundled["metrics"].with_columns(value=pl.lit(value))
    elif name == "study.toml":
        bundled[name] = value
    elif name in ("item_ks", "n_bootstrap"):
        bundled["manifest"]["runs"][0]["evaluation"][name] = value
    elif name == "name":
        bundled["manifest"]["snapshot"][name] = value
    else:
        bundled["manifest"][name] = value
    status, out, err = command(verify_results, forged(bundled, tmp_path / "hostile.zip"))
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert words in err
    assert str(tmp_path / "hostile.zip") in err


@pytest.mark.parametrize("kind", ["empty", "text", "cut", "compressed", "twice", "folder", "none", "encrypted"])
def test_what_is_no_archive_of_plain_files_is_refused_in_one_line(
    kind: str, command: Run, honest: Path, tmp_path: Path
) -> None:
    path, content = tmp_path / "odd.zip", honest.read_bytes()
    if kind == "compressed":
        archived({"bundle.json": b"0" * (1 << 24)}, path, compression=zipfile.ZIP_DEFLATED)
    elif kind == "folder":
        path.mkdir()
    elif kind == "twice":
        path.write_bytes(content)
        with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("bundle.json", "{}")
    elif kind != "none":
        flag = content.replace(b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00")
        path.write_bytes({"empty": b"", "text": b"no archive", "cut": content[:-40], "encrypted": flag}[kind])
    status, out, err = command(verify_results, path)
    assert (status, out, err.count("\n")) == (1, "", 1)


@pytest.fixture
def runs(study_home: Path, tmp_path: Path) -> Path:
    """A copy of the runs."""
    return shutil.copytree(study_home / "data/runs", tmp_path / "runs")


def _lists(snapshot: Snapshot, path: Path, longest: int) -> Path:
    """Write lists of what the users do not know yet, equal scores among them."""
    rated = snapshot.read("interactions").with_columns(pl.col("split").cast(pl.String))
    known = rated.filter(pl.col("split") != "test").select("user_id", "movie_id")
    every = rated.select("user_id").unique().join(snapshot.read("movies").select("movie_id"), how="cross")
    new = every.join(known, on=["user_id", "movie_id"], how="anti").sort("user_id", "movie_id")
    listed = new.group_by("user_id", maintain_order=True).head(longest)
    score = pl.col("movie_id").str.slice(1).cast(pl.Int64) % 11
    listed.select(user="user_id", item="movie_id", score=score).write_csv(path, separator="\t")
    return path


@pytest.mark.parametrize("kind", ["sampled", "full", "lists", "cut lists"])
def test_ranks_of_every_protocol_and_of_other_tools_are_confirmed_and_a_changed_one_is_refused(
    kind: str, command: Run, runs: Path, snapshot: Snapshot, tmp_path: Path
) -> None:
    run = next(runs.glob("popular-*"))
    if kind in ("sampled", "full"):
        assert command(evaluate, "--run", run, "--protocol", kind, "--repeats", "2")[0] == 0
    else:
        lists = _lists(snapshot, tmp_path / "lists.tsv", MOVIES if kind == "lists" else 7)
        assert command(evaluate, "--recommendations", lists, "--name", "theirs", "--runs", runs)[0] == 0
        run = next(runs.glob("theirs-*"))
    status, out, err = command(bundle, run, next(runs.glob("random-*")), "--to", tmp_path / "b.zip")
    assert (status, err) == (0, "")
    assert "share it with nobody who may not have the snapshot" in out
    assert command(verify_results, tmp_path / "b.zip")[0] == 0
    content = read(tmp_path / "b.zip")
    metrics = set(content["metrics"]["metric"])
    assert {"full_ndcg", "full_map", "mean_rank"} <= metrics
    assert not {"sampled_ndcg", "full_coverage", "full_arp"} & metrics
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        assert str(tmp_path).encode() not in archive.read("bundle.json")  # nobody's folders
    ranks = content["held_out_ranks"]
    for row in (0, ranks.filter(pl.col("model") != "random").height - 1):
        values = ranks["negatives_above"].to_list()
        values[row] += 1 if values[row] == 0 else -1
        changed = ranks.with_columns(negatives_above=pl.Series(values, dtype=pl.UInt32))
        with pytest.raises(InvalidBundleError):
            verify_bundle(open_bundle(forged(content | {"held_out_ranks": changed}, tmp_path / "f.zip")), snapshot)


def _remove(name: str) -> Callable[[Path], None]:
    return lambda run: (run / name).unlink()


def _change_metrics(run: Path) -> None:
    table = read_table(run / "user_metrics.parquet", UserMetric)
    write_table(table.with_columns(value=pl.col("value") * 0.9), UserMetric, run / "user_metrics.parquet")


def _judge_on_a_fold(run: Path) -> None:
    description = json.loads((run / "config.json").read_text())
    write_json(run / "config.json", description | {"fold": {"number": 1, "k": 3, "seed": 0}})


def _forget_evaluation(run: Path) -> None:
    """Make the file of a version that kept only the digest."""
    write_json(run / "done.json", {"digest": json.loads((run / "done.json").read_text())["digest"]})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_remove("model.pt"), "training has not finished"),
        (_remove("held_out_ranks.parquet"), "not evaluated on the test split; run `python -m model.evaluate --run"),
        (_remove("metrics.parquet"), "metrics.parquet: no such table"),
        (_remove("done.json"), "the settings of its evaluation on test are not known; run `python -m model.evaluate"),
        (_remove("config.json"), "not a run"),
        (_judge_on_a_fold, "was judged on a fold, and a bundle has results on the test split"),
        (_forget_evaluation, "the settings of its evaluation on test are not known; run `python -m model.evaluate"),
        (_change_metrics, "value does not follow from its ranks"),
        (lambda run: shutil.copytree(run, f"{run}-2"), "are both random, seed 0; give only one of them"),
    ],
)
def test_what_is_no_finished_run_is_refused_in_one_line(
    change: Callable[[Path], None], words: str, command: Run, runs: Path, tmp_path: Path
) -> None:
    run = next(runs.glob("random-*"))
    change(run)
    status, out, err = command(bundle, *sorted(runs.iterdir()), "--to", tmp_path / "b.zip")
    assert (status == 0, out, err.count("\n")) == (False, "", 1)
    assert words in err
    assert not (tmp_path / "b.zip").exists()


def test_an_evaluation_with_a_larger_k_than_a_bundle_has_is_refused(command: Run, runs: Path, tmp_path: Path) -> None:
    run = next(runs.glob("popular-*"))
    done = json.loads((run / "done.json").read_text())
    evaluation = done["evaluation"] | {"item_ks": [1001]}
    digest = evaluation_digest(read_description(run), evaluation)
    write_json(run / "done.json", {"digest": digest, "evaluation": evaluation})
    status, _, err = command(bundle, run, "--to", tmp_path / "b.zip")
    assert (status, "a bundle has a K of at most 1,000" in err) == (2, True)


def test_runs_of_several_snapshots_are_not_packed_together(
    command: Run, runs: Path, snapshots: Path, tmp_path: Path
) -> None:
    other = str(snapshots / "toy/v0001")
    train.main(["--model", "popular", "--snapshot", other, "--runs", str(tmp_path / "others")])
    (run,) = (tmp_path / "others").iterdir()
    evaluate.main(["--run", str(run)])
    status, _, err = command(bundle, run, next(runs.glob("random-*")))
    assert (status, err.count("\n"), "are of different snapshots; pack each by itself" in err) == (2, 1, True)


def test_nothing_is_overwritten_and_an_experiment_is_packed_by_itself(
    command: Run, honest: Path, runs: Path, tmp_path: Path
) -> None:
    before, experiment = honest.read_bytes(), "data/experiments/study/toy-v0001"
    status, _, err = command(bundle, experiment)
    assert (status, "already exists; name another file with --to, or pass --replace" in err) == (2, True)
    assert honest.read_bytes() == before
    assert command(bundle, experiment, "--replace")[0] == 0
    assert honest.read_bytes() == before
    for names, words in (
        ((), "name an experiment's folder, or runs"),
        ((experiment, "popular"), "is an experiment, which has a bundle of its own"),
        (("nowhere",), "not a run"),
        ((experiment, "--runs", str(tmp_path), "--replace"), "no such run, and"),
    ):
        status, _, err = command(bundle, *names)
        assert (status == 0, err.count("\n"), words in err) == (False, 1, True), err
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd/experiment.json").write_text('{"runs": [{"label": "bpr"}]}')
    status, _, err = command(bundle, tmp_path / "odd")
    assert (status, err.count("\n"), "runs.0.run: Field required" in err) == (1, 1, True)


def test_runs_are_named_by_the_starts_of_their_names(command: Run, tmp_path: Path) -> None:
    assert command(bundle, "popular", "random", "--to", tmp_path / "b.zip")[0] == 0
    manifest = open_bundle(tmp_path / "b.zip").manifest
    assert ([run.label for run in manifest.runs], manifest.baselines, manifest.study) == (
        ["popular", "random"],
        (),
        None,
    )
