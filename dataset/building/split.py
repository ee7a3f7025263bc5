"""Splits interactions into train, validation and test.

| strategy | what is held out | counts | depends on |
|---|---|---|---|
| `random` | interactions drawn uniformly (as in the paper) | exact, overall | seed, set of pairs |
| `per-user` | the same share of each user's interactions | exact, per user | seed, set of pairs |
| `temporal` | the newest: train, then validation, then test | exact, overall | times; seed within one moment |
| `stable` | pairs chosen by a keyed hash | close to the shares | seed and the pair alone |
| `leave-one-out` | each user's newest, and the one before it | one per user | times; seed within one moment |
| `leave-one-out-random` | the same in random order | one per user | seed, set of pairs |
| `cut-off` | what is at or after a moment | as they are | times; see below |
| `given` | what the published split holds out | as published | the split; seed if it has no validation |

With `given` and no published validation, `round(validation_share * n)` of the n train rows are drawn for it.

With `leave-one-out`, a user of one interaction keeps it in train, and one of two has no validation. A share of 0 leaves
out validation or test; other shares change nothing.

With `cut-off`, everything from `test_from` on is test, and everything from `validation_from` on and before it is
validation. Without `validation_from`, the newest `round(validation_share * n)` of the n rows before `test_from` are;
rows of the same moment are in random order.

No strategy depends on the order of rows. With `stable`, an interaction keeps its split when the dataset
grows, so no version trains on a pair that another version tests.
"""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Literal

import dataframely as dy
import numpy as np
import numpy.typing as npt
import polars as pl
from cyclopts import Parameter
from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from dataset.codes import dense_codes
from dataset.errors import InvalidTableError, TooLittleDataError, UsageError
from dataset.moments import moment
from dataset.schema import SPLITS, ImplicitFeedback, Interaction
from dataset.tables import canonical, fill_optional, validate

Strategy = Literal[
    "random", "per-user", "temporal", "stable", "given", "leave-one-out", "leave-one-out-random", "cut-off"
]


def _in_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


SplitCodes = npt.NDArray[np.uint8]
"""(n,) uint8, the split of each row: 0 train, 1 validation, 2 test."""

Moment = Annotated[datetime, AfterValidator(_in_utc)]
"""A moment; without a time zone, it is in UTC."""

_Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class SplitConfig:
    """How interactions are split.

    Attributes:
        seed: seed of the random order; for `stable`, the key of the hash
        validation_share: share of the interactions for validation (the paper: 10 %); for a given split without
            validation, the share of train
        test_share: share of the interactions for test (the paper: 20 %); a given split has its own
        strategy: how to split: at random (as in the paper), per user, by time, by a stable hash, as the imported
            ratings say (given), one interaction of each user (the newest, or a random one), or at a cut-off in time
        keep_cold: whether to keep held-out interactions whose user or movie has no training interaction; by default yes
        test_from: for a cut-off, the first moment of test, in UTC: 2020-01-31 or 2020-01-31T18:00:00
        validation_from: the first moment of validation (by default the newest --validation-share before test)
    """

    seed: Annotated[int, Field(ge=0, lt=2**64)] = 0
    validation_share: float = 0.1
    test_share: float = 0.2
    strategy: Annotated[Strategy, Parameter(name="--split")] = "random"
    keep_cold: Annotated[bool, Parameter(negative="--drop-cold")] = True
    test_from: Moment | None = None
    validation_from: Moment | None = None

    def __post_init__(self) -> None:
        """Reject shares that are negative or leave nothing for training, and cut-offs that are none."""
        shares = (self.validation_share, self.test_share)
        if not (all(share >= 0 for share in shares) and sum(shares) < 1):
            raise UsageError(
                f"split: shares {shares[0]} (validation) and {shares[1]} (test) must not be negative "
                "and must leave interactions for training; the paper uses 0.1 and 0.2"
            )
        self._require_cut_off()

    def _require_cut_off(self) -> None:
        if self.strategy == "cut-off":
            if self.test_from is None:
                raise UsageError("--split cut-off needs the first moment of test: --test-from 2020-01-31")
            if self.validation_from is not None and self.validation_from >= self.test_from:
                raise UsageError(
                    f"--validation-from {self.validation_from} must be before --test-from {self.test_from}"
                )
        elif self.test_from is not None or self.validation_from is not None:
            raise UsageError(f"--test-from and --validation-from need --split cut-off, not {self.strategy}")


