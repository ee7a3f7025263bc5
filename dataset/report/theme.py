"""The style of charts: one palette and one font, in light and dark, on the page and as files for papers.

A chart is drawn once, in the light colours. On the page, every colour becomes a CSS variable, so the
chart follows the reader's light or dark scheme. Files keep the light colours.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert

from dataset.files import atomic_path, write_text
from dataset.report.numbers import NumberTable

INK, SOFT, LINE = "#1b2126", "#5b656e", "#d8d4ca"
SERIES = ("#0067a5", "#c4500b", "#00805c", "#a3478a", "#a87400", "#3d94cc", "#6a737b")
"""After Okabe & Ito: colour-blind readers can tell them apart; contrast with the page is at least 3:1."""

_DARK = {
    INK: "#e9e7e2",
    SOFT: "#a4adb5",
    LINE: "#3a4249",
    **dict(zip(SERIES, ("#62b6f2", "#f3935a", "#45cb9f", "#e59bca", "#e6b73c", "#a5d8f8", "#98a2aa"), strict=True)),
}
_NAMES = {INK: "ink", SOFT: "soft", LINE: "line", **{colour: f"c{n}" for n, colour in enumerate(SERIES)}}
_COLOUR = re.compile("|".join(_NAMES))
_PNG_SCALE = 2
_LARGEST = 1.15
_FONT_PX = 13
WIDTH_PX = 380
"""The width of a chart, without its axes."""

_CHARACTER_PX = 8.2
"""The width of a digit, of the widest font that a page may be shown in."""

_TURNED_PX = 1.4 * _FONT_PX
"""The distance of turned labels at which they do not touch."""

_PAPER_FONT_PT, _COLUMN_PT = 8, 243
"""The size of a paper's figure: text of 8 pt, and at most a column of a page with two (3.375 inches)."""

_PAPER_FONTS = "Helvetica, Arial, Liberation Sans, sans-serif"
_SIZE = re.compile(r'(<svg[^>]*) width="([0-9.]+)" height="([0-9.]+)"')


_CONFIG = alt.Config(
    font="sans-serif",
    aria=False,
    view=alt.ViewConfig(stroke=None),
    axis=alt.AxisConfig(
        labelColor=SOFT,
        titleColor=SOFT,
        domainColor=LINE,
        tickColor=LINE,
        gridColor=LINE,
        labelFontSize=_FONT_PX,
        titleFontSize=_FONT_PX,
        titleFontWeight="normal",
        labelLimit=220,
        labelOverlap=True,
    ),
    axisY=alt.AxisConfig(
        domain=False, ticks=False, tickCount=5, titleAngle=0, titleAlign="left", titleAnchor="start", labelPadding=8
    ),
    axisX=alt.AxisConfig(grid=False, tickSize=4),
    text=alt.MarkConfig(color=INK, fontSize=_FONT_PX),
    legend=alt.LegendConfig(
        orient="top",
        title=None,
        labelColor=INK,
        labelFontSize=_FONT_PX,
        labelLimit=0,
        symbolStrokeWidth=2.4,
        offset=30,
    ),
)


@dataclass(frozen=True)
class Chart:
    """A chart on a page.

    Attributes:
        name: the name of its files, `<name>.pdf`, `<name>.svg` and `<name>.png`.
        title: the title above it.
        caption: how to read it.
        alt: a description for screen readers: the kind of chart and what it shows.
        svg: the chart in light colours.
        table: the numbers in the chart.
    """

    name: str
    title: str
    caption: str
    alt: str
    svg: str
    table: NumberTable | None = None

    def inline_svg(self) -> str:
        """Return the SVG for the page: colours as CSS variables, and a label for screen readers."""
        coloured = _COLOUR.sub(lambda found: f"var(--{_NAMES[found[0]]})", self.svg)
        width_px = _LARGEST * float(_SIZE.findall(self.svg)[0][1])  # so that the font size is the same in all charts
        named = f'<svg role="img" aria-label="{_attribute(self.alt)}" style="max-width: {width_px:.0f}px" '
        return coloured.replace("<svg ", named, 1)

    def write(self, folder: Path) -> None:
        """Write `<name>.pdf` and `<name>.svg` in the size and font of a paper, and `<name>.png` for slides."""
        drawing = for_paper(self.svg)
        write_text(folder / f"{self.name}.svg", drawing)
        for suffix, content in (
            ("pdf", vl_convert.svg_to_pdf(drawing)),
            ("png", vl_convert.svg_to_png(self.svg, scale=_PNG_SCALE)),
        ):
            with atomic_path(folder / f"{self.name}.{suffix}") as temporary:
                temporary.write_bytes(content)


