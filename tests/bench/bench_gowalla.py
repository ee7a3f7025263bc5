"""Models on Gowalla check-ins that take minutes: no training, or five epochs of it (see `gowalla.py`).

    GOWALLA_DATA=<folder> make bench ONLY=gowalla

The folder holds LightGCN's `train.txt` and `test.txt`, or `train.parquet` and `test.parquet` with integer columns
`user` and `item`. Nothing is chosen here: the settings are the models' defaults, but for BPR's penalty. BARS (Zhu et
al. 2022, gowalla_m1) has models that were trained to their end; `make bench ONLY=gowalla_long` has ours.
"""

from collections.abc import Iterator

from gowalla import Row, measure_rows
from run import Result

POPULAR, ITEM_CF, MF = (0.0416, 0.0317), (0.1570, 0.1214), (0.1627, 0.1378)


def measure() -> Iterator[Result]:
    yield from measure_rows(
        [
            Row("popular", POPULAR, "independent code", is_tuned=False),
            Row("itemknn", ITEM_CF, "ItemCF of BARS", is_tuned=False),
            Row("rp3beta", ITEM_CF, "ItemCF of BARS", is_tuned=False),
            Row("bpr", MF, "tuned MF-BPR of BARS, at its end", [{"l2": 0.001}], epochs=5, is_tuned=False),
        ]
    )
