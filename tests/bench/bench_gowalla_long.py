"""The models of Gowalla that take long: tuned MF with BPR and with a softmax, LightGCN, EASE (see `gowalla.py`).

    GOWALLA_DATA=<folder> make bench ONLY=gowalla_long     # or GOWALLA_MODELS=ease

BPR takes tens of minutes on 2 cores. EASE keeps a matrix of 6.7 GB, and its run takes 13.4 GB on the disk; its λ is
chosen on 8,000 random items. An epoch of LightGCN takes some 5 minutes; `GOWALLA_LIGHTGCN_EPOCHS` limits them.
"""

import os
from collections.abc import Iterator

from gowalla import Row, measure_rows
from run import Result

MODELS, LIGHTGCN_EPOCHS = "GOWALLA_MODELS", "GOWALLA_LIGHTGCN_EPOCHS"


def measure() -> Iterator[Result]:
    rows = [
        Row("bpr", (0.1627, 0.1378), "tuned MF-BPR of BARS", [{"l2": l2} for l2 in (0.0005, 0.001, 0.003)]),
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
