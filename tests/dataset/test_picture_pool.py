import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset.errors import PipelineError
from dataset.files import sha256_of_file
from features.decoding import DecoderPool
from features.images import Geometry

GEOMETRY = Geometry(64, 56, "bilinear")
FRAGILE = """
import os, sys, time
import features.decoder as decoder
whole = decoder.read_crop
def read_crop(path, *rest):
    if "segfault" in path.name: os.kill(os.getpid(), 11)
    if "endless" in path.name: time.sleep(60)
    if "once" in path.name and not path.with_suffix(".seen").exists():
        path.with_suffix(".seen").touch()
        os._exit(9)
    return whole(path, *rest)
decoder.read_crop = read_crop
decoder.main(sys.argv[1:])
"""


def pictures(folder: Path, names: list[str]) -> list[tuple[str, str]]:
    for number, name in enumerate(names):
        Image.new("RGB", (80, 70), (number, 2 * number, 3 * number)).save(folder / name, "PNG")
    return [(sha256_of_file(folder / name), name) for name in names]


def test_crops_come_in_order_whatever_the_number_of_processes(tmp_path: Path) -> None:
    asked = pictures(tmp_path, [f"{number}.png" for number in range(30)])
    with DecoderPool(tmp_path, GEOMETRY, 3) as pool:
        decoded = list(pool.decode(asked, fast=True, ahead=7))
    assert [picture.image_sha256 for picture in decoded] == [name for name, _ in asked]
    for number, picture in enumerate(decoded):
        assert picture.crop is not None
        assert picture.crop.shape == (56, 56, 3)
        assert np.unique(picture.crop.reshape(-1, 3), axis=0).tolist() == [[number, 2 * number, 3 * number]]


def test_a_picture_that_kills_or_hangs_the_decoder_costs_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("features.decoding.DECODER", [sys.executable, "-c", FRAGILE])
    asked = pictures(tmp_path, ["a.png", "segfault.png", "b.png", "endless.png", "c.png", "once.png", "d.png"])
    with DecoderPool(tmp_path, GEOMETRY, 2, timeout_s=3) as pool:
        decoded = {picture.path: picture for picture in pool.decode(asked, fast=True, ahead=4)}
    reasons = {path: picture.reason for path, picture in decoded.items() if picture.crop is None}
    assert set(reasons) == {"segfault.png", "endless.png"}
    assert "the decoder process died (exit status -11)" in reasons["segfault.png"]
    assert reasons["endless.png"] == "took longer than 3 s to decode"


def test_a_decoder_that_does_not_start_is_an_error_and_no_verdict_on_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("features.decoding.DECODER", [sys.executable, "-c", "raise SystemExit(1)"])
    asked = pictures(tmp_path, ["a.png"])
    with DecoderPool(tmp_path, GEOMETRY, 1) as pool, pytest.raises(PipelineError, match="did not start"):
        list(pool.decode(asked, fast=True, ahead=1))


def test_a_file_that_is_not_the_one_in_the_table_is_named(tmp_path: Path) -> None:
    ((_, name),) = pictures(tmp_path, ["a.png"])
    with DecoderPool(tmp_path, GEOMETRY, 1) as pool:
        (changed, missing) = pool.decode([("0" * 64, name), ("0" * 64, "none.png")], fast=True, ahead=1)
    assert "has changed" in changed.reason
    assert missing.reason == "the file is missing"


def test_decoders_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    ((digest, name),) = pictures(tmp_path, ["a.png"])
    code = f"""
import os, sys
from pathlib import Path
from features.decoding import DecoderPool
from features.images import Geometry
pool = DecoderPool(Path({str(tmp_path)!r}), Geometry(64, 56, "bilinear"), 1)
list(pool.decode([({digest!r}, {name!r})], True, 1))
print(pool._decoders[0]._process.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    decoder = int(done.stdout)
    for _ in range(100):
        if not Path(f"/proc/{decoder}").exists() or "Z" in Path(f"/proc/{decoder}/stat").read_text().split()[2]:
            break
        time.sleep(0.1)
    else:
        os.kill(decoder, 9)
        pytest.fail("the decoder goes on without its parent")
