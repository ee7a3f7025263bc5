"""The dataset card: a snapshot's README, for people and for Hugging Face `datasets`."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from dataset.statistics import PAPER

_ENVIRONMENT = Environment(
    loader=PackageLoader("dataset", "templates"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,  # Markdown, not HTML
)


def render_card(manifest: dict[str, Any]) -> str:
    """Return the card as Markdown with the YAML head that Hugging Face reads.

    Args:
        manifest: the content of `manifest.json` (`dataset.snapshot.Manifest` as a dictionary).
    """
    return _ENVIRONMENT.get_template("card.md.j2").render(m=manifest, paper=PAPER, words=extractor_in_words)


def extractor_in_words(extractor: dict[str, Any] | None) -> str:
    """Return one phrase that says which features a snapshot holds, and on which weights."""
    if extractor is None:
        return "no visual features"
    random = ", random weights: they carry no knowledge of real pictures" if extractor["is_random"] else ""
    return f"{extractor['architecture']} {extractor['node']} features (weights {extractor['weights']}{random})"
