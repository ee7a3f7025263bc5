"""Stamps of stages, which show whether a stage can be skipped.

A stamp is a small JSON file with a digest of a stage's inputs and the states of its outputs (size and
modification time). It is written when the stage has succeeded. The stage is skipped as long as its inputs and
outputs match the stamp. A stage that was interrupted has left no stamp or has changed its outputs, so it runs
again.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset.files import FileState, sha256_of_file, write_json


@dataclass(frozen=True)
class Stamp:
    """The stamp of one stage.

    Attributes:
        path: the stamp's file.
        inputs: everything that the stage's result depends on, as JSON: digests of files, settings.
        outputs: the files that the stage writes; some are optional.
    """

    path: Path
    inputs: dict[str, Any]
    outputs: tuple[Path, ...] = ()

    def is_current(self) -> bool:
        """Return whether the stage has succeeded with the same inputs and its outputs have not changed since."""
        try:
            stamped = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return bool(stamped == self._content())

    def write(self) -> None:
        """Record that the stage has succeeded."""
        write_json(self.path, self._content())

    def _content(self) -> dict[str, Any]:
        return {"inputs": digest(self.inputs), "outputs": {path.name: _state(path) for path in self.outputs}}


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def digests_of_files(paths: Iterable[Path]) -> dict[str, str | None]:
    """Return the SHA-256 of each file by its name, None for a missing file."""
    return {path.name: sha256_of_file(path) if path.is_file() else None for path in sorted(paths)}


def _state(path: Path) -> list[int] | None:
    return list(FileState.of(path)) if path.exists() else None
