"""The command `python -m flows.extract_features`: run the flow `extract-features`, for example on a Dask cluster."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

from dataset.cli import FLAT, command_line, execute, run
from flows.parameters.config import ExtractFeaturesConfig

app = command_line("python -m flows.extract_features")


@app.default
def extract(
    *,
    config: Annotated[ExtractFeaturesConfig, FLAT] = ExtractFeaturesConfig(),  # noqa: B008 - frozen
    all_pictures: bool = False,
) -> None:
    """Extract features on many machines, on the current Prefect server or one that is started here.

    Args:
        config: which features to compute, and how
        all_pictures: use every picture of the raw folder, with or without a dataset; the table goes to features in it
    """
    # Imported here, because Prefect takes seconds to load.
    from flows.extraction import extract_features
    from flows.server.home import prefect_home
    from flows.server.start import current_api_url, prefect_server

    parameters = asdict(config) | ({"dataset": None} if all_pictures else {})
    with prefect_server(prefect_home(), current_api_url()):
        extract_features(**parameters)


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    execute(app, argv)


if __name__ == "__main__":
    run(app)
