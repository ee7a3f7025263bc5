"""The command line `python -m features`."""

from collections.abc import Sequence

from dataset.cli import command_line, execute, run

app = command_line(
    "python -m features",
    "Compute features of pictures and texts, or import features that exist.",
    {
        "extract": ("features.commands:extract_features", "Compute the features of the pictures of a dataset."),
        "text": (
            "features.text_command:encode_texts_of_items",
            "Compute the features of the texts of a dataset's items.",
        ),
        "import": ("features.import_command:import_vectors", "Import feature vectors that exist already."),
    },
)


def main(argv: Sequence[str]) -> None:
    """Run one command."""
    execute(app, argv)


if __name__ == "__main__":
    run(app)
