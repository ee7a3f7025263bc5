"""The command `python -m features extract`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from dataset.cli import ArgumentParser, progress, run
from dataset.errors import UsageError
from features.extract import extract, pictures_of
from features.extractor import IMAGENET, PRECISIONS, Extractor
from features.store import DEFAULT_ROOT


def main(argv: Sequence[str]) -> None:
    """Run one command."""
    arguments = _parser().parse_args(argv)
    arguments.command(arguments)


def _extract(arguments: argparse.Namespace) -> None:
    if arguments.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: no GPU is at hand; use --device cpu")
    n_pictures = pictures_of(arguments.raw, arguments.dataset)["image_sha256"].n_unique()
    extractor = Extractor(arguments.weights, arguments.precision, arguments.device)
    with progress("pictures") as bar:
        task = bar.add_task("Extracting features", total=n_pictures, note=extractor.identity.precision)
        done = extract(
            arguments.raw, arguments.dataset, extractor, arguments.store, lambda n: bar.update(task, advance=n)
        )
    identity = extractor.identity
    print(
        f"{done.n_features:,} frames have their {identity.architecture} {identity.node} feature in "
        f"{arguments.dataset}/frame_features.parquet: {done.n_computed:,} pictures computed now, the rest known, "
        f"{done.n_unreadable:,} unreadable (see features_quarantine.parquet). Weights {identity.weights}, "
        f"{identity.precision}."
    )


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="python -m features", description="Compute visual features of pictures.")
    commands = parser.add_subparsers(required=True, metavar="command")
    command = commands.add_parser("extract", help="VGG-19 fc7 of the pictures of a dataset")
    command.set_defaults(command=_extract)
    command.add_argument("--raw", type=Path, default=Path("data/sandbox/raw"), help="the raw folder with the pictures")
    command.add_argument("--dataset", type=Path, default=Path("data/sandbox/dataset"), help="the built dataset")
    command.add_argument("--weights", default=IMAGENET, help="IMAGENET1K_V1, random:<seed>, or a state dict's file")
    command.add_argument("--precision", default="auto", choices=["auto", *PRECISIONS], help="auto: bf16 where native")
    command.add_argument(
        "--device",
        default="cuda" if torch.cuda.is_available() else "cpu",
        choices=["cpu", "cuda"],
        help="where to compute",
    )
    command.add_argument("--store", type=Path, default=DEFAULT_ROOT, help="where features are kept, by picture")
    return parser


if __name__ == "__main__":
    run(main, "python -m features")
