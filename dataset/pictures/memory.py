"""Memory that a program shares with its decoder processes: a file without a name, which disappears when they end."""

import mmap
import os
import tempfile
import threading
from dataclasses import dataclass, field


def _file_in_memory() -> int:
    """Return the descriptor of a file that has no name and, where the system allows it, never reaches a disk."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("crops")
    number, name = tempfile.mkstemp()
    os.unlink(name)  # noqa: PTH108 - a descriptor, not a path
    return number


@dataclass(frozen=True, eq=False)
class Region:
    """A part of the memory: where it begins, and a view of its bytes."""

    offset: int
    view: memoryview

    def part(self, number: int, size: int) -> "Region":
        """Return one of the parts of this size."""
        return Region(self.offset + number * size, self.view[number * size : (number + 1) * size])


@dataclass
class SharedMemory:
    """Memory that grows. A decoder process inherits `file` and maps parts of it."""

    file: int = field(default_factory=_file_in_memory)
    _size: int = 0
    _unused: list[Region] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, size: int) -> Region:
        """Return memory that is not in use. Pages that were never written to take no space."""
        size = whole_pages(size)
        with self._lock:
            for region in self._unused:
                if len(region.view) == size:
                    self._unused.remove(region)
                    return region
            offset, self._size = self._size, self._size + size
            os.ftruncate(self.file, self._size)
        return Region(offset, memoryview(mmap.mmap(self.file, size, offset=offset)))

    def give_back(self, region: Region) -> None:
        """Let memory be used again."""
        with self._lock:
            self._unused.append(region)

    def close(self) -> None:
        """Close the file; views stay valid."""
        os.close(self.file)


def whole_pages(size: int) -> int:
    """Return a size, rounded up to where another part of a file can be mapped."""
    return -(-size // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
