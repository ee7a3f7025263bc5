"""Pictures, and files of weights where the Hugging Face Hub's client looks for them."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def picture(width: int = 90, height: int = 70, seed: int = 0) -> Image.Image:
    """Return a picture of noise."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def hub_folder(folder: Path, repository: str) -> Path:
    """Return the folder for a repository's files in a cache of the Hub, as its client writes it."""
    commit = "0" * 40
    cached = folder / f"models--{repository.replace('/', '--')}"
    (cached / "refs").mkdir(parents=True, exist_ok=True)
    (cached / "refs" / "main").write_text(commit)
    files = cached / "snapshots" / commit
    files.mkdir(parents=True, exist_ok=True)
    return files


def without_internet(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """Let the Hub's client use a cache folder and no network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def names_in_the_readme(library: str) -> list[str]:
    """Return the networks of a library whose commands the README shows."""
    readme = (Path(__file__).resolve().parents[2] / "features" / "README.md").read_text(encoding="utf-8")
    names = re.findall(rf"^python .* --extractor {library}:(\S+)$", readme, re.M)
    assert names
    return names
