"""`python -m model.experiment`: train and evaluate several models with several seeds, and write a report.

What it writes is described in `experiments/experiment.py`.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from dataset.cli import FLAT, command_line, execute, run, say
from dataset.errors import MissingInputError, UsageError
from model.experiments.config import ExperimentConfig
from model.experiments.folders import DEFAULT_EXPERIMENTS, DEFAULT_RUNS, DEFAULT_TUNING
from model.experiments.training_options import Tool

if TYPE_CHECKING:
    from dataset.snapshots.snapshot import Snapshot

app = command_line("python -m model.experiment")


@app.default
def experiment(
    study: Path | None = None,
    /,
    *,
    config: Annotated[ExperimentConfig, FLAT] = ExperimentConfig(),  # noqa: B008 - frozen
    settings: Annotated[tuple[str, ...], Parameter(name="--set")] = (),
    snapshot: Path | None = None,
    raw: Path | None = None,
    to: Path | None = None,
    runs: Path = DEFAULT_RUNS,
    searches: Path = DEFAULT_TUNING,
    shard: str | None = None,
    log: Tool | None = None,
) -> None:
    """Train and evaluate several models, and write a report; to continue a stopped experiment, run it again.

    Args:
        study: a TOML file with the models, their settings or searches, and how they are judged (see model/README.md)
        config: the models and seeds
        settings: a setting as KEY=VALUE that all the models have, for example epochs=50; may be repeated
        snapshot: a snapshot's folder (the newest if absent)
        raw: the folder of raw tables and pictures (data/<name>/raw if absent)
        to: the folder to write (data/experiments/[<study>/]<name>-<version> if absent)
        runs: the parent of all run folders
        searches: the parent of the folders of all searches
        shard: run only this part of the runs, for example 2/8, and write no report; when all parts have ended, the
            same command without it writes the report
        log: also write every epoch for this tracking tool, into data/tracking (an extra of the same name)
    """
    from model.experiments.console import console_reporter
    from model.experiments.experiment import Folders, run_shard, run_study
    from model.experiments.run_folder import data_name, find_snapshot
    from model.experiments.settings import read_settings
    from model.experiments.studies.splits import Reported, write_agreements
    from model.experiments.studies.study import Shard, study_of
    from model.experiments.studies.study_file import read_study
    from model.experiments.tracking import open_tracker, require_tool
    from model.report.page import write_report

    require_tool(log)
    part = Shard.parse(shard) if shard else None
    _require_raw(raw)
    if study is None:
        asked, places = study_of(config, read_settings(None, settings)), None
    else:
        _require_in_file(study, config, settings, snapshot)
        asked, places = read_study(study)
        asked = replace(asked, jobs=config.jobs, threads=config.threads)
    opened = [find_snapshot(place, next(iter(asked.features), None)) for place in places or (snapshot,)]
    names = [data_name(one, asked.features) for one in opened]
    if len(set(names)) < len(names):
        raise UsageError(f"{study}: two of the snapshots are called {names[-1]}; give each a study of its own")
    parent = (to or DEFAULT_EXPERIMENTS) / (study.stem if study and not to else "")
    reported = []
    for one, name in zip(opened, names, strict=True):
        folder = to if to and len(opened) == 1 else parent / name
        with open_tracker(log) as tracker, console_reporter(tracker) as reporter:
            if part:
                n_runs = run_shard(one, asked, Folders(runs, searches), part, reporter)
                say(f"Part {shard} of {name} is finished ({n_runs} runs). The report: this command without --shard.")
                continue
            report = run_study(one, asked, folder, Folders(runs, searches), raw or _raw_of(one), reporter)
        reported.append(Reported(one, folder))
        _say_what_was_written(folder, report)
    for again in write_agreements(reported, asked.evaluation):
        write_report(again.folder, again.snapshot, raw or _raw_of(again.snapshot))


def _require_raw(raw: Path | None) -> None:
    if raw and not (raw / "images.parquet").is_file():
        raise MissingInputError(f"{raw}: no images.parquet there; --raw takes the folder of raw tables")


def _raw_of(snapshot: "Snapshot") -> Path:
    return Path("data") / snapshot.name / "raw"


def _say_what_was_written(folder: Path, report: Path) -> None:
    from dataset.tables import read_table
    from model.experiments.studies.fairness import edge_warnings
    from model.schema import SearchedSetting

    if (folder / "searches.parquet").is_file():
        for warning in edge_warnings(read_table(folder / "searches.parquet", SearchedSetting)):
            say(f"Warning: {warning}")
    say(f"The report is {report}; the tables are beside it.")
    say(f"For a paper: tables in LaTeX, Markdown and CSV, methods and BibTeX in {folder / 'tables'};")
    say(f"  charts in PDF and SVG in {folder / 'charts'}.")


def _require_in_file(study: Path, config: ExperimentConfig, settings: Sequence[str], snapshot: Path | None) -> None:
    """Check that no option says what the study file says."""
    default = ExperimentConfig()
    given = [
        f"--{name.replace('_', '-')}"
        for name in ("models", "seeds", "features", "evaluation", "devices")
        if getattr(config, name) != getattr(default, name)
    ]
    given += ["--set"] * bool(settings) + ["--snapshot"] * bool(snapshot)
    if given:
        raise UsageError(f"{given[0]} does not go with a study file; write it into {study}")


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    execute(app, argv)


if __name__ == "__main__":
    run(app)
