"""Reads ratings together with their published split: a file per split, or a column. It becomes `Rating.given_split`."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import polars as pl
from cyclopts import Group, Parameter
from pydantic.dataclasses import dataclass

from dataset.errors import UsageError
from dataset.formats.ratings import RatingsFormat, ReadRatings, read_ratings
from dataset.formats.splits import separate_splits, without_cold_users
from dataset.progress import stage
from dataset.schema import SPLITS

_GROUP = Group.create_ordered("A published split (for build --split given; see also --split-column)")


@dataclass(frozen=True)
class GivenSplit:
    """The files of a split, and what is done with pairs that are in several splits.

    Attributes:
        validation: the validation ratings, in a file like the one of the ratings, which then are train
        test: the test ratings, in such a file
        drop_overlap: keep a pair that is in several splits only in the last of them (test, then validation); by
            default it is refused
        drop_cold_users: leave out the validation and test ratings of users without a train rating
    """

    validation: Annotated[Path | None, Parameter(group=_GROUP)] = None
    test: Annotated[Path | None, Parameter(group=_GROUP)] = None
    drop_overlap: Annotated[bool, Parameter(group=_GROUP)] = False
    drop_cold_users: Annotated[bool, Parameter(group=_GROUP)] = False

    def __post_init__(self) -> None:
        """Reject a split without test ratings."""
        if self.validation and not self.test:
            raise UsageError("--validation needs --test: a split has train and test, and may have validation")

    def files(self, ratings: Path) -> Mapping[str, Path]:
        """Return the file of each split, empty if the split is not given by files."""
        found = {"train": ratings, "validation": self.validation, "test": self.test}
        return {split: path for split, path in found.items() if path} if self.test else {}


@stage("Reading the ratings")
def read_given(ratings: Path, file_format: RatingsFormat, split: GivenSplit) -> ReadRatings:
    """Read a ratings file, and the other files of its split if there are any.

    Raises:
        MissingInputError: a file is missing.
        UsageError: an option's value is impossible, or the split is given twice.
        InvalidTableError: a file cannot be read, a column is missing or invalid, or a pair is in several splits.
        TooLittleDataError: a file has no row with a user and an item.
    """
    files = split.files(ratings)
    if files and file_format.split_column:
        raise UsageError("--split-column names the split of each row; leave out --validation and --test")
    if not files and not file_format.split_column:
        if split.drop_cold_users:
            raise UsageError("--drop-cold-users needs a published split: --test, or --split-column")
        return read_ratings(ratings, file_format)
    read = _read_files(files, file_format) if files else read_ratings(ratings, file_format)
    where = ", ".join(str(path) for path in files.values()) or str(ratings)
    rows, overlapping = separate_splits(read.rows, split.drop_overlap, where)
    rows, cold = without_cold_users(rows) if split.drop_cold_users else (rows, overlapping.clear())
    numbers = dict(rows.group_by(pl.col("given_split").cast(pl.String)).len().iter_rows())
    counted = ", ".join(f"{numbers[name]:,} {name}" for name in SPLITS if name in numbers)
    note = f"the given split has {counted} ratings, which build uses with --split given"
    return replace(
        read, rows=rows, quarantine=pl.concat([read.quarantine, overlapping, cold]), notes=[*read.notes, note]
    )


def _read_files(files: Mapping[str, Path], file_format: RatingsFormat) -> ReadRatings:
    reads = {split: read_ratings(path, file_format) for split, path in files.items()}
    types = pl.Enum(SPLITS)
    return ReadRatings(
        pl.concat(read.rows.with_columns(given_split=pl.lit(split, types)) for split, read in reads.items()),
        pl.concat(read.quarantine for read in reads.values()),
        reads["train"].facts,
        [f"{files[split].name}: {note}" for split, read in reads.items() for note in read.notes],
    )
