"""The names of the models in `registry.py`. Reading them imports no torch, so `--help` can list them."""

MODEL_NAMES = (
    "jifr",
    "jifr_visual",
    "jifr_rating",
    "jifr_na",
    "acf",
    "vpoi",
    "cdl",
    "bpr",
    "vbpr",
    "lightgcn",
    "lattice",
    "freedom",
    "bm3",
    "popular",
    "random",
)
