"""At most one crawl of a site at a time, across flow runs, workers and machines.

The limit lives on the Prefect server, which grants one lease a site. A run that holds it renews
the lease; one that is killed stops renewing, and after `LEASE_S` seconds the next run gets it.
Others wait. On one machine the crawl folder's own lock stands behind it (`crawler.ledger.lock`).
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from prefect.client.orchestration import get_client
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists

LEASE_S = 60.0  # the shortest that Prefect grants


@contextmanager
def only_crawl_of(site: str) -> Iterator[None]:
    """Hold the one right to crawl a site, waiting for it as long as needed.

    Losing the lease (the server is gone for too long) ends the run, since another may crawl then.
    """
    name = f"crawl-{site}"
    with get_client(sync_client=True) as client, suppress(ObjectAlreadyExists):
        client.upsert_global_concurrency_limit_by_name(name, limit=1)
    print(f"One crawl of a site at a time: taking the turn of {site}, or waiting for it.")
    with concurrency(name, occupy=1, lease_duration=LEASE_S, strict=True):
        yield