def split(
    feedback: dy.DataFrame[ImplicitFeedback], config: SplitConfig, given: pl.DataFrame | None = None
) -> dy.DataFrame[Interaction]:
    """Return all rows of `feedback` in canonical order, each with its split.

    Args:
        feedback: the rows to split.
        config: how to split.
        given: for the strategy `given`, the split of each pair (`dataset.building.given_split.given_pairs`).

    Raises:
        TooLittleDataError: `feedback` is empty.
        UsageError: the strategy is `given`, and no split is given; or a cut-off leaves no row on one side of it, or
            is within a day of which a row has no time.
        InvalidTableError: the strategy orders by time and a row has no date.
    """
    if feedback.is_empty():
        raise TooLittleDataError(
            "split: no interaction is left after filtering; lower --k-user and --k-item, or add more ratings"
        )
    ordered = canonical(fill_optional(feedback, ImplicitFeedback), ImplicitFeedback)
    if config.strategy == "given":
        split_codes = _given(ordered, config, given)
    else:
        split_codes = _STRATEGIES[config.strategy](ordered, config)
    names = pl.Series("split", split_codes).cat.to(pl.Enum(SPLITS))
    return validate(ordered.with_columns(names), Interaction, "interactions")


def cold_interactions(interactions: pl.DataFrame) -> pl.DataFrame:
    """Return the held-out interactions whose user or movie has no training interaction.

    The columns `is_cold_user` and `is_cold_movie` say which. A model learns nothing about these users
    and movies.
    """
    train = interactions.filter(pl.col("split") == "train")
    is_cold = [
        (~pl.col(f"{side}_id").is_in(train[f"{side}_id"].unique().implode())).alias(f"is_cold_{side}")
        for side in ("user", "movie")
    ]
    return interactions.with_columns(is_cold).filter(pl.col("is_cold_user") | pl.col("is_cold_movie"))


def _random(ordered: pl.DataFrame, config: SplitConfig) -> SplitCodes:
    """Draw `round(share * n)` rows for test and for validation, uniformly from all rows.

    Source: Wu et al. 2019, section 4 ("randomly select 70% user-movie ratings for training,
    10% for validation and 20% for test").
    """
    split_codes = np.empty(ordered.height, dtype=np.uint8)
    split_codes[np.random.default_rng(config.seed).permutation(ordered.height)] = _in_turn(ordered.height, config)
    return split_codes


def _temporal(ordered: pl.DataFrame, config: SplitConfig) -> SplitCodes:
    """Sort the rows by time and cut where the shares end; rows of the same moment are in random order.

    Of one day, rows without a time of day come first (`dataset.moments`).
    """
    moments = _moments(ordered, config)
    draw = np.random.default_rng(config.seed).permutation(ordered.height)
    split_codes = np.empty(ordered.height, dtype=np.uint8)
    split_codes[np.lexsort([draw, moments])] = _in_turn(ordered.height, config)
    return split_codes


