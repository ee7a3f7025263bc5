"""Pictures, and files of weights where the Hugging Face Hub's client looks for them."""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

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


def hub_at(address: str, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """Let the Hub's client use an empty cache, and another address than the Hub's."""
    without_internet(monkeypatch, cache)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[str]:
    """Answer as the Hub does for these paths, and with 404 for others; yield the address."""

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            content = files.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("X-Repo-Commit", "0" * 40)
            if content is None:
                self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("ETag", f'"{hashlib.sha256(content or b"").hexdigest()}"')
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(files.get(self.path, b""))

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def names_in_the_readme(library: str) -> list[str]:
    """Return the networks of a library whose commands the README shows."""
    readme = (Path(__file__).resolve().parents[2] / "features" / "README.md").read_text(encoding="utf-8")
    names = re.findall(rf"^python .* --extractor {library}:(\S+)$", readme, re.M)
    assert names
    return names


class RunsCode:
    """What a file of weights may hold: it makes a file named "ran" when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
        return Path.touch, (Path("ran"),)
