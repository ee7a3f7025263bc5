"""`python -m flows.extract_features`: run the flow `extract-features` once, for example on a Dask cluster."""

from collections.abc import Sequence
from pathlib import Path

from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

from dataset.cli import ArgumentParser, run, whole_number
from features.config import IMAGENET, ExtractorConfig
from features.store import DEFAULT_ROOT
from flows.config import PICTURES_A_SHARD
from flows.extraction import extract_features
from flows.runners import LOCAL, task_runner
from flows.server import prefect_server


def main(argv: Sequence[str]) -> None:
    """Run the flow once, on the current Prefect server or one that is started here."""
    parser = ArgumentParser(prog="python -m flows.extract_features", description="Extract features on many machines.")
    parser.add_argument("--raw", type=Path, default=Path("data/sandbox/raw"), help="the raw folder with the pictures")
    parser.add_argument("--dataset", type=Path, default=Path("data/sandbox/dataset"), help="the built dataset")
    parser.add_argument(
        "--all-pictures", action="store_true", help="every picture of the raw folder, without a dataset"
    )
    parser.add_argument("--store", type=Path, default=DEFAULT_ROOT, help="where features are kept; all workers see it")
    parser.add_argument("--extractor", default=ExtractorConfig.name, help="architecture[:node] of torchvision")
    parser.add_argument("--weights", default=IMAGENET, help="torchvision's name, random:<seed>, or a file")
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"], help="auto: bf16 where native")
    parser.add_argument("--decoding", default="fast", choices=["fast", "full"], help="of large JPEGs")
    parser.add_argument("--retry", action="store_true", help="try again the pictures that failed, and only them")
    parser.add_argument("--pictures-a-shard", type=whole_number(), default=PICTURES_A_SHARD, help="pictures a task")
    parser.add_argument(
        "--threads",
        type=whole_number(0),
        default=0,
        help="of a shard (0: all); the same number gives the same bits",
    )
    parser.add_argument("--runner", default=LOCAL, help="local, dask (processes on this machine) or dask:<address>")
    options = vars(parser.parse_args(argv))
    runner = task_runner(options.pop("runner"))
    if options.pop("all_pictures"):
        options["dataset"] = None
    api_url = str(get_current_settings().api.url or "http://127.0.0.1:4200/api")
    with (
        prefect_server(api_url, Path("data/prefect/server.log")),
        temporary_settings({PREFECT_API_URL: api_url}),
    ):
        extract_features.with_options(task_runner=runner)(**options)


if __name__ == "__main__":
    run(main, "python -m flows.extract_features")
