"""A Prefect server as the project starts it, in a folder that others could read before."""

import os
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from flows.home import Login, running_login
from flows.server import prefect_server

LOOSE = {"PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": "*", "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "false"}


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Prefect's folder while a server of ours runs in it, although the environment asks for a loose one."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "storage").mkdir()
    for path in (folder / "prefect.db", folder / "storage" / "result"):
        path.touch()
        path.chmod(0o644)
    for path in (folder, folder / "storage"):
        path.chmod(0o755)
    with mock.patch.dict(os.environ, LOOSE), prefect_server(folder):
        yield folder


@pytest.fixture(scope="session")
def login(home: Path) -> Login:
    """The login of that server."""
    login = running_login(home)
    assert login is not None
    return login
