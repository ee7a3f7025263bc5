"""Prefect's private folder: its permissions, and the login to the server that runs in it.

While a server of ours runs, it holds a lock on `server.lock`, and `login.toml` has its address and its secret, which
is new for each start. The lock shows that what answers at that address is our server, not another user's program.
"""

import fcntl
import os
import secrets
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from prefect.settings import get_current_settings

from dataset.errors import PipelineError, UsageError
from dataset.files import explain_write_errors

LOGIN_FILE = "login.toml"
_DEFAULT_HOME = Path("data/prefect")
LOCK_FILE = "server.lock"
_LOCK_ATTEMPTS = 20  # whoever only looks at the lock holds it for a moment
_OWNER_ONLY = 0o700

_LOGIN = """\
# The address and the secret of the Prefect server that runs in this folder. The secret is new for each start.
# Whoever has it can run commands as you.
active = "server"
[profiles.server]
PREFECT_API_URL = "{api_url}"
PREFECT_API_AUTH_STRING = "{secret}"
"""


@dataclass(frozen=True)
class Login:
    """The address of a Prefect server, and the secret that it asks for.

    Attributes:
        api_url: for example `http://127.0.0.1:4200/api`.
        secret: user and password, separated by a colon.
    """

    api_url: str
    secret: str

    @classmethod
    def new(cls, api_url: str) -> "Login":
        """Return a login with a random password."""
        return cls(api_url, f"keyframes:{secrets.token_urlsafe(32)}")

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that give Prefect's clients this login."""
        return {"PREFECT_API_URL": self.api_url, "PREFECT_API_AUTH_STRING": self.secret}


def prefect_home() -> Path:
    """Return the folder of our Prefect server: PREFECT_HOME if it is set, else `data/prefect`."""
    settings = get_current_settings()
    return settings.home if "home" in settings.model_fields_set else _DEFAULT_HOME


def make_private(folder: Path) -> None:
    """Create a folder that only this user can read, or take all permissions for others from an existing one.

    Raises:
        UsageError: the folder belongs to another user.
        PipelineError: the folder cannot be written.
    """
    with explain_write_errors(folder):
        folder.mkdir(mode=_OWNER_ONLY, parents=True, exist_ok=True)
        if folder.stat().st_uid != os.geteuid():
            raise UsageError(f"{folder}: belongs to another user; set PREFECT_HOME to a folder of your own")
        folder.chmod(folder.stat().st_mode & _OWNER_ONLY)
        for parent, folders, files in os.walk(folder):
            for path in (Path(parent, name) for name in (*folders, *files)):
                with suppress(FileNotFoundError):
                    if not path.is_symlink():
                        path.chmod(path.stat().st_mode & _OWNER_ONLY)


def read_login(home: Path) -> Login | None:
    """Return the login that the last server of a folder has left; None: there is none."""
    try:
        fields = tomllib.loads((home / LOGIN_FILE).read_text(encoding="utf-8"))["profiles"]["server"]
        return Login(fields["PREFECT_API_URL"], fields["PREFECT_API_AUTH_STRING"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def running_login(home: Path) -> Login | None:
    """Return the login to the server that runs in a folder; None: none runs there."""
    try:
        with (home / LOCK_FILE).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return read_login(home)
    except OSError:
        return None
    return None


@contextmanager
def new_login(home: Path, api_url: str) -> Iterator[tuple[Login, IO[bytes]]]:
    """Write the login of a server that is started inside this context; remove it at the end.

    Yields:
        The login, and the locked file: the server must inherit it, and its starter must close it.

    Raises:
        PipelineError: a server runs in this folder, or the folder cannot be written.
    """
    login = Login.new(api_url)
    with locked(home) as lock:
        _write_private(home / LOGIN_FILE, _LOGIN.format(api_url=login.api_url, secret=login.secret))
        try:
            yield login, lock
        finally:
            if read_login(home) == login:
                (home / LOGIN_FILE).unlink()


@contextmanager
def locked(home: Path) -> Iterator[IO[bytes]]:
    """Hold the lock of a server of ours, so that none runs in a folder inside this context.

    Raises:
        PipelineError: a server runs in this folder, or the folder cannot be written.
    """
    path = home / LOCK_FILE
    with explain_write_errors(path):
        file = open_private(path)
    with file:
        for attempt in range(_LOCK_ATTEMPTS):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt == _LOCK_ATTEMPTS - 1:
                    raise PipelineError(
                        f"{path}: a Prefect server is running in this folder; stop it (Ctrl-C where `python -m "
                        "flows.serve` runs), then run this command again"
                    ) from None
            time.sleep(0.1)
        yield file


def open_private(path: Path) -> IO[bytes]:
    """Open a file for writing, empty, and without permissions for others from its first moment."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


def _write_private(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.part")
    with explain_write_errors(path):
        with open_private(temporary) as file:
            file.write(text.encode())
        temporary.replace(path)
