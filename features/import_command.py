"""The command `python -m features import`. It needs no torch."""

import shlex
from pathlib import Path
from typing import Annotated

from dataset.cli import FLAT, say
from features.importing import import_features
from features.vectors.config import VectorsConfig


def import_vectors(
    vectors: Path,
    /,
    *,
    dataset: Path = Path("data/sandbox/dataset"),
    name: str | None = None,
    modality: str | None = None,
    config: Annotated[VectorsConfig, FLAT] = VectorsConfig(),  # noqa: B008 - frozen
) -> None:
    """Import feature vectors that exist already, in place of extracting features from pictures.

    Args:
        vectors: a .npy or .npz matrix, a folder of <id>.npy, a Parquet or Arrow table, Amazon's .b, or safetensors
        dataset: the built dataset
        name: the name of a further feature set, beside the dataset's main one
        modality: the vectors are of items and of this modality, such as text; they stay apart from features of frames
        config: how to read and keep the vectors
    """
    done = import_features(vectors, dataset, config, name, modality)
    identity, of = done.identity, done.identity.vectors_of
    say(
        f"Imported {done.n_features:,} of {done.n_rows:,} vectors of {of} into {done.table} "
        f"({identity.width:,} x {identity.dtype}, from {identity.dtype_in_file})."
    )
    for reason, n_rows in done.reasons.items():
        say(f"  not used: {n_rows:,} ({reason}); see {done.quarantine}")
    if done.n_new_frames:
        say(f"  {done.n_new_frames:,} items got a frame of their own for their vector (item:<id>)")
    if done.n_without:
        say(f"  {done.n_without:,} {of} of the dataset have no vector")
    if done.loss.n_zero:
        say(f"  note: {done.loss.n_zero:,} vectors hold only zeros")
    if done.loss.largest:
        say(f"  {identity.dtype} changes a vector by at most {done.loss.largest:.2g} of its length (--dtype)")
    say(f"Next: python -m dataset publish --dataset {shlex.quote(str(dataset))} --name <name>")