def _per_user(ordered: pl.DataFrame, config: SplitConfig) -> SplitCodes:
    """Draw `round(share * n)` of each user's n rows for test and for validation; at least one stays in train."""
    users = dense_codes(ordered, "user_id")
    by_user = np.lexsort([np.random.default_rng(config.seed).permutation(ordered.height), users])
    n_of_user = np.bincount(users)
    place = np.arange(ordered.height) - np.repeat(np.cumsum(n_of_user) - n_of_user, n_of_user)
    n_test = np.minimum(np.round(config.test_share * n_of_user), n_of_user - 1)
    n_held_out = np.minimum(n_test + np.round(config.validation_share * n_of_user), n_of_user - 1)
    split_codes = np.empty(ordered.height, dtype=np.uint8)
    split_codes[by_user] = (place < n_held_out[users[by_user]]).astype(np.uint8) + (place < n_test[users[by_user]])
    return split_codes


def _leave_one_out(ordered: pl.DataFrame, config: SplitConfig) -> SplitCodes:
    """Hold out each user's newest row for test and the one before it for validation; one always stays in train."""
    return _leave_last(ordered, config, _moments(ordered, config))


def _leave_random_out(ordered: pl.DataFrame, config: SplitConfig) -> SplitCodes:
    """Do the same with each user's rows in random order."""
    return _leave_last(ordered, config, np.zeros(ordered.height, dtype=np.int64))


def _leave_last(ordered: pl.DataFrame, config: SplitConfig, order: npt.NDArray[np.int64]) -> SplitCodes:
    """Hold out the last rows of each user by `order`; rows of the same order are in random order."""
    users = dense_codes(ordered, "user_id")
    draw = np.random.default_rng(config.seed).permutation(ordered.height)
    by_user = np.lexsort([draw, order, users])
    n_of_user = np.bincount(users)
    from_end = np.repeat(np.cumsum(n_of_user), n_of_user) - np.arange(ordered.height)  # 1 is the last
    n, n_test = n_of_user[users[by_user]], int(config.test_share > 0)
    is_test = (from_end <= n_test) & (n > 1)
    is_validation = (from_end == n_test + 1) & (n > n_test + 1) & (config.validation_share > 0)
    split_codes = np.empty(ordered.height, dtype=np.uint8)
    split_codes[by_user] = is_validation + 2 * is_test
    return split_codes


def _cut_off(ordered: pl.DataFrame, config: SplitConfig) -> SplitCodes:
    """Cut at moments. A row at a cut-off is on its later side."""
    moments = _moments(ordered, config)
    for option, cut in (("--test-from", config.test_from), ("--validation-from", config.validation_from)):
        if cut is not None:
            _require_parted(ordered, option, cut)
    is_test = moments >= _microseconds(config.test_from)
    split_codes = np.where(is_test, 2, 0).astype(np.uint8)
    before = np.flatnonzero(~is_test)
    if config.validation_from is not None:
        split_codes[before[moments[before] >= _microseconds(config.validation_from)]] = 1
    else:
        draw = np.random.default_rng(config.seed).permutation(ordered.height)
        newest_last = before[np.lexsort([draw[before], moments[before]])]
        split_codes[newest_last[len(before) - round(config.validation_share * len(before)) :]] = 1
    found = np.bincount(split_codes, minlength=3)
    missing = [name for name, n in zip(SPLITS, found, strict=True) if not n]
    if config.validation_from is None:
        missing = [name for name in missing if name != "validation"]
    if missing:
        first, last = ordered.select(first=moment().min(), last=moment().max()).row(0)
        raise UsageError(
            f"split: no interaction is in {' and '.join(missing)} with these cut-offs; the interactions are from "
            f"{first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} (UTC): choose moments between them"
        )
    return split_codes


def _require_parted(ordered: pl.DataFrame, option: str, cut: datetime) -> None:
    """Check that each row is clearly before a cut-off or not.

    Raises:
        UsageError: it is within a day, and of a row of that day, only the day is known.
    """
    is_unclear = (pl.col("rated_on") == cut.date()) & pl.col("rated_at").is_null()
    n = ordered.filter(is_unclear).height
    if n and cut.time() != time():
        raise UsageError(
            f"{option} {cut:%Y-%m-%dT%H:%M:%S}: of {n:,} interactions of that day only the day is known, so they are "
            f"neither before nor after; cut at the start of a day, such as {cut:%Y-%m-%d}"
        )


