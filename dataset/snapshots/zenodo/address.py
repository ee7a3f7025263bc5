"""Addresses on Zenodo: `zenodo:` (a new record), `zenodo:<record or draft>` and `zenodo:<DOI>`."""

import re
from dataclasses import dataclass

from dataset.errors import UsageError

PREFIX = "zenodo:"
ZENODO = "https://zenodo.org"
SANDBOX = "https://sandbox.zenodo.org"
_SANDBOX_DOI = "10.5072"
_PLACE = re.compile(
    r"(?:https?://(?:www\.|dx\.)?doi\.org/)?(?P<doi>10\.\d{4,9})/zenodo\.(?P<of_doi>\d+)"
    r"|https?://(?P<host>[^/?#]+)/(?:api/)?(?:records?|deposit|uploads)/(?P<of_page>\d+)/?"
    r"|(?P<plain>\d+)"
)


@dataclass(frozen=True)
class Server:
    """A server of Zenodo.

    Attributes:
        url: its address, without a slash at the end.
        token: the user's token, None without one; it is never shown.
    """

    url: str = ZENODO
    token: str | None = None

    def __post_init__(self) -> None:
        """Check that a token cannot be read on its way, and that it fits into a header."""
        if not re.match(r"https://[^/@]+(/|$)|http://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?(/|$)", self.url):
            raise UsageError(f"{self.url}: not the address of a server; write https://host, without a login")
        if self.token is not None and not re.fullmatch(r"[\x21-\x7e]+", self.token):
            raise UsageError("the token of Zenodo has spaces or signs that no token has; copy it again")

    def __repr__(self) -> str:
        return f"Server({self.url!r})"


def is_on_zenodo(address: str) -> bool:
    """Return whether an address names Zenodo."""
    return address.startswith(PREFIX)


def record_id(address: str, server: Server) -> str | None:
    """Return the number of the record or draft that an address names, None for `zenodo:` alone.

    Raises:
        UsageError: the address is malformed, or is of another server.
    """
    text = address.removeprefix(PREFIX).removeprefix("//")
    if not text:
        return None
    match = _PLACE.fullmatch(text)
    if match is None:
        raise UsageError(
            f"{address}: not an address on Zenodo; write zenodo: for a new record, zenodo:<number of a record or "
            "draft>, or zenodo:<DOI>, such as zenodo:10.5281/zenodo.1234567"
        )
    of_sandbox = match["doi"] == _SANDBOX_DOI or f"https://{match['host']}" == SANDBOX
    if of_sandbox and server.url == ZENODO:
        raise UsageError(f"{address}: is on Zenodo's sandbox; add --sandbox")
    if (match["host"] or match["doi"]) and not of_sandbox and server.url == SANDBOX:
        raise UsageError(f"{address}: is not on Zenodo's sandbox; leave out --sandbox")
    return match["of_doi"] or match["of_page"] or match["plain"]
