"""Which ids a format of `export` can hold: what its reader really does with them decides.

- RecBole reads with `pandas.read_csv(…, engine="python")`, which undoes quotes, also around tabs and line breaks. It
  reads words such as NA as missing values, quoted or not, and its longest field has 131,072 characters.
- Cornac's `Reader.read` strips each line and splits it at tabs. It knows no quotes.
- LightGCN's `load_data.py` splits each line at spaces. It knows no quotes.
"""

from typing import NamedTuple

import polars as pl

from dataset.errors import UsageError

PANDAS_MISSING = (
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
)  # fmt: skip
"""The words that pandas reads as a missing value, quoted or not; a test compares them with pandas' own."""

LONGEST_FIELD = 131_072
"""The longest field that Python's `csv` reads, in characters."""

SPACE = r"[\s\x1c-\x1f]"
"""Matches what Python takes for a space (`str.isspace`)."""

_SHOWN_CHARACTERS = 60


class Refusal(NamedTuple):
    """A reason to refuse an id, and the expression on the column `id` that finds it."""

    reason: str
    expression: pl.Expr


_ID = pl.col("id")
RECBOLE = (
    Refusal("read as missing values by RecBole (pandas)", _ID.is_in(PANDAS_MISSING)),
    Refusal("are RecBole's own word for padding", _ID == "[PAD]"),
    Refusal("contain a NUL character", _ID.str.contains("\0", literal=True)),
    Refusal(f"are longer than {LONGEST_FIELD:,} characters", _ID.str.len_chars() > LONGEST_FIELD),
)
CORNAC_ITEM = (Refusal("contain a tab or a line break", _ID.str.contains(r"[\t\r\n]")),)
CORNAC_USER = (*CORNAC_ITEM, Refusal("start with a space, which Cornac removes", _ID.str.contains(f"^{SPACE}")))
LINES = (Refusal("contain a tab or a line break", _ID.str.contains(r"[\t\r\n]")),)
LIGHTGCN = (Refusal("contain spaces", _ID.str.contains(SPACE)),)


def require_writable(ids: pl.Series, what: str, refusals: tuple[Refusal, ...], file_format: str) -> None:
    """Check that a format can hold all `ids`.

    Args:
        ids: user or movie ids; they may repeat.
        what: "user" or "movie", for the message.
        refusals: the reasons to refuse an id.
        file_format: the format's name, for the message.

    Raises:
        UsageError: some ids would not be read back; the message has their number and one example.
    """
    table = ids.unique().sort().to_frame("id")
    for reason, expression in refusals:
        bad = table.filter(expression)["id"]
        if len(bad):
            example = bad[0] if len(bad[0]) <= _SHOWN_CHARACTERS else f"{bad[0][:_SHOWN_CHARACTERS]}…"
            raise UsageError(
                f"export: {len(bad):,} {what} ids {reason}, for example {example!r}, so {file_format} cannot hold "
                "them; change these ids in the ratings file and import it again, or choose another --format"
            )
