"""The archive of a crawl: every answer as the site gave it, in WARC files, so that it can be read again.

`archive/000001.warc.gz`, `000002…` (WARC 1.1, a gzip member a record) in the crawl folder, in the
order of the answers. Each file opens with a `warcinfo` record that holds what was crawled, where and
in which scope; then come `response` records, with the page's key in `X-Page`. A picture that could be
used is a `revisit` record instead: its bytes stand once in `pictures/`, at `X-Stored-As`. Of the
HTTP header only what the parsers read is kept, and no request: it holds nothing but the address.

An answer is in the archive before the ledger's transaction that uses it. The file being written is
called `….warc.gz.open`; what a killed crawl left of one is cut behind its last whole record and
closed at the next start, so every `.warc.gz` is whole at any moment.
"""

import errno
import io
import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from warcio.archiveiterator import ArchiveIterator
from warcio.exceptions import ArchiveLoadFailed
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from crawler.settings import Scope, Source
from crawler.sites import Site
from crawler.store import Key
from dataset.errors import PipelineError
from dataset.files import atomic_path

ROTATE_AT_BYTES = 512 << 20
_GZIP = 31  # zlib's window bits for a gzip member
_COMPRESSION = 6
_REVISIT = "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a host answered: the body decompressed, the two header fields that are read, and when (Unix time)."""

    status: int
    url: str
    body: bytes
    location: str | None
    content_type: str | None
    at: float


class Circumstances(NamedTuple):
    """Under which answers were read: what is crawled, at which addresses, and in which scope."""

    source: Source
    site: Site
    scope: Scope

    def to_fields(self) -> dict[str, str]:
        """Return them as the fields of a `warcinfo` record."""
        return {
            "source": self.source.to_json(),
            "site": json.dumps(asdict(self.site)),
            "scope": json.dumps(asdict(replace(self.scope, uids=()))),  # no person's id
        }

    @classmethod
    def from_fields(cls, fields: Mapping[str, str]) -> "Circumstances":
        """Return what `to_fields` wrote."""
        scope: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in json.loads(fields["scope"]).items()
        }
        return cls(Source.from_json(fields["source"]), Site(**json.loads(fields["site"])), Scope(**scope))


class Entry(NamedTuple):
    """An archived answer: of which page, under which circumstances, and where a picture's bytes are."""

    key: Key
    answer: Answer
    under: Circumstances
    stored_as: str | None = None


class Archive:
    """The end of the archive, where a crawl adds its answers. One at a time (the ledger's lock sees to it)."""

    def __init__(self, crawl_dir: Path, under: Circumstances) -> None:
        close_left_open(crawl_dir)
        self._folder = crawl_dir / "archive"
        self._under = under
        self._file: BinaryIO | None = None
        self._path = self._folder

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, key: Key, answer: Answer, stored_as: str | None = None) -> None:
        """Add an answer; when this returns it survives the end of the process.

        Raises:
            PipelineError: it cannot be written.
        """
        try:
            if self._file is not None and self._file.tell() > ROTATE_AT_BYTES:
                self.close()
            self._append(self._file or self._begin(), _record(Entry(key, answer, self._under, stored_as)))
        except OSError as error:
            raise PipelineError(
                f"{self._path}: cannot be written ({error.strerror}); make room, then run the same command again"
            ) from error

    def close(self) -> None:
        """Close the file that is being written, if any."""
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None
            self._path.rename(self._path.with_suffix(""))

    def _begin(self) -> BinaryIO:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        number = max((int(path.name[:6]) for path in self._folder.glob("*.warc.gz")), default=0) + 1
        self._path = self._folder / f"{number:06}.warc.gz.open"
        descriptor = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        self._append(self._file, _warcinfo(self._under))
        return self._file

    def _append(self, file: BinaryIO, record: bytes) -> None:
        """Write a whole record, or none of it."""
        before = file.tell()
        try:
            if file.write(record) < len(record):  # it does not fit: the system says so at the next write only
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            file.truncate(before)
            raise


def close_left_open(crawl_dir: Path) -> None:
    """Close what a killed crawl left open, behind its last whole record; belongs under the ledger's lock."""
    for path in (crawl_dir / "archive").glob("*.warc.gz.open"):
        with path.open("rb+") as file:
            n_whole = _whole_bytes(file)
            file.truncate(n_whole)
            os.fsync(file.fileno())
        if n_whole:
            path.rename(path.with_suffix(""))
        else:
            path.unlink()


def read_archive(crawl_dir: Path) -> Iterator[Entry]:
    """Yield every archived answer, oldest first. A picture's body is empty (see `Entry.stored_as`).

    Raises:
        PipelineError: a file is damaged.
    """
    for path in archive_files(crawl_dir):
        yield from _read_file(path)


