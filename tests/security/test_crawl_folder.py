"""What a crawl writes is private, and the public key of the sandbox never stands for real people."""

import json
import os

import pytest

from crawler.archive.records import Origin
from crawler.archive.warc import Archive
from crawler.export import export
from crawler.kinds import PERSONAL_KINDS
from crawler.ledger.ledger import Ledger
from crawler.page import Answer, Key
from crawler.pseudonyms import PUBLIC_KEY, Pseudonyms
from crawler.scope import Scope, Source
from crawler.sites import Site
from dataset.errors import PipelineError

SANDBOX = Source("sandbox", {"seed": 1})
LOCAL = Site("http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3", "http://127.0.0.1:4")


def _modes(folder):
    return {
        str(path.relative_to(folder)): oct(path.stat().st_mode & 0o777)
        for path in folder.rglob("*")
        if path.stat().st_mode & 0o077
    }


def test_nothing_in_a_crawl_folder_can_be_read_by_others(sandbox, tmp_path):
    crawl = sandbox(1)
    crawl.run_all()
    export(tmp_path / "crawl", tmp_path / "raw")
    assert oct((tmp_path / "crawl").stat().st_mode & 0o777) == "0o700"
    assert _modes(tmp_path / "crawl") == {}
    assert (tmp_path / "crawl" / "crawl.log").exists()
    assert list((tmp_path / "crawl").glob("pictures/*/*"))


def test_a_folder_that_was_made_before_is_tightened_with_everything_in_it(tmp_path):
    folder = tmp_path / "crawl"
    (folder / "archive").mkdir(parents=True)
    (folder / "pseudonym.key").write_text(PUBLIC_KEY.hex())
    for path, mode in ((folder / "pseudonym.key", 0o644), (folder / "archive", 0o755), (folder, 0o777)):
        path.chmod(mode)
    with Ledger.open(folder, SANDBOX, PERSONAL_KINDS):
        pass
    assert folder.stat().st_mode & 0o777 == 0o700
    assert _modes(folder) == {}


def test_an_empty_folder_that_was_made_before_is_tightened(tmp_path):
    (tmp_path / "crawl").mkdir()
    (tmp_path / "crawl").chmod(0o755)
    with Ledger.open(tmp_path / "crawl", SANDBOX, PERSONAL_KINDS):
        pass
    assert (tmp_path / "crawl").stat().st_mode & 0o777 == 0o700


def test_a_folder_of_other_files_is_refused_and_left_as_it_is(tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "letter.txt").touch()
    (tmp_path / "shared").chmod(0o755)
    with pytest.raises(PipelineError, match="chmod 700"):
        Ledger.open(tmp_path / "shared", SANDBOX, PERSONAL_KINDS)
    assert (tmp_path / "shared").stat().st_mode & 0o777 == 0o755
    assert [path.name for path in (tmp_path / "shared").iterdir()] == ["letter.txt"]


def test_a_folder_that_cannot_be_tightened_is_refused(tmp_path, monkeypatch):
    (tmp_path / "crawl").mkdir()
    (tmp_path / "crawl").chmod(0o755)
    monkeypatch.setattr("pathlib.Path.chmod", lambda *_, **__: None)  # as on a file system without modes
    with pytest.raises(PipelineError, match="choose another folder"):
        Ledger.open(tmp_path / "crawl", SANDBOX, PERSONAL_KINDS)


def _crawled(folder, source, *sites):
    """Make the folder of a crawl that has read one page of each site."""
    with Ledger.open(folder, source, PERSONAL_KINDS) as ledger:
        ledger.add_pages([Key("movie", "1")])
    for site in sites:
        with Archive(folder, Origin(source, site, Scope())) as archive:
            archive.write(Key("movie", "1"), Answer(404, f"{site.movie}/subject/1/", b"", at=1e9))
    return folder


OTHERS = [
    Source("douban"),
    Source("https://movie.example.org,http://127.0.0.1:2,http://127.0.0.1:3"),
    Source("http://10.0.0.1,http://10.0.0.1,http://10.0.0.1"),
    Source("http://host\\@127.0.0.1,http://127.0.0.1,http://127.0.0.1"),
]


@pytest.mark.parametrize("source", OTHERS, ids=str)
@pytest.mark.parametrize("key", [PUBLIC_KEY, b"\x11" * 32, b"ab" * 16])
def test_real_people_are_not_exported_under_a_key_that_everybody_knows(tmp_path, source, key):
    crawl_dir = _crawled(tmp_path / "crawl", source)
    (crawl_dir / "pseudonym.key").write_text(key.hex())
    with pytest.raises(PipelineError, match="everybody knows this key"):
        export(crawl_dir, tmp_path / "raw")
    assert not (tmp_path / "raw").exists()
    (crawl_dir / "pseudonym.key").unlink()
    export(crawl_dir, tmp_path / "raw")
    assert not Pseudonyms.open(crawl_dir / "pseudonym.key").is_public


@pytest.mark.parametrize("sites", [(Site(),), (LOCAL, Site()), (Site(), LOCAL)])
def test_a_folder_that_has_ever_read_another_site_is_not_the_sandbox_s_whatever_its_ledger_says(tmp_path, sites):
    crawl_dir = _crawled(tmp_path / "crawl", SANDBOX, *sites)
    (crawl_dir / "pseudonym.key").write_text(PUBLIC_KEY.hex())
    with pytest.raises(PipelineError, match="everybody knows this key"):
        export(crawl_dir, tmp_path / "raw")
    (crawl_dir / "pseudonym.key").unlink()
    export(crawl_dir, tmp_path / "raw")
    assert json.loads((tmp_path / "raw" / "provenance.json").read_text())["is_invented"] is False


def test_the_sandbox_can_be_exported_under_the_public_key(tmp_path):
    crawl_dir = _crawled(tmp_path / "crawl", SANDBOX, LOCAL)
    (crawl_dir / "pseudonym.key").write_text(PUBLIC_KEY.hex())
    export(crawl_dir, tmp_path / "raw")
    assert json.loads((tmp_path / "raw" / "provenance.json").read_text())["is_invented"] is True


def test_what_an_unfinished_crawl_of_another_site_left_counts_too(tmp_path):
    crawl_dir = _crawled(tmp_path / "crawl", SANDBOX, Site())
    (crawl_dir / "pseudonym.key").write_text(PUBLIC_KEY.hex())
    (file,) = (crawl_dir / "archive").iterdir()
    file.rename(file.with_suffix(".gz.open"))
    with pytest.raises(PipelineError, match="everybody knows this key"):
        export(crawl_dir, tmp_path / "raw")


def test_a_random_key_is_never_taken_for_the_public_one(tmp_path):
    assert not any(Pseudonyms(os.urandom(32)).is_public for _ in range(10_000))
    assert Pseudonyms(PUBLIC_KEY).is_public
