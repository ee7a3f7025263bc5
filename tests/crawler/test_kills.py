"""Crawls killed at random moments: nothing is lost, and nothing that was done is requested again."""

import random
import signal
import time
from dataclasses import replace

STAGES = ("ratings", "frames", "likes")


def test_a_crawl_killed_at_random_moments_continues_where_it_stopped(sandbox, is_long):
    n_kills = 30 if is_long else 3
    generator, delay_s = random.Random(n_kills), 0.02
    world = {"seed": 2, "n_users": 80, "n_movies": 30} if is_long else {"seed": 1}
    crawl = sandbox(**world, faults=lambda request, answer: replace(answer(request), delay_s=delay_s))
    done_at = []  # what was done at each kill, and how many requests there had been
    for number, stage in enumerate(STAGES, 1):
        while len(done_at) < n_kills * number // len(STAGES):
            n, moment = len(crawl.requests()), generator.randint(1, 20)
            process = crawl.start(stage)
            while len(crawl.requests()) < n + moment and process.poll() is None:
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            assert process.returncode == -signal.SIGKILL, "the stage ended before it could be killed"
            time.sleep(2 * delay_s)  # the sandbox logs what is still in flight
            done_at.append((crawl.pages("done"), len(crawl.requests())))
        crawl.run(stage)
    crawl.require_truth()
    requests = crawl.requests()
    assert any(done for done, _ in done_at)
    assert [done & set(requests[n:]) for done, n in done_at] == [set()] * n_kills
