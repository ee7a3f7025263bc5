"""What an experiment writes for a paper: every number found in the results, and names of any characters."""

import csv
import itertools
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import polars as pl
import pytest

from dataset.building.split import Strategy
from dataset.report.numbers import Number, NumberSource
from dataset.report.theme import for_paper
from dataset.snapshots.snapshot import Snapshot
from dataset.tables import read_table
from dataset.wording import Wording
from model.data.tables import Tables
from model.experiments.config import ExperimentConfig
from model.experiments.experiment import run_experiment
from model.report.model_styles import style_of
from model.report.paper.formats import as_latex, as_markdown
from model.report.paper.latex import latex
from model.report.paper.methods import _SPLITS, methods
from model.report.paper.references import _OF_MODEL, bibtex, entries
from model.report.paper.tables import Cell, PaperTable, paper_tables
from model.report.repeats import Repeats
from model.schema import Comparison, Metric
from model.training.config import TrainingConfig

HOSTILE = [
    "a_b",
    "50% & more",
    "#1 {x} $y$ ~ ^",
    r"back\slash \input{/etc/passwd}",
    "[start] *star",
    "<b>|bar|</b>",
    '"quoted" `tick`',
    "two -- dashes --- three",
    "霸王别姬",
    "two\nlines\tand\0more",
    "RP³β ± −1",
    "%",
    "\\",
]
DOCUMENT = r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{booktabs}\begin{document}%s\end{document}"


@pytest.fixture(scope="module")
def finished(
    publish_below: Callable[[Path, Tables], Snapshot], tables: Tables, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Snapshot]:
    folder = tmp_path_factory.mktemp("paper")
    snapshot = publish_below(folder, tables)
    config = ExperimentConfig(
        ("bpr", "popular", "visrank", "random"), (0, 1), TrainingConfig(epochs=2), jobs=1, threads=1
    )
    return run_experiment(snapshot, config, folder / "experiment", folder / "runs", None).parent, snapshot


def shown(tex: str) -> str:
    """Return what LaTeX shows."""
    latex2text = pytest.importorskip("pylatexenc.latex2text")
    return str(latex2text.LatexNodes2Text(keep_comments=False).latex_to_text(tex))


def rows_of(tex: str) -> list[list[str]]:
    """Return the cells between \\midrule and \\bottomrule."""
    body = tex.partition("\\midrule\n")[2].partition("\\bottomrule")[0]
    return [[cell.strip() for cell in row.removesuffix(" \\\\").split(" & ")] for row in body.splitlines()]


@pytest.mark.parametrize(("name", "task"), [("items", "item"), ("key_frames", "frame")])
def test_every_number_of_a_table_is_found_in_the_results(finished: tuple[Path, Snapshot], name: str, task: str) -> None:
    folder, _ = finished
    tex = (folder / "tables" / f"{name}.tex").read_text(encoding="utf-8")
    heads = tex.partition("\\toprule\n")[2].partition(" \\\\")[0].split(" & ")[1:]
    metrics = read_table(folder / "metrics.parquet", Metric).with_columns(pl.col("task").cast(pl.String))
    titles = {style_of(model).title: model for model in metrics["model"].unique()}
    rows = rows_of(tex)
    assert len(rows) == metrics.filter(task=task, metric="ndcg")["model"].n_unique()
    for place, head in enumerate(heads, 1):
        metric, k = head.split("@")
        means = {}
        for row in rows:
            values = metrics.filter(task=task, metric=metric.lower(), k=int(k), model=titles[row[0]])["value"]
            mean, spread = re.findall(r"\d+\.\d+", row[place])
            assert (mean, spread) == (f"{values.mean():.4f}", f"{values.std():.4f}")
            means[row[0]] = mean
        best, *rest = sorted(set(means.values()), reverse=True)
        for row in rows:
            assert ("\\textbf" in row[place]) == (means[row[0]] == best)
            assert ("\\underline" in row[place]) == (means[row[0]] in rest[:1])


