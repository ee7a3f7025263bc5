"""The command `python -m flows.serve`: serve the deployments on this machine until Ctrl-C.

It uses the Prefect server at PREFECT_API_URL, or starts one on this machine. To run a deployment, open
another terminal in this folder: `prefect deployment run build-dataset/sandbox --watch`.
"""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from prefect import serve as serve_deployments

from dataset.cli import command_line, execute, run
from dataset.errors import UsageError
from flows.deployments import DEPLOYMENTS, deploy_to_pool, deployment_from, served_deployments
from flows.server import current_api_url, prefect_server

app = command_line("python -m flows.serve")


@app.default
def serve(*, config: tuple[Path, ...] = (), pool: str | None = None, image: str | None = None) -> None:
    """Serve the Prefect deployments on this machine.

    Args:
        config: a TOML file with parameters of build-dataset; lab.toml is served as build-dataset/lab
        pool: register the deployments in this work pool for its workers, then exit
        image: with --pool: a container image with this project
    """
    if image and not pool:
        raise UsageError("--image requires --pool; see python -m flows.serve --help")
    deployments = [*DEPLOYMENTS, *map(deployment_from, config)]
    if pool:
        deploy_to_pool(deployments, pool, image)
        print(f"Registered in work pool {pool}: {', '.join(deployment.label for deployment in deployments)}.")
        print(f"Next: prefect worker start --pool {pool}")
        return
    signal.signal(signal.SIGTERM, _exit)  # until Prefect sets its own handler
    api_url = current_api_url()
    with prefect_server(api_url, Path("data/prefect/server.log")) as is_started:
        print(f"Prefect server {'started' if is_started else 'found'} at {api_url.removesuffix('/api')}", flush=True)
        print("In another terminal: prefect deployment run build-dataset/sandbox --watch", flush=True)
        serve_deployments(*served_deployments(deployments))


def _exit(*_: object) -> None:
    """Exit by an exception, so that a server that was started here is stopped too."""
    sys.exit(128 + signal.SIGTERM)


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    execute(app, argv)


if __name__ == "__main__":
    run(app)
