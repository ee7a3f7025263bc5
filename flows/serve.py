"""`python -m flows.serve`: serve the deployments on this machine until Ctrl-C.

It uses the Prefect server at PREFECT_API_URL, or starts one on this machine. Then, in another
terminal in this folder: `prefect deployment run build-dataset/sandbox --watch`.

With `--pool` it registers the deployments in a work pool instead, for workers (`prefect worker
start --pool …`), and ends.
"""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from prefect import serve
from prefect.settings import get_current_settings

from dataset.cli import ArgumentParser, run
from flows.deployments import deploy_to_pool, served_deployments
from flows.server import prefect_server


def main(argv: Sequence[str]) -> None:
    """Serve all deployments, from a server of our own if none answers; or register them in a work pool."""
    parser = ArgumentParser(prog="python -m flows.serve", description="Serve the Prefect deployments on this machine.")
    parser.add_argument("--pool", help="register in this work pool instead of serving, and end")
    parser.add_argument("--image", help="with --pool: a container image with this project in it")
    arguments = parser.parse_args(argv)
    if arguments.image and not arguments.pool:
        parser.error("--image goes with --pool")
    if arguments.pool:
        names = deploy_to_pool(arguments.pool, arguments.image)
        print(f"Registered in work pool {arguments.pool}: {', '.join(names)}.")
        print(f"Next: prefect worker start --pool {arguments.pool}")
        return
    signal.signal(signal.SIGTERM, _end)  # until Prefect's own handler is there
    api_url = str(get_current_settings().api.url or "http://127.0.0.1:4200/api")
    with prefect_server(api_url, Path("data/prefect/server.log")) as started:
        print(f"Prefect server {'started' if started else 'found'} at {api_url.removesuffix('/api')}", flush=True)
        print("In another terminal: prefect deployment run build-dataset/sandbox --watch", flush=True)
        serve(*served_deployments())


def _end(*_: object) -> None:
    """Leave by an exception, so that a server of our own is stopped too."""
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    run(main, "python -m flows.serve")
