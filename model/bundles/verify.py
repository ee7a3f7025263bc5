"""Verifies a bundle: its ranks are possible on the snapshot, and every other number follows from them.

What is checked: the snapshot's digest; that every test positive of the snapshot has exactly one rank per run, among as
many candidates as the snapshot has, in an order that a ranking can have; and that the metrics per user, the mean ranks
per item, the means and intervals, and the tests between the models are what follows from these ranks.
"""

from collections.abc import Callable
from pathlib import Path

import dataframely as dy
import polars as pl

from dataset.errors import InvalidBundleError, InvalidSnapshotError, MissingInputError, PipelineError
from dataset.progress import stage
from dataset.snapshots import DEFAULT_ROOT
from dataset.snapshots.manifest import version_folder
from dataset.snapshots.snapshot import Snapshot, open_snapshot
from dataset.tables import Schema
from model.bundles.contents import Bundle, BundledRun
from model.bundles.possible_ranks import Positives, positives_of, require_possible
from model.bundles.recomputed import candidate_ranks_of, comparisons_of, metrics_of, user_metrics_of
from model.schema import CandidateRank, Comparison, HeldOutRank, Metric, UserMetric

NOT_DETECTED = (
    "ranks that were changed together with every number that follows from them (--runs, with the weights, finds that)",
    "a model that was trained or tuned on the test split, or chosen by its test results",
    "runs that were left out, such as seeds or settings with worse results",
    "settings, versions and weights that are not the ones behind these ranks",
)
"""What a check of numbers against each other cannot detect, in words."""

_RELATIVE, _ABSOLUTE = 1e-8, 1e-12


def snapshot_of(bundle: Bundle, path: Path | None, root: Path = DEFAULT_ROOT) -> Snapshot:
    """Open the snapshot of a bundle.

    Args:
        bundle: the bundle.
        path: the snapshot's folder; None: by its name below `root`.
        root: the parent of all snapshots.

    Raises:
        MissingInputError: it is not there.
    """
    known = bundle.manifest.snapshot
    place = path or root / known.name / version_folder(known.version)
    if path is None and not place.is_dir():
        raise MissingInputError(f"{place}: not there; get the snapshot {known}, or name its folder with --snapshot")
    return open_snapshot(place)


@stage("Verifying the bundle")
def verify_bundle(bundle: Bundle, snapshot: Snapshot) -> None:
    """Check all numbers of a bundle.

    Args:
        bundle: the bundle.
        snapshot: the data that it names.

    Raises:
        InvalidSnapshotError: the snapshot is another one.
        InvalidBundleError: a number does not follow from the ranks, or the ranks are not those of the snapshot.
    """
    known = bundle.manifest.snapshot
    if snapshot.content_digest != known.content_digest:
        raise InvalidSnapshotError(
            f"{snapshot}: its content ({snapshot.content_digest[:12]}) is not that of the bundle's snapshot, {known} "
            f"({known.content_digest[:12]}); use that --snapshot"
        )
    positives = positives_of(snapshot)
    for run in bundle.manifest.runs:
        _verify_run(bundle, run, positives)
    require_same(
        bundle.tables["comparisons"],
        _computed(bundle, lambda: comparisons_of(bundle.tables["user_metrics"], bundle.manifest.baselines)),
        Comparison,
        f"{bundle.name}: comparisons",
        "the metrics per user",
    )


def rows_of(bundle: Bundle, table: str, run: BundledRun) -> pl.DataFrame:
    """Return the rows of one run in a table."""
    return bundle.tables[table].filter(model=run.label, seed=run.seed)


def require_same_ranks(bundle: Bundle, run: BundledRun, ranks: pl.DataFrame) -> None:
    """Check that the ranks of a run are those of another evaluation.

    Raises:
        InvalidBundleError: they are not.
    """
    require_same(
        rows_of(bundle, "held_out_ranks", run),
        ranks.with_columns(model=pl.lit(run.label)),
        HeldOutRank,
        f"{bundle.name}: {run}: ranks",
        "the weights (another processor may round otherwise)",
    )


def _verify_run(bundle: Bundle, run: BundledRun, positives: Callable[[str, str | None], Positives]) -> None:
    where, ranks, config = f"{bundle.name}: {run}", rows_of(bundle, "held_out_ranks", run), run.evaluation.config
    require_possible(ranks, run, positives)
    per_user = rows_of(bundle, "user_metrics", run)
    per_candidate = rows_of(bundle, "candidate_ranks", run)
    require_same(per_candidate, candidate_ranks_of(ranks), CandidateRank, f"{where}: candidate_ranks", "the ranks")
    expected = _computed(bundle, lambda: user_metrics_of(ranks, config))
    require_same(per_user, expected, UserMetric, f"{where}: user_metrics", "the ranks")
    tasks = ranks["task"].cast(pl.String).unique()
    left_out = {task: positives(task, run.features).n_left_out for task in tasks}
    means = _computed(bundle, lambda: metrics_of(expected, left_out, config))
    require_same(rows_of(bundle, "metrics", run), means, Metric, f"{where}: metrics", "the metrics per user")


def _computed(bundle: Bundle, compute: Callable[[], pl.DataFrame]) -> pl.DataFrame:
    """Compute a table from the bundle's; what cannot be computed does not follow."""
    try:
        return compute()
    except PipelineError as error:
        raise InvalidBundleError(f"{bundle.name}: {error}") from None


def require_same(given: pl.DataFrame, expected: pl.DataFrame, schema: Schema, where: str, whence: str) -> None:
    """Check that two tables have the same rows, and the same numbers up to rounding."""
    keys = schema.primary_key()
    for rows, other, words in ((expected, given, "rows are missing"), (given, expected, "rows are surplus")):
        if (wrong := rows.join(other, on=keys, how="anti")).height:
            example = wrong.select(keys).sort(keys).row(0, named=True)
            raise InvalidBundleError(f"{where}: {wrong.height:,} {words}, for example {example}")
    both = given.join(expected, on=keys, how="left", suffix="_expected")
    for name, column in schema.columns().items():
        if name in keys:
            continue
        ours, theirs = pl.col(f"{name}_expected"), pl.col(name)
        differs = ours.ne_missing(theirs)
        if isinstance(column, dy.Float64):
            is_near = (ours - theirs).abs() <= _ABSOLUTE + _RELATIVE * ours.abs()
            differs = differs & ~is_near.fill_null(value=False)
        if (wrong := both.filter(differs)).height:
            row = wrong.sort(keys).row(0, named=True)
            example = {key: row[key] for key in keys}
            raise InvalidBundleError(
                f"{where}: {name} does not follow from {whence} in {wrong.height:,} rows, for example {row[name]} in "
                f"place of {row[f'{name}_expected']} for {example}"
            )
