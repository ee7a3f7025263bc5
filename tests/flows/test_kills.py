"""The whole flow killed with `kill -9` at random moments and run again: the same snapshot as undisturbed.

`DOUBAN_FLOW_KILLS` sets the number of kills (one by default).
"""

import os
import random
import signal
import time

import pytest

from crawler.ledger.ledger import Ledger
from dataset.snapshots.snapshot import latest
from dataset.snapshots.verify import verify

N_KILLS = int(os.environ.get("DOUBAN_FLOW_KILLS", "1"))


@pytest.mark.timeout(900)
def test_two_runs_at_once_do_not_crawl_at_once(start_flow, ports, tmp_path):
    port = ports(3)  # one port for both: crawling at once, one of them could not even start its site
    runs = [start_flow(name=name, data=str(tmp_path), sandbox_port=port) for name in ("one", "two")]
    for run in runs:
        told, _ = run.communicate()
        assert run.returncode == 0, told
    spans = []
    for name in ("one", "two"):
        with Ledger.read(tmp_path / name / "crawl") as ledger:
            spans.append(ledger.execute("SELECT min(fetched_at), max(fetched_at) FROM pages").fetchone())
    (_, first_end), (second_start, _) = sorted(spans)
    assert first_end < second_start


@pytest.mark.timeout(900)
def test_kills_at_random_moments_leave_the_same_snapshot(start_flow, prefect, server, ports, tmp_path):
    port = ports(3)
    started = time.monotonic()
    undisturbed = start_flow(name="calm", data=str(tmp_path), sandbox_port=port)
    told, _ = undisturbed.communicate()
    assert undisturbed.returncode == 0, told
    duration_s = time.monotonic() - started

    moments = random.Random(N_KILLS)
    for number in range(N_KILLS):
        killed = start_flow(name="hunted", data=str(tmp_path), sandbox_port=port)
        # each run gets a part of the way further, so that the moments spread over all stages
        time.sleep(duration_s * moments.uniform(0.3, 0.4 + 0.5 * (number + 1) / N_KILLS))
        os.killpg(killed.pid, signal.SIGKILL)
        killed.communicate()
        # frees at once what the dead run held; otherwise the next one waits a minute for its lease to end
        prefect(server, "global-concurrency-limit", "delete", "crawl-sandbox")
    last = start_flow(name="hunted", data=str(tmp_path), sandbox_port=port)
    told, _ = last.communicate()
    assert last.returncode == 0, told
    calm, hunted = latest(tmp_path / "snapshots", "calm"), latest(tmp_path / "snapshots", "hunted")
    assert calm is not None
    assert hunted is not None
    assert verify(hunted) == []
    assert hunted.content_digest == calm.content_digest
