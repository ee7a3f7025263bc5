"""The models of Gowalla that take long: tuned MF with BPR and with a softmax, LightGCN, EASE (see `gowalla.py`).

    GOWALLA_DATA=<folder> make bench ONLY=gowalla_long     # or GOWALLA_MODELS=ease

On 2 cores BPR takes some 20 minutes, EASE up to an hour, 7.5 GB of memory and 14 GB of disk, and LightGCN a day.
LightGCN's epochs are limited (`GOWALLA_LIGHTGCN_EPOCHS`): its row is the curve reached. λ of EASE is chosen on 8,000
random items.
"""

import os
from collections.abc import Iterator

from gowalla import Row, measure_rows
from run import Result

MODELS, LIGHTGCN_EPOCHS = "GOWALLA_MODELS", "GOWALLA_LIGHTGCN_EPOCHS"


def measure() -> Iterator[Result]:
    rows = [
        Row("bpr", (0.1627, 0.1378), "tuned MF-BPR of BARS", [{"l2": l2} for l2 in (0.003, 0.01)]),
        Row("softmax_mf", (0.1837, 0.1493), "MF-CCL of BARS"),
        Row("ease", (0.1765, 0.1467), "EASE of BARS", [{"l2": l2} for l2 in (20, 50, 100, 200)], subset=8000),
        Row(
            "lightgcn",
            (0.1820, 0.1547),
            "LightGCN of BARS",
            [{"n_layers": 3}],
            epochs=int(os.environ.get(LIGHTGCN_EPOCHS, "1000")),
        ),
    ]
    asked = os.environ.get(MODELS, ",".join(row.model for row in rows)).split(",")
    yield from measure_rows([row for row in rows if row.model in asked])
