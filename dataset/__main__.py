"""The commands of `python -m dataset`."""

from collections.abc import Sequence

from dataset.cli import command_line, execute, run

app = command_line(
    "python -m dataset",
    "Build and publish datasets from raw tables.",
    {
        "import": ("dataset.commands.building:import_ratings_file", "Make raw tables from a ratings file of your own."),
        "pictures": (
            "dataset.commands.pictures:show_pictures",
            "Show which pictures of a raw folder say nothing, with a contact sheet.",
        ),
        "build": ("dataset.commands.building:build_dataset", "Filter and split raw tables."),
        "kcore": ("dataset.commands.building:filter_k_core", "Filter a Parquet file of any size to its k-core."),
        "export": (
            "dataset.commands.building:export_dataset",
            "Write a dataset for RecBole, LightGCN, Cornac and others.",
        ),
        "publish": ("dataset.commands.snapshots:publish_dataset", "Publish a built dataset as the next version."),
        "list": ("dataset.commands.snapshots:list_published", "List the published snapshots."),
        "show": ("dataset.commands.snapshots:show", "Show what a snapshot holds."),
        "verify": ("dataset.commands.snapshots:verify_files", "Check every byte of a snapshot."),
        "report": ("dataset.commands.snapshots:report", "Write a snapshot's page: numbers, charts and pictures."),
        "risk": ("dataset.commands.risk:risk", "Show how many people a few known ratings single out."),
        "diff": ("dataset.commands.snapshots:diff", "Show what changed between two snapshots."),
        "push": ("dataset.commands.sharing:push_snapshot", "Upload a snapshot to the Hugging Face Hub or Zenodo."),
        "pull": ("dataset.commands.sharing:pull_snapshot", "Fetch a snapshot from an object store or Zenodo."),
    },
)


def main(argv: Sequence[str]) -> None:
    """Run one command."""
    execute(app, argv)


if __name__ == "__main__":
    run(app)
