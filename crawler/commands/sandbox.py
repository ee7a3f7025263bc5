"""The command sandbox: serve the sandbox site until Ctrl-C."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from pydantic import Field

from crawler.sandbox.answers import ROLES
from crawler.sandbox.command import LAST_PORT, serve
from crawler.sandbox.faults.switches import HELP, switched
from crawler.sandbox.world import WorldConfig
from crawler.worlds.presets import PresetName
from dataset.cli import Count, CountOrZero
from dataset.errors import UsageError


def sandbox(
    *,
    seed: CountOrZero = WorldConfig.seed,
    users: Count = WorldConfig.n_users,
    movies: Count = WorldConfig.n_movies,
    world: PresetName | None = None,
    port: Annotated[CountOrZero, Field(le=LAST_PORT - len(ROLES) + 1)] = 8801,
    site_file: Path = Path("data/sandbox/site.json"),
    faults: Annotated[str | None, Parameter(help=HELP, metavar="FAULT,…")] = None,
    preset: Literal["2026"] | None = None,
    log: Path | None = None,
) -> None:
    """Serve the sandbox, a local stand-in for the site.

    Args:
        seed: seed of the world; equal seeds give equal worlds
        users: number of people
        movies: number of movies
        world: serve one of the worlds of `python -m crawler world`, which have their own numbers of people and movies
        port: the first of four consecutive ports; 0: any free ports
        site_file: file with the sandbox's addresses for the crawler; it exists while the sandbox runs
        faults: what goes wrong
        preset: many faults at once: 2026 is how the site answers a guest that year; --faults changes single values
        log: log file: one JSON line per request

    Raises:
        UsageError: a fault is unknown, its value is wrong or does not fit the preset, a number is out of range, or
            --world came with --users or --movies.
        PipelineError: a port is in use, or a file cannot be written.
    """
    if world and (users, movies) != (WorldConfig.n_users, WorldConfig.n_movies):
        raise UsageError(f"--world {world} has its own numbers of people and movies; leave out --users and --movies")
    try:
        switches = switched(faults, preset)
    except ValueError as error:
        with_preset = f" with --preset {preset}" if preset else ""
        raise UsageError(f"--faults {faults}{with_preset}: {error}; see python -m crawler sandbox --help") from None
    serve(WorldConfig(seed=seed, n_users=users, n_movies=movies, preset=world), port, site_file, switches, log)
