import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from raw_tables import write_pictures

from dataset.errors import UsageError
from dataset.files import sha256_of_file
from dataset.pictures.decoding import is_plain_jpeg
from dataset.pictures.pool import PicturePool
from dataset.pictures.protocol import Geometry
from features import gpu_decoding
from features.__main__ import main
from features.ahead import one_ahead
from features.batches import Batch, BatchMaker
from features.config import ExtractOptions, ExtractorConfig
from features.decoding import CropReader
from features.extract import compute
from features.extractor import Extractor, GpuDecodingError
from features.gpu_decoding import JpegDecoder
from features.store import FeatureStore

CPU = torch.device("cpu")
GEOMETRY = Geometry(64, 56, "bilinear")
TINY = ExtractorConfig("mobilenet_v3_small", "random:0", "fp32")


def decode_here(jpegs: Sequence[torch.Tensor], _device: torch.device) -> list[torch.Tensor]:
    """Decode on the CPU as nvJPEG does on a GPU: all together, or an error."""
    return [torch.ops.image.decode_jpeg(jpeg, 3, False) for jpeg in jpegs]


@pytest.fixture
def fake_gpu(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let this processor stand in for a GPU; return the numbers of JPEGs that were decoded together."""
    seen: list[int] = []

    def decode(jpegs: Sequence[torch.Tensor], device: torch.device) -> list[torch.Tensor]:
        seen.append(len(jpegs))
        return decode_here(jpegs, device)

    monkeypatch.setattr(gpu_decoding, "decode", decode)
    monkeypatch.setattr("features.extractor.is_available", lambda *_: True)
    return seen


def photograph(seed: int, size: tuple[int, int] = (320, 180)) -> Image.Image:
    """Return something smooth, as photographs are."""
    small = np.random.default_rng(seed).integers(0, 256, (size[1] // 12, size[0] // 12, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def encoded(picture: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def test_a_plain_jpeg_is_left_to_the_gpu() -> None:
    picture = photograph(0)
    for options in (
        {},
        {"subsampling": 0},
        {"subsampling": 1},
        {"quality": 100},
        {"exif": exif(1)},
        {"optimize": True},
    ):
        assert is_plain_jpeg(encoded(picture, **options)), options
    assert is_plain_jpeg(encoded(picture) + b"bytes after its end")


@pytest.mark.parametrize(
    ("what", "content"),
    [
        ("progressive", encoded(photograph(0), progressive=True)),
        ("CMYK", encoded(photograph(0).convert("CMYK"))),
        ("grey", encoded(photograph(0).convert("L"))),
        ("RGB without a conversion", encoded(photograph(0), keep_rgb=True)),
        ("turned", encoded(photograph(0), exif=exif(6))),
        ("two pictures", encoded(photograph(0), "MPO", save_all=True, append_images=[photograph(1)])),
        ("cut off", encoded(photograph(0))[:-200]),
        ("without its last bytes", encoded(photograph(0))[:-2]),
        ("tiny", encoded(photograph(0).resize((8, 8)))),
        ("a line", encoded(photograph(0).resize((1000, 20)))),
        ("PNG", encoded(photograph(0), "PNG")),
        ("WebP", encoded(photograph(0), "WEBP")),
    ],
)
def test_what_gpus_decode_otherwise_or_not_at_all_is_left_to_the_processes(what: str, content: bytes) -> None:
    assert not is_plain_jpeg(content), what


def test_a_large_file_is_left_to_the_processes() -> None:
    assert not is_plain_jpeg(encoded(photograph(0)) + bytes(1 << 21))


@pytest.mark.parametrize("size", [(320, 180), (180, 320), (100, 100), (64, 64), (57, 61), (640, 200), (1280, 720)])
def test_crops_show_what_the_processes_crops_show(size: tuple[int, int], tmp_path: Path, fake_gpu: list[int]) -> None:
    (tmp_path / "a.jpg").write_bytes(encoded(photograph(3, size), quality=95))
    with PicturePool() as pool:
        plain = pool.crop(tmp_path / "a.jpg", sha256_of_file(tmp_path / "a.jpg"), GEOMETRY, fast=False)
    content = bytearray((tmp_path / "a.jpg").read_bytes())
    (crop,), places = JpegDecoder(GEOMETRY, CPU, None).crops([memoryview(content)])
    assert places == [0]
    difference = np.abs(crop.numpy().astype(int) - np.frombuffer(plain, np.uint8).reshape(56, 56, 3).astype(int))
    assert difference.max() <= 2, "rounding, of one or two passes"


def test_a_jpeg_that_the_gpu_refuses_costs_only_itself(fake_gpu: list[int]) -> None:
    good = [encoded(photograph(number)) for number in range(7)]
    refused = encoded(photograph(9), "PNG")
    contents = [*good[:3], refused, *good[3:], refused]
    crops, places = JpegDecoder(GEOMETRY, CPU, None).crops([memoryview(bytearray(one)) for one in contents])
    assert places == [0, 1, 2, 4, 5, 6, 7]
    assert len(crops) == 7
    assert len(fake_gpu) < 2 * len(contents)


def test_crops_of_several_sizes_are_in_order(fake_gpu: list[int]) -> None:
    colours = [(number * 20, 100, 50) for number in range(12)]
    sizes = [(160, 90), (90, 160), (120, 120)]
    contents = [encoded(Image.new("RGB", sizes[n % 3], colour), quality=100) for n, colour in enumerate(colours)]
    crops, places = JpegDecoder(GEOMETRY, CPU, None).crops([memoryview(bytearray(one)) for one in contents])
    assert places == list(range(12))
    assert (crops[:, 20, 20].int() - torch.tensor(colours)).abs().max() <= 2


def write(folder: Path, contents: dict[str, bytes]) -> list[tuple[str, str]]:
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [(sha256_of_file(folder / name), name) for name in contents]


MIXED = {
    "a.jpg": encoded(photograph(1)),
    "b.jpg": encoded(photograph(2), progressive=True),
    "c.jpg": encoded(photograph(3, (400, 300))),
    "d.jpg": b"broken",
    "e.png": encoded(photograph(4), "PNG"),
    "f.jpg": encoded(photograph(5), exif=exif(6)),
    "g.jpg": encoded(photograph(6).convert("CMYK")),
    "h.jpg": encoded(photograph(7))[:-500],
    "i.jpg": encoded(photograph(8)),
}


def made(raw: Path, pictures: list[tuple[str, str]], decoding: str, size: int, n: int = 1) -> list[Batch]:
    with PicturePool(n) as pool:
        maker = BatchMaker(CropReader(pool, raw, GEOMETRY), decoding, CPU, size)  # type: ignore[arg-type]
        return list(one_ahead(maker.batches(pictures)))


@pytest.mark.parametrize("n_processes", [1, 3])
def test_pictures_of_all_kinds_come_in_order_whatever_decodes_them(
    n_processes: int, tmp_path: Path, fake_gpu: list[int]
) -> None:
    pictures = write(tmp_path, MIXED)
    ours = made(tmp_path, pictures, "gpu", 4, n_processes)
    plain = made(tmp_path, pictures, "full", 4)
    assert [batch.names for batch in ours] == [batch.names for batch in plain]
    assert [one.path for batch in ours for one in batch.failures] == ["d.jpg", "h.jpg"]
    for one, other in zip(ours, plain, strict=True):
        assert (one.crops.int() - other.crops.int()).abs().max() <= 12
    assert fake_gpu, "the GPU has decoded something"


def test_a_jpeg_that_the_gpu_refuses_is_decoded_by_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_jpegs: Sequence[torch.Tensor], _device: torch.device) -> list[torch.Tensor]:
        raise RuntimeError("Unknown chroma subsampling")

    pictures = write(tmp_path, MIXED)
    plain = made(tmp_path, pictures, "fast", 4)
    monkeypatch.setattr(gpu_decoding, "decode", refuse)
    ours = made(tmp_path, pictures, "gpu", 4)
    for one, other in zip(ours, plain, strict=True):
        assert one.names == other.names
        assert torch.equal(one.crops, other.crops)


def test_what_decodes_is_part_of_the_extractor(fake_gpu: list[int]) -> None:
    ids = {
        decoding: Extractor(replace(TINY, decoding=decoding), "cpu").identity for decoding in ("fast", "full", "gpu")
    }
    assert len({identity.extractor_id for identity in ids.values()}) == 3
    assert ids["gpu"].preprocessing.startswith("gpu decoding, resize 256")
    assert Extractor(TINY, "cpu").identity == ids["gpu"], "auto takes the GPU where there is one"


def test_without_a_gpu_auto_is_fast_and_gpu_is_refused_with_the_remedy() -> None:
    assert Extractor(TINY, "cpu").identity == Extractor(replace(TINY, decoding="fast"), "cpu").identity
    with pytest.raises(UsageError, match=r"--decoding gpu: cpu cannot decode JPEGs .*--decoding fast"):
        Extractor(replace(TINY, decoding="gpu"), "cpu")


def test_features_of_pictures_that_the_gpu_decodes_are_those_of_the_plain_way(
    tmp_path: Path, fake_gpu: list[int]
) -> None:
    pictures = pl.DataFrame(write(tmp_path, MIXED), schema=["image_sha256", "path"], orient="row")
    found = {}
    for decoding in ("gpu", "full"):
        extractor = Extractor(ExtractorConfig("resnet18", "random:0", "fp32", decoding), "cpu")  # type: ignore[arg-type]
        store = FeatureStore(tmp_path / "store", extractor.identity)
        options = ExtractOptions(batch_size=3, n_decoders=2)
        assert compute(tmp_path, pictures, extractor, store, options, lambda _n: None) == 7
        assert len(store.failures()) == 2
        (shard,) = store.shards_of(pictures["image_sha256"])[0]
        names, features = store.read(shard)
        found[decoding] = dict(zip(names, features.astype(np.float64), strict=True))
    for name, feature in found["gpu"].items():
        plain = found["full"][name]
        assert feature @ plain / np.linalg.norm(feature) / np.linalg.norm(plain) >= 0.999


def test_if_the_gpus_pictures_give_other_features_the_processes_decode_them(
    tmp_path: Path, fake_gpu: list[int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu_decoding, "decode", lambda jpegs, _device: [255 - one for one in decode_here(jpegs, CPU)])
    write_pictures(tmp_path, write(tmp_path, MIXED))
    options = "--all-pictures --device cpu --extractor resnet18 --weights random:0 --precision fp32"
    command = ["extract", *options.split(), "--raw", str(tmp_path), "--store", str(tmp_path / "store")]
    with pytest.raises(GpuDecodingError, match="run again with --decoding fast"):
        main([*command, "--decoding", "gpu"])
    main(command)
    said = capsys.readouterr().out
    assert "Decoder processes now decode the pictures, because features in fp32 with gpu decoding have" in said
    assert "7 pictures computed now" in said
    extractors = [json.loads(file.read_text()) for file in (tmp_path / "store").glob("*/extractor.json")]
    assert sorted(one["preprocessing"][:13] for one in extractors) == ["fast decoding", "gpu decoding,"]
