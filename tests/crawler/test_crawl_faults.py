"""If a tenth of the answers fail, and if lists change or look different, the tables still equal the truth."""

from collections import Counter

import polars as pl
import pytest

from crawler.ledger.ledger import Ledger
from crawler.sandbox.faults import ChangingLists, DeadPictures, Failures, Rates, chained, older_layout, shown_as

WORLD = {"seed": 31, "n_users": 40, "n_movies": 44}  # with lists of several pages of every kind but comments


@pytest.mark.parametrize(
    "rates",
    [
        Rates(server_error=0.1),
        Rates(cut_body=0.1),
        Rates(slow=0.1),
        Rates(empty_page=0.05, broken_picture=0.05, mislabelled_picture=0.05),
    ],
    ids=["server errors", "cut bodies", "timeouts", "empty pages and broken pictures"],
)
def test_failures_followed_by_success_change_nothing(sandbox, rates):
    failures = Failures(rates, slow_s=1.0)
    crawl = sandbox(1, faults=failures)
    crawl.run_all("--timeout-s", "0.8" if rates.slow else "10")
    crawl.require_truth()
    assert set(failures.counts) == {name for name, rate in vars(rates).items() if rate}
    assert crawl.pages("failed") == set()


def test_pictures_that_are_always_broken_are_left_out_with_a_reason_and_the_rest_is_complete(sandbox):
    dead = DeadPictures(0.1)
    crawl = sandbox(1, faults=dead)
    crawl.run_all("--attempts", "2")
    crawl.require_truth(without_picture=dead.is_dead)
    frames = crawl.true_tables()["images"]["frame_id"]
    lost = {frame_id for frame_id in frames if dead.is_dead(frame_id)}
    quarantine = pl.read_parquet(crawl.folder / "raw" / "quarantine.parquet").filter(pl.col("table") == "images")
    assert set(quarantine["frame_id"]) == lost
    assert quarantine["reason"].str.contains("bad picture").all()
    assert len(lost) > 2


@pytest.mark.parametrize("grows", [True, False], ids=["growing", "shrinking"])
def test_lists_that_change_while_they_are_read_lose_nothing_and_repeat_nothing(sandbox, grows):
    changes = ChangingLists(grows)
    crawl = sandbox(**WORLD, faults=changes)
    crawl.run_all("--liker-source", "both")
    crawl.require_truth(n_vanished=0 if grows else changes.n)
    assert changes.n_changed > 10


def test_short_pages_and_older_layouts_change_nothing(sandbox):
    crawl = sandbox(**WORLD, faults=chained(older_layout, shown_as(gap_every=4, has_data_ids=False)))
    crawl.run_all("--liker-source", "both")
    crawl.require_truth()
    with Ledger.read(crawl.folder / "crawl") as ledger:
        assert {row[0] for row in ledger.execute("SELECT DISTINCT source FROM likes")} == {"photo_page", "user_likes"}


def test_everything_at_once_changes_nothing(sandbox):
    rates = Rates(server_error=0.04, cut_body=0.04, empty_page=0.02)
    crawl = sandbox(**WORLD, faults=chained(Failures(rates), ChangingLists(grows=True), shown_as(gap_every=5)))
    crawl.run_all()
    crawl.require_truth()
    times = Counter(crawl.requests())
    assert max(times.values()) <= 6
