"""Checks that a snapshot's files are the ones that were published."""

import re

from dataset.progress import progress
from dataset.snapshots.manifest import FILE_NAME
from dataset.snapshots.snapshot import Snapshot


def verify(snapshot: Snapshot) -> list[str]:
    """Return the problems with a snapshot's files, one line per file; an empty list means none.

    The manifest was already checked when the snapshot was opened. A file that is not in the manifest is a problem,
    unless its name or its folder's starts with a dot: a download from the Hugging Face Hub adds some of these.
    """
    expected, found = snapshot.manifest.sha256_of, snapshot.folder.files()
    present = {name: file for name, file in found.items() if name != FILE_NAME and not re.search(r"(^|/)\.", name)}
    problems = [f"{name}: missing" for name in sorted(expected.keys() - present)]
    problems += [f"{name}: not in the manifest" for name in sorted(present.keys() - expected)]
    sizes = {name: present[name].size_bytes for name in sorted(expected.keys() & present)}
    with progress("bytes") as bar:
        task = bar.add_task(f"Checking {snapshot.label}", total=sum(sizes.values()))
        for name, size_bytes in sizes.items():
            if snapshot.folder.sha256(name, size_bytes) != expected[name]:
                problems.append(f"{name}: its bytes are not the ones that were published (SHA-256 differs)")
            bar.advance(task, size_bytes)
    return problems
