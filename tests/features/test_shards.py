"""Features of pictures in shards equal those of the same pictures as files, and changed shards are an error."""

import io
import json
import tarfile
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from dataset.errors import InvalidTableError
from dataset.formats.importing import import_ratings
from dataset.formats.ratings import RatingsFormat
from dataset.pictures.pool import PicturePool
from dataset.pictures.protocol import Geometry, UnreadablePicture
from dataset.shards.references import is_reference
from features.config import ExtractorIdentity
from features.decoding import CropReader, Decoded
from features.extract import plan
from features.store import FeatureStore

GEOMETRY = Geometry(32, 28, "bilinear")
N_PICTURES = 20


def picture(number: int) -> bytes:
    content = io.BytesIO()
    Image.linear_gradient("L").resize((60, 44)).rotate(9 * number).convert("RGB").save(content, "JPEG")
    return content.getvalue()


@pytest.fixture(scope="module")
def raws(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Raw folders of the same pictures: as files, and in tar files of both kinds."""
    place = tmp_path_factory.mktemp("shards")
    lines = [f"u,{number}" for number in range(N_PICTURES)]
    (place / "ratings.csv").write_text("\n".join(["user,item", *lines, ""]))
    (place / "files").mkdir()
    for name, mode in (("a.tar", "w"), ("a.tar.gz", "w:gz")):
        with tarfile.open(place / name, mode) as tar:  # type: ignore[call-overload]
            for number in range(N_PICTURES):
                (place / "files" / f"{number}.jpg").write_bytes(picture(number))
                tar.add(place / "files" / f"{number}.jpg", f"{number}.jpg")
    raws = {name: place / f"raw {name}" for name in ("files", "a.tar", "a.tar.gz")}
    for name, raw in raws.items():
        import_ratings(place / "ratings.csv", RatingsFormat(), place / name, raw)
    return raws


def to_compute(raw: Path, store: Path) -> list[tuple[str, str]]:
    identity = ExtractorIdentity("net", "node", "random:0", "0" * 64, True, "none", "fp32")
    return plan(raw, None, FeatureStore(store, identity)).missing.select("image_sha256", "path").rows()


def crops(raw: Path, pictures: list[tuple[str, str]], pool: PicturePool, **options: int) -> dict[str, Decoded]:
    reader = CropReader(pool, raw, GEOMETRY)
    return {one.image_sha256: one for one in reader.decode(pictures, fast=True, ahead=options.get("ahead", 3))}


def test_crops_of_pictures_in_shards_are_those_of_files(
    raws: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("features.decoding._CHUNK_BYTES", 3000)
    with PicturePool(2) as pool:
        files = crops(raws["files"], to_compute(raws["files"], tmp_path), pool)
        for name in ("a.tar", "a.tar.gz"):
            given = to_compute(raws[name], tmp_path)
            assert [int(path.split(":")[2]) for _, path in given] == sorted(int(p.split(":")[2]) for _, p in given)
            for order in (given, given[::-1][:3]):
                found = crops(raws[name], order, pool, ahead=len(order))
                assert list(found) == [sha256 for sha256, _ in order]
                for sha256, one in found.items():
                    assert one.crop is not None
                    assert (one.crop == files[sha256].crop).all()


def test_after_a_process_has_died_each_picture_is_decoded_alone(
    raws: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = PicturePool.send

    def send_one(pool: PicturePool, header: bytes, content: bytes, timeout_s: float, n_tries: int) -> bytearray:
        if len(json.loads(header)["pictures"]) > 1:
            raise UnreadablePicture("its process died")
        return send(pool, header, content, timeout_s, n_tries)

    given = to_compute(raws["a.tar"], tmp_path)[:5]
    with PicturePool(1) as pool:
        expected = crops(raws["a.tar"], given, pool, ahead=5)
        monkeypatch.setattr(PicturePool, "send", send_one)
        found = crops(raws["a.tar"], given, pool, ahead=5)
    assert all((found[sha256].crop == one.crop).all() for sha256, one in expected.items())


def test_a_shard_that_has_changed_since_the_import_stops_the_extraction(raws: dict[str, Path], tmp_path: Path) -> None:
    given = to_compute(raws["a.tar"], tmp_path)
    path = raws["a.tar"].parent / "a.tar"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(picture(3), bytes(len(picture(3)))))
    try:
        with PicturePool(1) as pool, pytest.raises(InvalidTableError, match=r"a\.tar: has changed since the import"):
            crops(raws["a.tar"], given, pool)
    finally:
        path.write_bytes(whole)


def test_the_paths_of_pictures_in_shards_are_references(raws: dict[str, Path]) -> None:
    for name, raw in raws.items():
        paths = pl.read_parquet(raw / "images.parquet")["path"]
        assert {is_reference(path) for path in paths} == {name != "files"}