def archive_files(crawl_dir: Path) -> list[Path]:
    """Return the archive's closed files in their order."""
    return sorted((crawl_dir / "archive").glob("*.warc.gz"))


def rewrite_archive(crawl_dir: Path, change: Callable[[Entry], Entry | None]) -> int:
    """Let `change` replace every answer, or drop it (None); return how many differ. Files in which none does stay.

    Raises:
        PipelineError: a file is damaged, or cannot be written.
    """
    n_changed = 0
    for path in archive_files(crawl_dir):
        n_in_file = sum(change(entry) != entry for entry in _read_file(path))
        if n_in_file:
            with atomic_path(path) as temporary:
                _rewrite(path, temporary, change)
        n_changed += n_in_file
    return n_changed


def _rewrite(path: Path, to: Path, change: Callable[[Entry], Entry | None]) -> None:
    with os.fdopen(os.open(to, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as file:
        for n, entry in enumerate(_read_file(path)):
            if n == 0:
                file.write(_warcinfo(entry.under))
            if (changed := change(entry)) is not None:
                file.write(_record(changed))


def _read_file(path: Path) -> Iterator[Entry]:
    n_read = 0
    under: Circumstances | None = None
    try:
        with path.open("rb") as file:
            for record in ArchiveIterator(file, check_digests="raise"):
                if record.rec_type == "warcinfo":
                    lines = record.content_stream().read().decode().splitlines()
                    under = Circumstances.from_fields(dict(line.split(": ", 1) for line in lines))
                elif under is not None:
                    yield _entry(record, under)
                n_read += 1
    except (ArchiveLoadFailed, zlib.error, OSError, ValueError, KeyError, TypeError) as error:
        raise PipelineError(
            f"{path}: damaged behind record {n_read:,} ({type(error).__name__}); restore it from a copy"
        ) from error


def _entry(record: Any, under: Circumstances) -> Entry:
    warc, http = record.rec_headers, record.http_headers
    answer = Answer(
        status=int(http.get_statuscode()),
        url=warc.get_header("WARC-Target-URI"),
        body=record.content_stream().read() if record.rec_type == "response" else b"",
        location=http.get_header("Location"),
        content_type=http.get_header("Content-Type"),
        at=datetime.fromisoformat(warc.get_header("WARC-Date")).timestamp(),
    )
    return Entry(Key(*json.loads(warc.get_header("X-Page"))), answer, under, warc.get_header("X-Stored-As"))


def _record(entry: Entry) -> bytes:
    """Return an answer as a gzip member of a WARC file."""
    key, answer, stored_as = entry.key, entry.answer, entry.stored_as
    header = {
        "WARC-Date": datetime.fromtimestamp(answer.at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "X-Page": json.dumps(key),
    }
    if stored_as:
        header |= {
            "X-Stored-As": stored_as,
            "WARC-Payload-Digest": f"sha256:{Path(stored_as).stem}",
            "WARC-Profile": _REVISIT,
        }
    fields = [("Content-Type", answer.content_type), ("Location", answer.location)]
    http = StatusAndHeaders(
        _status_line(answer.status),
        [*((name, value) for name, value in fields if value), ("Content-Length", str(len(answer.body)))],
        protocol="HTTP/1.1",
    )
    out = io.BytesIO()
    writer = WARCWriter(out, gzip=False, warc_version="1.1")
    body = None if stored_as else io.BytesIO(answer.body)
    kind = "revisit" if stored_as else "response"
    record = writer.create_warc_record(
        answer.url, kind, payload=body, length=len(answer.body), http_headers=http, warc_headers_dict=header
    )
    writer.write_record(record)
    return _member(out.getvalue())


def _warcinfo(under: Circumstances) -> bytes:
    out = io.BytesIO()
    writer = WARCWriter(out, gzip=False, warc_version="1.1")
    fields = {"software": "douban-keyframes", "format": "WARC File Format 1.1", "robots": "obey", **under.to_fields()}
    writer.write_record(writer.create_warcinfo_record(None, fields))
    return _member(out.getvalue())


def _member(record: bytes) -> bytes:
    return zlib.compress(record, _COMPRESSION, _GZIP)


def _status_line(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} Unknown"


def _whole_bytes(file: BinaryIO) -> int:
    """Return how many bytes of a file are whole gzip members."""
    whole, member, rest = 0, zlib.decompressobj(_GZIP), b""
    while block := rest or file.read(1 << 16):
        try:
            member.decompress(block)
        except zlib.error:
            break
        rest = member.unused_data
        if member.eof:
            whole, member = file.tell() - len(rest), zlib.decompressobj(_GZIP)
    return whole


def with_body(entry: Entry, body: bytes) -> Entry:
    """Return the same answer with another body."""
    return entry._replace(answer=replace(entry.answer, body=body))
