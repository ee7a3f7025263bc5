"""Opt-outs of pages from being archived, or from being used for machine learning."""

from collections.abc import Mapping
from dataclasses import replace

from crawler.sandbox.answers import Answer, Answerer, Request, Role
from crawler.sandbox.chances import chance

DIRECTIVES = ("noarchive", "noai", "noimageai", "noindex")


class OptOuts:
    """Adds an opt-out to all pages of some paths: half of them in `X-Robots-Tag`, half in a meta tag of the HTML.

    Args:
        rates: the share of paths with each of the `DIRECTIVES`.
        seed: another seed chooses other paths.
    """

    def __init__(self, rates: Mapping[str, float], seed: int = 0) -> None:
        self.rates, self.seed = rates, seed

    def directive(self, role: Role, path: str) -> str | None:
        """Return the opt-out of a path (without its query), if it has one."""
        place = chance(self.seed, "opt-out", role, path)
        for directive in DIRECTIVES:
            place -= self.rates.get(directive, 0.0)
            if place < 0:
                return directive
        return None

    def __call__(self, request: Request, answer: Answerer) -> Answer:
        """Return the true answer, with the opt-out of its path."""
        true, directive = answer(request), self.directive(request.role, request.path)
        if directive is None or request.path == "/robots.txt":
            return true
        if b"<head>" in true.body and chance(self.seed, "where", request.path) < 1 / 2:
            tag = f'<head>\n  <meta name="robots" content="{directive}">'.encode()
            return replace(true, body=true.body.replace(b"<head>", tag, 1))
        return replace(true, headers=(*true.headers, ("X-Robots-Tag", directive)))
