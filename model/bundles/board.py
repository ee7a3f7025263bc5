"""Shows the bundles of a folder on one static page: a table per data set and task, and the steps to each result.

Each bundle is verified if its snapshot is there. Only a bundle that stands the check, or that cannot be checked here
and says so, is in a table. Everything that a bundle names is text: it is escaped, and no model of its is imported.
"""

import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset.cli import printable
from dataset.errors import MissingInputError, PipelineError
from dataset.files import write_text
from dataset.progress import stage
from dataset.report.numbers import Number, NumberSource
from dataset.report.page import interval, render
from dataset.tables import write_table
from model.bundles.contents import STUDY, Bundle, BundledRun
from model.bundles.entries import MEASURES, Table, tables_of
from model.bundles.reading import open_bundle
from model.bundles.verify import snapshot_of, verify_bundle
from model.report.model_styles import STYLES, UPPER_BOUNDS, base_of
from model.schema import Entry

_NO_SNAPSHOT = "not verified: its snapshot is not here"
_VERIFIED = "verified"
_TASKS = {"item": "Items", "frame": "Key frames"}


@dataclass(frozen=True)
class Judged:
    """A file of the folder: the bundle, None if it is none or was refused; and what was found, in words."""

    path: Path
    bundle: Bundle | None
    words: str

    @property
    def is_verified(self) -> bool:
        """Whether all its numbers were checked against the snapshot."""
        return self.words == _VERIFIED


@stage("Verifying the bundles")
def judge_folder(folder: Path, snapshots: Path) -> list[Judged]:
    """Open and verify each bundle of a folder, by name.

    Raises:
        MissingInputError: there is none.
    """
    paths = sorted(path for path in folder.iterdir() if path.suffix == ".zip" and path.is_file())
    if not paths:
        raise MissingInputError(f"{folder}: no bundle there (.zip); `python -m model.bundle` makes one")
    seen: dict[str, str] = {}
    judged = []
    for path in paths:
        one = _judge(path, snapshots)
        first = seen.setdefault(one.bundle.sha256, path.name) if one.bundle else path.name
        judged.append(one if first == path.name else Judged(path, None, f"refused: the same file as {first}"))
    return judged


def write_page(judged: Sequence[Judged], page: Path) -> None:
    """Write the page, and beside it the table that its numbers come from."""
    shown = [one.bundle for one in judged if one.bundle]
    verified = {one.bundle.name for one in judged if one.bundle and one.is_verified}
    tables, entries = tables_of(shown, verified)
    file = page.with_suffix(".parquet")
    write_table(entries, Entry, file)
    numbers = NumberSource({file.name: entries}, {})
    anchors = {bundle.name: f"bundle-{number}" for number, bundle in enumerate(shown, 1)}
    sets = [
        _data_set(numbers, file.name, number, of_data, anchors) for number, of_data in enumerate(_by_data(tables), 1)
    ]
    text = render(
        "model.report",
        "leaderboard.html.j2",
        contents=[
            *((one["id"], one["name"]) for one in sets),
            ("steps", "Steps"),
            *([("refused", "Not shown")] * any(one.bundle is None for one in judged)),
        ],
        sets=sets,
        steps=[_steps(one, anchors[one.bundle.name], page) for one in judged if one.bundle],
        refused=[(printable(one.path.name), printable(one.words)) for one in judged if one.bundle is None],
        n_verified=len(verified),
        n_shown=len(shown),
        interval=interval,
        file=file.name,
    )
    write_text(page, text)


def _judge(path: Path, snapshots: Path) -> Judged:
    try:
        bundle = open_bundle(path)
        try:
            snapshot = snapshot_of(bundle, None, snapshots)
        except MissingInputError:
            return Judged(path, bundle, _NO_SNAPSHOT)
        verify_bundle(bundle, snapshot)
    except PipelineError as error:
        why = str(error).removeprefix(f"{path}: ").removeprefix(f"{path.stem}: ")
        return Judged(path, None, f"refused: {' '.join(why.split())}")
    return Judged(path, bundle, _VERIFIED)


def _by_data(tables: Sequence[Table]) -> list[list[Table]]:
    """Return the tables of each data set, those with verified results first, then by name."""
    found: dict[str, list[Table]] = {}
    for table in tables:
        found.setdefault(table.snapshot.content_digest, []).append(table)

    def order(of_data: list[Table]) -> tuple[bool, str, str]:
        return of_data[0].best is None, str(of_data[0].snapshot), of_data[0].snapshot.content_digest

    return sorted(found.values(), key=order)


