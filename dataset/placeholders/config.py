"""The thresholds of placeholders: when a picture is tiny, blank, shared by many items, or nearly equal to another."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any

from cyclopts import Group, Parameter
from pydantic import Field, ValidationError
from pydantic.dataclasses import dataclass

MAX_NEAR_BITS = 7
"""The largest distance that the search finds without a miss (`dataset.placeholders.groups`)."""

_GROUP = Group.create_ordered("Placeholders")


@dataclass(frozen=True)
class PlaceholderConfig:
    """Which pictures say nothing about their item: tiny ones, blank ones, and those that many items share.

    Few items may well share a picture: films of a series share stills, and colours of a product share a photo. So a
    picture counts as shared only if 10 items or more have it. A placeholder of fewer items does little harm.

    Attributes:
        shared_by: a picture is shared by many if it, or a nearly equal one, belongs to at least this many items
        min_side_px: a picture is tiny if its shorter side has fewer pixels
        blank_levels: a picture is blank if its colours, averaged over 9 x 9 cells, differ by at most this many of 255
            levels (0: one colour)
        near_bits: pictures are nearly equal if at most this many of the 128 bits of their difference hashes differ,
            and their colours differ little
    """

    shared_by: Annotated[int, Field(ge=2), Parameter(group=_GROUP)] = 10
    min_side_px: Annotated[int, Field(ge=0), Parameter(group=_GROUP)] = 32
    blank_levels: Annotated[int, Field(ge=0, le=255), Parameter(group=_GROUP)] = 8
    near_bits: Annotated[int, Field(ge=0, le=MAX_NEAR_BITS), Parameter(group=_GROUP)] = MAX_NEAR_BITS


def thresholds_of(settings: Mapping[str, Any]) -> PlaceholderConfig:
    """Return the thresholds in the settings of a build.

    The result is the defaults if an older version wrote the settings, or if a threshold is invalid: settings may come
    from somebody else's snapshot.
    """
    given = settings.get("placeholders")
    known = {field.name for field in fields(PlaceholderConfig)}
    try:
        return PlaceholderConfig(**{name: value for name, value in (given or {}).items() if name in known})
    except (AttributeError, ValidationError):
        return PlaceholderConfig()
