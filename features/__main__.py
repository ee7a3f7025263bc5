"""The command line `python -m features`."""

from collections.abc import Sequence

from dataset.cli import command_line, execute, run

app = command_line(
    "python -m features",
    "Compute visual features of pictures, or import features that exist.",
    {
        "extract": ("features.commands:extract_features", "Compute the features of the pictures of a dataset."),
        "import": ("features.import_command:import_vectors", "Import feature vectors that exist already."),
    },
)


def main(argv: Sequence[str]) -> None:
    """Run one command."""
    execute(app, argv)


if __name__ == "__main__":
    run(app)
