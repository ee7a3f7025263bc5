"""Says in words which features a snapshot has, and where they come from."""

from collections.abc import Mapping
from typing import Any

from dataset.snapshots.manifest import Manifest

_DIGEST_CHARACTERS = 16


def describe_features(manifest: Manifest) -> str:
    """Return a phrase that says which features a snapshot holds: its main set, then those with a name."""
    phrases = [
        describe_extractor(made_by, is_full=True) + (f" as the feature set {name}" if name else "")
        for name, made_by in manifest.extractors.items()
    ]
    return "; ".join(phrases) or describe_extractor(None)


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
    random = ", random weights that were never trained on pictures" if extractor["is_random"] else ""
    words = [f"weights {extractor['weights']}{random}"]
    if is_full and (digest := extractor.get("weights_sha256")):
        words.append(f"SHA-256 of the weights {digest[:_DIGEST_CHARACTERS]}…")
    if is_full and (preprocessing := extractor.get("preprocessing")):
        words.append(f"pictures: {preprocessing}")
    return f"{extractor['architecture']} {extractor['node']} features ({'; '.join(words)})"