def _moments(ordered: pl.DataFrame, config: SplitConfig) -> npt.NDArray[np.int64]:
    """Return the moment of each row in microseconds.

    Raises:
        InvalidTableError: a row has no date.
    """
    moments = ordered.select(moment()).to_series()
    n_undated = moments.null_count()
    if n_undated:
        raise InvalidTableError(
            f"split: {n_undated:,} of {ordered.height:,} interactions have no date, which --split {config.strategy} "
            "needs; drop them with --since and any early day, or choose another --split"
        )
    return moments.to_physical().to_numpy()


def _microseconds(cut: datetime | None) -> int:
    return 0 if cut is None else (cut - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _stable(ordered: pl.DataFrame, config: SplitConfig) -> SplitCodes:
    """Compare a hash of the pair with the shares: the lowest hashes are test, then validation, then train.

    The hash is `mix(mix(h("user", user_id)) + h("movie", movie_id))` modulo 2**64. Here h is BLAKE2b of
    the id in UTF-8: an 8-byte digest read as little-endian, with the seed's 8 bytes (little-endian) as
    `key` and the word as `person`; mix is the finaliser of SplitMix64. The hash is the same on any
    machine and with any library version.

    Source: Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators", Figure 17.
    """
    users, movies = (_hashes(ordered, f"{side}_id", side.encode(), config.seed) for side in ("user", "movie"))
    position = _mix(_mix(users) + movies)
    n_test, n_held_out = (
        round(share * 2**64) for share in (config.test_share, config.test_share + config.validation_share)
    )
    return (position < np.uint64(n_held_out)).astype(np.uint8) + (position < np.uint64(n_test))


def _given(ordered: pl.DataFrame, config: SplitConfig, given: pl.DataFrame | None) -> SplitCodes:
    """Take each pair's split from `given`; if that has no validation, draw it from train."""
    if given is None:
        raise UsageError("split: the strategy 'given' needs the split of each pair; choose another --split")
    known = ordered.select("user_id", "movie_id").join(
        given, on=["user_id", "movie_id"], how="left", maintain_order="left"
    )
    split_codes = known["split"].to_physical().to_numpy().astype(np.uint8)
    if not (given["split"] == "validation").any():
        train = np.random.default_rng(config.seed).permutation(np.flatnonzero(split_codes == 0))
        split_codes[train[: round(config.validation_share * len(train))]] = 1
    return split_codes


def _in_turn(n: int, config: SplitConfig) -> SplitCodes:
    """Return n split codes, sorted train, validation, test; the last two have `round(share * n)` each."""
    n_test, n_validation = round(config.test_share * n), round(config.validation_share * n)
    return np.repeat(np.arange(3, dtype=np.uint8), [n - n_test - n_validation, n_validation, n_test])


def _hashes(table: pl.DataFrame, column: str, person: bytes, seed: int) -> _Hashes:
    """Return the keyed BLAKE2b of each row's id, (n,) uint64; each distinct id is hashed once."""
    codes = dense_codes(table, column)
    row_of_code = np.empty(codes.max() + 1, dtype=np.int64)
    row_of_code[codes] = np.arange(len(codes))
    key = seed.to_bytes(8, "little")
    digests = b"".join(
        hashlib.blake2b(id_.encode(), digest_size=8, key=key, person=person).digest()
        for id_ in table[column].gather(row_of_code)
    )
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)[codes]


def _mix(words: _Hashes) -> _Hashes:
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


_STRATEGIES: dict[Strategy, Callable[[pl.DataFrame, SplitConfig], SplitCodes]] = {
    "random": _random,
    "per-user": _per_user,
    "temporal": _temporal,
    "stable": _stable,
    "leave-one-out": _leave_one_out,
    "leave-one-out-random": _leave_random_out,
    "cut-off": _cut_off,
}
