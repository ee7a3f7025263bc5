"""The commands of `python -m model`; each also runs directly, for example as `python -m model.train`."""

from collections.abc import Sequence

from dataset.cli import command_line, execute, run

app = command_line(
    "python -m model",
    "Train, evaluate and compare models on published snapshots.",
    {
        "train": ("model.train:train", "Train a model on a snapshot."),
        "evaluate": ("model.evaluate:evaluate_run", "Evaluate a trained run on held-out data."),
        "recommend": ("model.recommend:recommend_movies", "Recommend movies, each with a key frame."),
        "experiment": ("model.experiment:experiment", "Train and evaluate several models, and write a report."),
        "tune": ("model.tune:tune_settings", "Search for a model's best settings on validation."),
        "runs": ("model.runs:runs_command", "List the runs, or remove some."),
        "compare": ("model.compare:compare", "Show which runs differ by more than chance."),
        "bundle": ("model.bundle:bundle_results", "Pack the results of runs into one file that others can check."),
        "verify_results": ("model.verify_results:verify_results", "Check the numbers of a bundle."),
        "leaderboard": ("model.leaderboard:leaderboard", "Show the bundles of a folder on one page."),
    },
)


def main(argv: Sequence[str]) -> None:
    """Run one command."""
    execute(app, argv)


if __name__ == "__main__":
    run(app)
