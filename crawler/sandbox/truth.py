"""The truth of a world: the tables that a perfect crawl yields, in the raw schemas of `dataset.schema`.

User ids are the site's numbers (an export has their pseudonyms), and `crawled_at` is null. The truth does not
contain what no page shows: hidden items of collections and anonymous likers. A movie's `title` is the Chinese
one; `original_title` is null if the Chinese title is the original. If lists change while they are read
(`faults.ChangingLists`), the truth is every row that was shown before or after the change, and a photo's
`like_count` is the number that its page showed last.

`via` says where each topic (`movie`, `photos`, `collection`, `people`) is read: `html`, the default, or `json`.

Of an odd world (`oddities`), the truth is what a guest can know:

- A merged movie has the id that it leads to. Of a person's marks under both ids, the later one counts; of equally
  late ones, the one with stars, or else the one under the id that stays.
- A movie that guests cannot read has a row with the title in people's lists (or else its id) and nothing more. A movie
  that is gone in the site's own words has no row; the JSON has no such words for movies in review or not listed.
- People behind a log-in have no ratings; deleted movies have no dates and no stars (in the JSON: no ratings).
- What breaks a JSON page is not in the JSON. `like_count` is null where no number is shown, and in the JSON it is
  `likers_count`.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import dataframely as dy
import polars as pl

from crawler.sandbox.pages import COLLECTION_PAGES, LIKERS_PAGE
from crawler.sandbox.pictures import FORMATS, encode, resized
from crawler.sandbox.records import FRAME_KINDS, Frame, Movie, Rating
from crawler.sandbox.views import PLAIN, View, n_withheld, show
from crawler.sandbox.world import World, discoverable_users
from crawler.sites import Site
from dataset import schema
from dataset.building.kcore import k_core

Tables = dict[str, pl.DataFrame]
Via = Mapping[str, str]
HTML: Via = {}
PRESET_VIA: Mapping[str, Via] = {"2026": {"movie": "json", "photos": "json", "collection": "html", "people": "json"}}
_PAIR = {"user_id": pl.String, "movie_id": pl.String}
_USERS = {
    "user_id": pl.String, "found_through": pl.String, "marks_claimed": pl.Int64, "marks_read": pl.Int64,
    "is_complete": pl.Boolean,
}  # fmt: skip
_UNAVAILABLE = {
    "html": ("login_only", "censored"),
    "json": ("login_only", "censored", "not_listed", "in_review"),
}


def truth(
    world: World,
    user_ids: Collection[str] | None = None,
    movie_ids: Collection[str] | None = None,
    *,
    site: Site | None = None,
    kinds: Collection[str] = FRAME_KINDS,
    like_source: str | None = "photo_page",
    picture_size: str | None = "m",
    picture_suffix: str = "jpg",
    n_vanished: int = 0,
    via: Via = HTML,
    view: View = PLAIN,
) -> Tables:
    """Return the tables `movies`, `ratings`, `frames`, `images` and `frame_likes` of a world.

    Args:
        world: the world.
        user_ids: take only ratings and likes by these users; None: all users.
        movie_ids: take only these movies with their frames, ratings and likes; None: all movies.
        site: the site whose image host is in the frames' addresses; None: the real one.
        kinds: the kinds of frame to take.
        like_source: `photo_page` or `user_likes`; only photo pages show how many people like a frame. None: no source
            can be read, so `frame_likes` is empty.
        picture_size: size of the picture files; None leaves `images` empty, because drawing takes time.
        picture_suffix: `jpg` or `webp`.
        n_vanished: number of items that every list with several pages lost while it was read.
        via: where each topic is read.
        view: how the site shows its world.
    """
    users, movies = world.contents.users if user_ids is None else set(user_ids), world.contents.movies
    chosen = list(movies.values()) if movie_ids is None else [movies[movie_id] for movie_id in sorted(set(movie_ids))]
    chosen_ids = {movie.movie_id for movie in chosen}
    ratings = [
        rating
        for rating in _shown_marks(world, via, world.contents.merged)
        if rating.user_id in users and rating.movie_id in chosen_ids
    ]
    frames = [
        frame
        for frame in world.contents.frames.values()
        if frame.movie_id in chosen_ids and frame.kind in kinds and _is_listed(world, frame, via)
    ]
    after = replace(view, withheld=n_vanished)
    known = ("open", *_UNAVAILABLE[via.get("movie", "html")])
    rows = [_movie_row(world, movie, via) for movie in chosen if movie.state in known]
    return {
        "movies": _table(rows, schema.Movie),
        "ratings": _table([(r.user_id, r.movie_id, r.stars, r.rated_on, None, None) for r in ratings], schema.Rating),
        "frames": _table(
            [
                _frame_row(f, site or Site(), via, _like_count(world, f, after, like_source, via), _place(world, f))
                for f in frames
            ],
            schema.Frame,
        ),
        "images": _table(
            [_image_row(frame, picture_size, picture_suffix) for frame in frames] if picture_size else [], schema.Image
        ),
        "frame_likes": _table(
            [
                (like.user_id, like.frame_id, like.liked_at.date(), like_source)
                for frame in frames
                for like in world.contents.likers_of[frame.frame_id]
                if like_source and like.user_id in users
            ],
            schema.RawFrameLike,
        ),
    }


def crawl_truth(
    world: World,
    user_ids: Collection[str] | None = None,
    k: int = 5,
    *,
    kinds: Collection[str] = ("still", "poster"),
    via: Via = HTML,
    **options: Any,
) -> Tables:
    """Return the tables that a complete crawl exports, except for pseudonyms and `crawled_at`.

    They hold all ratings by the users that were found, but movies, frames, pictures and likes only for the movies
    and users in the k-core of those ratings. A merged movie is known as such once its old id was asked for, so only
    if the old id is in the core.

    Args:
        world: the world.
        user_ids: the users that were found; None: the users that the seed movies' comments lead to.
        k: the k of the k-core; 0 keeps everything.
        kinds: the kinds of frame that were crawled; by default the crawler's default.
        via: where each topic is read.
        options: as in `truth`; with `site`, the frames' addresses are the crawled ones.
    """
    if user_ids is None:
        user_ids = discoverable_users(world, world.seed_movie_ids, via.get("people", "html"))
    known: dict[str, str] = {}
    asked: set[str] = set()
    while True:
        marks = [mark for mark in _shown_marks(world, via, known) if mark.user_id in user_ids]
        pairs = pl.DataFrame([(mark.user_id, mark.movie_id) for mark in marks], _PAIR, orient="row")
        core = k_core(pairs, k, k)
        asked |= set(core["movie_id"])
        found = {old: into for old, into in world.contents.merged.items() if old in asked}
        if found == known:
            break
        known = found
    survivors = truth(
        world, core["user_id"].unique().to_list(), core["movie_id"].unique().to_list(), kinds=kinds, via=via, **options
    )
    read = truth(world, (), {known.get(movie_id, movie_id) for movie_id in asked}, via=via, picture_size=None)
    ratings = _table([(m.user_id, m.movie_id, m.stars, m.rated_on, None, None) for m in marks], schema.Rating)
    return {**survivors, "movies": read["movies"], "ratings": ratings}


def guest_truth(world: World, preset: str = "2026", **options: Any) -> Tables:
    """Return the tables that a guest's complete crawl of a preset exports, as `crawl_truth`, and the table `users`.

    Nothing public says who liked a frame, so `frame_likes` is empty.

    Args:
        world: the world, with the preset's oddities.
        preset: the name of the preset.
        options: as in `crawl_truth`.
    """
    settings = {"via": PRESET_VIA[preset], "like_source": None, **options}
    return {**crawl_truth(world, **settings), "users": users_truth(world, settings["via"], settings.get("view", PLAIN))}


def users_truth(world: World, via: Via = HTML, view: View = PLAIN) -> pl.DataFrame:
    """Return a row for every person that the seed movies' comments lead to.

    The columns are `user_id`, `found_through` (`comments`, or `interests` in the JSON), `marks_claimed` (the total in
    the person's list, with hidden items; null if the list cannot be read), `marks_read` (the marks that are shown)
    and `is_complete` (whether the list was read to its end).
    """
    source = via.get("people", "html")
    found_through = "interests" if source == "json" else "comments"
    shown = dict.fromkeys(world.contents.users, 0)
    for mark in _shown_marks(world, via, {}):
        shown[mark.user_id] += 1
    rows = []
    for user_id in sorted(discoverable_users(world, world.seed_movie_ids, source)):
        is_readable = user_id not in world.contents.walled
        total = show(world.contents.ratings_of[user_id], 0, COLLECTION_PAGES["grid"], view).total
        rows.append((user_id, found_through, total if is_readable else None, shown[user_id], is_readable))
    return pl.DataFrame(rows, _USERS, orient="row")


def _shown_marks(world: World, via: Via, aliases: Mapping[str, str]) -> Iterator[Rating]:
    """Yield the marks that people's lists show a guest: one per person and movie, under the ids of aliases."""
    contents, is_json = world.contents, via.get("collection") == "json"
    for user_id, ratings in contents.ratings_of.items():
        latest: dict[str, tuple[tuple[date, bool, bool], Rating]] = {}
        for rating in ratings:
            is_lost = rating.comment_id in contents.bad_items or not contents.movies[rating.movie_id].is_listed
            if rating.is_hidden or user_id in contents.walled or (is_json and is_lost):
                continue
            movie_id = aliases.get(rating.movie_id, rating.movie_id)
            place = (rating.rated_on or date.min, rating.stars is not None, rating.movie_id == movie_id)
            if movie_id not in latest or latest[movie_id][0] < place:
                latest[movie_id] = (place, replace(rating, movie_id=movie_id))
        yield from (rating for _, rating in latest.values())


def _is_listed(world: World, frame: Frame, via: Via) -> bool:
    return via.get("photos") != "json" or frame.frame_id not in world.contents.bad_items


def _like_count(world: World, frame: Frame, view: View, like_source: str | None, via: Via) -> int | None:
    """Return the number of likes that a frame's page or the JSON shows; null if neither shows one.

    A photo without likes has no widget on its page; the JSON says 0.
    """
    n = len(world.contents.likers_of[frame.frame_id]) + frame.n_anonymous
    has_number = view.has_like_widget and (view.has_like_numbers or frame.widget == "fav")
    on_page = n - n_withheld(n, LIKERS_PAGE, view) if like_source == "photo_page" and has_number else 0
    if on_page:
        return on_page
    return n if via.get("photos") == "json" and frame.has_data_id else None


def _movie_row(world: World, movie: Movie, via: Via) -> tuple[object, ...]:
    if movie.state != "open":
        title = movie.chinese if movie.is_listed else movie.movie_id
        return (movie.movie_id, title, None, None, None, [], [], None, None, None)
    if via.get("movie") != "json":
        movie = world.contents.misreported.get(movie.movie_id, movie)
    is_shown = movie.rating == "shown"
    return (
        movie.movie_id, movie.chinese, movie.english, movie.year, movie.kind,
        list(movie.genres), list(dict.fromkeys(director.name for director in movie.directors)),
        movie.rating_mean if is_shown else None, movie.rating_count if is_shown else None, None,
    )  # fmt: skip


def _frame_row(frame: Frame, site: Site, via: Via, like_count: int | None, place: int) -> tuple[object, ...]:
    """Return a frame; only the HTML states the size of the original picture."""
    url = f"{site.images}/view/photo/m/public/p{frame.frame_id}.webp"
    size = (None, None) if via.get("photos") == "json" else (frame.width_px, frame.height_px)
    return frame.frame_id, frame.movie_id, frame.kind, *size, url, like_count, place, None


def _place(world: World, frame: Frame) -> int:
    """Return a frame's place in the list of its kind, as it is without faults."""
    return [one.frame_id for one in world.contents.frames_of[frame.movie_id] if one.kind == frame.kind].index(
        frame.frame_id
    )


def _image_row(frame: Frame, size: str, suffix: str) -> tuple[object, ...]:
    body = encode(frame.picture, size, suffix)
    width_px, height_px = resized(frame.picture, size).size
    sha256 = hashlib.sha256(body).hexdigest()
    path = f"pictures/{sha256[:2]}/{sha256}.{suffix}"
    return frame.frame_id, sha256, FORMATS[suffix].lower(), width_px, height_px, len(body), path


def _table(rows: list[tuple[Any, ...]], of: type[dy.Schema]) -> pl.DataFrame:
    types = {name: column.dtype for name, column in of.columns().items()}
    return pl.DataFrame(rows, schema=types, orient="row")