def _data_set(
    numbers: NumberSource, file: str, number: int, tables: Sequence[Table], anchors: dict[str, str]
) -> dict[str, Any]:
    """Return what the page shows of a data set."""
    snapshot = tables[0].snapshot
    return {
        "id": f"data-{number}",
        "name": str(snapshot),
        "digest": snapshot.content_digest,
        "tables": [
            {
                "title": _TASKS[table.task],
                "k": table.k,
                "task": table.task,
                "n_sampled": table.n_sampled,
                "rows": list(_rows(numbers, file, table, anchors)),
                "others": [(printable(bundle), printable(model)) for bundle, model in table.others],
            }
            for table in tables
        ],
    }


def _rows(numbers: NumberSource, file: str, table: Table, anchors: dict[str, str]) -> Iterator[dict[str, Any]]:
    hr, ndcg, sampled = MEASURES[table.task]
    for entry in table.entries:
        where = {
            "data": table.snapshot.content_digest,
            "bundle": entry.bundle,
            "model": entry.model,
            "task": table.task,
        }

        def measured(metric: str, where: dict[str, Any] = where) -> dict[str, Number | None]:
            found = {"metric": metric, "k": table.k}
            return {name: numbers.of(file, name, **where, **found) for name in ("value", "ci_low", "ci_high", "std")}

        yield {
            "title": title_of(entry.model),
            "bundle": printable(entry.bundle),
            "anchor": anchors[entry.bundle],
            "is_verified": entry.is_verified,
            "is_upper_bound": base_of(entry.model) in UPPER_BOUNDS,
            "is_best": entry == table.best,
            "n_seeds": numbers.of(file, "n_seeds", **where, metric=ndcg, k=table.k),
            "hr": measured(hr),
            "ndcg": measured(ndcg),
            "sampled": measured(sampled) if sampled else None,
            "p": numbers.of(file, "p_best", **where, metric=ndcg, k=table.k),
        }


def title_of(label: str) -> str:
    """Return a label as the page shows it: with our model's title, or as it is; nothing is imported to find it."""
    base, _, setting = label.partition(" ")
    style = STYLES.get(base)
    return printable(label if style is None else f"{style.title} ({setting})" if setting else style.title)


def _steps(judged: Judged, anchor: str, page: Path) -> dict[str, Any]:
    """Return the steps to a bundle's results."""
    bundle = judged.bundle
    if bundle is None:
        raise ValueError("a refused bundle has no steps")
    manifest = bundle.manifest
    commands = [f"python -m model.experiment {STUDY}"] if bundle.study else [*map(_command, manifest.runs)]
    return {
        "id": anchor,
        "name": printable(bundle.name),
        "file": printable(judged.path.name),
        "link": Path(os.path.relpath(judged.path.resolve(), page.parent.resolve())).as_posix(),
        "sha256": bundle.sha256,
        "words": judged.words,
        "is_verified": judged.is_verified,
        "snapshot": str(manifest.snapshot),
        "digest": manifest.snapshot.content_digest,
        "software": {printable(name): printable(number) for name, number in manifest.software.items()},
        "study": bundle.study and "".join(printable(line) + "\n" for line in bundle.study.splitlines()),
        "commands": [printable(command) for command in dict.fromkeys(commands)],
        "runs": [_run(run) for run in manifest.runs],
    }


def _command(run: BundledRun) -> str:
    """Return the command that repeats a run."""
    if run.recommendations is not None:
        file = str(run.recommendations.get("file", "<file>"))
        words = ["model.evaluate", "--recommendations", file, "--name", run.model, "--run-seed", str(run.seed)]
    else:
        given = {name: value for name, value in {**run.config, **run.training}.items() if value is not None}
        settings = [word for name, value in given.items() for word in ("--set", f"{name}={value}")]
        features = ["--features", run.features] if run.features else []
        words = ["model.train", "--model", run.model, "--seed", str(run.seed), *features, *settings]
    return f"python -m {shlex.join(words)}"


def _run(run: BundledRun) -> dict[str, Any]:
    evaluation = run.evaluation
    sampled = f", {evaluation.n_negatives:,} negatives" if evaluation.protocol != "full" else ""
    return {
        "title": f"{title_of(run.label)}, seed {run.seed}",
        "weights": run.weights_sha256,
        "code": printable(run.code_version),
        "evaluation": f"{evaluation.protocol}{sampled}, seed {evaluation.seed}, {evaluation.n_bootstrap:,} resamples",
        "settings": [
            (printable(name), printable(str(value))) for name, value in {**run.config, **run.training}.items()
        ],
    }