def for_paper(svg: str) -> str:
    """Return a chart in the size of a paper's figure: text of 8 pt, or smaller so that it fits a column.

    The font is Helvetica, or Liberation Sans, which has the same widths and comes with the library that writes the PDF.
    """

    def resized(found: re.Match[str]) -> str:
        width, height = float(found[2]), float(found[3])
        scale = min(_PAPER_FONT_PT / _FONT_PX, _COLUMN_PT / width)
        return f'{found[1]} width="{width * scale:.2f}pt" height="{height * scale:.2f}pt"'

    return _SIZE.sub(resized, svg, count=1).replace("system-ui, sans-serif", _PAPER_FONTS)


def css_variables(dark: bool) -> str:
    """Return the palette as CSS declarations."""
    return " ".join(f"--{name}: {_DARK[light] if dark else light};" for light, name in _NAMES.items())


def render_svg(chart: Any, width: int = WIDTH_PX, height: int = 240) -> str:
    """Render an Altair chart as SVG in the project's style; with `width` 0 it keeps its own size."""
    size = {"width": width, "height": height} if width else {}
    styled = chart.properties(background="transparent", padding=4, config=_CONFIG, **size)
    svg: str = vl_convert.vegalite_to_svg(styled.to_json())
    return svg.replace('font-family="sans-serif"', 'font-family="system-ui, sans-serif"')


def category_axis(labels: Sequence[str], width_px: float) -> alt.Axis:
    """Return an x axis whose labels never touch: in one line, else in two, else turned, and then as many as fit.

    Args:
        labels: the labels from left to right, such as `160–319`; a second line starts after the dash.
        width_px: the width of the chart.
    """
    room_px = width_px / max(1, len(labels))
    plain: dict[str, Any] = {"grid": False, "ticks": False, "labelOverlap": False}
    if _widest_px(labels) <= room_px:
        return alt.Axis(labelAngle=0, **plain)
    halves = [half for label in labels for half in label.replace("–", "–\n").split("\n")]
    if any("–" in label for label in labels) and _widest_px(halves) <= room_px:
        return alt.Axis(labelAngle=0, labelExpr="split(replace(datum.label, '–', '–|'), '|')", **plain)
    shown = list(labels)[:: math.ceil(_TURNED_PX / room_px)]
    return alt.Axis(
        labelAngle=-50, labelAlign="right", labelBaseline="middle", labelLimit=0, titlePadding=14, values=shown, **plain
    )


def year_axis(years: Sequence[str], width_px: float) -> alt.Axis:
    """Return an x axis of consecutive years that labels as many of them as fit, at equal steps."""
    step = max(1, math.ceil(len(years) * _widest_px(years) / width_px))
    return alt.Axis(labelAngle=0, grid=False, ticks=False, labelOverlap=False, values=list(years)[::step])


def _widest_px(labels: Sequence[str]) -> float:
    return _CHARACTER_PX * (max(map(len, labels), default=0) + 0.5)


def y_title(words: str) -> dict[str, Any]:
    """Return the encoding options of a y axis with a horizontal title above it."""
    return {"title": words, "axis": alt.Axis(titleX=0, titleY=-14, titleBaseline="bottom")}


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
