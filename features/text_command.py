"""The command `python -m features text`."""

import shlex
from pathlib import Path
from typing import Annotated

from dataset.cli import FLAT, say
from dataset.feature_sets import TEXT
from dataset.progress import progress
from features.texts.config import TextConfig


def encode_texts_of_items(
    *,
    dataset: Path = Path("data/sandbox/dataset"),
    name: str = TEXT,
    config: Annotated[TextConfig, FLAT] = TextConfig(),  # noqa: B008 - frozen
) -> None:
    """Turn titles, genres and other texts of a dataset's items into vectors, beside the features of its frames.

    Args:
        dataset: the built dataset
        name: the name of the modality
        config: which texts are encoded, and how
    """
    from features.texts.encoding import encode_texts  # loads numpy and polars

    with progress("texts") as bar:
        task = bar.add_task("Encoding texts", total=None)
        done = encode_texts(dataset, config, name, lambda n, of: bar.update(task, advance=n, total=of))
    identity = done.identity
    say(
        f"Encoded the texts of {done.n_features:,} of {done.n_items:,} items ({', '.join(identity.columns)}) with "
        f"{identity.encoder} {identity.package_version}, {identity.model}, into {done.table} "
        f"({identity.width:,} x {identity.dtype})."
    )
    for reason, n_rows in done.reasons.items():
        say(f"  not used: {n_rows:,} ({reason}); see {done.quarantine}")
    if done.n_ids_as_titles:
        say(f"  {done.n_ids_as_titles:,} items have only their id as a title, which is no text")
    if done.n_cut:
        say(f"  note: {done.n_cut:,} texts are longer than the encoder reads; the rest of them is not used")
    if done.loss.n_zero:
        say(f"  note: {done.loss.n_zero:,} vectors hold only zeros, because the encoder knows no word of the text")
    if done.loss.largest:
        say(f"  {identity.dtype} changes a vector by at most {done.loss.largest:.2g} of its length (--dtype)")
    say(f"Next: python -m dataset publish --dataset {shlex.quote(str(dataset))} --name <name>")
