"""Says risk figures in words, for the card, `croissant.json`, `show` and `dataset risk`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataset.risk.figures import POINTS

Figure = Mapping[str, Any]
"""A figure as it stands in a manifest (`dataset.risk.figures.RiskFigure.to_json`)."""

COLUMNS = [f"{points} {chosen}" for chosen in ("random", "rarest") for points in POINTS]
"""The headings of `rows`."""

NOT_COMPUTED = (
    "not computed: this version was published before the figure existed (`python -m dataset risk` computes it)"
)


@dataclass(frozen=True)
class RiskRow:
    """What somebody knows, in which table, and the figures in the order of `COLUMNS`."""

    table: str
    known: str
    figures: list[Figure]

    @property
    def shares(self) -> list[str]:
        """The shares in percent."""
        return [_percent(figure["share"]) for figure in self.figures]


def rows(figures: Sequence[Figure]) -> list[RiskRow]:
    """Return the figures as rows of a table: one per table and kind of knowledge."""
    places = {heading: place for place, heading in enumerate(COLUMNS)}
    found: dict[tuple[str, str], dict[int, Figure]] = {}
    for figure in figures:
        place = places.get(f"{figure['points']} {figure['chosen']}")
        if place is not None:
            found.setdefault((figure["table"], figure["known"]), {})[place] = figure
    return [RiskRow(*key, [of[place] for place in sorted(of)]) for key, of in found.items() if len(of) == len(places)]


def in_short(figures: Sequence[Figure]) -> str:
    """Return the figures for most points in each table's first row, in one sentence; empty if there are none."""
    seen, parts = set(), []
    for row in rows(figures):
        if row.table not in seen and row.figures[0]["users"]:
            seen.add(row.table)
            random, rarest = (row.shares[COLUMNS.index(f"{POINTS[-1]} {chosen}")] for chosen in ("random", "rarest"))
            parts.append(
                f"{POINTS[-1]} known points ({row.known}) single out {random} of the users in {row.table} if they are "
                f"random, {rarest} if they are a user's rarest"
            )
    return f"{'; '.join(parts)}." if parts else ""


def how(figures: Sequence[Figure]) -> str:
    """Return how the figures were computed, in sentences; empty if there are none."""
    drawn = [figure for figure in figures if figure["chosen"] == "random"]
    if not drawn:
        return ""
    margin = max(figure["margin"] for figure in figures)
    samples = {
        figure["table"]: f"{figure['users_drawn']:,} of {figure['users']:,} users of {figure['table']}"
        for figure in drawn
        if figure["users_drawn"] < figure["users"]
    }
    whom = f"a random sample of {' and of '.join(samples.values())}" if samples else "every user"
    fewer = {
        figure["table"]: f"{figure['users_with_fewer']:,} of {figure['users']:,} users of {figure['table']}"
        for figure in drawn
        if figure["points"] == max(POINTS) and figure["users_with_fewer"]
    }
    most = max(figure["draws"] for figure in drawn)
    sentences = [
        f"Computed for {whom}, with up to {most:,} random draws per figure (seed {drawn[0]['seed']}); the 95 % "
        f"interval is ± {_percent(margin)} at most.",
        f"Fewer than {max(POINTS)} points, so that all of theirs count as known, have {' and '.join(fewer.values())}."
        if fewer
        else "",
    ]
    return " ".join(filter(None, sentences))


def _percent(share: float) -> str:
    """Return a share in percent; one that is not quite 100 % is not shown as 100 %."""
    rounded = round(100 * share, 1)
    return f"{99.9 if rounded == 100 and share < 1 else rounded:.1f} %"
