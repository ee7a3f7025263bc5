"""The command world: draw an invented world as raw tables, without a site or a crawl."""

from pathlib import Path

from crawler.worlds.features import frame_features
from crawler.worlds.presets import PRESETS, PresetName
from crawler.worlds.tables import truth_tables, write_raw
from crawler.worlds.world import draw_world
from dataset.cli import Count, CountOrZero, say
from dataset.errors import UsageError
from dataset.files import explain_write_errors


def world(
    *,
    preset: PresetName = "paper",
    seed: CountOrZero = 0,
    to: Path | None = None,
    width: Count | None = None,
    replace: bool = False,
) -> None:
    """Draw an invented world as raw tables, in seconds: no site, no crawl, no pictures.

    Args:
        preset: which world
        seed: seed of the world; equal presets and seeds give equal tables on every machine
        to: the raw folder; by default data/worlds/<preset>-<seed>
        width: also write features.parquet, invented features of so many numbers per frame, for `features import`
        replace: replace the folder if it exists

    Raises:
        UsageError: the folder exists.
        PipelineError: a file cannot be written.
    """
    folder = to or Path(f"data/worlds/{preset}-{seed}")
    if folder.exists() and not replace:
        raise UsageError(f"{folder} exists; choose another folder with --to, or add --replace")
    drawn = draw_world(PRESETS[preset], seed)
    counts = write_raw(drawn, folder)
    with explain_write_errors(folder):
        (folder / "truth").mkdir()
        for name, table in truth_tables(drawn).items():
            table.write_parquet(folder / "truth" / f"{name}.parquet")
        if width:
            frame_features(drawn, width).write_parquet(folder / "features.parquet")
    shown = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in counts.items() if n)
    say(f"Drew {preset} (version {drawn.preset.version}), seed {seed}, to {folder}: {shown}.")
    say(f"  Why each movie was watched and what each frame shows: {folder / 'truth'}")
    say(f"Next: python -m dataset build --raw {folder} --to <folder>")
