"""What a crawl covers: its source (which site) and its scope (which movies, users and photos)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from crawler.sites import is_loopback

LIKER_SOURCES = {
    "photo_page": ("photo_page",),
    "user_likes": ("user_likes",),
    "both": ("photo_page", "user_likes"),
}
# What two sources tell: the site's HTML pages, and the JSON that its mobile pages read.
SOURCES = ("html", "json")
TOPICS = ("movie", "photos", "collection", "people")  # `people`: who has seen a movie
LIST = "list"  # HTML with 30 marks per page of a collection instead of 15
CHOICES: Mapping[str, tuple[str, ...]] = dict.fromkeys(TOPICS, SOURCES) | {"collection": ("html", LIST, "json")}
Via = Mapping[str, tuple[str, ...]]
HTML_ONLY: Via = dict.fromkeys(TOPICS, ("html",))
# In order of preference: a guest in 2026 is often refused the HTML of movies and photos, and given that of collections.
PREFERRED: Via = {
    "movie": ("json", "html"),
    "photos": ("json", "html"),
    "collection": ("html", "json"),
    "people": ("html", "json"),
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
        via: the sources of each topic, in order of preference: the next one is asked for what the one before it has
            failed to give or has refused. What one of them has given is not read again from the other. In the place of
            `html`, a collection can have `list`: the same pages with twice as many marks.
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
    via: Via = field(default_factory=lambda: dict(HTML_ONLY))

    def sources(self, topic: str) -> tuple[str, ...]:
        """Return the sources of a topic, in order of preference."""
        return tuple("html" if source == LIST else source for source in self.via.get(topic, ()))

    @property
    def collection_mode(self) -> str:
        """How collections are requested in HTML: `grid` (15 marks per page), or `list` (30)."""
        return "list" if LIST in self.via.get("collection", ()) else "grid"


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
