"""Runs the checks of the probe, one source after the other, and says which settings to use.

A refusal ends the checks of its source: no host of it gets one more request. The other source is another host with its
own robots.txt, so it is still checked.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from crawler.kinds.movie_row import contradictions
from crawler.ledger.claims import Claim
from crawler.page import BadPicture, Merged, NotUnderstood, PageGone, Refused, TooMuch, Unavailable
from crawler.probe.asking import Answered, Asker, CannotTell, Check
from crawler.probe.html import HtmlChecks
from crawler.probe.mobile import MobileChecks
from crawler.scope import LIST, PREFERRED, TOPICS, Via
from crawler.sites import Site
from crawler.spiders.fetch import NoAnswer
from crawler.spiders.politeness import Politeness
from crawler.spiders.robots import NoRobotsError
from dataset.errors import RefusedError

_ORDER: tuple[Answered, ...] = ("holds", "unknown", "differs", "refused")


@dataclass(frozen=True)
class Finding:
    """What was found about one assumption: whether it holds, and details; `topic` and `source` as in `Scope.via`."""

    point: str
    answered: Answered
    detail: str
    topic: str | None = None
    source: str | None = None


class Probe:
    """The checks of both sources.

    Attributes:
        found: the findings so far.
    """

    def __init__(self, site: Site, politeness: Politeness, movie_id: str) -> None:
        self.ask = Asker(site, politeness)
        self.found: list[Finding] = []
        self._mobile = MobileChecks(self.ask, movie_id)
        self._html = HtmlChecks(self.ask, movie_id, "")
        self.politeness = politeness

    @property
    def n_requests(self) -> int:
        """How many requests were sent."""
        return self.ask.n_requests.total()

    def findings(self) -> Iterator[Finding]:
        """Yield what each check finds. A refusal is the last finding of its source."""
        if self.ask.site.mobile:
            yield from self._of_source("json", self._mobile.checks())
            self._html.person = self._mobile.person
        yield from self._of_source("html", self._html.checks())
        if self.ask.site.mobile:
            yield self._noted(self._compared())
        yield self._noted(self._opt_outs())

    def via(self) -> Via:
        """Return the sources of each topic, those that answered before those that did not.

        Collections are read in the mode that needs fewer requests, if it was seen to show the same.
        """
        answered = {(one.topic, one.source): one.answered for one in self.found if one.topic}
        has_json = bool(self.ask.site.mobile)
        via = {
            topic: tuple(
                sorted(
                    (source for source in PREFERRED[topic] if has_json or source != "json"),
                    key=lambda source, topic=topic: _ORDER.index(answered.get((topic, source), "unknown")),  # type: ignore[misc]
                )
            )
            for topic in TOPICS
        }
        if self._html.has_longer_pages:
            via["collection"] = tuple(LIST if source == "html" else source for source in via["collection"])
        return via

    def liker_source(self) -> str | None:
        """Return which --liker-source to use; None if the findings do not show it, `none` if no likes can be read."""
        return self._html.advice()

    def refused(self) -> list[Finding]:
        """Return the refusals."""
        return [one for one in self.found if one.answered == "refused"]

    def _of_source(self, source: str, checks: Iterator[Check]) -> Iterator[Finding]:
        for check in checks:
            answered, detail = self._answered(check)
            yield self._noted(Finding(check.point, answered, detail, check.topic, source))
            if answered == "refused":
                return

    def _answered(self, check: Check) -> tuple[Answered, str]:
        try:
            return check.run()
        except (PageGone, Unavailable, Merged, NotUnderstood, TooMuch, BadPicture, NoRobotsError) as problem:
            return "differs", str(problem)
        except (Refused, RefusedError) as refused:
            return "refused", str(refused)
        except (CannotTell, NoAnswer) as reason:
            return "unknown", str(reason)

    def _noted(self, finding: Finding) -> Finding:
        self.found.append(finding)
        return finding

    def _compared(self) -> Finding:
        """Compare what both sources say of the movie."""
        point, page, of_json = "HTML and JSON say the same of the movie", self._html.movie, self._mobile.movie
        if page is None or of_json is None:
            return Finding(point, "unknown", "not both have shown it")
        rows = {"html": page.movie, "json": of_json}
        found = contradictions({name: Claim(row.year, row.kind, row.rating_count) for name, row in rows.items()})
        if found:
            said = "; ".join(f"{field}: {one} and {other}" for field, (one, other) in found.items())
            return Finding(point, "differs", f"{said} (guests are given wrong data at times)")
        return Finding(point, "holds", "year, kind and votes")

    def _opt_outs(self) -> Finding:
        point, counts = "no page opts out", self.ask.opt_outs
        if not self.n_requests - len(self.ask.n_requests):
            return Finding(point, "unknown", "no page was read")
        if counts:
            return Finding(point, "differs", ", ".join(f"{name} on {n}" for name, n in sorted(counts.items())))
        return Finding(point, "holds", "neither by X-Robots-Tag nor by meta robots")
