"""Says in words which features a snapshot has, and where they come from."""

from collections.abc import Mapping
from typing import Any

from dataset.feature_sets import FEATURES, is_item_table
from dataset.snapshots.manifest import Manifest

_DIGEST_CHARACTERS = 16


def describe_features(manifest: Manifest) -> str:
    """Return a phrase that says which features a snapshot holds: the main set, those with a name, then the items'."""
    makers = manifest.makers
    phrases = [] if any(not is_item_table(table) for table in makers) else [describe_extractor(None)]
    for table, made_by in makers.items():
        name = f" as the {name_in_words(table)}" if table != FEATURES else ""
        phrases.append(describe_extractor(made_by, is_full=True) + name)
    return "; ".join(phrases)


def name_in_words(table: str) -> str:
    """Return what a feature table is called in a sentence."""
    if table == FEATURES:
        return "features"
    return f"{'modality' if is_item_table(table) else 'feature set'} {table.partition('-')[2]}"


def describe_extractor(extractor: Mapping[str, Any] | None, is_full: bool = False) -> str:
    """Return a phrase that says which features one set holds, and from which weights or file.

    Args:
        extractor: what made the features, None if there are none.
        is_full: also name the SHA-256 of a network's weights, and the preprocessing of pictures.
    """
    if extractor is None:
        return "no visual features"
    if "imported" in extractor:
        of = extractor["vectors_of"]
        return (
            f"{extractor['imported']} features ({extractor['width']} x {extractor['dtype']}, vectors of {of} imported "
            f"from {extractor['file']}, SHA-256 {extractor['file_sha256'][:_DIGEST_CHARACTERS]}…)"
        )
    if "encoder" in extractor:
        return (
            f"{extractor['encoder']} features of texts ({extractor['width']} x {extractor['dtype']}, of "
            f"{', '.join(extractor['columns'])}, by {extractor['model']}, SHA-256 "
            f"{extractor['model_sha256'][:_DIGEST_CHARACTERS]}…)"
        )
    random = ", random weights that were never trained on pictures" if extractor["is_random"] else ""
    words = [f"weights {extractor['weights']}{random}"]
    if is_full and (digest := extractor.get("weights_sha256")):
        words.append(f"SHA-256 of the weights {digest[:_DIGEST_CHARACTERS]}…")
    if is_full and (preprocessing := extractor.get("preprocessing")):
        words.append(f"pictures: {preprocessing}")
    return f"{extractor['architecture']} {extractor['node']} features ({'; '.join(words)})"
