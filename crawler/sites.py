"""The hosts of a site.

The site has four hosts, named by their role: `movie` (movies, collections, photos), `www` (people), `images` (picture
files, on the real site `img1` … `img9`) and `mobile` (JSON; empty for a site without it). The sandbox serves the same
paths from ports of one loopback address. The address of each page is in `crawler.kinds`.

A base address has a grammar (`is_base`) in which all libraries agree on the host, so that the host that is asked is
the one that was checked.
"""

import ipaddress
import re
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

_BASE = re.compile(
    r"https?://(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:]{2,45}\])(?::[0-9]{1,5})?"
)
PHOTO_TYPES = {"still": "S", "poster": "R", "wallpaper": "W"}
PICTURE_SIZES = ("sqxs", "s", "m", "l")


@dataclass(frozen=True)
class Site:
    """The base addresses of a site's hosts, each `scheme://host[:port]` without a final slash."""

    movie: str = "https://movie.douban.com"
    www: str = "https://www.douban.com"
    images: str = "https://img1.doubanio.com"
    mobile: str = "https://m.douban.com"

    @property
    def hosts(self) -> dict[str, str]:
        """Return the base address of each host by its role, without a host that the site does not have."""
        return {role: base for role, base in asdict(self).items() if base}

    @property
    def is_loopback(self) -> bool:
        """Whether all hosts are addresses of this machine (only then may requests be sent without a delay)."""
        return all(is_loopback(base) for base in self.hosts.values())


def robots_txt(base: str) -> str:
    """Return the address of a host's robots.txt."""
    return f"{base}/robots.txt"


def host_key(base: str) -> str:
    """Return the name under which requests to a host are counted: http and https are one host, so are loopback's names.

    On loopback, each port is a host of the sandbox.
    """
    parts = urlsplit(base)
    if is_loopback(base):
        return f"loopback-{parts.port or (443 if parts.scheme == 'https' else 80)}"
    return parts.hostname or ""


def is_base(text: str) -> bool:
    """Return whether a text is `scheme://host[:port]` and nothing else: no user, path, backslash or blank."""
    return bool(_BASE.fullmatch(text))


def is_loopback(base: str) -> bool:
    """Return whether a base address is one of this machine; nothing else than a base address is."""
    if not is_base(base):
        return False
    host = urlsplit(base).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