def test_a_mark_says_that_a_model_is_worse_than_the_best_by_more_than_chance(finished: tuple[Path, Snapshot]) -> None:
    folder, _ = finished
    compared = read_table(folder / "comparisons.parquet", Comparison).filter(pl.col("task").cast(pl.String) == "item")
    rows = rows_of((folder / "tables/items.tex").read_text(encoding="utf-8"))
    place = 1 + 3 + 1  # NDCG@15
    best = next(row[0] for row in rows if "\\textbf" in row[place])
    for row in rows:
        pair = {style_of(best).title, row[0]}
        real = [
            is_real
            for model, other, is_real in compared.filter(metric="ndcg", k=15).select("model", "other", "is_real").rows()
            if {style_of(model).title, style_of(other).title} == pair
        ]
        assert ("\\dag" in row[place]) == (real == [True])


def test_the_differences_and_p_values_are_those_of_the_comparisons(finished: tuple[Path, Snapshot]) -> None:
    folder, _ = finished
    compared = read_table(folder / "comparisons.parquet", Comparison).filter(
        pl.col("task").cast(pl.String) == "item", metric="ndcg", k=15
    )
    known = {f"{abs(value):.4f}" for name in ("difference", "ci_low", "ci_high") for value in compared[name]}
    known_p = {"< 0.001" if p < 0.001 else f"{p:.3f}" for p in compared["p_holm"]}
    for row in rows_of((folder / "tables/items_significance.tex").read_text(encoding="utf-8")):
        assert {re.findall(r"\d\.\d{4}", cell)[0] for cell in row[1:4]} <= known
        assert shown(row[4]).strip() in known_p


def test_markdown_and_csv_hold_the_same_numbers(finished: tuple[Path, Snapshot]) -> None:
    folder, _ = finished
    tex = rows_of((folder / "tables/items.tex").read_text(encoding="utf-8"))
    lines = (folder / "tables/items.md").read_text(encoding="utf-8").splitlines()[2 : 2 + len(tex)]
    with (folder / "tables/items.csv").open(encoding="utf-8") as file:
        _, *table = csv.reader(file)
    for in_tex, in_markdown, in_csv in zip(tex, lines, table, strict=True):
        numbers = [number for cell in in_tex[1:] for number in re.findall(r"\d\.\d{4}", cell)]
        assert re.findall(r"\d\.\d{4}", in_markdown) == numbers
        assert [f"{float(value):.4f}" for value in in_csv[1:]] == numbers


def test_the_sizes_and_the_methods_say_what_the_manifest_says(finished: tuple[Path, Snapshot]) -> None:
    folder, snapshot = finished
    numbers = snapshot.manifest.statistics
    sizes = {row[0]: row[1] for row in rows_of((folder / "tables/dataset.tex").read_text(encoding="utf-8"))}
    assert sizes["users"] == f"{numbers['n_users']:,}"
    assert sizes["test interactions"] == f"{numbers['n_test_interactions']:,}"
    told = (folder / "tables/methods.tex").read_text(encoding="utf-8")
    for words in (
        f"{numbers['n_users']:,} users",
        "trained 2 times (seeds 0 and 1)",
        "at most 2 epochs",
        "1,000",
        "Holm",
    ):
        assert words in told or words == "Holm"
    cited = set(re.findall(r"\\cite\{(.*?)\}", told))
    defined = re.findall(r"^@\w+\{(.*?),", (folder / "tables/references.bib").read_text(encoding="utf-8"), re.M)
    assert cited == set(defined)
    assert len(defined) == len(set(defined))
    assert {"rendle2009bpr", "holm1979"} <= cited
    assert "he2020lightgcn" not in cited


def test_one_seed_has_no_standard_deviation_and_one_model_no_mark() -> None:
    rows = [("bpr", 0, "item", metric, k, 0.1 * k) for metric in ("hr", "ndcg") for k in (5, 15)]
    table = pl.DataFrame(rows, schema=["model", "seed", "task", "metric", "k", "value"], orient="row")
    (_, items) = paper_tables(NumberSource({"metrics.parquet": table}, {}), [], Repeats(1, 0), Wording(), "toy v0001")
    written = as_latex(items)
    assert "\\pm" not in written
    assert "dag" not in written
    assert "\\textbf{1.5000}" in written


