"""The command reference: publish a reference snapshot, whose content is the same on every machine."""

from crawler.worlds.reference import Size, publish_reference
from dataset.cli import say
from dataset.snapshots.snapshot import DEFAULT_ROOT


def reference(size: Size, /, *, root: str = str(DEFAULT_ROOT)) -> None:
    """Publish a reference snapshot: an invented world with a frozen split and drawn features, for tests and tutorials.

    Args:
        size: small, medium or large
        root: folder or address (s3://bucket/prefix, gs://, az://) of all snapshots
    """
    snapshot, is_new = publish_reference(size, root)
    counts = ", ".join(
        f"{snapshot.manifest.statistics[f'n_{what}']:,} {what}" for what in ("users", "movies", "frames")
    )
    what = "Published" if is_new else "Already there:"
    say(f"{what} {snapshot.label} in {snapshot.folder}, content {snapshot.content_digest[:12]}: {counts}.")
