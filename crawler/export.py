"""Exports the crawl's ledger to the raw tables of `dataset.schema`, with pseudonyms for people.

The raw folder is self-contained: `movies`, `ratings`, `frames`, `images`, `fingerprints`, `frame_likes`, `users`,
`contradictions` and `quarantine` as Parquet, `pictures/` (hard links if the file system supports them), and
`provenance.json`. The same ledger gives the same bytes. An export into the same folder opens only new pictures.
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

from crawler.alarms import alarms
from crawler.archive.warc import read_origins
from crawler.kinds import KINDS
from crawler.kinds.estimates import surviving
from crawler.kinds.photo import PHOTO
from crawler.ledger import raw_rows, reports
from crawler.ledger.claims import contradictions
from crawler.ledger.ledger import Ledger
from crawler.pseudonyms import Pseudonyms
from crawler.scope import Scope, Source
from dataset.errors import MissingInputError, PipelineError
from dataset.files import atomic_path, write_json
from dataset.placeholders.fingerprints import write_fingerprints
from dataset.progress import stage
from dataset.schema import Contradiction, Frame, Image, Movie, Quarantine, Rating, RawFrameLike, RawUser
from dataset.tables import write_table
from dataset.version import code_version


@stage("Exporting the crawl")
def export(crawl_dir: Path, raw_dir: Path) -> dict[str, int]:
    """Write the raw tables of a crawl and return their row counts.

    Raises:
        MissingInputError: there is no ledger, or a picture file is missing.
        PipelineError: the folder cannot be written, or the key is public and the people may be real.
    """
    with Ledger.read(crawl_dir) as ledger:
        is_local = _is_of_this_machine(crawl_dir, ledger.source())
        pseudonym_of = _pseudonyms(crawl_dir, is_local).of
        frames = _table([(*row, None) for row in raw_rows.frames(ledger, counted_by=PHOTO.name)], Frame)  # of no video
        images = _table(raw_rows.pictures(ledger), Image)
        likes, left_out_likes = _likes(ledger, pseudonym_of)
        ratings, replaced = _ratings(ledger, pseudonym_of)
        quarantine = pl.concat([_quarantine(ledger, pseudonym_of), replaced, left_out_likes])
        _copy_pictures(crawl_dir, raw_dir, images["path"].to_list())
        tables = {
            "movies": write_table(_movies(ledger), Movie, raw_dir / "movies.parquet"),
            "ratings": write_table(ratings, Rating, raw_dir / "ratings.parquet"),
            "frames": write_table(frames, Frame, raw_dir / "frames.parquet"),
            "images": write_table(images, Image, raw_dir / "images.parquet"),
            "frame_likes": write_table(likes, RawFrameLike, raw_dir / "frame_likes.parquet"),
            "users": write_table(_users(ledger, pseudonym_of), RawUser, raw_dir / "users.parquet"),
            "contradictions": write_table(
                _table(contradictions(ledger), Contradiction), Contradiction, raw_dir / "contradictions.parquet"
            ),
            "quarantine": write_table(quarantine, Quarantine, raw_dir / "quarantine.parquet"),
        }
        write_fingerprints(raw_dir, images)
        counts = {name: table.height for name, table in tables.items()}
        write_json(raw_dir / "provenance.json", _provenance(ledger, counts, is_local))
    return counts


def _is_of_this_machine(crawl_dir: Path, source: Source) -> bool:
    """Return whether all answers came from this machine, according to the ledger and to the archive."""
    return source.is_loopback and all(origin.site.is_loopback for origin in read_origins(crawl_dir))


def _pseudonyms(crawl_dir: Path, is_local: bool) -> Pseudonyms:
    key = crawl_dir / "pseudonym.key"
    pseudonyms = Pseudonyms.open(key)
    if pseudonyms.is_public and not is_local:
        raise PipelineError(
            f"{key}: everybody knows this key, which is for the sandbox's invented people, and this crawl has read "
            "another site; delete the key, then export again (a secret key is made)"
        )
    return pseudonyms


def _movies(ledger: Ledger) -> pl.DataFrame:
    rows = [
        (*row[:5], json.loads(row[5]), json.loads(row[6]), *row[7:9], row[9] and datetime.fromtimestamp(row[9], UTC))
        for row in raw_rows.movies(ledger, [kind.name for kind in KINDS.values() if kind.table == "movies"])
    ]
    return _table(rows, Movie)


def _ratings(ledger: Ledger, pseudonym_of: Callable[[str], str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the ratings, and the quarantine rows of those that another mark of the same, merged, movie replaces."""
    rows, replaced = raw_rows.ratings(ledger)
    table = [(pseudonym_of(user), movie, stars, _date(day), None, None) for user, movie, stars, day in rows]
    reason = "older mark of a movie that was merged into another one, which this person marked too"
    left_out = [("ratings", reason, pseudonym_of(user), movie, None, "1 mark") for user, movie, *_ in replaced]
    return _table(table, Rating), _table(left_out, Quarantine)


