"""Small invented raw folders for every test that needs one."""

import random
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from PIL import Image as PillowImage

from dataset.files import sha256_of_file, write_json
from dataset.schema import RAW_TABLES
from dataset.tables import empty, write_table


def filled(rows: list[dict[str, object]], name: str) -> pl.DataFrame:
    """Return raw table `name` with these rows, columns that are not given null or empty."""
    schema = empty(RAW_TABLES[name]).schema
    table = pl.DataFrame(rows, schema_overrides={c: t for c, t in schema.items() if rows and c in rows[0]})
    missing = [
        pl.lit([] if isinstance(dtype, pl.List) else None, dtype).alias(column)
        for column, dtype in schema.items()
        if column not in table.columns
    ]
    return table.with_columns(missing).select(schema.names()).cast(dict(schema))


def _picture(path: Path, colour: tuple[int, int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.new("RGB", (64, 48), colour).save(path)


def write_raw(raw: Path, seed: int = 0, shuffle: bool = False) -> Path:
    """Write a raw folder: 12 users and 8 movies in a dense core, and some outside it."""
    rng = random.Random(seed)
    users, movies = [f"u{i:02}" for i in range(12)], [f"m{i}" for i in range(8)]
    ratings = [
        {
            "user_id": user,
            "movie_id": movie,
            "stars": rng.choice([None, 3.0, 4.0, 5.0]),
            "rated_on": date(2024, 1, 1) + timedelta(days=rng.randrange(300)),
        }
        for user in users
        for movie in movies
    ]
    ratings += [{"user_id": "rare", "movie_id": m, "stars": 4.0, "rated_on": None} for m in ("m0", "deleted")]
    frames = [{"frame_id": f"{m}f{n}", "movie_id": m, "kind": "still"} for m in [*movies, "m9"] for n in range(3)]
    likes = [
        {"user_id": user, "frame_id": f"{movie}f{rng.randrange(3)}", "source": "photo_page"}
        for user in users
        for movie in movies
    ] + [{"user_id": "rare", "frame_id": "m9f0", "source": "photo_page"}]
    images = []
    for number, frame in enumerate(frames[:-4]):
        path = Path("pictures") / f"{frame['frame_id']}.png"
        _picture(raw / path, (9 * number % 256, 50, 200))
        images.append(
            {
                "frame_id": frame["frame_id"],
                "image_sha256": sha256_of_file(raw / path),
                "format": "png",
                "width_px": 64,
                "height_px": 48,
                "size_bytes": (raw / path).stat().st_size,
                "path": path.as_posix(),
            }
        )
    rows = {
        "movies": [{"movie_id": m, "title": f"Movie {m}"} for m in [*movies, "m9"]],
        "ratings": ratings,
        "frames": frames,
        "images": images,
        "frame_likes": likes,
    }
    for name, schema in RAW_TABLES.items():
        table = filled(rows[name], name)
        table = table.sample(fraction=1, shuffle=True, seed=1) if shuffle else table
        write_table(table, schema, raw / f"{name}.parquet")
    write_json(raw / "provenance.json", {"source": "invented"})
    return raw


@pytest.fixture
def make_raw(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes the raw folder of `write_raw`."""
    return lambda seed=0, shuffle=False: write_raw(tmp_path / f"raw-{seed}-{shuffle}", seed, shuffle)


@pytest.fixture(scope="session")
def raw_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, once for all tests that only read it."""
    return write_raw(tmp_path_factory.mktemp("raw"))
