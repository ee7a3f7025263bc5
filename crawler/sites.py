"""Every URL of the site, in one place: where a page is, and which page a URL is.

The site has three hosts: `movie` (movies, collections, photos), `www` (people) and `images`
(picture files, on the real site `img1` … `img9`). The sandbox serves the same paths from three
ports of one loopback address.
"""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

REAL_DOMAINS = ("douban.com", "doubanio.com")
PHOTO_TYPES = {"still": "S", "poster": "R", "wallpaper": "W"}


@dataclass(frozen=True)
class Site:
    """The base addresses of a site's three hosts, each `scheme://host[:port]` without a final slash."""

    movie: str = "https://movie.douban.com"
    www: str = "https://www.douban.com"
    images: str = "https://img1.doubanio.com"

    @property
    def is_loopback(self) -> bool:
        """Whether all three hosts are addresses of this very machine (only then may delays be waived)."""
        return all(_is_loopback(urlsplit(base).hostname or "") for base in (self.movie, self.www, self.images))

    def movie_page(self, movie_id: str) -> str:
        """Return the address of a movie's page."""
        return f"{self.movie}/subject/{movie_id}/"

    def comments(self, movie_id: str, start: int = 0) -> str:
        """Return a page of 20 of a movie's comments, by people who have seen it, newest first."""
        query = urlencode({"start": start, "limit": 20, "sort": "time", "status": "P"})
        return f"{self.movie}/subject/{movie_id}/comments?{query}"

    def photos(self, movie_id: str, kind: str, start: int = 0, sort_by: str = "time") -> str:
        """Return a page of a movie's photos of a kind (`still`, `poster`, `wallpaper`), sorted by `time` or `like`."""
        query = urlencode({"type": PHOTO_TYPES[kind], "start": start, "sortby": sort_by, "size": "a", "subtype": "a"})
        return f"{self.movie}/subject/{movie_id}/photos?{query}"

    def photo_page(self, frame_id: str) -> str:
        """Return the address of one photo's page."""
        return f"{self.movie}/photos/photo/{frame_id}/"

    def photo_likers(self, frame_id: str, start: int = 0) -> str:
        """Return a page of 100 of the people who like a photo (source `photo_page`)."""
        return f"{self.photo_page(frame_id)}?{urlencode({'type': 'like', 'start': start})}"

    def user_likes(self, user_id: str, start: int = 0) -> str:
        """Return a page of 15 of the photos a user likes (source `user_likes`)."""
        return f"{self.www}/people/{user_id}/likes/photo/?{urlencode({'start': start})}"

    def collection(self, user_id: str, start: int = 0) -> str:
        """Return a page of 15 of what a user has watched, newest first."""
        query = urlencode({"start": start, "sort": "time", "rating": "all", "filter": "all", "mode": "grid"})
        return f"{self.movie}/people/{user_id}/collect?{query}"

    def picture(self, frame_id: str, size: str = "m") -> str:
        """Return the address of a photo's file in a size (`sqxs`, `s`, `m`, `l`)."""
        return f"{self.images}/view/photo/{size}/public/p{frame_id}.jpg"


def robots_txt(base: str) -> str:
    """Return the address of a host's robots.txt."""
    return f"{base}/robots.txt"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
