"""Converts answers to records of the archive (gzip members of a WARC 1.1 file), and back.

A file starts with a `warcinfo` record that says what was crawled, where and in which scope. `response` records
follow, with the page's key in `X-Page`. A usable picture is a `revisit` record instead: its bytes are stored once in
`pictures/`, at the path in `X-Stored-As`. Only the HTTP headers that the parsers read are stored. Requests are not
stored, because they contain nothing but the address.
"""

import io
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from warcio.archiveiterator import ArchiveIterator
from warcio.exceptions import ArchiveLoadFailed
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from crawler.page import Answer, Key
from crawler.scope import Scope, Source
from crawler.sites import Site
from dataset.errors import PipelineError

GZIP = 31  # zlib's window bits for a gzip member
_COMPRESSION = 6
_REVISIT = "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest"


class Origin(NamedTuple):
    """Where answers come from: what is crawled, at which addresses, and in which scope."""

    source: Source
    site: Site
    scope: Scope

    def to_fields(self) -> dict[str, str]:
        """Return the origin as the fields of a `warcinfo` record."""
        return {
            "source": self.source.to_json(),
            "site": json.dumps(self.site.hosts),
            "scope": json.dumps(vars(replace(self.scope, uids=()))),  # no person's id
        }

    @classmethod
    def from_fields(cls, fields: Mapping[str, str]) -> "Origin":
        """Return the origin that `to_fields` wrote."""
        scope = {name: _from_json(value) for name, value in json.loads(fields["scope"]).items()}
        hosts = {"mobile": ""} | json.loads(fields["site"])  # older archives know no mobile host
        return cls(Source.from_json(fields["source"]), Site(**hosts), Scope(**scope))


def _from_json(value: Any) -> Any:
    """Return a value with tuples for the lists of JSON."""
    if isinstance(value, dict):
        return {name: _from_json(part) for name, part in value.items()}
    return tuple(value) if isinstance(value, list) else value


class Entry(NamedTuple):
    """An archived answer: the page's key, the answer (a stored picture's body is empty), and its origin."""

    key: Key
    answer: Answer
    origin: Origin


def read_records(path: Path) -> Iterator[Entry]:
    """Yield the answers in one file.

    Raises:
        PipelineError: the file is damaged.
    """
    n_read = 0
    origin: Origin | None = None
    try:
        with path.open("rb") as file:
            for record in ArchiveIterator(file, check_digests="raise"):
                if record.rec_type == "warcinfo":
                    lines = record.content_stream().read().decode().splitlines()
                    origin = Origin.from_fields(dict(line.split(": ", 1) for line in lines))
                elif origin is not None:
                    yield _entry(record, origin)
                n_read += 1
    except (ArchiveLoadFailed, zlib.error, OSError, ValueError, KeyError, TypeError) as error:
        raise PipelineError(
            f"{path}: damaged after record {n_read:,} ({type(error).__name__}); restore it from a copy"
        ) from error


def _entry(record: Any, origin: Origin) -> Entry:
    warc, http = record.rec_headers, record.http_headers
    answer = Answer(
        status=int(http.get_statuscode()),
        url=warc.get_header("WARC-Target-URI"),
        body=record.content_stream().read() if record.rec_type == "response" else b"",
        location=http.get_header("Location"),
        content_type=http.get_header("Content-Type"),
        at=datetime.fromisoformat(warc.get_header("WARC-Date")).timestamp(),
        stored_as=warc.get_header("X-Stored-As"),
        retry_after=http.get_header("Retry-After"),
        robots_tags=tuple(value for name, value in http.headers if name.lower() == "x-robots-tag"),
    )
    return Entry(Key(*json.loads(warc.get_header("X-Page"))), answer, origin)


def response_record(key: Key, answer: Answer) -> bytes:
    """Return an answer as a record."""
    header = {
        "WARC-Date": datetime.fromtimestamp(answer.at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "X-Page": json.dumps(key),
    }
    if answer.stored_as:
        header |= {
            "X-Stored-As": answer.stored_as,
            "WARC-Payload-Digest": f"sha256:{Path(answer.stored_as).stem}",
            "WARC-Profile": _REVISIT,
        }
    fields = [
        ("Content-Type", answer.content_type),
        ("Location", answer.location),
        ("Retry-After", answer.retry_after),
        *(("X-Robots-Tag", tag) for tag in answer.robots_tags),
    ]
    http = StatusAndHeaders(
        _status_line(answer.status),
        [*((name, value) for name, value in fields if value), ("Content-Length", str(len(answer.body)))],
        protocol="HTTP/1.1",
    )
    out = io.BytesIO()
    writer = WARCWriter(out, gzip=False, warc_version="1.1")
    body = None if answer.stored_as else io.BytesIO(answer.body)
    kind = "revisit" if answer.stored_as else "response"
    record = writer.create_warc_record(
        answer.url, kind, payload=body, length=len(answer.body), http_headers=http, warc_headers_dict=header
    )
    writer.write_record(record)
    return _member(out.getvalue())


def info_record(origin: Origin) -> bytes:
    """Return the first record of a file."""
    out = io.BytesIO()
    writer = WARCWriter(out, gzip=False, warc_version="1.1")
    fields = {"software": "douban-keyframes", "format": "WARC File Format 1.1", "robots": "obey", **origin.to_fields()}
    writer.write_record(writer.create_warcinfo_record(None, fields))
    return _member(out.getvalue())


def whole_bytes(file: BinaryIO) -> int:
    """Return how many bytes from a file's start are complete records."""
    whole, member, rest = 0, zlib.decompressobj(GZIP), b""
    while block := rest or file.read(1 << 16):
        try:
            member.decompress(block)
        except zlib.error:
            break
        rest = member.unused_data
        if member.eof:
            whole, member = file.tell() - len(rest), zlib.decompressobj(GZIP)
    return whole


def _member(record: bytes) -> bytes:
    return zlib.compress(record, _COMPRESSION, GZIP)


def _status_line(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} Unknown"
