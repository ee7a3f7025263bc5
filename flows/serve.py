"""The command `python -m flows.serve`: serve the deployments on this machine until Ctrl-C.

It uses the Prefect server at PREFECT_API_URL, or starts one on this machine. To run a deployment, open
another terminal in this folder: `prefect deployment run build-dataset/sandbox --watch`.
"""

import os
import shlex
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from pydantic import Field

from dataset.cli import command_line, execute, run, say
from dataset.errors import UsageError

app = command_line("python -m flows.serve")

Suffix = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]


@app.default
def serve(
    *,
    settings: Annotated[tuple[Path, ...], Parameter(name=("--settings", "--config"))] = (),
    allow: Path | None = None,
    suffix: Suffix | None = None,
    adopt: bool = False,
    pool: str | None = None,
    image: str | None = None,
    folder: Path | None = None,
) -> None:
    """Serve the Prefect deployments on this machine.

    Args:
        settings: a TOML file with parameters of build-dataset and its schedule; lab.toml is served as build-dataset/lab
        allow: a TOML file with the folders, roots, runners, weights, site_urls and models that runs may use besides
            those in --settings
        suffix: add this to the names of the deployments (sandbox-b), because another checkout serves the plain names
        adopt: take over deployments that another checkout has registered, because it has moved here
        pool: register the deployments in this work pool for its workers, then exit
        image: with --pool: a container image with this project
        folder: with --pool: the folder on the workers' machines in which runs work, if it is not this one
    """
    if (image or folder) and not pool:
        raise UsageError("--image and --folder require --pool; see python -m flows.serve --help")
    # Imported here, because Prefect takes seconds to load.
    from prefect import serve as serve_deployments
    from prefect.settings import get_current_settings

    from flows.messages.logs import stop_without_noise
    from flows.parameters.allowed import VARIABLE, Allowed
    from flows.server.home import prefect_home
    from flows.server.killed import end_killed_runs
    from flows.server.start import current_api_url, prefect_server
    from flows.serving.deployments import DEPLOYMENTS, deployment_from
    from flows.serving.registration import Pool, register
    from flows.serving.settings import read_settings, read_toml

    read = {file: read_settings(file) for file in settings}
    allowed = (read_toml(Allowed, allow) if allow else Allowed()).with_values_of(read.values())
    deployments = [*DEPLOYMENTS, *(deployment_from(file, values) for file, values in read.items())]
    if suffix:
        deployments = [replace(one, name=f"{one.name}-{suffix}") for one in deployments]
    signal.signal(signal.SIGTERM, _exit)  # until Prefect sets its own handler
    home, known_login = prefect_home(), get_current_settings().profiles_path
    with prefect_server(home, current_api_url(), may_start=not pool) as server:
        if pool:
            register(deployments, adopt, Pool(pool, image, folder, allowed))
            say(f"Registered in work pool {pool}: {', '.join(deployment.label for deployment in deployments)}.")
            say(f"Next: prefect worker start --pool {pool}")
            return
        address = server.api_url.removesuffix("/api")
        say(f"Prefect server {'started' if server.is_started else 'found'} at {address}")
        say(*_how_to_log_in(home, known_login, deployments[0].label), sep="\n")
        interrupted = end_killed_runs() if server.is_started else []
        stop_without_noise()
        os.environ[VARIABLE] = allowed.to_json()  # the processes of the runs read it
        serve_deployments(*register(deployments, adopt, interrupted=interrupted), pause_on_shutdown=False)


def _how_to_log_in(home: Path, known_login: Path, label: str) -> list[str]:
    """Return what to do in another terminal and in a browser."""
    from flows.server.home import LOGIN_FILE

    login, run_it = home / LOGIN_FILE, f"prefect deployment run {label} --watch"
    if not login.exists():  # a server that we found, with a login that the user has
        return [f"In another terminal: {run_it}"]
    by_itself = [f"In another terminal, in this folder: {run_it}"]
    elsewhere = [
        f"In another terminal, first: export PREFECT_PROFILES_PATH={shlex.quote(str(login.resolve()))}",
        f"Then: {run_it}",
    ]
    in_browser = f"The page asks for a login: PREFECT_API_AUTH_STRING in {login}, new for each start"
    return [*(by_itself if known_login.resolve() == login.resolve() else elsewhere), in_browser]


def _exit(*_: object) -> None:
    """Exit by an exception, so that a server that was started here is stopped too."""
    sys.exit(128 + signal.SIGTERM)


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    execute(app, argv)


if __name__ == "__main__":
    run(app)
