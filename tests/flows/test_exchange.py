"""Pictures and features through an object store, for workers that see nothing else."""

import io
import tarfile
from datetime import timedelta
from pathlib import Path

import pytest

from dataset.errors import InvalidTableError, UsageError
from dataset.files import sha256_of_file
from dataset.storage import Folder
from features.config import ExtractorConfig
from features.extractor import Extractor
from features.store import FeatureStore
from flows import exchange as exchanges
from flows.exchange import Exchange, exchange_at
from flows.parameters.config import BuildConfig, ExtractFeaturesConfig
from flows.shards import Shard, compute_from_exchange, compute_shard

CONFIG = ExtractorConfig("mobilenet_v3_small", "random:0", "fp32", "fast")
PARQUET = f"{'0' * 32}-{'1' * 32}.parquet"


@pytest.fixture(scope="module")
def identity():
    return Extractor(CONFIG).identity


def contents(store):
    return {file.relative_to(store.path).as_posix(): file.read_bytes() for file in store.path.rglob("*.*")}


def test_a_worker_that_sees_only_an_object_store_computes_the_same_features(
    in_s3, identity, make_raw, tmp_path, monkeypatch
):
    raw, here, elsewhere = make_raw(), FeatureStore(tmp_path / "a", identity), FeatureStore(tmp_path / "b", identity)
    paths = sorted(path.relative_to(raw).as_posix() for path in (raw / "pictures").iterdir())[:5]
    (raw / paths[0]).write_bytes(b"no picture")
    shard = Shard([(sha256_of_file(raw / path), path) for path in paths], CONFIG, identity, 1)
    (raw / paths[1]).unlink()
    assert compute_shard(shard, raw, tmp_path / "a") == 3
    with exchange_at(in_s3) as exchange:
        exchange.put_pictures("7", raw, shard.pictures)
        raw.rename(tmp_path / "gone")
        (tmp_path / "empty").mkdir()
        monkeypatch.chdir(tmp_path / "empty")
        assert compute_from_exchange(shard, exchange, "7") == 3
        assert list(Path().iterdir()) == []
        exchange.take_features("7", elsewhere)
    assert contents(elsewhere) == contents(here)
    assert len([name for name in contents(here) if name.endswith((".parquet", ".txt"))]) == 2  # the gone one is retried
    assert Folder.at(in_s3).files() == {}


@pytest.mark.parametrize("name", ["../x.parquet", "extractor.json", "/etc/passwd", "failures/x.txt", f"x/{PARQUET}"])
def test_what_is_no_file_of_a_shard_is_refused(in_s3, identity, tmp_path, name):
    store = FeatureStore(tmp_path, identity)
    before = contents(store)
    put(in_s3, name)
    with pytest.raises(InvalidTableError, match="is not of a worker's shard"):
        Exchange(in_s3).take_features("7", store)
    assert contents(store) == before


def test_a_corrupt_shard_is_refused(in_s3, identity, tmp_path):
    put(in_s3, PARQUET)
    with pytest.raises(InvalidTableError, match="received corrupt; run the same command again"):
        Exchange(in_s3).take_features("7", FeatureStore(tmp_path, identity))


def put(address, name):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        tar.addfile(tarfile.TarInfo(name))
    Folder.at(address).write("7.features.tar", content.getvalue())


def test_a_run_that_fails_leaves_no_pictures_and_old_leftovers_are_deleted(in_s3, tmp_path, monkeypatch):
    (tmp_path / "x.png").write_bytes(b"x")
    place = Folder.at(in_s3)
    place.write("mine.txt", b"not ours")
    place.write("douban-keyframes-killed/0.pictures.tar", b"x")
    with pytest.raises(KeyError):
        _fail_after_putting_pictures(in_s3, tmp_path)
    assert list(place.files()) == ["douban-keyframes-killed/0.pictures.tar", "mine.txt"]  # it may still run
    monkeypatch.setattr(exchanges, "_STALE", timedelta(microseconds=1))
    with exchange_at(in_s3):
        pass
    assert list(place.files()) == ["mine.txt"]


def _fail_after_putting_pictures(address, raw):
    with exchange_at(address) as exchange:
        exchange.put_pictures("0", raw, [("0", "x.png")])
        raise KeyError


@pytest.mark.parametrize("config", [BuildConfig, ExtractFeaturesConfig])
@pytest.mark.parametrize("place", ["data/exchange", "/srv/x", "http://x/y", "s3://key:secret@bucket/x"])
def test_an_exchange_is_in_an_object_store_and_has_no_login(config, place):
    with pytest.raises((ValueError, UsageError)) as refused:
        config(exchange=place)
    assert "s3://bucket" in str(refused.value) or "s3://" in str(refused.value)
