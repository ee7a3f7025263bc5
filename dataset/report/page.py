"""Renders a page from Jinja2 templates with a shared base, and formats its numbers."""

from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from dataset.report.numbers import Number
from dataset.report.theme import Chart, css_variables

MISSING = Markup('<span class="none" title="not known">–</span>')


def render(package: str, template: str, **content: Any) -> str:
    """Return a page.

    Args:
        package: the package whose folder `templates` holds the template.
        template: the template's name; it extends `base.html.j2` of this package.
        content: the values that the template shows.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, "templates"), PackageLoader("dataset.report", "templates")]),
        undefined=StrictUndefined,
        autoescape=select_autoescape(["j2", "html"], default=True),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"show": show, "svg": _inline_svg}
    environment.globals |= {"css_variables": css_variables}
    return environment.get_template(template).render(**content)


def show(number: Number | None, spec: str = ",d") -> Markup:
    """Return a number as HTML with its origin; `spec` is a format of `format_number`, such as `,d` or `.3f`."""
    if number is None:
        return MISSING
    attributes = f' data-base="{escape(number.base)}"' if number.base is not None else ""
    attributes += f' data-operation="{number.operation}"' if number.operation is not None else ""
    return Markup(f'<data value="{number.value!r}" data-from="{escape(number.origin)}"{attributes}>') + Markup(
        f"{escape(format_number(number.value, spec))}</data>"
    )


def format_number(value: float, spec: str) -> str:
    """Return a value as text, with a minus sign (−) and a narrow space before %.

    `spec` is a Python format (`,d`, `.3f`, `+.1%`), `p` for a p-value (never 0) or `MiB` for bytes.
    """
    if spec == "p":
        return "< 0.001" if value < 0.001 else f"{value:.3f}"
    if spec == "MiB":
        return f"{value / 2**20:,.0f}\u202fMiB"
    if spec.endswith("d"):
        value = round(value)
    text = format(value, spec).replace("-", "−")
    return text.replace("%", "\u202f%")


def interval(low: Number | None, high: Number | None, spec: str = ".3f") -> Markup:
    """Return an interval such as `0.254–0.311` that does not break across lines."""
    if low is None or high is None:
        return MISSING
    return (
        Markup('<span class="interval">')
        + show(low, spec)
        + Markup(" to " if spec.startswith("+") else "–")
        + show(high, spec)
        + Markup("</span>")
    )


def _inline_svg(chart: Chart) -> Markup:
    return Markup(chart.inline_svg())
