"""Ranks the test positives of a bundle's runs again, with their weights."""

from pathlib import Path

from dataset.errors import InvalidBundleError, MissingInputError
from dataset.files import sha256_of_file
from dataset.snapshots.snapshot import Snapshot
from model.bundles.contents import Bundle, BundledRun
from model.bundles.verify import require_same_ranks
from model.evaluation.evaluate import evaluate
from model.experiments.run_folder import open_run, read_description
from model.experiments.runs.store import run_folders
from model.models.held_out_frames import scorer_of


def rank_again(bundle: Bundle, snapshot: Snapshot, runs: Path) -> dict[str, int]:
    """Return the number of ranks that were found again, for each run of a bundle; 0 if its weights are not there.

    Args:
        bundle: the bundle, verified.
        snapshot: its snapshot.
        runs: the parent of the run folders. The weights are found by their SHA-256.

    Raises:
        MissingInputError: no run has the weights of any of the bundle's runs.
        InvalidBundleError: a rank is not what the weights give, or they were trained with other settings.
    """
    weights = [folder / "model.pt" for folder in run_folders(runs)]
    found = {sha256_of_file(path): path.parent for path in weights if path.is_file()}
    asked = [run for run in bundle.manifest.runs if run.weights_sha256 in found]
    if not asked:
        raise MissingInputError(f"{runs}: no run there has the weights of a run of {bundle.name}")
    ranked = {}
    for run in bundle.manifest.runs:
        ranked[str(run)] = 0
        if folder := found.get(run.weights_sha256 or ""):
            _require_same_settings(bundle, run, folder)
            opened, data = open_run(folder, snapshot.path)
            name, seed, config = opened.model_name, opened.seed, run.evaluation.config
            ranks = evaluate(scorer_of(opened.model, data), data.tables, "test", name, seed, config).held_out_ranks
            require_same_ranks(bundle, run, ranks)
            ranked[str(run)] = ranks.height
    return ranked


def _require_same_settings(bundle: Bundle, run: BundledRun, folder: Path) -> None:
    description = read_description(folder)
    for name in ("model", "seed", "config", "training", "features"):
        if getattr(run, name) != description.get(name):
            raise InvalidBundleError(f"{bundle.name}: {run}: {name} is not that of {folder}, which has its weights")
