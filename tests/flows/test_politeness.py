"""The flow for the real site, pointed at a sandbox whose request log must obey every rule of politeness."""

import re
from collections import defaultdict
from itertools import pairwise

import pytest

from crawler.sandbox.server import SandboxServer
from crawler.sandbox.world import WorldConfig, generate_world
from dataset.snapshots.snapshot import latest
from dataset.snapshots.verify import verify

DELAY_S = 0.02


@pytest.mark.timeout(900)
def test_the_profile_of_the_real_site_is_polite_in_a_whole_flow(start_flow, tmp_path):
    world = generate_world(WorldConfig(seed=1, n_users=40, n_movies=12))
    with SandboxServer(world) as server:
        site = server.site
        run = start_flow(
            source="douban",
            name="polite",
            data=str(tmp_path),
            contact="somebody@example.org",
            movies=list(world.seed_movie_ids),
            site_urls=f"{site.movie},{site.www},{site.images}",
            delay_s=DELAY_S,
        )
        told, _ = run.communicate()
        assert run.returncode == 0, told
        log = list(server.requests)
    assert verify(latest(tmp_path / "snapshots", "polite")) == []

    requests_to = defaultdict(list)
    for request in log:
        requests_to[request.host].append(request)
    assert set(requests_to) == {"movie", "images"}  # likers are read on the pages of photos
    for requests in requests_to.values():
        assert requests[0].path == "/robots.txt"
        assert all(later.started_at_s - earlier.ended_at_s >= DELAY_S for earlier, later in pairwise(requests))
    assert all("(+somebody@example.org)" in request.user_agent for request in log)
    planned = re.compile(r"/(robots\.txt|subject/|photos/photo/|people/[\w.-]+/(collect|likes/photo/)|view/|img/)")
    assert [request.path for request in log if not planned.match(request.path)] == []
