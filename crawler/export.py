"""From the crawl's ledger to the raw tables of `dataset.schema`, with pseudonyms for people.

The raw folder stands alone: `movies`, `ratings`, `frames`, `images`, `frame_likes` and
`quarantine` as Parquet, `pictures/` (hard links where the file system can), and
`provenance.json`. The same ledger gives the same bytes.
"""

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from crawler.people import Pseudonyms
from crawler.plan import surviving
from crawler.settings import Scope
from crawler.store import Ledger
from dataset.errors import MissingInputError
from dataset.files import atomic_path, write_json
from dataset.schema import Frame, Image, Movie, Quarantine, Rating, RawFrameLike
from dataset.tables import write_table
from dataset.version import code_version

_OF_FRAMES = "frame_id IN (SELECT frame_id FROM frames)"  # after `reparse` a list of photos can be missing
_TABLE_OF_KIND = {
    "comments": "ratings",
    "collection": "ratings",
    "movie": "movies",
    "photos": "frames",
    "picture": "images",
    "photo": "frame_likes",
    "user_likes": "frame_likes",
}


def export(crawl_dir: Path, raw_dir: Path) -> dict[str, int]:
    """Write the raw tables of a crawl and return their row counts.

    Raises:
        MissingInputError: there is no ledger, or a picture file is missing.
        PipelineError: the folder cannot be written.
    """
    with Ledger.read(crawl_dir) as ledger:
        of = Pseudonyms.open(crawl_dir / "pseudonym.key").of
        images = _images(ledger)
        likes, strangers_likes = _likes(ledger, of)
        quarantine = pl.concat([_quarantine(ledger, of), strangers_likes])
        _copy_pictures(crawl_dir, raw_dir, images["path"].to_list())
        tables = {
            "movies": write_table(_movies(ledger), Movie, raw_dir / "movies.parquet"),
            "ratings": write_table(_ratings(ledger, of), Rating, raw_dir / "ratings.parquet"),
            "frames": write_table(_frames(ledger), Frame, raw_dir / "frames.parquet"),
            "images": write_table(images, Image, raw_dir / "images.parquet"),
            "frame_likes": write_table(likes, RawFrameLike, raw_dir / "frame_likes.parquet"),
            "quarantine": write_table(quarantine, Quarantine, raw_dir / "quarantine.parquet"),
        }
        counts = {name: table.height for name, table in tables.items()}
        write_json(raw_dir / "provenance.json", _provenance(ledger, counts))
    return counts


def _movies(ledger: Ledger) -> pl.DataFrame:
    rows = [
        (*row[:5], json.loads(row[5]), json.loads(row[6]), *row[7:9], datetime.fromtimestamp(row[9], UTC))
        for row in ledger.execute(
            "SELECT movie_id, title, original_title, year, kind, genres, directors, rating_mean, rating_count, "
            "crawled_at FROM movies"
        )
    ]
    return _table(rows, Movie)


def _ratings(ledger: Ledger, of: Callable[[str], str]) -> pl.DataFrame:
    rows = ledger.execute("SELECT user_id, movie_id, stars, rated_on FROM ratings")
    return _table([(of(user), movie, stars, _date(day)) for user, movie, stars, day in rows], Rating)


def _frames(ledger: Ledger) -> pl.DataFrame:
    query = (
        "SELECT frame_id, movie_id, frames.kind, width_px, height_px, image_url, claimed FROM frames LEFT JOIN pages "
        "ON pages.kind = 'photo' AND pages.subject = frame_id AND variant = '' AND start = 0"
    )
    return _table(ledger.execute(query).fetchall(), Frame)


def _images(ledger: Ledger) -> pl.DataFrame:
    query = f"SELECT frame_id, sha256, format, width_px, height_px, size_bytes, path FROM pictures WHERE {_OF_FRAMES}"
    return _table(ledger.execute(query).fetchall(), Image)


