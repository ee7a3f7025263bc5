"""Hosts that asked to be left alone until some time, by `Retry-After` in a refusal.

The time is a file in the folder that all crawls and probes of the account share (`clock.py`). Until then, none of them
starts a request to the host, not even for robots.txt.
"""

import re
import time
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from crawler.sites import host_key
from crawler.spiders.clock import CLOSED, account_folder
from dataset.errors import RefusedError
from dataset.files import atomic_path

LONGEST_S = 7 * 86_400.0  # a host that names a later time is asked again after this


def closed_until(retry_after: str | None, now: float) -> float | None:
    """Return the Unix time that a header `Retry-After` names, at most `LONGEST_S` from `now`.

    None if there is no such header, if it is neither seconds nor an HTTP date, or if its time is over.
    """
    text = (retry_after or "").strip()
    if re.fullmatch("[0-9]+", text):
        until = now + min(float(text[:20]), LONGEST_S)
    else:
        try:
            moment = parsedate_to_datetime(text)
            until = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    return min(until, now + LONGEST_S) if until > now else None


def close_host(base: str, retry_after: str | None) -> None:
    """Keep the account's crawls away from a host until the time that it names, if any; a later time stays.

    Raises:
        PipelineError: the account has no folder of its own to keep it in.
    """
    now = time.time()
    until = closed_until(retry_after, now)
    if until is None or until <= (_closed_until(base, now) or 0.0):
        return
    with atomic_path(account_folder() / f"{host_key(base)}{CLOSED}") as temporary:
        temporary.touch(mode=0o600)
        temporary.write_text(f"{until:.0f}\n", encoding="ascii")


def require_open(base: str) -> None:
    """Check that a host has not asked to be left alone.

    Raises:
        RefusedError: it has; the message says until when.
        PipelineError: the account has no folder of its own.
    """
    until = _closed_until(base, time.time())
    if until is not None:
        when = datetime.fromtimestamp(until, UTC).isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")
        raise RefusedError(
            f"{base}: asked for no request before {when} UTC (Retry-After), so none was sent; "
            "run the same command again after that"
        )


def _closed_until(base: str, now: float) -> float | None:
    """Return until when a host wants no request, None if that is over."""
    path = account_folder() / f"{host_key(base)}{CLOSED}"
    try:
        until = float(path.read_text(encoding="ascii"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        until = now  # what is damaged is no time
    if now < until <= now + LONGEST_S + 1:
        return until
    with suppress(OSError):
        path.unlink()
    return None
