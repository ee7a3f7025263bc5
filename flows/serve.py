"""`python -m flows.serve`: serve the deployments on this machine until Ctrl-C.

It uses the Prefect server at PREFECT_API_URL, or starts one on this machine. Then, in another
terminal in this folder: `prefect deployment run build-dataset/sandbox --watch`.
"""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from prefect import serve
from prefect.settings import get_current_settings

from dataset.cli import ArgumentParser, run
from flows.build_dataset import build_dataset
from flows.server import prefect_server

DEPLOYMENTS = (
    build_dataset.to_deployment(
        name="sandbox",
        description="Crawl the local sandbox and publish its dataset; features on random weights.",
        parameters={"source": "sandbox", "name": "sandbox", "weights": "random:0"},
        concurrency_limit=1,
    ),
    build_dataset.to_deployment(
        name="douban",
        description="Crawl the real site politely and publish its dataset; asks for a contact and ids.",
        parameters={"source": "douban", "name": "douban"},
        concurrency_limit=1,
    ),
    build_dataset.to_deployment(
        name="import",
        description="Publish imported raw tables (python -m dataset import … --to data/<name>/raw).",
        parameters={"source": "import", "name": "import"},
        concurrency_limit=1,
    ),
)


def main(argv: Sequence[str]) -> None:
    """Start a server if none answers, and serve all deployments."""
    ArgumentParser(prog="python -m flows.serve", description=__doc__).parse_args(argv)
    signal.signal(signal.SIGTERM, _end)  # until Prefect's own handler is there
    api_url = str(get_current_settings().api.url or "http://127.0.0.1:4200/api")
    with prefect_server(api_url, Path("data/prefect/server.log")) as started:
        print(f"Prefect server {'started' if started else 'found'} at {api_url.removesuffix('/api')}", flush=True)
        print("In another terminal: prefect deployment run build-dataset/sandbox --watch", flush=True)
        serve(*DEPLOYMENTS)  # type: ignore[arg-type]


def _end(*_: object) -> None:
    """Leave by an exception, so that a server of our own is stopped too."""
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    run(main, "python -m flows.serve")
