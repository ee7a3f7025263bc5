"""Faults that a real site shows a crawler: failures at a rate, refusals, changing lists, other layouts.

A fault is a function `(request, answer) -> Answer` for the `faults` argument of `SandboxServer`. `chained`
combines several; `switches` names them for the command line. No fault changes robots.txt. A complete crawl
finds the same tables under every fault (`truth`), except for the pictures that `DeadPictures` breaks, and for what
`OptOuts` keep away. What is odd in the world itself is in `crawler.sandbox.oddities`.
"""

from crawler.sandbox.faults.chain import chained
from crawler.sandbox.faults.failures import DeadPictures, Failures, Rates
from crawler.sandbox.faults.layouts import ChangingLists, older_layout, shown_as
from crawler.sandbox.faults.limits import RateLimiter
from crawler.sandbox.faults.opt_outs import OptOuts
from crawler.sandbox.faults.refusals import (
    JSON_REFUSALS,
    NEWER_REFUSALS,
    REFUSALS,
    SIGNS,
    Challenge,
    Refusal,
    closed_subjects,
    private_likes,
)

__all__ = [
    "JSON_REFUSALS",
    "NEWER_REFUSALS",
    "REFUSALS",
    "SIGNS",
    "Challenge",
    "ChangingLists",
    "DeadPictures",
    "Failures",
    "OptOuts",
    "RateLimiter",
    "Rates",
    "Refusal",
    "chained",
    "closed_subjects",
    "older_layout",
    "private_likes",
    "shown_as",
]
