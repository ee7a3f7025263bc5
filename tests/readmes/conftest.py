"""An empty folder in which the printed commands run."""

import pytest
from printed import Folder


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)
