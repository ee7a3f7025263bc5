import builtins
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from dataset.errors import PipelineError
from dataset.files import FileState, copy_file, exclusive_lock


def test_a_file_has_changed_when_its_size_or_its_time_has(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"rows")
    before = FileState.of(file)
    assert FileState.of(file) == before
    os.utime(file, ns=(0, before.modified_ns + 1))
    assert FileState.of(file) != before
    file.write_bytes(b"more rows")
    os.utime(file, ns=(0, before.modified_ns))
    assert FileState.of(file) != before
    with pytest.raises(FileNotFoundError):
        FileState.of(tmp_path / "missing")


@pytest.mark.parametrize("system", ["as it is", "another file system", "an empty answer", "not Linux"])
def test_a_copy_has_the_same_bytes_and_a_life_of_its_own(
    system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> int:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    if system == "another file system":
        monkeypatch.setattr(os, "copy_file_range", refuse)
    if system == "an empty answer":
        monkeypatch.setattr(os, "copy_file_range", lambda *_: 0)
    if system == "not Linux":
        monkeypatch.delattr(os, "copy_file_range")
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"published" * 1000)
    copy_file(source, target)
    with source.open("rb+") as file:
        file.write(b"in place!")
    assert target.read_bytes() == b"published" * 1000


def test_a_link_is_copied_as_the_file_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"rows")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    copy_file(tmp_path / "link", tmp_path / "b")
    assert not (tmp_path / "b").is_symlink()
    assert (tmp_path / "b").read_bytes() == b"rows"


def test_a_lock_is_exclusive_and_removed_afterwards(tmp_path: Path) -> None:
    with (
        exclusive_lock(tmp_path / "lock", "busy"),
        pytest.raises(PipelineError, match="busy"),
        exclusive_lock(tmp_path / "lock", "busy"),
    ):
        pass
    assert not (tmp_path / "lock").exists()


def test_a_system_without_posix_locks_is_named_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without_fcntl(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "fcntl":
            raise ImportError(name)
        return real_import(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without_fcntl)
    with pytest.raises(PipelineError, match="need Linux or macOS"), exclusive_lock(tmp_path / "lock", "busy"):
        pass
