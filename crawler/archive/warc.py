"""The archive of a crawl: every answer as the site gave it, in WARC files, so that it can be parsed again.

The files are `archive/000001.warc.gz`, `000002…` in the crawl folder (WARC 1.1, one gzip member per record; see
`records.py`), in the order of the answers. An answer is in the archive before the ledger's transaction that uses it.
The file being written is called `….warc.gz.open`. If a crawl is killed, the next start truncates that file after its
last complete record and closes it, so every `.warc.gz` is complete at any moment.
"""

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from crawler.archive.records import Entry, Origin, info_record, read_records, response_record, whole_bytes
from crawler.page import Answer, Key
from dataset.errors import PipelineError
from dataset.files import atomic_path, explain_write_errors

FOLDER = "archive"
ROTATE_AT_BYTES = 512 << 20


class Archive:
    """Adds a crawl's answers to the end of the archive. The ledger's lock allows only one writer at a time."""

    def __init__(self, crawl_dir: Path, origin: Origin) -> None:
        close_left_open(crawl_dir)
        self._folder = crawl_dir / "archive"
        self._origin = origin
        self._file: BinaryIO | None = None
        self._path = self._folder

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, key: Key, answer: Answer) -> None:
        """Add an answer. After this returns, the answer is kept even if the process is killed.

        Raises:
            PipelineError: the answer cannot be written.
        """
        try:
            if self._file is not None and self._file.tell() > ROTATE_AT_BYTES:
                self.close()
            self._append(self._file or self._begin(), response_record(key, answer))
        except OSError as error:
            raise PipelineError(
                f"{self._path}: cannot be written ({error.strerror}); free some disk space, "
                "then run the same command again"
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
        self._append(self._file, info_record(self._origin))
        return self._file

    def _append(self, file: BinaryIO, record: bytes) -> None:
        """Write a complete record, or none of it."""
        before = file.tell()
        try:
            if file.write(record) < len(record):  # it does not fit; the system would report that at the next write
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            file.truncate(before)
            raise


def close_left_open(crawl_dir: Path) -> None:
    """Cut incomplete records off the files that a killed crawl left open, and close these files.

    Call this while holding the ledger's lock.
    """
    for path in (crawl_dir / "archive").glob("*.warc.gz.open"):
        with path.open("rb+") as file:
            n_whole = whole_bytes(file)
            file.truncate(n_whole)
            os.fsync(file.fileno())
        if n_whole:
            path.rename(path.with_suffix(""))
        else:
            path.unlink()


def read_archive(crawl_dir: Path, folder: str = FOLDER) -> Iterator[Entry]:
    """Yield every archived answer, oldest first. The body of a stored picture is empty (see `Answer.stored_as`).

    Raises:
        PipelineError: a file is damaged.
    """
    for path in archive_files(crawl_dir, folder):
        yield from read_records(path)


def read_origins(crawl_dir: Path) -> list[Origin]:
    """Return where the answers of each file come from.

    Raises:
        PipelineError: a file is damaged.
    """
    paths = [*archive_files(crawl_dir), *(crawl_dir / "archive").glob("*.warc.gz.open")]
    firsts = (next(read_records(path), None) for path in paths)
    return [entry.origin for entry in firsts if entry is not None]


def archive_files(crawl_dir: Path, folder: str = FOLDER) -> list[Path]:
    """Return the archive's closed files, oldest first."""
    return sorted((crawl_dir / folder).glob("*.warc.gz"))


def rewrite_archive(crawl_dir: Path, change: Callable[[Entry], Entry | None], folder: str = FOLDER) -> int:
    """Replace every answer by what `change` returns, or delete it (None); return how many changed.

    Files without a change are not written again.

    Args:
        crawl_dir: the private folder of the crawl.
        change: returns the same entry, another one, or None.
        folder: where the archive is written; another folder than the archive's gets links to unchanged files.

    Raises:
        PipelineError: a file is damaged, or cannot be written.
    """
    n_changed = 0
    with explain_write_errors(crawl_dir / folder):
        (crawl_dir / folder).mkdir(mode=0o700, exist_ok=True)
        for path in archive_files(crawl_dir):
            to = crawl_dir / folder / path.name
            n_in_file = sum(change(entry) != entry for entry in read_records(path))
            if n_in_file:
                with atomic_path(to) as temporary:
                    _rewrite(path, temporary, change)
            elif to != path:
                os.link(path, to)
            n_changed += n_in_file
    return n_changed


def _rewrite(path: Path, to: Path, change: Callable[[Entry], Entry | None]) -> None:
    with os.fdopen(os.open(to, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as file:
        for n, entry in enumerate(read_records(path)):
            if n == 0:
                file.write(info_record(entry.origin))
            if (changed := change(entry)) is not None:
                file.write(response_record(changed.key, changed.answer))


def with_body(entry: Entry, body: bytes) -> Entry:
    """Return the same entry with another body."""
    return entry._replace(answer=replace(entry.answer, body=body))