def test_an_upper_bound_is_neither_the_best_nor_the_second_best() -> None:
    values = {"kfr": 0.9, "visrank": 0.5, "mean_frame": 0.4}
    rows = [(model, 0, "frame", metric, 3, value) for metric in ("hr", "ndcg") for model, value in values.items()]
    table = pl.DataFrame(rows, schema=["model", "seed", "task", "metric", "k", "value"], orient="row")
    (_, frames) = paper_tables(NumberSource({"metrics.parquet": table}, {}), [], Repeats(1, 0), Wording(), "toy v0001")
    written = as_latex(frames)
    assert "\\textbf{0.5000}" in written
    assert "\\underline{0.4000}" in written
    assert "& 0.9000 &" in written


def hostile_table() -> PaperTable:
    cells = [Cell(Number(0.25, ""), spread=Number(0.01, ""), rank=1, mark="*"), Cell(None)]
    return PaperTable(
        "hostile_name", " ".join(HOSTILE), "model", ["HR@5", "a_b & c"], [(name, cells) for name in HOSTILE]
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_reads_the_same_after_latex(name: str) -> None:
    told = shown(latex(name))
    wanted = " ".join(name.replace("\0", "").replace("--", "-\u200b-").split()).replace("\u200b", "")
    alike = {"−": "-", "“": '"', "”": '"', "–": "--", "—": "---", "’": "'", "‘": "`", "ˆ": "^", "˜": "~"}
    for one, other in alike.items():
        told, wanted = told.replace(one, other), wanted.replace(one, other)
    assert told.split() == wanted.split()


def test_hostile_names_leave_a_table_of_valid_structure() -> None:
    written = as_latex(hostile_table())
    walker = pytest.importorskip("pylatexenc.latexwalker")
    nodes, *_ = walker.LatexWalker(written, tolerant_parsing=False).get_latex_nodes()
    assert nodes
    body = written.partition("\\midrule\n")[2].partition("\\bottomrule")[0]
    assert len(body.splitlines()) == len(HOSTILE)
    for row in body.splitlines():
        assert len(re.findall(r"(?<!\\)&", row)) == 2
        assert row.endswith(" \\\\")
        assert not row.startswith(("[", "*"))
        assert not re.search(r"(?<!\\)[%#$]", row.replace("$\\pm$", ""))
    assert "XeLaTeX" in written.splitlines()[0]


def test_hostile_names_leave_a_markdown_table_of_as_many_columns() -> None:
    table = as_markdown(hostile_table()).split("\n\n")[0].splitlines()
    assert len(table) == len(HOSTILE) + 2
    assert {len(re.findall(r"(?<!\\)\|", row.replace("\\\\", ""))) for row in table} == {4}


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on this machine")
def test_tables_and_methods_compile(finished: tuple[Path, Snapshot], tmp_path: Path) -> None:
    folder, _ = finished
    parts = [path.read_text(encoding="utf-8") for path in sorted((folder / "tables").glob("*.tex"))]
    names = [name for name in HOSTILE if name.isascii() or "β" in name]
    table = replace(hostile_table(), caption=" ".join(names), rows=[(name, [Cell(None), Cell(None)]) for name in names])
    (tmp_path / "all.tex").write_text(DOCUMENT % "\n\n".join([*parts, as_latex(table)]), encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"],
        cwd=tmp_path, capture_output=True, text=True, check=False, errors="replace",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout or "tables" not in done.stdout


def test_every_model_s_reference_exists_once() -> None:
    assert set(_OF_MODEL.values()) <= set(entries())
    written = bibtex([*entries(), *entries()])
    assert written.count("\n@") + written.startswith("@") == len(entries())
    for entry in entries().values():
        assert entry.count("{") == entry.count("}")


def test_charts_for_a_paper_fit_a_column_and_have_text_of_eight_points(finished: tuple[Path, Snapshot]) -> None:
    folder, _ = finished
    charts = sorted((folder / "charts").glob("*.svg"))
    assert charts
    for chart in charts:
        svg = chart.read_text(encoding="utf-8")
        width, box = (float(re.findall(form, svg)[0]) for form in (r' width="([\d.]+)pt"', r'viewBox="0 0 ([\d.]+)'))
        assert width <= 243
        assert 13 * width / box == pytest.approx(8, abs=1.6)
        assert "Helvetica" in svg
        pdf = chart.with_suffix(".pdf").read_bytes()
        assert pdf.startswith(b"%PDF")
        assert b"/BaseFont" in pdf  # text, not empty boxes
    for_paper_twice = for_paper('<svg class="m" width="418" height="307" viewBox="0 0 418 307"><g/></svg>')
    assert 'width="243.00pt"' in for_paper_twice


def test_the_page_links_every_file_for_a_paper(finished: tuple[Path, Snapshot]) -> None:
    folder, _ = finished
    page = (folder / "report.html").read_text(encoding="utf-8")
    linked = set(re.findall(r'href="((?:tables|charts)/[^"]*)"', page))
    there = {f"{path.parent.name}/{path.name}" for name in ("tables", "charts") for path in (folder / name).iterdir()}
    assert linked == there
    assert len(there) > 20


def test_methods_are_said_of_what_was_done(finished: tuple[Path, Snapshot]) -> None:
    _, snapshot = finished
    run: dict[str, Any] = {
        "model": "ease", "label": "ease 100%", "seed": 7, "config": {}, "training": {}, "extractor": None,
    }  # fmt: skip
    judged = {"protocol": "full", "n_negatives": 1000, "n_repeats": 10, "n_bootstrap": 500}
    told = methods(snapshot.manifest, {"runs": [run], "evaluation": judged}, Wording("product", "products"))
    assert "ranked among all products" in told.markdown
    assert "Adam" not in told.markdown
    assert "once (seed 7)" in shown(told.latex)
    assert "100\\%" in told.latex
    assert "t-test" not in told.latex
    for one, other in itertools.pairwise(("We use", "The split is", "We compare", "Each model")):
        assert told.latex.index(one) < told.latex.index(other)


def _run(model: str, loss: str | None = None) -> dict[str, Any]:
    training = {"n_negatives": 7, "epochs": 3, "patience": 2, "validation_k": 15}
    config = {} if loss is None else {"loss": loss}
    return {"model": model, "label": model, "seed": 0, "config": config, "training": training, "extractor": None}


@pytest.mark.parametrize(
    ("runs", "said", "unsaid"),
    [
        ([_run("bpr", "bpr"), _run("bm3")], "with 7 negatives per positive, for", "softmax loss"),
        ([_run("softmax_mf", "softmax")], "positives with a softmax loss, for", "negatives per positive"),
        (
            [_run("bpr", "bpr"), _run("softmax_mf", "softmax")],
            "with 7 negatives per positive, or with a softmax loss (softmax MF), for",
            "Nothing",
        ),
    ],
)
def test_methods_name_the_loss_and_negatives_only_where_there_are_some(
    runs: list[dict[str, Any]], said: str, unsaid: str, finished: tuple[Path, Snapshot]
) -> None:
    told = methods(finished[1].manifest, {"runs": runs}, Wording()).markdown
    assert said in told
    assert unsaid not in told


def test_methods_say_how_each_split_is_made() -> None:
    assert set(_SPLITS) == set(get_args(Strategy))


def test_methods_say_that_a_model_of_one_s_own_is_trained(
    finished: tuple[Path, Snapshot], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "paper_models.py").write_text("from model.models.factors.bpr import BPR\nclass Mine(BPR):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    told = methods(finished[1].manifest, {"runs": [_run("paper_models:Mine", "bpr")]}, Wording()).markdown
    assert "Models that are trained on pairs use Adam" in told
