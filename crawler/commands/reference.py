"""The command reference: publish a reference snapshot, whose content is the same on every machine."""

from crawler.worlds.reference import REFERENCES, Size, publish_reference
from dataset.cli import say
from dataset.snapshots import DEFAULT_ROOT


def reference(size: Size, /, *, root: str = str(DEFAULT_ROOT)) -> None:
    """Publish a reference snapshot: an invented world with a frozen split and drawn features, for tests and tutorials.

    Args:
        size: small, medium or large
        root: folder or address (s3://bucket/prefix, gs://, az://) of all snapshots
    """
    snapshot, is_new = publish_reference(size, root)
    numbers = snapshot.manifest.statistics
    counts = ", ".join(f"{numbers[f'n_{what}']:,} {what}" for what in ("users", "movies", "interactions", "frames"))
    what = "Published" if is_new else "Already there:"
    say(f"{what} {snapshot.label} in {snapshot.folder}, digest {REFERENCES[size].digest[:12]}: {counts}.")