def _likes(ledger: Ledger, of: Callable[[str], str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return each like once, and in the quarantine's form how many are left out.

    Left out are likes by people outside the k-core, and of photos that are no frames of this crawl.
    Where both sources have a like, the photo's page counts, with the other's date if it has none.
    """
    k = int(ledger.meta("k") or 0)
    core = set(surviving(ledger, Scope(k=k)).user_ids)
    rows = ledger.execute(
        f"SELECT user_id, frame_id, max(liked_on), min(source) FROM likes WHERE {_OF_FRAMES} GROUP BY user_id, frame_id"
    ).fetchall()
    kept = [(of(user), frame, _date(day), source) for user, frame, day, source in rows if user in core]
    strangers = Counter(frame for user, frame, *_ in rows if user not in core)
    reason = f"like by a person outside the {k}-core of the ratings"
    unknown = "like of a photo that is no frame of this crawl"
    of_unknown = ledger.execute(f"SELECT user_id, count(*) FROM likes WHERE NOT {_OF_FRAMES} GROUP BY user_id")
    left_out = [
        *(("frame_likes", reason, None, None, frame, f"{n} likes") for frame, n in sorted(strangers.items())),
        *(("frame_likes", unknown, of(user), None, None, f"{n} likes") for user, n in of_unknown),
    ]
    return _table(kept, RawFrameLike), _table(left_out, Quarantine)


def _quarantine(ledger: Ledger, of: Callable[[str], str]) -> pl.DataFrame:
    """Every page that gave no rows, and every page of which items were left out, with the reason."""
    rows = []
    for kind, subject, variant, start, state, cause, left_out in ledger.execute(
        "SELECT kind, subject, variant, start, state, cause, left_out FROM pages "
        "WHERE state IN ('gone', 'refused', 'failed') OR left_out > 0"
    ):
        keys: dict[str, str | None] = {"user_id": None, "movie_id": None, "frame_id": None}
        if kind in ("collection", "user_likes"):
            user_id = ledger.value("SELECT user_id FROM people WHERE uid = ?", (subject,))
            keys["user_id"] = of(user_id or subject)
        else:
            keys["frame_id" if kind in ("picture", "photo") else "movie_id"] = subject
        reason = (
            f"{left_out} items left out: anonymous, without a profile" if state == "done" else f"page {state}: {cause}"
        )
        where = " ".join(str(part) for part in (kind, variant, f"from {start}" if start else "") if part)
        rows.append((_TABLE_OF_KIND[kind], reason, *keys.values(), where))
    return _table(rows, Quarantine)


def _provenance(ledger: Ledger, counts: dict[str, int]) -> dict[str, Any]:
    source = ledger.source()
    first, last = ledger.execute("SELECT min(fetched_at), max(fetched_at) FROM pages").fetchone()
    states: dict[str, dict[str, int]] = {}
    for (kind, state), n in ledger.counts().items():
        states.setdefault(kind, {})[state] = n
    causes = ledger.execute(
        "SELECT cause, count(*) FROM pages WHERE state IN ('gone', 'refused', 'failed') GROUP BY cause ORDER BY cause"
    )
    lists = ledger.execute(
        "SELECT kind, count(*), sum(claimed), sum(seen) FROM (SELECT kind, max(claimed) AS claimed, sum(seen) AS seen "
        "FROM pages WHERE state = 'done' GROUP BY kind, subject, variant) WHERE claimed IS NOT NULL GROUP BY kind"
    )
    return {
        "source": "crawl",
        "site": source.site,
        "is_invented": source.is_invented,
        "world": source.world,
        "code_version": code_version(),
        "first_request_at": _time(first),
        "last_request_at": _time(last),
        "pages": states,
        "causes": dict(causes.fetchall()),
        "claimed_and_seen": {
            kind: {"lists": n, "items_claimed": claimed, "items_seen": seen} for kind, n, claimed, seen in lists
        },
        "rows": counts,
    }


def _table(rows: Sequence[Sequence[Any]], schema: Any) -> pl.DataFrame:
    types = {name: column.dtype for name, column in schema.columns().items()}
    return pl.DataFrame(rows, schema=types, orient="row")


def _date(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def _time(seconds: float | None) -> str | None:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds") if seconds else None


def _copy_pictures(crawl_dir: Path, raw_dir: Path, paths: Sequence[str]) -> None:
    """Bring each picture file under the raw folder, by a hard link where that is possible."""
    for path in sorted(set(paths)):
        source, target = crawl_dir / path, raw_dir / path
        if not source.is_file():
            raise MissingInputError(f"{source}: the ledger knows this picture, its file is missing; put it back")
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except OSError:  # another file system
            with atomic_path(target) as temporary:
                shutil.copyfile(source, temporary)
