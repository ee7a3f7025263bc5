"""Writes the tables of a paper as LaTeX (booktabs), Markdown and CSV."""

from pathlib import Path

import polars as pl

from dataset.files import write_text
from dataset.report.page import format_number
from model.report.paper.latex import latex, markdown, needs_unicode_fonts
from model.report.paper.tables import Cell, PaperTable

_WIDE = 5
"""A table of so many columns gets both columns of a page."""


def write_tables(tables: list[PaperTable], folder: Path) -> list[Path]:
    """Write each table as `<name>.tex`, `<name>.md` and `<name>.csv`; return the paths."""
    written = []
    for table in tables:
        for suffix, content in (("tex", as_latex(table)), ("md", as_markdown(table)), ("csv", as_csv(table))):
            write_text(folder / f"{table.name}.{suffix}", content)
            written.append(folder / f"{table.name}.{suffix}")
    return written


def as_latex(table: PaperTable) -> str:
    r"""Return a table as LaTeX, to be read with `\input`; it needs `\usepackage{booktabs}`."""
    kind = "table*" if len(table.columns) > _WIDE else "table"
    text = " ".join([table.caption, *(name for name, _ in table.rows)])
    first = r"% Needs \usepackage{booktabs}" + (
        ", and XeLaTeX or LuaLaTeX with a font for its letters." if needs_unicode_fonts(text) else "."
    )
    heads = " & ".join(latex(column) for column in [table.rows_are, *table.columns])
    rows = [" & ".join([latex(name), *map(_latex_cell, cells)]) + r" \\" for name, cells in table.rows]
    lines = [
        first,
        rf"\begin{{{kind}}}",
        r"\centering\small",
        rf"\caption{{{latex(table.caption)}}}",
        rf"\label{{tab:{table.name.replace('_', '-')}}}",
        rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
        r"\toprule",
        rf"{heads} \\",
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
        rf"\end{{{kind}}}",
    ]
    return "\n".join([*lines, ""])


def as_markdown(table: PaperTable) -> str:
    """Return a table as Markdown, with its caption below."""
    lines = [[markdown(table.rows_are), *map(markdown, table.columns)], ["---", *["--:"] * len(table.columns)]]
    lines += [[markdown(name), *map(_markdown_cell, cells)] for name, cells in table.rows]
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", markdown(table.caption), ""])


def as_csv(table: PaperTable) -> str:
    """Return a table as CSV with all digits; `<column> sd` is the standard deviation, and marks are not written."""
    columns = {table.rows_are or "name": [name for name, _ in table.rows]}
    for place, column in enumerate(table.columns):
        cells = [row[place] for _, row in table.rows]
        columns[column] = [None if cell.value is None else cell.value.value for cell in cells]  # type: ignore[misc]
        if any(cell.spread for cell in cells):
            columns[f"{column} sd"] = [cell.spread.value if cell.spread else None for cell in cells]  # type: ignore[misc]
    return pl.DataFrame(columns, strict=False).write_csv()


def _latex_cell(cell: Cell) -> str:
    if cell.value is None:
        return "--"
    text = latex(format_number(cell.value.value, cell.spec))
    text = {1: rf"\textbf{{{text}}}", 2: rf"\underline{{{text}}}"}.get(cell.rank or 0, text)
    mark = {"*": r"\textsuperscript{*}", "†": r"\textsuperscript{\dag}"}.get(cell.mark, "")
    spread = rf" {{\scriptsize $\pm$ {cell.spread.value:.4f}}}" if cell.spread else ""
    return text + mark + spread


def _markdown_cell(cell: Cell) -> str:
    if cell.value is None:
        return "–"
    text = format_number(cell.value.value, cell.spec).replace("<", "&lt;")
    text = {1: f"**{text}**", 2: f"<u>{text}</u>"}.get(cell.rank or 0, text)
    spread = f" ± {cell.spread.value:.4f}" if cell.spread else ""
    return text + cell.mark.replace("*", "\\*") + spread
