"""At most one crawl per site at a time, across flow runs, workers and machines.

The Prefect server holds the limit and grants one lease per site; other runs wait. The run that holds the lease
renews it. A run that is killed stops renewing, and after `LEASE_S` seconds the next run gets the lease. On one
machine, the lock of the crawl folder protects the crawl as well (`crawler.ledger.lock`).
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from prefect.client.orchestration import get_client
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists

from dataset.cli import say

LEASE_S = 60.0  # the shortest that Prefect grants


@contextmanager
def only_crawl_of(site: str) -> Iterator[None]:
    """Hold the lease to crawl a site inside this context; wait for it as long as needed.

    The run fails if it loses the lease (the server did not answer for too long): another run may then crawl.
    """
    name = f"crawl-{site}"
    with get_client(sync_client=True) as client, suppress(ObjectAlreadyExists):
        client.upsert_global_concurrency_limit_by_name(name, limit=1)
    say(f"Only one run may crawl {site} at a time: waiting for the others, if any.")
    with concurrency(name, occupy=1, lease_duration=LEASE_S, strict=True):
        yield
