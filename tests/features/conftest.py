import shutil
from pathlib import Path

import pytest

from dataset.building.build import DatasetConfig, build


@pytest.fixture(scope="session")
def built_once(raw_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built") / "dataset"
    build(raw_once, folder, DatasetConfig())
    return folder


@pytest.fixture
def built(built_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built_once, tmp_path / "dataset"))
