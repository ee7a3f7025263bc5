"""The moment of a rating: what orders ratings in time, wherever they are ordered.

A rating whose day alone is known (Douban's, for example) counts as rated at midnight UTC, when the day begins:
before every rating of that day whose time is known, and at the same moment as the others without a time.
"""

import polars as pl


def moment() -> pl.Expr:
    """Return `rated_at`, or midnight UTC of `rated_on` where only the day is known; null where neither is."""
    midnight = pl.col("rated_on").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return pl.coalesce("rated_at", midnight)


def day() -> pl.Expr:
    """Return the day of the rating in UTC; null where it is not known."""
    return moment().dt.date()
