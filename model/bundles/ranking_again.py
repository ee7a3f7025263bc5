"""Ranks the test positives of a bundle's runs again, with their weights."""

from collections.abc import Iterator
from pathlib import Path

from dataset.errors import MissingInputError
from dataset.files import sha256_of_file
from dataset.snapshots.snapshot import Snapshot
from model.bundles.contents import Bundle
from model.bundles.verify import require_same_ranks
from model.evaluation.evaluate import evaluate
from model.experiments.run_folder import open_run
from model.experiments.runs.store import run_folders


def rank_again(bundle: Bundle, snapshot: Snapshot, runs: Path) -> Iterator[str]:
    """Yield what was found for each run of a bundle.

    Args:
        bundle: the bundle, verified.
        snapshot: its snapshot.
        runs: the parent of the run folders. The weights are found by their SHA-256.

    Raises:
        MissingInputError: no run has the weights of any of the bundle's runs.
        InvalidBundleError: a rank is not what the weights give.
    """
    weights = [folder / "model.pt" for folder in run_folders(runs)]
    found = {sha256_of_file(path): path.parent for path in weights if path.is_file()}
    asked = [run for run in bundle.manifest.runs if run.weights_sha256 in found]
    if not asked:
        raise MissingInputError(f"{runs}: no run there has the weights of a run of {bundle.name}")
    for run in bundle.manifest.runs:
        folder = found.get(run.weights_sha256 or "")
        if folder is None:
            yield f"{run}: {'no weights' if run.weights_sha256 is None else 'its weights are not there'}, not ranked again"
            continue
        opened, data = open_run(folder, snapshot.path)
        evaluation = evaluate(
            opened.model.scorer(), data.tables, "test", opened.model_name, opened.seed, run.evaluation.config
        )
        require_same_ranks(bundle, run, evaluation.held_out_ranks)
        yield f"{run}: its weights give the same {evaluation.held_out_ranks.height:,} ranks"