def _users(ledger: Ledger, pseudonym_of: Callable[[str], str]) -> pl.DataFrame:
    """Return the people whose list of marks was read, under any of their uids or from any source."""
    kinds = [kind.name for kind in KINDS.values() if kind.is_personal and kind.table == "ratings"]
    rows = [
        (
            pseudonym_of(user),
            found_through,
            datetime.fromtimestamp(begun_at, UTC).date(),
            claimed,
            n_read,
            bool(complete),
        )
        for user, found_through, begun_at, claimed, n_read, complete in raw_rows.users(ledger, kinds)
    ]
    return _table(rows, RawUser)


def _likes(ledger: Ledger, pseudonym_of: Callable[[str], str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the exported likes, each once, and the quarantine rows that count the likes left out.

    Two sorts of like are left out: by people outside the k-core, and of photos that are not frames of this crawl.
    """
    k = int(ledger.meta("k") or 0)
    core = set(surviving(ledger, Scope(k=k)).user_ids)
    rows = raw_rows.likes(ledger)
    kept = [(pseudonym_of(user), frame, _date(day), source) for user, frame, day, source in rows if user in core]
    outsiders = Counter(frame for user, frame, *_ in rows if user not in core)
    reason = f"like by a person outside the {k}-core of the ratings"
    unknown = "like of a photo that is not a frame of this crawl"
    left_out = [
        *(("frame_likes", reason, None, None, frame, f"{n} likes") for frame, n in sorted(outsiders.items())),
        *(
            ("frame_likes", unknown, pseudonym_of(user), None, None, f"{n} likes")
            for user, n in raw_rows.likes_of_unknown_frames(ledger)
        ),
    ]
    return _table(kept, RawFrameLike), _table(left_out, Quarantine)


def _quarantine(ledger: Ledger, pseudonym_of: Callable[[str], str]) -> pl.DataFrame:
    """Return a row, with the reason, for every page that gave no rows and for every page with items left out."""
    rows = []
    for (kind, subject, variant, start), state, cause, left_out in raw_rows.unread_pages(ledger):
        ids: dict[str, str | None] = {"user_id": None, "movie_id": None, "frame_id": None}
        is_personal = KINDS[kind].is_personal
        ids[KINDS[kind].subject] = pseudonym_of(ledger.user_id_of(subject) or subject) if is_personal else subject
        where = " ".join(str(part) for part in (kind, variant, f"from {start}" if start else "") if part)
        reasons = [f"{n} items left out: {reason}" for reason, n in left_out.items()]
        if state != "done":
            reasons.append(f"page {state}: {cause}")
        rows += [(KINDS[kind].table, reason, *ids.values(), where) for reason in reasons]
    return _table(rows, Quarantine)


def _provenance(ledger: Ledger, counts: dict[str, int], is_local: bool) -> dict[str, Any]:
    source = ledger.source()
    first, last = raw_rows.times(ledger)
    states: dict[str, dict[str, int]] = {}
    for (kind, state), n in ledger.counts().items():
        states.setdefault(kind, {})[state] = n
    return {
        "source": "crawl",
        "site": source.site,
        "is_invented": source.is_invented and is_local,
        "world": source.world,
        "code_version": code_version(),
        "first_request_at": _time(first),
        "last_request_at": _time(last),
        "pages": states,
        "causes": raw_rows.causes(ledger),
        "opt_outs": reports.opt_outs(ledger),
        "merged_movies": len(ledger.aliases()),
        "claimed_and_seen": raw_rows.claimed_and_seen(ledger),
        "not_shown": reports.n_not_shown(ledger),
        "rows": counts,
        "alarms": alarms(ledger),
    }


def _table(rows: Sequence[Sequence[Any]], schema: Any) -> pl.DataFrame:
    types = {name: column.dtype for name, column in schema.columns().items()}
    return pl.DataFrame(rows, schema=types, orient="row")


def _date(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def _time(seconds: float | None) -> str | None:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds") if seconds else None


def _copy_pictures(crawl_dir: Path, raw_dir: Path, paths: Sequence[str]) -> None:
    """Place each picture file in the raw folder, by a hard link if possible."""
    for path in sorted(set(paths)):
        source, target = crawl_dir / path, raw_dir / path
        if not source.is_file():
            raise MissingInputError(f"{source}: the ledger names this picture, but its file is missing; put it back")
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except OSError:  # another file system
            with atomic_path(target) as temporary:
                shutil.copyfile(source, temporary)
