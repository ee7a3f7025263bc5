"""The whole flow killed with `kill -9` at random moments and run again: the same snapshot as undisturbed."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from crawler.ledger.ledger import Ledger
from dataset.snapshots.snapshot import latest
from dataset.snapshots.verify import verify


@pytest.fixture(scope="module")
def undisturbed(start_flow, ports, tmp_path_factory):
    """Run the flow twice at once; give the folder with both datasets, the site's port, and the first run's time."""
    folder, port = tmp_path_factory.mktemp("undisturbed"), ports(4)
    started = time.monotonic()
    # One port for both: if they crawled at once, one of them could not even start its site.
    runs = [start_flow(name=name, data=str(folder), sandbox_port=port) for name in ("one", "two")]
    while all(run.poll() is None for run in runs):
        time.sleep(0.1)
    duration_s = time.monotonic() - started
    for run in runs:
        output, _ = run.communicate()
        assert run.returncode == 0, output
    return folder, port, duration_s


@pytest.mark.timeout(900)
def test_two_runs_at_once_do_not_crawl_at_once(undisturbed):
    folder, _, _ = undisturbed
    spans = []
    for name in ("one", "two"):
        with Ledger.read(folder / name / "crawl") as ledger:
            spans.append(ledger.execute("SELECT min(fetched_at), max(fetched_at) FROM pages").fetchone())
    (_, first_end), (second_start, _) = sorted(spans)
    assert first_end < second_start


def test_prefects_folder_has_no_user_id(undisturbed, server):
    folder, _, _ = undisturbed
    with Ledger.read(folder / "one" / "crawl") as ledger:
        uids = [
            uid.encode()
            for (uid,) in ledger.execute("SELECT uid FROM people UNION SELECT user_id FROM people").fetchall()
        ]
    assert len(uids) > 20
    files = [path for path in Path(server["PREFECT_HOME"]).rglob("*") if path.is_file()]
    assert "prefect.db" in {path.name for path in files}
    everything = b"\0".join(path.read_bytes() for path in files)
    assert b"Flow run" in everything or b"build-dataset" in everything
    assert [uid for uid in uids if uid in everything] == []


@pytest.mark.timeout(3600)
def test_kills_at_random_moments_leave_the_same_snapshot(undisturbed, start_flow, prefect, server, is_long, tmp_path):
    folder, port, duration_s = undisturbed  # the same port, because frames have the site's address
    n_kills = 20 if is_long else 1
    moments = random.Random(n_kills)
    for number in range(n_kills):
        killed = start_flow(name="hunted", data=str(tmp_path), sandbox_port=port)
        # Each run gets further than the one before, so that the moments spread over all stages. The factor: alone,
        # a run is faster than beside the other one.
        time.sleep(0.6 * duration_s * moments.uniform(0.3, 0.4 + 0.5 * (number + 1) / n_kills))
        os.killpg(killed.pid, signal.SIGKILL)
        killed.communicate()
        # Free at once what the dead run held; otherwise the next run waits a minute for its lease to end.
        prefect(server, "global-concurrency-limit", "delete", "crawl-sandbox")
    last = start_flow(name="hunted", data=str(tmp_path), sandbox_port=port)
    output, _ = last.communicate()
    assert last.returncode == 0, output
    calm, hunted = latest(folder / "snapshots", "one"), latest(tmp_path / "snapshots", "hunted")
    assert calm is not None
    assert hunted is not None
    assert verify(hunted) == []
    assert hunted.content_digest == calm.content_digest
