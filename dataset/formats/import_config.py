"""The options of an import, in one class: what the command line, a flow or a TOML file sets."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import pydantic
from cyclopts import Parameter

from dataset.formats.frame_likes import FrameLikes
from dataset.formats.items import ItemsFile, ItemsFormat, find_items_file, named_items_file
from dataset.formats.ratings import FORMATS, FormatName, RatingsFormat, detect_format
from dataset.formats.split_files import GivenSplit
from dataset.formats.videos import Videos
from dataset.shards.shard import PictureColumns

_FLAT = Parameter(name="*")


@pydantic.dataclasses.dataclass(frozen=True)
class ImportConfig:
    """How a ratings file and an items file are read.

    Attributes:
        format: format of the ratings file; auto detects it from the file's name, columns takes the options alone
        ratings: the columns of the ratings file and how it is read; what is set replaces what the format has
        items: the columns of the items file and how it is read
        split: the files of a published split
        pictures_in: what in a tar, zip, Parquet or Arrow file says whose a picture is
        videos: the folder of videos, and which frames are taken from each
        likes: the file of who likes which picture
    """

    format: Literal["auto", "columns"] | FormatName = "auto"
    ratings: Annotated[RatingsFormat, _FLAT] = RatingsFormat()
    items: Annotated[ItemsFormat, _FLAT] = ItemsFormat()
    split: Annotated[GivenSplit, _FLAT] = GivenSplit()
    pictures_in: Annotated[PictureColumns, _FLAT] = PictureColumns()
    videos: Annotated[Videos, _FLAT] = Videos()
    likes: Annotated[FrameLikes, _FLAT] = FrameLikes()

    def ratings_format(self, path: Path) -> RatingsFormat:
        """Return how to read a ratings file: its known format, changed by what is set here."""
        known = self._known(path)
        return FORMATS[known].updated(self.ratings) if known else self.ratings

    def items_file(self, ratings: Path, named: Path | None) -> ItemsFile | None:
        """Return the items file: the one that is named, or the one beside ratings of a known format."""
        if named is None:
            return find_items_file(ratings, self._known(ratings))
        item_column = self.items.item_column or self.ratings_format(ratings).item_column
        return named_items_file(named, replace(self.items, item_column=item_column))

    def _known(self, path: Path) -> FormatName | None:
        if self.format == "columns":
            return None
        return detect_format(path) if self.format == "auto" else self.format
