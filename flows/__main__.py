"""The commands of `python -m flows`; each is a program of its own too, for example `python -m flows.serve`."""

from collections.abc import Sequence

from dataset.cli import command_line, execute, run

app = command_line(
    "python -m flows",
    "Run all stages in order, with Prefect.",
    {
        "demo": ("flows.demo:demo", "Run the whole pipeline once on invented data, in a few minutes."),
        "serve": ("flows.serve:serve", "Serve the Prefect deployments on this machine."),
        "run": (
            "flows.run:run_flow",
            "Run a flow by its name, with the parameters of a deployment or a settings file.",
        ),
        "forget": (
            "flows.forget:forget_person",
            "Remove a person from a crawl and from Prefect's history.",
        ),
        "extract-features": ("flows.extract_features:extract", "Extract features on many machines."),
    },
)


def main(argv: Sequence[str]) -> None:
    """Run one command."""
    execute(app, argv)


if __name__ == "__main__":
    run(app)
