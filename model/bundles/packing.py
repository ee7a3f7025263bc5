"""Packs the results of runs into a bundle.

The runs are those of an experiment's folder, with its labels, baseline and study, or runs by name. All of them must be
evaluated on the test split of one snapshot.
"""

import platform
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import polars as pl
from pydantic import BaseModel

from dataset.documents import Settings, Sha256, holds, read_document
from dataset.errors import MissingInputError, UsageError
from dataset.files import atomic_path, sha256_of_file, write_json, write_text
from dataset.progress import stage
from dataset.tables import read_table, write_table
from dataset.version import code_version
from model.bundles.contents import (
    FILES,
    LARGEST_BOOTSTRAP,
    LARGEST_K,
    MANIFEST,
    STUDY,
    TABLES,
    BundledEvaluation,
    BundledRun,
    BundledSnapshot,
    BundleManifest,
)
from model.bundles.recomputed import (
    FOLLOWING,
    MEAN_RANK,
    candidate_ranks_of,
    comparisons_of,
    metrics_of,
    user_metrics_of,
)
from model.bundles.verify import require_same
from model.experiments.compare import labels
from model.experiments.run_folder import evaluation_path, read_description
from model.experiments.runs.naming import evaluation_digest
from model.experiments.runs.store import find_run
from model.schema import HeldOutRank, Metric, UserMetric

_EXPERIMENT = "experiment.json"
_SOFTWARE = ("numpy", "polars", "scipy", "torch")
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the first date of a ZIP file


@dataclass(frozen=True)
class Source:
    """The runs that go into a bundle.

    Attributes:
        name: the name of the bundle's file, unless the user names another.
        folders: the run folders.
        labels: the name of each run's model in the tables.
        baselines: the labels with which all others are compared.
        study: the name and the text of the study's file, None if there is none.
    """

    name: str
    folders: list[Path]
    labels: list[str]
    baselines: tuple[str, ...] = ()
    study: tuple[str, str] | None = None


class _Compared(BaseModel):
    baseline: str | None


class _Study(BaseModel):
    file: str
    text: str
    compared: _Compared


class _Run(BaseModel):
    label: str
    run: str


class _Experiment(BaseModel):
    runs: list[_Run]
    study: _Study | None = None


class _Evaluation(BaseModel):
    item_ks: list[int]
    frame_ks: list[int]
    n_bootstrap: int


class _Done(BaseModel):
    digest: Sha256
    evaluation: _Evaluation


_Described = Annotated[Settings, holds(_Experiment)]
_Evaluated = Annotated[Settings, holds(_Done)]


def find_source(named: Sequence[str], runs: Path) -> Source:
    """Return the runs that a user names: one experiment's folder, or runs.

    Args:
        named: an experiment's folder; or folders or names of runs, or the starts of their names.
        runs: the parent of all run folders.

    Raises:
        MissingInputError: a run is not there.
        UsageError: several experiments are named, or the start of a name fits several runs.
    """
    experiments = [name for name in named if (Path(name) / _EXPERIMENT).is_file()]
    if experiments and len(named) > 1:
        raise UsageError(f"{experiments[0]}: is an experiment, which has a bundle of its own; name it alone, or runs")
    if experiments:
        return _of_experiment(Path(experiments[0]), runs)
    folders = list(dict.fromkeys(find_run(name, runs) for name in named))
    descriptions = [read_description(folder) for folder in folders]
    snapshot = descriptions[0]["snapshot"]
    return Source(f"{snapshot['name']}-v{snapshot['version']:04d}", folders, labels(descriptions))


@stage("Packing the results")
def pack(source: Source, to: Path) -> BundleManifest:
    """Write a bundle, atomically; an earlier file is replaced.

    Raises:
        MissingInputError: a run has not finished, or has not been evaluated on the test split.
        InvalidBundleError: the metrics of a run do not follow from its ranks.
        UsageError: the runs are of several snapshots, or two have the same label and seed; or a K, or the number of
            bootstrap resamples, is larger than a bundle may have.
    """
    packed = [_packed(folder, label) for folder, label in zip(source.folders, source.labels, strict=True)]
    _require_apart(source, packed)
    user_metrics = pl.concat([one.user_metrics for one in packed])
    tables = {
        "held_out_ranks": (ranks := pl.concat([one.ranks for one in packed])),
        "candidate_ranks": candidate_ranks_of(ranks),
        "user_metrics": user_metrics,
        "metrics": pl.concat([one.metrics for one in packed]),
        "comparisons": comparisons_of(user_metrics, source.baselines),
    }
    with tempfile.TemporaryDirectory(prefix="bundle-") as temporary:
        folder = Path(temporary)
        for name, table in tables.items():
            write_table(table, TABLES[name], folder / f"{name}.parquet")
        if source.study:
            write_text(folder / STUDY, source.study[1])
        snapshot = packed[0].description["snapshot"]
        manifest = BundleManifest(
            format_version=1,
            snapshot=BundledSnapshot(**{key: snapshot[key] for key in BundledSnapshot.model_fields}),
            runs=tuple(sorted((one.run for one in packed), key=lambda run: (run.label, run.seed))),
            baselines=source.baselines,
            study=source.study[0] if source.study else None,
            software={"python": platform.python_version(), "douban-keyframes": code_version(), **_versions()},
            files={path.name: sha256_of_file(path) for path in sorted(folder.iterdir())},
        )
        write_json(folder / MANIFEST, manifest.model_dump(mode="json"))
        with atomic_path(to) as target:
            _write_archive(folder, target)
    return manifest


