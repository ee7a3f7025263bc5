"""Says in words which features a snapshot has, and where they come from."""

from collections.abc import Mapping
from typing import Any

from dataset.snapshots.manifest import Manifest

_DIGEST_CHARACTERS = 16


def describe_features(manifest: Manifest) -> str:
    """Return a phrase that says which features a snapshot holds: its main set, then those with a name."""
    phrases = [
        describe_extractor(made_by) + _details(made_by) + (f" as the feature set {name}" if name else "")
        for name, made_by in manifest.extractors.items()
    ]
    return "; ".join(phrases) or describe_extractor(None)


def _details(extractor: Mapping[str, Any]) -> str:
    """Return what else decides a network's features: its weights' SHA-256, and the preprocessing of pictures."""
    digest, preprocessing = extractor.get("weights_sha256"), extractor.get("preprocessing")
    words = [f"SHA-256 of the weights {digest[:_DIGEST_CHARACTERS]}…"] if digest else []
    words += [f"pictures: {preprocessing}"] if preprocessing else []
    return f" ({'; '.join(words)})" if words else ""


def describe_extractor(extractor: Mapping[str, Any] | None) -> str:
    """Return a phrase that says which features one set holds, and from which weights or file."""
    if extractor is None:
        return "no visual features"
    if "imported" in extractor:
        of = extractor["vectors_of"]
        return (
            f"{extractor['imported']} features ({extractor['width']} x {extractor['dtype']}, vectors of {of} imported "
            f"from {extractor['file']}, SHA-256 {extractor['file_sha256'][:_DIGEST_CHARACTERS]}…)"
        )
    random = ", random weights that were never trained on pictures" if extractor["is_random"] else ""
    return f"{extractor['architecture']} {extractor['node']} features (weights {extractor['weights']}{random})"
