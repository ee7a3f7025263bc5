"""The command `python -m features extract`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from dataset.cli import ArgumentParser, progress, run, whole_number
from dataset.errors import UsageError
from features.config import DECODINGS, IMAGENET, ExtractorConfig
from features.extract import ExtractOptions, compute, finish, plan
from features.extractor import PRECISIONS, Extractor
from features.store import DEFAULT_ROOT, FeatureStore


def main(argv: Sequence[str]) -> None:
    """Run one command."""
    arguments = _parser().parse_args(argv)
    arguments.command(arguments)


def _extract(arguments: argparse.Namespace) -> None:
    if arguments.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: no GPU is at hand; use --device cpu")
    config = ExtractorConfig(arguments.extractor, arguments.weights, arguments.precision, arguments.decoding)
    extractor = Extractor(config, arguments.device, arguments.store / "weights.json")
    store = FeatureStore(arguments.store, extractor.identity)
    dataset = None if arguments.all_pictures else arguments.dataset
    to_do = plan(arguments.raw, dataset, store, arguments.retry)
    options = ExtractOptions(arguments.batch_size, arguments.decoders)
    with progress("pictures") as bar:
        task = bar.add_task("Extracting features", total=to_do.missing.height, note="")

        def advance(n: int) -> None:
            bar.update(task, advance=n, note=f"{bar.tasks[task].speed or 0:,.1f} a second")

        if not to_do.missing.is_empty():
            compute(arguments.raw, to_do.missing, extractor, store, options, advance)
    print(finish(arguments.raw, dataset, to_do, store).summary(extractor.identity))


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="python -m features", description="Compute visual features of pictures.")
    commands = parser.add_subparsers(required=True, metavar="command")
    command = commands.add_parser("extract", help="compute the features of the pictures of a dataset")
    command.set_defaults(command=_extract)
    command.add_argument("--raw", type=Path, default=Path("data/sandbox/raw"), help="the raw folder with the pictures")
    command.add_argument("--dataset", type=Path, default=Path("data/sandbox/dataset"), help="the built dataset")
    command.add_argument(
        "--all-pictures",
        action="store_true",
        help="every picture of the raw folder, with or without a dataset; the table goes into the raw folder",
    )
    command.add_argument(
        "--extractor",
        default=ExtractorConfig.name,
        help="architecture[:node] of torchvision: vgg19 (ends at fc7), resnet50:avgpool, vit_b_16, …; without a node, "
        "what goes into the last linear layer",
    )
    command.add_argument(
        "--weights", default=IMAGENET, help="torchvision's name, random:<seed>, or a state dict's file"
    )
    command.add_argument("--precision", default="auto", choices=["auto", *PRECISIONS], help="auto: bf16 where native")
    command.add_argument(
        "--decoding",
        default=ExtractorConfig.decoding,
        choices=DECODINGS,
        help="fast: large JPEGs at 1/2, 1/4 or 1/8 of their size, never below 1.4 times what is needed",
    )
    command.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"], help="auto: the GPU if any")
    command.add_argument("--store", type=Path, default=DEFAULT_ROOT, help="where features are kept, by picture")
    command.add_argument("--retry", action="store_true", help="try again the pictures that failed, and only them")
    command.add_argument("--batch-size", type=whole_number(0), default=0, help="pictures in a batch (0: by device)")
    command.add_argument("--decoders", type=whole_number(0), default=0, help="decoder processes (0: by device)")
    return parser


if __name__ == "__main__":
    run(main, "python -m features")