@dataclass(frozen=True)
class _Packed:
    run: BundledRun
    description: dict[str, Any]
    ranks: pl.DataFrame
    user_metrics: pl.DataFrame
    metrics: pl.DataFrame


def _of_experiment(folder: Path, runs: Path) -> Source:
    remedy = "run `python -m model.experiment` again"
    described: dict[str, Any] = read_document(_Described, folder / _EXPERIMENT, remedy, MissingInputError)
    folders = [runs / one["run"] for one in described["runs"]]
    if lacking := [one for one in folders if not (one / "config.json").is_file()]:
        raise MissingInputError(
            f"{lacking[0]}: no such run, and {folder} has it; name the folder of its runs with --runs, or {remedy}"
        )
    names = [one["label"] for one in described["runs"]]
    study = described.get("study")
    if study is None:
        return Source(folder.name, folders, names)
    baseline = study["compared"]["baseline"]
    baselines = tuple(sorted({name for name in names if name.partition(" features=")[0] == baseline}))
    name = f"{Path(study['file']).stem}-{folder.name}"
    return Source(name, folders, names, baselines, (Path(study["file"]).name, study["text"]))


def _packed(folder: Path, label: str) -> _Packed:
    """Read what a bundle holds of one run, and check that its metrics follow from its ranks."""
    description = read_description(folder)
    if description.get("fold"):
        raise UsageError(f"{folder}: was judged on a fold, and a bundle has results on the test split; name other runs")
    lists = description.get("recommendations")
    if lists is None and not (folder / "model.pt").is_file():
        raise MissingInputError(f"{folder}: training has not finished; run the command that started it again")
    evaluation = _evaluation(folder, description, is_run=lists is None)
    run = BundledRun(
        label=label,
        model=description["model"],
        seed=description["seed"],
        config=description["config"],
        training=description["training"],
        features=description.get("features"),
        evaluation=evaluation,
        results_version=description.get("results_version"),
        model_code=description.get("model_code"),
        code_version=description.get("code_version", ""),
        torch_version=description.get("torch_version"),
        weights_sha256=None if lists is not None else sha256_of_file(folder / "model.pt"),
        recommendations=lists,
    )
    config = evaluation.config
    ranks, given, metrics = (
        read_table(evaluation_path(folder, "test", name), schema).with_columns(model=pl.lit(label))
        for name, schema in (("held_out_ranks", HeldOutRank), ("user_metrics", UserMetric), ("metrics", Metric))
    )
    user_metrics = user_metrics_of(ranks, config)
    left_out = dict(metrics.select(pl.col("task").cast(pl.String), "n_left_out").unique().iter_rows())
    means = metrics_of(user_metrics, left_out, config)
    for theirs, ours, schema in ((given, user_metrics, UserMetric), (metrics, means, Metric)):
        require_same(
            theirs.filter(pl.col("metric").is_in(FOLLOWING)),
            ours.filter(pl.col("metric") != MEAN_RANK),
            schema,
            f"{folder}: {schema.__name__}",
            "its ranks",
        )
    return _Packed(run, description, ranks, user_metrics, means)


def _evaluation(folder: Path, description: dict[str, Any], is_run: bool) -> BundledEvaluation:
    """Return how a run was evaluated on the test split."""
    again = f"--run {folder}" if is_run else "--recommendations <file> --name <name>"
    remedy = f"run `python -m model.evaluate {again}`"
    if not (folder / "held_out_ranks.parquet").is_file():
        raise MissingInputError(f"{folder}: not evaluated on the test split; {remedy}")
    remedy = f"the settings of its evaluation on test are not known; {remedy}"
    done: dict[str, Any] = read_document(_Evaluated, folder / "done.json", remedy, MissingInputError)
    given = done["evaluation"]
    if done["digest"] != evaluation_digest(description, given):
        raise MissingInputError(f"{folder}: its metrics are of another training or evaluation; {remedy}")
    if max(*given["item_ks"], *given["frame_ks"]) > LARGEST_K or given["n_bootstrap"] > LARGEST_BOOTSTRAP:
        raise UsageError(
            f"{folder}: a bundle has a K of at most {LARGEST_K:,} and at most {LARGEST_BOOTSTRAP:,} resamples; "
            "evaluate it again with fewer"
        )
    return BundledEvaluation(**given)


def _require_apart(source: Source, packed: Sequence[_Packed]) -> None:
    """Check that all runs are of one snapshot, and that no two are the same."""
    seen: dict[tuple[str, int], Path] = {}
    for folder, one in zip(source.folders, packed, strict=True):
        first = seen.setdefault((one.run.label, one.run.seed), folder)
        if first != folder:
            raise UsageError(f"{first} and {folder} are both {one.run}; give only one of them")
    digests = [one.description["snapshot"]["content_digest"] for one in packed]
    of_snapshot = dict(zip(digests, source.folders, strict=True))
    if len(of_snapshot) > 1:
        one, another, *_ = of_snapshot.values()
        raise UsageError(f"{one} and {another} are of different snapshots; pack each by itself")


def _versions() -> dict[str, str]:
    found = {}
    for name in _SOFTWARE:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _write_archive(folder: Path, target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name in FILES:
            if (folder / name).is_file():
                entry = zipfile.ZipInfo(name, _LONG_AGO)
                entry.create_system, entry.external_attr = 3, 0o644 << 16  # as on Linux, on any system
                with archive.open(entry, "w", force_zip64=False) as member:
                    member.write((folder / name).read_bytes())
