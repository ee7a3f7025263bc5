"""Writes the tables of a paper, the paragraph on the methods and the references into a folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dataset.files import write_text
from dataset.report.numbers import NumberSource
from dataset.snapshots.manifest import Manifest
from dataset.wording import Wording
from model.report.headlines import metric_of
from model.report.paper.formats import write_tables
from model.report.paper.methods import methods
from model.report.paper.tables import paper_tables
from model.report.repeats import Repeats

MANIFEST = "manifest.json"
_SIZES = (  # statistic, its name in the table, its format
    ("n_users", "users", ",d"),
    ("n_movies", "{items}", ",d"),
    ("n_interactions", "interactions", ",d"),
    ("n_train_interactions", "training interactions", ",d"),
    ("n_validation_interactions", "validation interactions", ",d"),
    ("n_test_interactions", "test interactions", ",d"),
    ("density", "density", ".3%"),
    ("n_frames", "pictures", ",d"),
    ("n_test_frame_likes", "test likes of pictures", ",d"),
)


def write_paper(
    folder: Path, manifest: Manifest, experiment: Mapping[str, Any], numbers: NumberSource, wording: Wording
) -> list[Path]:
    """Write an experiment's tables, `methods.tex`, `methods.md` and `references.bib`; return the paths.

    Args:
        folder: where to write.
        manifest: the snapshot's manifest.
        experiment: the content of `experiment.json`.
        numbers: a source that has the experiment's tables and the manifest as `manifest.json`.
        wording: what items are called.
    """
    sizes = [(wording.fill(words), numbers.at(MANIFEST, "statistics", key), spec) for key, words, spec in _SIZES]
    written = write_tables(paper_tables(numbers, sizes, Repeats.of(experiment), wording, manifest.label), folder)
    told = methods(manifest, experiment, wording, metric_of(numbers, "item", "ndcg") != "ndcg")
    for name, content in (("methods.tex", told.latex), ("methods.md", told.markdown), ("references.bib", told.bibtex)):
        write_text(folder / name, content)
        written.append(folder / name)
    return written
