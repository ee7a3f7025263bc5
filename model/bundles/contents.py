"""What a bundle is: the results of runs on one snapshot, in one ZIP file that others can check.

    bundle.json              the snapshot's name, version and digest; of each run the model, all settings, the seed, the
                             settings of evaluation, the versions of the code, and the SHA-256 of its weights; the
                             software that packed it; the SHA-256 of the other files
    held_out_ranks.parquet   the rank of every test positive among all candidates (`HeldOutRank`)
    candidate_ranks.parquet  the mean rank of every item and frame over its test positives (`CandidateRank`)
    user_metrics.parquet     the metrics per user or user-movie pair (`UserMetric`)
    metrics.parquet          their means, with intervals (`Metric`)
    comparisons.parquet      the tests between the models (`Comparison`); no rows for a single model
    study.toml               the study's file, if the runs are those of a study

`model` in the tables is the label of a run, as in the report: `bpr`, or `bpr dim=64`.

All metrics follow from the ranks (`model.bundles.recomputed`); a bundle has no others. So it lacks `full_arp`,
`full_coverage` and `full_gini`, which need the whole lists, and `sampled_hr` and `sampled_ndcg`, whose exact
expectation is `hr` and `ndcg`. It has no weights, features, titles, texts or pictures. Its people are the pseudonyms of
the snapshot, with their test items and liked frames, so it is as private as the snapshot's test split.

The files are stored uncompressed (Parquet is compressed), under these names only, in this order and without dates: the
same results give the same bytes with the same versions of the libraries.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import dataframely as dy
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from dataset.cli import LARGEST_SEED
from dataset.documents import FolderName, Settings, Sha256
from dataset.snapshots.manifest import VersionNumber
from model.evaluation.config import EvaluationConfig
from model.schema import CandidateRank, Comparison, HeldOutRank, Metric, UserMetric

MANIFEST = "bundle.json"
STUDY = "study.toml"
TABLES: dict[str, type[dy.Schema]] = {
    "held_out_ranks": HeldOutRank,
    "candidate_ranks": CandidateRank,
    "user_metrics": UserMetric,
    "metrics": Metric,
    "comparisons": Comparison,
}
FILES = (MANIFEST, *(f"{name}.parquet" for name in TABLES), STUDY)
"""All names that a bundle may have, in their order."""

LARGEST_K = 1000
LARGEST_BOOTSTRAP = 10_000
_LONGEST = 1000

_Text = Annotated[str, Field(max_length=_LONGEST)]
_K = Annotated[int, Field(ge=1, le=LARGEST_K)]
_Ks = Annotated[tuple[_K, ...], Field(min_length=1, max_length=100)]
_Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BundledEvaluation(_Part):
    """The settings of a run's evaluation, within bounds that keep a check of them short."""

    item_ks: _Ks
    frame_ks: _Ks
    protocol: Literal["exact", "sampled", "full"]
    n_negatives: Annotated[int, Field(ge=1, le=LARGEST_SEED)]
    n_repeats: Annotated[int, Field(ge=1, le=LARGEST_SEED)]
    n_bootstrap: Annotated[int, Field(ge=1, le=LARGEST_BOOTSTRAP)]
    seed: _Seed

    @property
    def config(self) -> EvaluationConfig:
        """The same as a config."""
        return EvaluationConfig(**self.model_dump())


class BundledRun(_Part):
    """A run in a bundle.

    Attributes:
        label: its model's name in the tables.
        model: the model's name, or the one of another tool's recommendations.
        seed: the seed.
        config: the settings of the model.
        training: the settings of training.
        features: the feature set, None for the main one or none.
        evaluation: how it was evaluated.
        results_version: of the code that trained it (`runs.naming`).
        model_code: what tells the code of a model of one's own from an earlier one.
        code_version: of the code that trained it.
        torch_version: of torch.
        weights_sha256: of `model.pt`; None for recommendations.
        recommendations: what was found in the file of another tool, and its SHA-256.
    """

    label: Annotated[str, Field(min_length=1, max_length=_LONGEST)]
    model: _Text
    seed: _Seed
    config: Settings
    training: Settings
    features: _Text | None
    evaluation: BundledEvaluation
    results_version: int | None
    model_code: _Text | None
    code_version: _Text
    torch_version: _Text | None
    weights_sha256: Sha256 | None
    recommendations: Settings | None

    @property
    def is_cut(self) -> bool:
        """Whether it is of recommendations that may list only a part of the items."""
        return self.recommendations is not None and self.evaluation.protocol == "full"

    def __str__(self) -> str:
        return f"{self.label}, seed {self.seed}"


class BundledSnapshot(_Part):
    """The snapshot of a bundle's runs."""

    name: FolderName
    version: VersionNumber
    content_digest: Sha256

    def __str__(self) -> str:
        return f"{self.name} v{self.version:04d}"


class BundleManifest(_Part):
    """The content of `bundle.json`.

    Attributes:
        snapshot: the data.
        runs: the runs, each with a label and seed of its own.
        baselines: the labels with which all others are compared; all pairs are compared if there are none.
        study: the name of the study's file, None if there is none.
        software: the versions of Python and of the libraries that packed the bundle.
        files: the SHA-256 of every other file, by name.
    """

    format_version: Literal[1]
    snapshot: BundledSnapshot
    runs: Annotated[tuple[BundledRun, ...], Field(min_length=1)]
    baselines: tuple[_Text, ...]
    study: _Text | None
    software: Annotated[dict[_Text, _Text], Field(max_length=20)]
    files: dict[_Text, Sha256]


@dataclass(frozen=True)
class Bundle:
    """A bundle in memory.

    Attributes:
        name: its file's name, without `.zip`.
        sha256: of the file.
        manifest: what it says about itself.
        tables: its tables by name, with the columns of `TABLES`.
        study: the text of the study's file, None if there is none.
    """

    name: str
    sha256: str
    manifest: BundleManifest
    tables: dict[str, pl.DataFrame]
    study: str | None
