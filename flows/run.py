"""The command `python -m flows.run`: run a flow in this process, with a deployment's parameters or a settings file.

It is the short form of `prefect deployment run`: it takes a flow's name alone, and needs no `python -m flows.serve`.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from pydantic import ValidationError

from dataset.cli import command_line, execute, run
from dataset.errors import UsageError

if TYPE_CHECKING:
    from flows.serving.deployments import Deployment

app = command_line("python -m flows.run")

NameValue = Annotated[tuple[str, ...], Parameter(name=("--param", "-p"), n_tokens=1, metavar="NAME=VALUE")]


@app.default
def run_flow(flow: str, /, *, settings: Path | None = None, param: NameValue = ()) -> None:
    """Run a flow here, on the current Prefect server or one that is started for it.

    Args:
        flow: its name (build-dataset), or the name of a deployment (build-dataset/import)
        settings: a TOML file with parameters, as for flows.serve
        param: one more parameter (repeat the option); a value is JSON, or a text as it is
    """
    from flows.parameters.form import in_words
    from flows.server.home import prefect_home
    from flows.server.start import current_api_url, prefect_server

    deployment = _deployment(flow, settings)
    parameters = deployment.parameters | dict(map(_parameter, param))
    try:
        deployment.config(**parameters)
    except ValidationError as error:
        raise UsageError(in_words(error)) from None
    with prefect_server(prefect_home(), current_api_url()):
        deployment.flow(**parameters)


def _deployment(flow: str, settings: Path | None) -> "Deployment":
    """Return the deployment of a settings file, or the first one with this name or of this flow."""
    from flows.serving.deployments import DEPLOYMENTS, deployment_from
    from flows.serving.settings import read_settings

    chosen = [deployment_from(settings, read_settings(settings))] if settings else list(DEPLOYMENTS)
    found = next((one for one in chosen if flow in (one.flow.name, one.label)), None)
    if found is None:
        names = ", ".join(dict.fromkeys(name for one in chosen for name in (one.flow.name, one.label)))
        raise UsageError(f"unknown flow {flow!r}; choose one of: {names}")
    return found


def _parameter(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not (name and sign):
        raise UsageError(f"--param {text!r}: give name=value")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    execute(app, argv)


if __name__ == "__main__":
    run(app)
