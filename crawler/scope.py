"""What a crawl covers: its source (which site) and its scope (which movies, users and photos)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crawler.sites import is_loopback

LIKER_SOURCES = {
    "photo_page": ("photo_page",),
    "user_likes": ("user_likes",),
    "both": ("photo_page", "user_likes"),
}


@dataclass(frozen=True)
class Scope:
    """What to crawl. None means no limit.

    Attributes:
        movie_ids: movies whose comments lead to users.
        uids: users to start from, as numbers or slugs.
        photo_kinds: which photos become frames.
        picture_size: the site's name for a size (`sqxs`, `s`, `m`, `l`).
        liker_sources: `photo_page`, `user_likes`, or both.
        max_list_items: a list that goes on beyond this many items has failed.
        k: frames and likes are read only for the k-core of the ratings so far; 0: for all movies and users.
    """

    movie_ids: tuple[str, ...] = ()
    uids: tuple[str, ...] = ()
    max_users: int | None = None
    max_movies: int | None = None
    max_requests: int | None = None
    max_list_items: int = 30_000
    photo_kinds: tuple[str, ...] = ("still", "poster")
    picture_size: str = "m"
    liker_sources: tuple[str, ...] = ("photo_page",)
    k: int = 5


@dataclass(frozen=True)
class Source:
    """What is crawled, as the ledger and every export name it.

    Attributes:
        site: `sandbox`, `douban`, or the addresses of another site.
        world: the configuration of the sandbox's invented world; None for any other site.
    """

    site: str
    world: Mapping[str, Any] | None = None

    @property
    def is_invented(self) -> bool:
        """Whether it contains no real person, film or picture."""
        return self.world is not None

    @property
    def is_loopback(self) -> bool:
        """Whether it is served by this machine: the sandbox (whose addresses must be), or addresses on loopback."""
        return self.is_invented or all(map(is_loopback, self.site.split(",")))

    def __str__(self) -> str:
        """Return it in words, for messages."""
        if self.world is None:
            return self.site
        return f"the {self.site} ({', '.join(f'{name} {value}' for name, value in self.world.items())})"

    def to_json(self) -> str:
        """Return it as JSON; equal sources give equal strings."""
        return json.dumps({"site": self.site, "is_invented": self.is_invented, "world": self.world}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Source":
        """Return the source that `to_json` wrote."""
        fields = json.loads(text)
        return cls(fields["site"], fields["world"])
