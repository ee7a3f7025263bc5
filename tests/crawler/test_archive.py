"""The archive's files: what other tools read in them, and what a killed crawl leaves."""

import gzip
import io
import resource
import subprocess
import sys
from dataclasses import replace

import pytest
from warcio.archiveiterator import ArchiveIterator

from crawler.archive import warc
from crawler.archive.records import Origin
from crawler.archive.warc import Archive, archive_files, close_left_open, read_archive
from crawler.page import Answer, Key
from crawler.scope import Scope, Source
from crawler.sites import Site
from dataset.errors import PipelineError

ORIGIN = Origin(Source("sandbox", {"seed": 1}), Site(), Scope(movie_ids=("1",), uids=("somebody",)))
DIGEST = "ab" * 32


def _answer(n, status=200, body=None):
    body = f"<html>页 {n}</html>".encode() if body is None else body
    return Answer(status, f"https://movie.douban.com/subject/{n}/", body, None, "text/html; charset=utf-8", 1e9 + n)


def _write(folder, *numbers):
    with Archive(folder, ORIGIN) as archive:
        for n in numbers:
            archive.write(Key("movie", str(n)), _answer(n))


@pytest.fixture
def filled(tmp_path):
    """An archive of pages of every sort: a page, an empty answer, a redirect, an odd status and a stored picture."""
    with Archive(tmp_path, ORIGIN) as archive:
        archive.write(Key("movie", "1"), _answer(1))
        archive.write(Key("movie", "2"), _answer(2, 404, b""))
        archive.write(Key("movie", "3"), Answer(302, "https://movie.douban.com/x?a=b", b"", "/misc/sorry", None, 3.0))
        archive.write(Key("movie", "4"), _answer(4, 599))
        picture = Answer(200, "https://img1.doubanio.com/p5.jpg", b"\xff\xd8", None, "image/jpeg", 5.0)
        archive.write(Key("picture", "5", "m"), replace(picture, stored_as=f"pictures/ab/{DIGEST}.jpg"))
    return tmp_path


def test_gzip_reads_every_file_completely(filled):
    (path,) = archive_files(filled)
    subprocess.run(["gzip", "-t", path], check=True)
    assert gzip.decompress(path.read_bytes()).count(b"WARC/1.1\r\n") == 6


def test_warcio_accepts_every_digest(filled):
    (path,) = archive_files(filled)
    command = [sys.executable, "-c", "from warcio.cli import main; main()", "check", "-v", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "digest pass" in done.stdout


def test_the_records_have_the_types_of_the_warc_standard(filled):
    (path,) = archive_files(filled)
    records = [
        (record.rec_type, record.rec_headers.get_header("WARC-Target-URI"), record.content_stream().read())
        for record in ArchiveIterator(io.BytesIO(path.read_bytes()), check_digests="raise")
    ]
    assert [kind for kind, _, _ in records] == ["warcinfo", "response", "response", "response", "response", "revisit"]
    assert records[1][1:] == ("https://movie.douban.com/subject/1/", "<html>页 1</html>".encode())
    assert records[5][2] == b""
    assert b"somebody" not in records[0][2]


def test_what_is_read_is_what_was_written(filled):
    entries = list(read_archive(filled))
    assert [entry.answer.status for entry in entries] == [200, 404, 302, 599, 200]
    assert entries[0] == (Key("movie", "1"), _answer(1), ORIGIN._replace(scope=Scope(movie_ids=("1",))))
    assert entries[2].answer.location == "/misc/sorry"
    assert (entries[4].answer.stored_as, entries[4].answer.body) == (f"pictures/ab/{DIGEST}.jpg", b"")


def _killed(folder, *numbers):
    """Leave an archive as a killed crawl does, and return its open file."""
    folder.mkdir(exist_ok=True)
    archive = Archive(folder, ORIGIN)
    for n in numbers:
        archive.write(Key("movie", str(n)), _answer(n))
    archive._file.close()
    (path,) = (folder / "archive").glob("*.open")
    return path


def test_an_incomplete_end_is_cut_after_the_last_complete_record_wherever_it_starts(tmp_path):
    torn = _killed(tmp_path, 1, 2, 3)
    content = torn.read_bytes()
    third = content.rindex(b"\x1f\x8b\x08")
    for end in (third, third + 1, third + 9, (third + len(content)) // 2, len(content) - 1):
        folder = tmp_path / str(end)
        (folder / "archive").mkdir(parents=True)
        (folder / "archive" / torn.name).write_bytes(content[:end])
        close_left_open(folder)
        (path,) = archive_files(folder)
        subprocess.run(["gzip", "-t", path], check=True)
        assert [entry.key.subject for entry in read_archive(folder)] == ["1", "2"]


def test_garbage_after_the_last_record_is_cut_off_and_a_crawl_continues_in_the_next_file(tmp_path):
    path = _killed(tmp_path, 1)
    with path.open("ab") as file:
        file.write(b"\x00" * 5000)
    _write(tmp_path, 2)
    assert [file.name for file in archive_files(tmp_path)] == ["000001.warc.gz", "000002.warc.gz"]
    assert [entry.key.subject for entry in read_archive(tmp_path)] == ["1", "2"]


def test_a_file_without_a_complete_record_is_deleted(tmp_path):
    path = _killed(tmp_path, 1)
    path.write_bytes(path.read_bytes()[:20])
    _write(tmp_path, 2)
    assert [file.name for file in archive_files(tmp_path)] == ["000001.warc.gz"]
    assert [entry.key.subject for entry in read_archive(tmp_path)] == ["2"]


def test_on_a_full_disk_the_command_says_so_and_every_file_is_complete(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(PipelineError, match=r"000001\.warc\.gz\.open: cannot be written .* free some disk space"):
            _write(tmp_path, *range(999))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    (path,) = archive_files(tmp_path)
    subprocess.run(["gzip", "-t", path], check=True)
    n_whole = len(list(read_archive(tmp_path)))
    assert 10 < n_whole < 999
    _write(tmp_path, 1000)
    assert len(list(read_archive(tmp_path))) == n_whole + 1


def test_files_are_closed_at_a_size(tmp_path, monkeypatch):
    monkeypatch.setattr(warc, "ROTATE_AT_BYTES", 1000)
    _write(tmp_path, *range(9))
    assert len(archive_files(tmp_path)) > 2
    assert [entry.key.subject for entry in read_archive(tmp_path)] == [str(n) for n in range(9)]


def test_a_damaged_file_is_named(filled):
    (path,) = archive_files(filled)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(PipelineError, match=r"000001\.warc\.gz: damaged after record .* restore it from a copy"):
        list(read_archive(filled))
