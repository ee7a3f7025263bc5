"""The commands of `python -m features`."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from dataset.cli import FLAT, say
from dataset.errors import UsageError
from dataset.feature_sets import require_set_name
from features.config import DEFAULT_STORE, ExtractOptions, ExtractorConfig


def extract_features(
    *,
    raw: Path = Path("data/sandbox/raw"),
    dataset: Path = Path("data/sandbox/dataset"),
    all_pictures: bool = False,
    config: Annotated[ExtractorConfig, FLAT] = ExtractorConfig(),  # noqa: B008 - frozen
    device: Literal["auto", "cpu", "cuda"] = "auto",
    store: Path = DEFAULT_STORE,
    retry: bool = False,
    name: str | None = None,
    options: Annotated[ExtractOptions, FLAT] = ExtractOptions(),  # noqa: B008 - frozen
) -> None:
    """Compute the features of the pictures of a dataset.

    Args:
        raw: the raw folder with the pictures
        dataset: the built dataset
        all_pictures: use every picture of the raw folder, with or without a dataset; the table goes to features in it
        config: which features to compute
        device: where to compute; auto: the GPU if there is one
        store: the feature store, which holds features by picture
        retry: compute only the pictures that failed before
        name: the name of a further feature set, beside the dataset's main one
        options: how to compute them
    """
    import torch  # here, because it takes seconds, and --help does not need it

    from features.extractor import with_decoding_that_fits

    require_set_name(name)
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: no GPU is available; use --device cpu")
    where = _Folders(raw, None if all_pictures else dataset, store, name)
    say(with_decoding_that_fits(config, lambda chosen: _extract(where, chosen, device, retry, options)))


@dataclass(frozen=True)
class _Folders:
    """Where an extraction reads and writes; `dataset` is None for all pictures, `name` for the main feature set."""

    raw: Path
    dataset: Path | None
    store: Path
    name: str | None


def _extract(where: _Folders, config: ExtractorConfig, device: str, retry: bool, options: ExtractOptions) -> str:
    """Extract features, and return a summary."""
    from features.extractor import Extractor

    with ThreadPoolExecutor(1) as thread:  # it reads the weights while this one imports
        extractor_later = thread.submit(Extractor, config, device, where.store / "weights.json")
        from features.extract import extract

        extractor = extractor_later.result()
    done = extract(where.raw, where.dataset, extractor, where.store, options=options, retry=retry, name=where.name)
    return done.summary(extractor.identity)
