"""Measured rows, kept as lines of JSON, so that a benchmark that was stopped continues; several may write at once."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from run import machine


def kept_row(path: Path, asked: object) -> dict[str, Any] | None:
    """Return what an earlier call found for `asked`, if it did."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    wanted = json.dumps(asked)
    return next((row for row in map(json.loads, lines) if json.dumps(row["asked"]) == wanted), None)


def keep_row(path: Path, asked: object, found: dict[str, Any]) -> dict[str, Any]:
    """Keep what was found, with the date and the machine, and return it."""
    row = {"asked": asked, **found, "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", "machine": machine()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    return row
