"""The command sandbox: serve the sandbox site until Ctrl-C."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import cyclopts
from cyclopts import Parameter
from pydantic import Field

from crawler.sandbox.answers import ROLES
from crawler.sandbox.command import LAST_PORT, serve
from crawler.sandbox.faults.switches import HELP, switched
from crawler.sandbox.world import WorldConfig
from dataset.cli import Count, CountOrZero


def _checked(_: type, tokens: Sequence[cyclopts.Token]) -> str:
    switched(tokens[0].value)
    return tokens[0].value


def sandbox(
    *,
    seed: CountOrZero = WorldConfig.seed,
    users: Count = WorldConfig.n_users,
    movies: Count = WorldConfig.n_movies,
    port: Annotated[CountOrZero, Field(le=LAST_PORT - len(ROLES) + 1)] = 8801,
    site_file: Path = Path("data/sandbox/site.json"),
    faults: Annotated[str | None, Parameter(converter=_checked, n_tokens=1, help=HELP, metavar="FAULT,…")] = None,
    preset: Literal["2026"] | None = None,
    log: Path | None = None,
) -> None:
    """Serve the sandbox, a local stand-in for the site.

    Args:
        seed: seed of the world; equal seeds give equal worlds
        users: number of people
        movies: number of movies
        port: the first of four consecutive ports; 0: any free ports
        site_file: file with the sandbox's addresses for the crawler; it exists while the sandbox runs
        faults: what goes wrong
        preset: many faults at once: 2026 is how the site answers a guest that year; --faults changes single values
        log: log file: one JSON line per request
    """
    serve(WorldConfig(seed=seed, n_users=users, n_movies=movies), port, site_file, switched(faults, preset), log)
